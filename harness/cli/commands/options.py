"""Options that several commands share, and how a command prints."""

import json
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from harness.executors.opening import ExecutorKind

DEFAULT_PROFILE = "tiny"
SEARCH_SEED = 1000
"""Of a search without another: none of those from 0 on that comparisons use."""
ProfileOption = Annotated[str, typer.Option(help="tiny, sd15, or the path of a TOML file.")]
ProfileOverConfig = Annotated[
    str | None,
    typer.Option(
        help="tiny, sd15, or the path of a TOML file.",
        show_default=f"that of --config, or {DEFAULT_PROFILE}",
    ),
]
Set = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Change one setting, such as stage2.lr=3e-5; may be repeated.",
    ),
]
Data = Annotated[
    str | None, typer.Option(help="A folder of audio-image pairs, or a lock file of a split.")
]


class Device(StrEnum):
    """What runs compute on."""

    CPU = "cpu"
    CUDA = "cuda"


DeviceOption = Annotated[
    Device | None,
    typer.Option(
        help="Device that runs compute on (default: the GPU if there is one). sd15 uses a CPU only "
        "if this is set to cpu."
    ),
]
Results = Annotated[
    Path, typer.Option(file_okay=False, help="Folder for runs, caches and reports.")
]
Jobs = Annotated[
    int,
    typer.Option(
        min=0,
        help="Runs at a time; 0 means one per core as far as memory goes, or as many as fit on "
        "the GPUs.",
    ),
]
ExecutorOption = Annotated[
    ExecutorKind,
    typer.Option(
        help="Where runs are computed: in processes on this machine, or in tasks of a Ray cluster "
        "(pip install 'branch-harness\\[ray]') whose nodes all see the data, the models and, "
        "without --store, the results folder under the same paths."
    ),
]
GpuShare = Annotated[
    float,
    typer.Option(help="Share of a GPU per run, above 0 and up to 1; 0.5 puts two runs on each."),
]
RayAddress = Annotated[
    str | None,
    typer.Option(
        metavar="HOST:PORT",
        help="Address of the cluster (default: RAY_ADDRESS, otherwise Ray on this machine alone).",
    ),
]
Store = Annotated[
    str | None,
    typer.Option(
        metavar="URL",
        help="With --executor ray: where nodes without a shared results folder store their runs, "
        "such as s3://BUCKET/FOLDER; from there they are copied to --results.",
    ),
]
PricePerHour = Annotated[
    float | None,
    typer.Option(min=0, metavar="DOLLARS", help="Price of this machine per hour."),
]
Notify = Annotated[
    str | None,
    typer.Option(
        metavar="COMMAND|URL",
        help="Told at the end, when a run fails and when one stands still for ten minutes: a "
        "command for the shell ($HARNESS_MESSAGE), or a URL that takes JSON. It is kept nowhere.",
    ),
]
PreviewEvery = Annotated[
    int | None,
    typer.Option(
        min=1,
        metavar="STEPS",
        help="Every so many optimiser steps, generate images for a few validation clips: in the "
        "run's folder and the report. It changes no number.",
    ),
]
MaxHours = Annotated[
    float | None,
    typer.Option(
        metavar="H",
        help="Stop after a checkpoint before H hours are passed, over all processes so far; the "
        "same command with a higher limit goes on.",
    ),
]
MaxCost = Annotated[
    float | None,
    typer.Option(
        metavar="DOLLARS", help="Likewise, before DOLLARS are passed; requires --price-per-hour."
    ),
]
DryRunOption = Annotated[
    bool,
    typer.Option(
        "--dry-run",
        help="Print what would run, what is there already, and what the rest takes; write nothing.",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")]


def preview_words(every: int | None) -> tuple[str, ...]:
    """The setting that `--preview-every` stands for, as `--set` takes it."""
    return () if every is None else (f"training.preview_every={every}",)


def print_result(view: Any, *, as_json: bool, data: Any, wraps: bool = True) -> None:
    """Print `data` as JSON, or `view` for a person.

    wraps: False leaves lines whole where commands among them are there to be copied.
    """
    if as_json:
        print(json.dumps(data, indent=2, allow_nan=False))
        return
    from harness.report.terminal.tables import console

    console().print(view, soft_wrap=not wraps)


def spending_settings(
    *, price_per_hour: float | None, max_hours: float | None = None, max_cost: float | None = None
) -> tuple[str, ...]:
    """The options on a run's hours and dollars as `--set` items."""
    given = {"price_per_hour": price_per_hour, "max_hours": max_hours, "max_cost": max_cost}
    return tuple(f"hardware.{name}={v!r}" for name, v in given.items() if v is not None)
