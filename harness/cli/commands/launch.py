"""`harness launch`, and `harness keep`, which a launched task gives."""

from pathlib import Path
from typing import Annotated

import typer

from harness.cli.commands.options import AsJson, Results, print_result
from harness.launch.clouds import Cloud


def launch(
    pack: Annotated[Path, typer.Argument(help="A file of `harness pack`.")],
    cloud: Annotated[
        Cloud,
        typer.Option(
            help="Whose task to write: runpod, skypilot (any cloud that it knows), or shell: any "
            "machine with ssh."
        ),
    ],
    gpu: Annotated[str, typer.Option(help="Card, such as RTX4090, A100 or L4.")] = "RTX4090",
    disk_gb: Annotated[int, typer.Option(min=20, help="Disk to rent, in GB.")] = 40,
    spot: Annotated[
        bool,
        typer.Option("--spot/--on-demand", help="A machine that may be taken away, for less."),
    ] = True,
    store: Annotated[
        str | None,
        typer.Option(
            metavar="URL", help="Where runs are kept while they go on, such as s3://BUCKET/FOLDER."
        ),
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder for the task file.")] = Path("."),
    start: Annotated[
        bool, typer.Option("--start", help="Start it, with SkyPilot; that costs money.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Write a pack as a cloud's task, which goes on after a preemption and stops the machine.

    Nothing is rented without --start.
    """
    from harness.launch.start import start_task
    from harness.launch.tasks import LaunchRequest, write_task
    from harness.launch.text import task_data, task_view

    request = LaunchRequest(
        pack=pack, cloud=cloud, gpu=gpu, disk_gb=disk_gb, is_spot=spot, store=store
    )
    task = write_task(request, out=out)
    print_result(task_view(task), as_json=as_json, data=task_data(task), wraps=False)
    if start:
        start_task(task)


def keep(
    command: Annotated[list[str], typer.Argument(metavar="-- COMMAND...")],
    store: Annotated[str, typer.Option(metavar="URL")],
    results: Results = Path("results"),
) -> None:
    """Give a command while its runs are kept in a store, and go on from what is kept there."""
    from harness.pack.keep import keep as keep_runs

    raise typer.Exit(keep_runs(command, store=store, results=results))
