"""`harness plan`."""

from pathlib import Path
from typing import Annotated

import typer

from harness.branches.compared import DEFAULT_VARIANTS
from harness.cli.commands.options import (
    AsJson,
    Data,
    PricePerHour,
    ProfileOption,
    Results,
    Set,
    print_result,
)


def plan(
    profile: ProfileOption = "tiny",
    variants: Annotated[str, typer.Option(help="Branches, comma-separated.")] = DEFAULT_VARIANTS,
    seeds: Annotated[int, typer.Option(min=1, help="Seeds of each branch.")] = 3,
    gpu: Annotated[
        str | None,
        typer.Option(
            help="Cards, comma-separated, such as 4090, or all.",
            show_default="all for a profile that needs a GPU, else this machine",
        ),
    ] = None,
    cards: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="A TOML file of cards and prices on top of those that ship."
        ),
    ] = None,
    data: Data = None,
    clips: Annotated[
        int | None, typer.Option(min=10, help="Clips of the split, without --data (default: 664).")
    ] = None,
    set_: Set = None,
    results: Results = Path("results"),
    jobs: Annotated[int, typer.Option(min=1, help="Runs at a time on one machine.")] = 1,
    price_per_hour: PricePerHour = None,
    measure: Annotated[
        bool,
        typer.Option(
            "--measure",
            help="First make 20 steps of each stage on this machine, and project from them. "
            "Requires the weights and data.",
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Say what a matrix of runs takes: steps, hours, dollars, disk, GPU memory.

    Needs neither weights nor a GPU. Finished runs and measured steps on the same device are
    preferred to the estimate from FLOPs.
    """
    from harness.costs.matrix import MatrixRequest, plan_matrix, require_one_device
    from harness.report.terminal.costs import matrix_view
    from harness.run.libraries import require_training_libraries
    from harness.wording.display import open_display

    request = MatrixRequest(
        variants=tuple(word.strip() for word in variants.split(",") if word.strip()),
        num_seeds=seeds,
        profile=profile,
        overrides=tuple(set_ or ()),
        gpu=gpu,
        cards=cards,
        data=data,
        num_clips=clips,
        results=results,
        price_per_hour=price_per_hour,
        jobs=jobs,
    )
    if measure:
        require_training_libraries()
        require_one_device(request)
        from harness.costs.measuring import measure_matrix

        with open_display() as display:
            request = measure_matrix(request, display=display)
    planned = plan_matrix(request)
    print_result(matrix_view(planned), as_json=as_json, data=planned.data())
