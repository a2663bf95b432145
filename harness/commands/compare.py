"""`harness compare`."""

from pathlib import Path
from typing import Annotated

import typer

from harness.commands.options import AsJson, Data, ProfileOption, Results, Set, print_result


def compare(
    variants: Annotated[
        str, typer.Option(help="Branches, comma-separated.")
    ] = "baseline,sonic,cutting_edge",
    seeds: Annotated[int, typer.Option(min=1, help="Seeds 0 to N-1 for each branch.")] = 3,
    profile: ProfileOption = "tiny",
    set_: Set = None,
    data: Data = None,
    results: Results = Path("results"),
    metric: Annotated[
        str, typer.Option(help="The one metric the verdict rests on.")
    ] = "listening_rank",
    jobs: Annotated[
        int, typer.Option(min=0, help="Runs at a time; 0 is one a core, or one on a GPU.")
    ] = 0,
    as_json: AsJson = False,
) -> None:
    """Train the branches that are not trained yet, pair them by seed and clip, and compare."""
    from harness import show
    from harness.comparison.compare import compare as compare_runs
    from harness.comparison.request import CompareRequest
    from harness.progress import open_display

    names = tuple(name.strip() for name in variants.split(",") if name.strip())
    request = CompareRequest(
        names, seeds, profile, tuple(set_ or ()), data, results, metric=metric, jobs=jobs
    )
    with open_display() as display:
        comparison = compare_runs(request, display=display)
    print_result(show.comparison(comparison), as_json=as_json, data=comparison.data())
