"""`harness data diff`."""

from pathlib import Path
from typing import Annotated

import typer

from harness.cli.commands.options import AsJson, Results, print_result


def diff(
    first: Annotated[
        Path, typer.Argument(metavar="A", help="A cleaned data folder, a lock file, or a pack.")
    ],
    second: Annotated[Path, typer.Argument(metavar="B", help="Another copy of the same set.")],
    results: Results = Path("results"),
    as_json: AsJson = False,
) -> None:
    """Show which clips two copies of a data set do not share, and what that does to scores.

    Clips are held against each other by id and by the bytes of sound and picture. For every
    finished run of one copy it says which of its test clips the other lacks, and what each score is
    over the rest. Ends with exit code 0 whether or not they differ.
    """
    from harness.comparison.clips_lost import consequences
    from harness.data.diff import diff_data, read_side
    from harness.pack.contents import LOCK, WORK
    from harness.report.terminal.data_diff import data_diff_view

    sides = [read_side(path, packed_lock=f"{WORK}/{LOCK}") for path in (first, second)]
    found = diff_data(*sides)
    effects = consequences(found, results=results)
    data = {**found.data(), "consequences": effects.data()}
    print_result(data_diff_view(found, effects), as_json=as_json, data=data)
