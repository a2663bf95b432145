"""`harness clean`."""

from pathlib import Path
from typing import Annotated

import typer

from harness.cli.commands.options import AsJson, Results, print_result


def clean(
    results: Results = Path("results"),
    checkpoints: Annotated[
        bool,
        typer.Option(
            "--checkpoints",
            help="Remove the last checkpoint of finished runs too. They can still be compared, "
            "shown and sampled, but `harness score` has nothing to start from.",
        ),
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print what would be removed, and stop.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Remove what no run needs any more: old checkpoints, leftovers, unused cached features.

    Records, scores, images, weights and reports stay, and every checkpoint that verifies of a run
    that is not finished. A run that a process works on is left alone.
    """
    from harness.report.terminal.clean import cleaned_view
    from harness.retention.clean import clean_results

    done = clean_results(results, is_dry_run=dry_run, with_last=checkpoints)
    print_result(cleaned_view(done), as_json=as_json, data=done.data())
