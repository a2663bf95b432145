"""`harness data split` and `harness data verify`."""

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from harness.cli.commands.options import AsJson, print_result

Lock = Annotated[Path, typer.Argument(help="A lock file.")]


def split(
    folder: Annotated[
        Path | None, typer.Argument(help="A folder that was ingested and cleaned.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="The lock file to write.")] = None,
    cap: Annotated[
        int | None,
        typer.Option(
            min=3,
            help="Maximum number of clips per class (default 100); for data without classes, per "
            "label or group of captions (default: all).",
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of the split.")] = 0,
    official: Annotated[
        Literal["ignore", "honour"],
        typer.Option(
            help="honour: the data set's official test clips are used for testing only, and no "
            "others are."
        ),
    ] = "ignore",
    official_list: Annotated[
        Path | None,
        typer.Option(help="VGGSound's CSV, if the manifest lacks the official division."),
    ] = None,
    profile: Annotated[
        str | None,
        typer.Option(
            help="Group captions alone by the text encoder of this profile instead of by words."
        ),
    ] = None,
    imported: Annotated[
        list[str] | None,
        typer.Option(
            "--import",
            metavar="[PART=]FILE",
            help="Import the division of your own *_metadata.json files, one per part.",
        ),
    ] = None,
    against: Annotated[
        list[Path] | None,
        typer.Option(help="Other split files to check the imported one against."),
    ] = None,
    verify: Annotated[
        Path | None, typer.Option("--verify", help="Verify this lock file instead of making one.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Lock a split: stratified by class, grouped by source, capped, seeded; 80/10/10.

    Data with several labels a clip are stratified by all labels together, data with captions alone
    by groups of like captions.

    The lock holds the ids, their hashes, the counts, the rule and the seed. A class that cannot
    be trained, validated and tested on is refused by name.
    """
    from core.errors import UsageError

    if verify is not None:
        if folder is not None or out is not None:
            raise UsageError(
                "--verify LOCK cannot be combined with other arguments; to make a split, pass "
                "FOLDER and --out"
            )
        _verify(verify, as_json=as_json)
        return
    if folder is None or out is None:
        raise UsageError("pass the folder that was ingested and cleaned, and --out LOCK.json")
    from core.data.splits.split import Official
    from harness.data.split import SplitRequest, make
    from harness.report.terminal.data_split import split_view

    made = make(
        SplitRequest(
            folder,
            out,
            cap=cap,
            seed=seed,
            official=Official(official),
            profile=profile,
            official_list=official_list,
            imported=tuple(imported or ()),
            against=tuple(against or ()),
        )
    )
    print_result(split_view(made), as_json=as_json, data=made.data())


def verify(lock: Lock, as_json: AsJson = False) -> None:
    """Hash every file of a lock again: exit 0, or the first difference by name (exit 78)."""
    _verify(lock, as_json=as_json)


def _verify(lock: Path, *, as_json: bool) -> None:
    from rich.text import Text

    from core.data.splits.split import load_split
    from core.data.splits.split import verify as verify_split
    from harness.wording.display import open_display

    locked = load_split(lock)
    with open_display() as display:
        verify_split(locked, progress=lambda done, n: display.phase("hashing pairs", done, n))
    data: dict[str, Any] = {
        "lock": str(lock),
        "hash": locked.hash,
        "is_verified": True,
        "samples": {part.value: len(ids) for part, ids in locked.parts.items()},
        "files": 2 * len(locked.samples),
    }
    sentence = f"{lock}: all {data['files']} files of {len(locked.samples)} pairs match the lock"
    print_result(Text(f"{sentence}\nhash {locked.hash}"), as_json=as_json, data=data)
