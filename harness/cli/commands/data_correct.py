"""`harness data exclude` and `harness data relabel`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from harness.cli.commands.options import AsJson, print_result

if TYPE_CHECKING:
    from core.data.corrections import Correction

Target = Annotated[Path, typer.Argument(help="A cleaned folder, or a lock file; it stays.")]
Reason = Annotated[str, typer.Option(help="Why, in a sentence; kept with the clips.")]
Out = Annotated[Path, typer.Option(help="The new folder, or the new lock file.")]
File = Annotated[
    Path | None,
    typer.Option(help="A file with an id on each line, or in the first column of a CSV."),
]


def exclude(
    target: Target,
    reason: Reason,
    out: Out,
    ids: Annotated[list[str] | None, typer.Argument(help="Ids of clips.")] = None,
    file: File = None,
    as_json: AsJson = False,
) -> None:
    """Leave clips out of a cleaned folder or a lock, with a reason, into a new one.

    Your files and TARGET stay as they are. In a lock, every other clip stays in its part; the new
    lock is another split, so runs of the two are not compared.
    """
    from core.data.corrections import Correction
    from harness.data.correct import listed_ids

    _correct(
        target,
        Correction(ids=listed_ids(ids or (), file=file), reason=reason),
        out,
        as_json=as_json,
    )


def relabel(
    target: Target,
    id_: Annotated[str, typer.Argument(metavar="ID", help="Id of the clip.")],
    class_name: Annotated[str, typer.Argument(metavar="CLASS", help="The class it belongs to.")],
    reason: Reason,
    out: Out,
    caption: Annotated[
        str | None, typer.Option(help="Its new caption (default: the old one stays).")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Give a clip another class, with a reason, in a new folder or lock.

    Your files and TARGET stay as they are; the caption stays too, unless --caption names another.
    """
    from core.data.corrections import Correction

    _correct(
        target,
        Correction(ids=(id_,), reason=reason, class_name=class_name, caption=caption),
        out,
        as_json=as_json,
    )


def _correct(target: Path, correction: "Correction", out: Path, *, as_json: bool) -> None:
    from harness.data.correct import correct
    from harness.report.data.page import write_data_page
    from harness.report.terminal.data_correct import corrected_data, corrected_view

    done = correct(target, correction=correction, out=out)
    if done.manifest is not None:
        write_data_page(done.manifest, folder=out)
    print_result(corrected_view(done), as_json=as_json, data=corrected_data(done))
