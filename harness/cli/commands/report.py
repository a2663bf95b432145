"""`harness report`."""

from pathlib import Path
from typing import Annotated

import typer

from harness.cli.commands.options import AsJson, Results, print_result


def report(
    targets: Annotated[
        list[str],
        typer.Argument(
            metavar="RUN|COMPARISON|SWEEP...",
            help="Comparisons and sweeps (name or path) get a report each, next to their numbers; "
            "runs (id, the start of an id, or path) get one together, side by side.",
        ),
    ],
    results: Results = Path("results"),
    max_mb: Annotated[
        float,
        typer.Option(
            min=0.1,
            help="Maximum size of a self-contained page; above it, media are written to files "
            "next to it.",
        ),
    ] = 20.0,
    as_json: AsJson = False,
) -> None:
    """Write the report of comparisons, sweeps or runs: an HTML page, Markdown and all numbers."""
    from rich.text import Text

    from harness.cli.report_targets import write_reports

    written = write_reports(targets, results=results, max_bytes=int(max_mb * 1e6))
    lines = [f"{report.verdict}\nreport  {report.page}" for report in written]
    data = {"reports": [report.data() for report in written]}
    print_result(Text("\n\n".join(lines)), as_json=as_json, data=data)
