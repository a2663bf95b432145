"""`harness data clean`."""

from pathlib import Path
from typing import Annotated

import typer

from core.errors import DataError
from harness.cli.commands.options import AsJson, print_result


def clean(
    folder: Annotated[Path, typer.Argument(help="The folder that `ingest --out` made.")],
    window_s: Annotated[
        float,
        typer.Option(help="Seconds from the start of each sound that its level is measured over."),
    ] = 10.0,
    max_excluded_share: Annotated[
        float,
        typer.Option(min=0, max=1, help="Largest share of unusable items before this is an error."),
    ] = 0.5,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Files to decode in parallel (default: one per core).")
    ] = None,
    anew: Annotated[
        bool, typer.Option("--anew", help="Decode files again that an earlier cleaning decoded.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Decode every pair once; keep it, or exclude it with a reason.

    Writes DIR/manifest.parquet and DIR/cleaning.html, a page with sounds and pictures for each
    reason. Originals are only read. If it is stopped, run the same command again to continue.
    """
    from core.data.cleaning.clean import require_usable
    from core.data.manifest import Manifest
    from harness.data.clean import clean_folder, cleaning_data
    from harness.records.lock import held
    from harness.report.data.page import write_data_page
    from harness.report.terminal.data_clean import cleaning_view
    from harness.wording.display import open_display

    found = Manifest.load(folder)  # before the lock, which would make a folder of a typing error
    with open_display() as display, held(folder):
        done = clean_folder(
            found,
            folder=folder,
            window_s=window_s,
            num_workers=workers,
            is_anew=anew,
            progress=display.phase,
        )
        display.phase("writing the page", 0, 1)
        write_data_page(done.manifest, folder=folder)
        display.phase("writing the page", 1, 1)
    refusal: DataError | None = None
    try:
        require_usable(done.manifest, max_excluded_share=max_excluded_share)
    except DataError as error:
        refusal = error
    view = cleaning_view(done, is_usable=refusal is None)
    print_result(view, as_json=as_json, data=cleaning_data(done))
    if refusal is not None:
        raise refusal
