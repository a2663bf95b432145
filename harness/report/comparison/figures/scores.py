"""Distances against n, and the matching sound against its controls."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from harness.report.page.style import (
    INK,
    both,
    colour,
    marker,
    new_figure,
)
from harness.wording.numbers import label, metric_label


@dataclass(frozen=True)
class Curve:
    """One distance over the number of images."""

    n: tuple[int, ...]
    mean: tuple[float, ...]
    sd: tuple[float | None, ...]


def distances(
    curves: Mapping[str, Mapping[str, Curve]], *, branches: Sequence[str], name: str = "distances"
) -> tuple[str, str]:
    """A panel a metric, a line a branch, and the real-vs-real floor.

    curves: by metric, then by branch; the floor is under "real".
    """

    def draw(width_px: int) -> Any:
        columns = 1 if width_px < 500 else min(2, len(curves))
        rows = -(-len(curves) // columns)
        figure = new_figure(width_px, 40 + 235 * rows)
        grid = figure.subplots(rows, columns, squeeze=False).ravel()
        for axes, (metric, of_metric) in zip(grid, curves.items(), strict=False):
            for branch, curve in of_metric.items():
                _curve(axes, curve, index=None if branch == "real" else branches.index(branch))
            axes.set_title(metric_label(metric))
            axes.set_xlabel("images (n)")
            axes.xaxis.get_major_locator().set_params(integer=True)
        for axes in grid[len(curves) :]:
            axes.set_visible(False)
        return figure

    return both(name, draw)


def _curve(axes: Any, curve: Curve, *, index: int | None) -> None:
    mean = np.array(curve.mean)
    style: dict[str, Any] = (
        {"color": INK, "linestyle": (0, (4, 3)), "linewidth": 1.6, "marker": "x", "markersize": 5}
        if index is None
        else {"color": colour(index), "marker": marker(index), "markersize": 5.5, "linewidth": 1.8}
    )
    axes.plot(curve.n, mean, **style, zorder=3)
    if all(sd is not None for sd in curve.sd):
        sd = np.array(curve.sd, dtype=float)
        axes.fill_between(
            curve.n, mean - sd, mean + sd, color=style["color"], alpha=0.13, linewidth=0
        )


def controls(
    margins: Mapping[str, Mapping[str, Mapping[str, Sequence[float]]]],
    *,
    branches: Sequence[str],
    name: str = "controls",
) -> tuple[str, str]:
    """Advantage of the matching sound over each control: a small mark per run, a large mean.

    margins: by metric, control and branch, one value a run.
    """

    def draw(width_px: int) -> Any:
        columns = 1 if width_px < 500 else min(2, len(margins))
        rows = -(-len(margins) // columns)
        num_controls = max(len(of_metric) for of_metric in margins.values())
        height = 62 + num_controls * (26 + 15 * len(branches))
        figure = new_figure(width_px, 34 + height * rows)
        grid = figure.subplots(rows, columns, squeeze=False).ravel()
        for axes, (metric, of_metric) in zip(grid, margins.items(), strict=False):
            for place, (_, of_control) in enumerate(of_metric.items()):
                for branch, values in of_control.items():
                    index = branches.index(branch)
                    y = -place + 0.3 - 0.6 * (index + 0.5) / len(branches)
                    _dots(axes, values, y=y, index=index)
            axes.axvline(0, color=INK, linewidth=1.2, zorder=2)
            axes.set_yticks([-i for i in range(len(of_metric))], [label(c) for c in of_metric])
            axes.tick_params(axis="y", labelcolor=INK, length=0)
            axes.set_ylim(-len(of_metric) + 0.45, 0.55)
            axes.grid(axis="y", visible=False)
            axes.set_title(metric)
            axes.xaxis.get_major_locator().set_params(nbins=4)  # 0.0025 is a long label
            axes.set_xlabel("advantage of the matching sound")
        for axes in grid[len(margins) :]:
            axes.set_visible(False)
        return figure

    return both(name, draw)


def _dots(axes: Any, values: Sequence[float], *, y: float, index: int) -> None:
    if not values:
        return
    ink = colour(index)
    axes.plot([min(values), max(values)], [y, y], color=ink, linewidth=1.2, alpha=0.5)
    axes.plot(values, [y] * len(values), marker(index), color=ink, markersize=4, alpha=0.55)
    axes.plot([float(np.mean(values))], [y], marker(index), color=ink, markersize=8.5, zorder=4)
