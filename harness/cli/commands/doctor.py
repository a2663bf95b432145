"""`harness doctor`."""

from pathlib import Path
from typing import Annotated

import typer

from harness.cli.commands.options import (
    DEFAULT_PROFILE,
    AsJson,
    DeviceOption,
    ProfileOption,
    Results,
    Set,
    print_result,
)


def doctor(
    profile: ProfileOption = DEFAULT_PROFILE,
    variants: Annotated[
        str, typer.Option(help="Branches to run, comma-separated.")
    ] = "baseline,sonic,cutting_edge",
    seeds: Annotated[int, typer.Option(min=1, help="Seeds of each, for the disk.")] = 3,
    set_: Set = None,
    results: Results = Path("results"),
    device: DeviceOption = None,
    as_json: AsJson = False,
) -> None:
    """Look for what would prevent a run here, and print the commands that mend it.

    GPU, driver, torch's build, memory, disk, file system, clock, weights, licences. Exit code 0
    when nothing prevents a run, 1 when something does.
    """
    from harness.costs.matrix import MatrixRequest
    from harness.doctor.doctor import examine
    from harness.report.terminal.doctor import commands_of, diagnosis_view

    request = MatrixRequest(
        variants=tuple(word.strip() for word in variants.split(",") if word.strip()),
        num_seeds=seeds,
        profile=profile,
        overrides=tuple(set_ or ()),
        results=results,
    )
    found = examine(request, device=None if device is None else device.value)
    print_result(diagnosis_view(found), as_json=as_json, data=found.data())
    commands = commands_of(found)
    if commands and not as_json:
        typer.echo(commands)  # a terminal must not wrap what is there to be copied
    if not found.is_fit:
        raise typer.Exit(1)
