"""Quality against cost, and what happened while training."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from harness.report.page.style import (
    INK,
    MUTED,
    both,
    colour,
    marker,
    new_figure,
    shortened,
)

_MOST_POINTS = 160


@dataclass(frozen=True)
class CostPoint:
    """One branch's quality and cost: the mean, and each run."""

    branch: int
    name: str
    cost: float
    quality: float
    runs: tuple[tuple[float, float], ...]
    is_on_front: bool


def cost(
    points: Sequence[CostPoint], *, x_label: str, y_label: str, name: str = "cost"
) -> tuple[str, str]:
    """A large marker a branch, small ones its runs, and the line of the Pareto front."""

    def draw(width_px: int) -> Any:
        figure = new_figure(width_px, 320)
        axes = figure.subplots()
        for point in points:
            ink = colour(point.branch)
            for x, y in point.runs:
                axes.plot([x], [y], marker(point.branch), color=ink, markersize=4.5, alpha=0.45)
            axes.plot([point.cost], [point.quality], marker(point.branch), color=ink, markersize=11)
            axes.annotate(
                shortened(point.name, most=20), xy=(point.cost, point.quality), xytext=(0, 10),
                textcoords="offset points", ha="center", color=INK, fontweight="bold",
            )  # fmt: skip
        front = sorted((p.cost, p.quality) for p in points if p.is_on_front)
        if len(front) > 1:
            axes.plot(*zip(*front, strict=True), color=MUTED, linewidth=1.3, linestyle=(0, (4, 3)),
                      zorder=1)  # fmt: skip
        axes.set_xlabel(x_label)
        axes.set_ylabel(y_label)
        axes.margins(x=0.16, y=0.16)
        return figure

    return both(name, draw)


def learning(
    events: Mapping[str, Sequence[pd.DataFrame]],
    *,
    stages: Sequence[tuple[str, float]],
    branches: Sequence[str],
    name: str = "learning",
) -> tuple[str, str]:
    """Validation loss, training loss and gates over the steps, with the stages' ends.

    events: each branch's runs. stages: name and last step of each.
    """

    def draw(width_px: int) -> Any:
        figure = new_figure(width_px, 34 + 3 * 205)
        top, middle, bottom = figure.subplots(3, 1, sharex=True)
        for branch, runs in events.items():
            index = branches.index(branch)
            _lines(top, runs, "validation", index, is_marked=True)
            _lines(middle, [_smoothed(run) for run in runs], "loss", index)
            _gates(bottom, runs, index)
        for axes, title in (
            (top, "Validation loss"),
            (middle, "Training loss, median of 25 steps"),
            (bottom, "Gates"),
        ):
            axes.set_title(title)
            for _, end in stages[:-1]:
                axes.axvline(end, color=MUTED, linewidth=1, linestyle=(0, (2, 3)), zorder=1)
        start = 0.0
        for stage, end in stages:
            top.annotate(
                shortened(stage, most=12), xy=((start + end) / 2, 0.97),
                xycoords=top.get_xaxis_transform(), ha="center", va="top", color=MUTED,
                fontsize=10.5,
            )  # fmt: skip
            start = end
        bottom.set_xlabel("optimiser step")
        return figure

    return both(name, draw)


def _lines(
    axes: Any, runs: Sequence[pd.DataFrame], column: str, index: int, *, is_marked: bool = False
) -> None:
    """Runs faint, their mean at each step on top."""
    known = [run.dropna(subset=column) for run in runs]
    for run in known if len(known) > 1 else []:
        thinned = _thinned(run)
        axes.plot(thinned["step"], thinned[column], color=colour(index), linewidth=1, alpha=0.28)
    middle = _thinned(_over_runs(known, column).reset_index())
    axes.plot(
        middle["step"], middle["mean"], color=colour(index), linewidth=2,
        marker=marker(index) if is_marked else None, markersize=5,
    )  # fmt: skip


def _gates(axes: Any, runs: Sequence[pd.DataFrame], index: int) -> None:
    known = [run.dropna(subset="gate_mean") for run in runs]
    ends = {column: _over_runs(known, column) for column in ("gate_low", "gate_mean", "gate_high")}
    steps = _thinned(ends["gate_mean"].reset_index())["step"].to_numpy()
    if not len(steps):
        return
    low, high = ends["gate_low"]["min"][steps], ends["gate_high"]["max"][steps]
    axes.fill_between(steps, low, high, color=colour(index), alpha=0.13, linewidth=0)
    for edge in (low, high):
        axes.plot(steps, edge, color=colour(index), linewidth=0.8, alpha=0.5)
    axes.plot(steps, ends["gate_mean"]["mean"][steps], color=colour(index), linewidth=2)


def _over_runs(runs: Sequence[pd.DataFrame], column: str) -> pd.DataFrame:
    """Columns mean, min, max by step."""
    joined = pd.concat(runs) if runs else pd.DataFrame({"step": [], column: []})
    return joined.groupby("step")[column].agg(["mean", "min", "max"])


def _smoothed(run: pd.DataFrame) -> pd.DataFrame:
    loss = run["loss"].rolling(25, center=True, min_periods=1).median()
    return run.assign(loss=loss).dropna(subset="loss")


def _thinned(run: pd.DataFrame) -> pd.DataFrame:
    if len(run) <= _MOST_POINTS:
        return run
    return run.iloc[np.unique(np.linspace(0, len(run) - 1, _MOST_POINTS).astype(int))]
