"""How the search went: best so far, Pareto front, learning curves of the trials."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness.report.page.style import INK, MUTED, both, colour, marker, new_figure, shortened
from harness.report.sweep.figures.axis import Mark, draw_mark, held, limits

_RUG = 0.07  # of the values' span: room for the marks without a value, a line of them a branch


@dataclass(frozen=True, kw_only=True)
class SearchPoint:
    """A trial that has ended."""

    mark: Mark
    budget: tuple[float, float | None]
    """Steps and device minutes spent by then."""
    value: float | None
    """Its own."""
    best: float | None
    """Best so far."""


@dataclass(frozen=True)
class Line:
    """Validation losses of one trial."""

    steps: tuple[float, ...]
    losses: tuple[float, ...]
    is_cut: bool
    """Whether it was pruned or failed at its last point."""
    mark: Mark


def progress(
    branches: Mapping[int, Sequence[SearchPoint]],
    *,
    y_label: str,
    is_higher_better: bool,
    has_seconds: bool,
    name: str = "progress",
) -> tuple[str, str]:
    """Best value so far against what was spent, a line a branch; a second panel by device time."""
    titles = ["optimiser steps spent", *(["device minutes spent"] if has_seconds else [])]
    points = [point for found in branches.values() for point in found]
    values = [point.value for point in points if point.value is not None]
    keep = [p.value for p in points if p.value is not None and p.mark is not Mark.VALUE]
    ends = limits(values, keep=keep, is_higher_better=is_higher_better)
    has_ended = any(point.value is None for point in points)
    room = _RUG * len(branches) * (ends[1] - ends[0]) if has_ended else 0.0
    # Beyond the worse end, so that none of them looks like the best.
    whole = (ends[0] - room, ends[1]) if is_higher_better else (ends[0], ends[1] + room)
    edge, outwards = (ends[0], -1) if is_higher_better else (ends[1], 1)

    def rug_of(place: int) -> float:
        return edge + outwards * room * (place + 0.5) / len(branches)

    def draw(width_px: int) -> Any:
        is_narrow = width_px < 500
        rows, columns = (len(titles), 1) if is_narrow else (1, len(titles))
        figure = new_figure(width_px, 300 * rows if is_narrow else 320)
        grid = figure.subplots(rows, columns, squeeze=False, sharey=True).ravel()
        for panel, (axes, title) in enumerate(zip(grid, titles, strict=True)):
            for place, (branch, found) in enumerate(branches.items()):
                _search(axes, found, panel=panel, branch=branch, ends=ends, rug=rug_of(place))
            axes.set_ylim(*whole)
            if has_ended:
                axes.axhline(edge, color=MUTED, linewidth=0.8, linestyle=(0, (2, 3)), zorder=1)
                axes.set_yticks([tick for tick in axes.get_yticks() if ends[0] <= tick <= ends[1]])
            axes.set_xlabel(title)
            axes.margins(x=0.05)
            axes.xaxis.get_major_locator().set_params(nbins=5)
            if panel == 0 or is_narrow:
                axes.set_ylabel(y_label)
        return figure

    return both(name, draw)


def _search(
    axes: Any,
    points: Sequence[SearchPoint],
    *,
    panel: int,
    branch: int,
    ends: tuple[float, float],
    rug: float,
) -> None:
    known = [(x, p) for p in points if (x := p.budget[panel]) is not None]
    steps = [(x, p.best) for x, p in known if p.best is not None]
    if steps:
        axes.step([x for x, _ in steps], [held(y, ends)[0] for _, y in steps], where="post",
                  color=colour(branch), linewidth=2, zorder=4)  # fmt: skip
    for x, point in known:
        if point.value is None:
            axes.plot([x], [rug], "x", color=colour(branch), markersize=5, alpha=0.75, zorder=3)
            continue
        y, is_out = held(point.value, ends)
        words = {"marker": "^" if point.value > y else "v"} if is_out else {}
        draw_mark(axes, x, y, point.mark, branch=branch, **words)


def front(
    branches: Mapping[int, Sequence[tuple[float, float, Mark, bool]]],
    *,
    x_label: str,
    y_label: str,
    has_line: bool,
    name: str = "front",
) -> tuple[str, str]:
    """A mark a trial: value of the first metric against another's; those on the front joined.

    branches: x, y, mark, and whether no other trial beats it in all metrics.
    """

    def draw(width_px: int) -> Any:
        figure = new_figure(width_px, 330)
        axes = figure.subplots()
        for branch, points in branches.items():
            for x, y, mark, is_on_front in points:
                words: dict[str, Any] = {"alpha": 1.0} if is_on_front else {}
                if is_on_front and mark is Mark.VALUE:
                    words["markersize"] = 7.5
                draw_mark(axes, x, y, mark, branch=branch, **words)
            joined = sorted((x, y) for x, y, _, is_on_front in points if is_on_front)
            if has_line and len(joined) > 1:
                axes.plot(*zip(*joined, strict=True), color=colour(branch), linewidth=1.3,
                          linestyle=(0, (4, 3)), zorder=2)  # fmt: skip
        axes.set_xlabel(x_label)
        axes.set_ylabel(y_label)
        axes.margins(x=0.08, y=0.12)
        return figure

    return both(name, draw)


def curves(
    lines: Sequence[Line],
    *,
    stages: Sequence[tuple[str, float]],
    branch: int,
    name: str = "curves",
) -> tuple[str, str]:
    """Validation loss over the steps, a faint line a trial; the best and the defaults strong."""
    losses = [y for line in lines for y in line.losses if math.isfinite(y)]
    strong = [line for line in lines if line.mark in (Mark.BEST, Mark.DEFAULT)]
    keep = [y for line in strong for y in line.losses if math.isfinite(y)]
    ends = limits(losses, keep=keep, is_higher_better=False)

    def draw(width_px: int) -> Any:
        figure = new_figure(width_px, 330)
        axes = figure.subplots()
        for line in lines:
            _line(axes, line, branch=branch, ends=ends)
        start = 0.0
        for place, (stage, end) in enumerate(stages):
            if place < len(stages) - 1:
                axes.axvline(end, color=MUTED, linewidth=1, linestyle=(0, (2, 3)), zorder=1)
            axes.annotate(
                shortened(stage, most=12), xy=((start + end) / 2, 1.01),
                xycoords=axes.get_xaxis_transform(), ha="center", va="bottom", color=MUTED,
                fontsize=10.5,
            )  # fmt: skip
            start = end
        axes.set_ylim(*ends)
        last = max([start, *(line.steps[-1] for line in lines)])
        axes.set_xlim(0, last * 1.03)
        axes.set_xlabel("optimiser step")
        axes.set_ylabel("validation loss")
        axes.xaxis.get_major_locator().set_params(nbins=5)
        return figure

    return both(name, draw)


def _line(axes: Any, line: Line, *, branch: int, ends: tuple[float, float]) -> None:
    looks: dict[Mark, dict[str, Any]] = {
        Mark.BEST: {"linewidth": 2.8, "zorder": 6},
        Mark.DEFAULT: {"color": INK, "linewidth": 2, "linestyle": (0, (4, 2)), "zorder": 5},
        Mark.VALUE: {"linewidth": 1, "alpha": 0.35},
        Mark.ENDED: {"linewidth": 1, "alpha": 0.35},
    }
    look = {"color": colour(branch), "zorder": 3, **looks[line.mark]}
    shape = marker(branch) if line.mark is Mark.BEST else "."
    axes.plot(line.steps, line.losses, **look, marker=shape, markersize=5)
    if line.is_cut:
        y, _ = held(line.losses[-1], ends)
        axes.plot([line.steps[-1]], [y], "x", color=INK, markersize=6, markeredgewidth=1.3,
                  zorder=4)  # fmt: skip
