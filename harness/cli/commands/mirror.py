"""`harness mirror`."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from harness.cli.commands.options import AsJson, Results, print_result


class Tracker(StrEnum):
    """Trackers that runs can be copied to."""

    TENSORBOARD = "tensorboard"
    TRACKIO = "trackio"
    WANDB = "wandb"
    MLFLOW = "mlflow"


def mirror(
    runs: Annotated[list[str], typer.Argument(help="Runs, each by the start of its id.")],
    to: Annotated[
        Tracker, typer.Option("--to", help="The tracker; its package is yours to install.")
    ],
    project: Annotated[
        str, typer.Option(help="What the tracker files the runs under.")
    ] = "branch-harness",
    out: Annotated[
        Path | None,
        typer.Option(
            help="Folder of event files and offline copies.", show_default="RESULTS/mirror"
        ),
    ] = None,
    follow: Annotated[
        bool, typer.Option("--follow", help="Go on until every run has ended.")
    ] = False,
    results: Results = Path("results"),
    as_json: AsJson = False,
) -> None:
    """Copy the curves and scores of runs to TensorBoard, trackio, W&B or MLflow.

    It reads what the runs have written, from any terminal, while they go on or long after: a
    tracker cannot slow a run down or end it. Given again, it adds what is new.
    """
    from core.errors import UsageError
    from harness.mirror.copy import copy_runs
    from harness.mirror.sinks import SINKS, Target
    from harness.records.folders import ResultsFolder
    from harness.records.names import Kind, named
    from harness.wording.display import open_display

    folders = []
    for word in runs:
        found = named(word, results=results)
        if found.kind is not Kind.RUN:
            raise UsageError(f"'{word}' is a {found.kind.value}; name its runs")
        folders.append(found.folder)
    folder = out if out is not None else ResultsFolder(results).mirror
    with open_display() as display:
        copied = copy_runs(
            folders,
            kind=SINKS[to],
            target=Target(project, folder),
            follow=follow,
            say=display.say,
        )
    lines = "\n".join(f"{name}: {count:,} new steps" for name, count in copied.items())
    print_result(lines, as_json=as_json, data={"to": to.value, "steps": copied})
