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
    cap: Annotated[int, typer.Option(min=3, help="Most clips of one class.")] = 100,
    seed: Annotated[int, typer.Option(help="Seed of the draw.")] = 0,
    official: Annotated[
        Literal["ignore", "honour"],
        typer.Option(help="honour: the data set's own test clips never train; only they test."),
    ] = "ignore",
    official_list: Annotated[
        Path | None, typer.Option(help="VGGSound's CSV, where the manifest lacks its division.")
    ] = None,
    imported: Annotated[
        list[str] | None,
        typer.Option(
            "--import",
            metavar="[PART=]FILE",
            help="Take the division of your own *_metadata.json, one file a part.",
        ),
    ] = None,
    against: Annotated[
        list[Path] | None,
        typer.Option(help="Other split files that the imported one is held against."),
    ] = None,
    verify: Annotated[
        Path | None, typer.Option("--verify", help="Verify this lock file instead.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Lock a split: stratified by class, grouped by source, capped, seeded; 80/10/10.

    The lock holds the ids, their hashes, the counts, the rule and the seed. A class that cannot
    be trained, validated and tested on is refused by name.
    """
    from core.errors import UsageError

    if verify is not None:
        if folder is not None or out is not None:
            raise UsageError("--verify LOCK stands alone; to draw a split give FOLDER and --out")
        _verify(verify, as_json=as_json)
        return
    if folder is None or out is None:
        raise UsageError("name the folder that was ingested and cleaned, and --out LOCK.json")
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
    sentence = f"{lock}: all {data['files']} files of {len(locked.samples)} pairs are as locked"
    print_result(Text(f"{sentence}\nhash {locked.hash}"), as_json=as_json, data=data)
