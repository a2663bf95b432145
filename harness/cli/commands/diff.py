"""`harness diff`."""

from pathlib import Path
from typing import Annotated

import typer

from harness.cli.commands.options import AsJson, Results, print_result


def diff(
    first: Annotated[
        str, typer.Argument(metavar="A", help="Run or comparison: id, name, start, or path.")
    ],
    second: Annotated[str, typer.Argument(metavar="B", help="Another one of the same kind.")],
    results: Results = Path("results"),
    as_json: AsJson = False,
) -> None:
    """Show what two runs or two comparisons differ in: settings, code, machine and numbers.

    Ends with exit code 0 whether or not they differ.
    """
    from harness.comparison.diff import diff as compute
    from harness.report.terminal.diff import diff_view
    from harness.report.terminal.tables import console

    found = compute(first, second, results=results)
    print_result(diff_view(found, width=console().width), as_json=as_json, data=found.data())
