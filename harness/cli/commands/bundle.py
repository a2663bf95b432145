"""`harness bundle` and `harness verify`."""

from pathlib import Path
from typing import Annotated

import typer

from harness.cli.commands.options import AsJson, Results, print_result


def bundle(
    comparison: Annotated[
        str, typer.Argument(help="A comparison: its name, the start of one, or its folder.")
    ],
    out: Annotated[Path, typer.Option(help="The file to write.", dir_okay=False)],
    results: Results = Path("results"),
    as_json: AsJson = False,
) -> None:
    """Put the evidence of a comparison into one file, for whoever doubts its verdict.

    Records, scores clip by clip, the lock of the split, settings, hashes of code and models, and
    the report, with a list of SHA-256; no images and no weights. `harness verify` computes every
    number of the comparison again from it.
    """
    from core.errors import UsageError
    from harness.bundle.make import make_bundle
    from harness.bundle.text import bundle_data, bundle_view
    from harness.records.names import named_comparison
    from harness.wording.display import open_display

    folder = named_comparison(comparison, results=results)
    if folder is None:
        raise UsageError(
            f"nothing in {results} is a comparison named '{comparison}' or starts with it; "
            "`harness compare` makes one"
        )
    with open_display() as display:
        made = make_bundle(
            folder, out=out, progress=lambda done, n: display.phase("writing", done, n)
        )
    print_result(bundle_view(made), as_json=as_json, data=bundle_data(made))


def verify(
    file: Annotated[Path, typer.Argument(help="A file of `harness bundle`.")],
    pages: Annotated[
        bool,
        typer.Option("--pages", help="Draw the report's text again too, and compare it."),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Compute every number and the verdict of a bundle again from its runs' scores.

    Any CPU does, and no weights are needed. Ends with exit code 0 where all of it follows from the
    evidence; names the first difference and ends with 78 where something does not.
    """
    from core.errors import MismatchError
    from harness.bundle.text import verification_view
    from harness.bundle.verify import verify_bundle

    found = verify_bundle(file, with_pages=pages)
    print_result(verification_view(found), as_json=as_json, data=found.data())
    if found.differences:
        raise typer.Exit(MismatchError.exit_code)
