"""`harness pack` and `harness unpack`."""

from pathlib import Path
from typing import Annotated

import typer

from harness.cli.commands.options import AsJson, Results, print_result


def pack(
    out: Annotated[Path, typer.Option(help="The file to write.", dir_okay=False)],
    command: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[-- COMMAND...]",
            help="After --, what to go on with there: run, compare or sweep with its options.",
        ),
    ] = None,
    run: Annotated[
        list[str] | None,
        typer.Option(
            metavar="RUN",
            help="Take this half-finished run along; repeat it for others (default: every one of "
            "the command's split). Without a command, the one that made it goes on.",
        ),
    ] = None,
    with_data: Annotated[
        bool,
        typer.Option("--with-data", help="Take the split's sounds, pictures and features along."),
    ] = False,
    features_only: Annotated[
        bool,
        typer.Option(
            "--features-only",
            help="Of the clips that are trained on, take cached features alone; smaller.",
        ),
    ] = False,
    encode: Annotated[
        bool,
        typer.Option(
            help="With data: compute here what the feature cache lacks, so that no paid minute is "
            "spent on it."
        ),
    ] = True,
    results: Results = Path("results"),
    as_json: AsJson = False,
) -> None:
    """Put what a rented machine needs into one file: source, settings, data, half-finished runs.

    In it is continue.sh, which makes the environment there, fetches missing weights and goes on
    from the newest checkpoints. The same content gives the same bytes, with a SHA-256 of each file.
    """
    from core.errors import UsageError
    from harness.pack.contents import DataMode
    from harness.pack.pack import PackRequest, make_pack
    from harness.pack.text import pack_data, pack_view
    from harness.wording.display import open_display

    if with_data and features_only:
        raise UsageError("--with-data and --features-only cannot be combined; choose either one")
    mode = DataMode.NONE
    if with_data or features_only:
        mode = DataMode.MEDIA if with_data else DataMode.FEATURES
    request = PackRequest(
        words=tuple(command or ()),
        runs=tuple(run or ()),
        results=results,
        data=mode,
        encodes=encode,
    )
    with open_display() as display:
        made = make_pack(request, out=out, display=display)
    print_result(pack_view(made), as_json=as_json, data=pack_data(made), wraps=False)


def unpack(
    file: Annotated[Path, typer.Argument(help="A file of `harness pack`.")],
    dir_: Annotated[Path, typer.Option("--dir", help="A new folder to unpack into.")],
    check: Annotated[
        bool,
        typer.Option(
            "--check",
            help="Read every file back and compare its hash. If DIR holds the pack already, it is "
            "compared and left as it is.",
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Unpack a pack, checking every byte; a name that leads out of the folder is refused."""
    from harness.pack.text import unpacked_data, unpacked_view
    from harness.pack.unpack import unpack as unpack_file
    from harness.wording.display import open_display

    with open_display() as display:
        done = unpack_file(
            file,
            dir_,
            is_checked=check,
            progress=lambda done, n: display.phase("checking MB", done // 10**6, n // 10**6),
        )
    print_result(unpacked_view(done), as_json=as_json, data=unpacked_data(done), wraps=False)
