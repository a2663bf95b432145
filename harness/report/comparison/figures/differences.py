"""Paired differences: the forest plot and the lines of single seeds."""

from collections.abc import Sequence
from typing import Any

from harness.comparison.pair_result import PairResult
from harness.comparison.record import MetricRow
from harness.report.page.style import (
    BAND,
    INK,
    MUTED,
    PAPER,
    both,
    colour,
    marker,
    new_figure,
    shortened,
)
from harness.wording.numbers import metric_label, number


def forest(
    pairs: Sequence[PairResult], *, branches: Sequence[str], unit: str, name: str = "forest"
) -> tuple[str, str]:
    """Difference of each pair: seeds, t interval, bootstrap interval, detectable effect."""

    def draw(width_px: int) -> Any:
        figure = new_figure(width_px, 74 + 74 * len(pairs))
        axes = figure.subplots()
        for position, pair in enumerate(reversed(pairs)):
            _forest_row(axes, pair, y=float(position), branches=branches)
        axes.axvline(0, color=INK, linewidth=1.2, zorder=2)
        axes.set_ylim(-0.6, len(pairs) - 0.3)
        reach = max((abs(x) for x in axes.get_xlim()), default=1.0)
        axes.set_xlim(-reach, reach)
        axes.set_yticks([])
        axes.spines["left"].set_visible(False)
        axes.grid(axis="y", visible=False)
        axes.set_xlabel(f"difference ({unit})")
        return figure

    return both(name, draw)


def _forest_row(axes: Any, pair: PairResult, *, y: float, branches: Sequence[str]) -> None:
    if pair.detectable is not None:
        axes.fill_between(
            [-pair.detectable, pair.detectable], y - 0.3, y + 0.3, color=BAND, linewidth=0, zorder=1
        )
    index = branches.index(pair.ahead) if pair.ahead in branches else None
    ink = INK if index is None else colour(index)
    seeds = list(pair.differences.values())
    axes.plot(
        seeds, [y - 0.17] * len(seeds), "o", markersize=4.5, color=PAPER, markeredgecolor=MUTED,
        markeredgewidth=1.0, zorder=3,
    )  # fmt: skip
    if pair.bootstrap is not None:
        span = pair.bootstrap.interval
        axes.plot([span.low, span.high], [y, y], color=ink, alpha=0.35, linewidth=8, zorder=3)
    if pair.interval is not None:
        span = pair.simultaneous or pair.interval
        axes.plot([span.low, span.high], [y, y], color=ink, linewidth=2, zorder=4)
        axes.plot(
            [span.low, span.high], [y, y], "|", color=ink, markersize=9, markeredgewidth=2, zorder=4
        )
    axes.plot(
        [pair.effect],
        [y],
        "o" if index is None else marker(index),
        color=ink,
        markersize=8.5,
        zorder=5,
    )
    # Both labels share a line, also in the narrow plot.
    most = 18 if len(pair.first) + len(pair.second) <= 24 else 12
    axes.annotate(
        f"{shortened(pair.first, most=most)} \u2212 {shortened(pair.second, most=most)}",
        xy=(0, y + 0.36), xycoords=axes.get_yaxis_transform(), va="bottom", color=INK,
        fontweight="bold", fontsize=11.5,
    )  # fmt: skip
    right = pair.first if pair.higher_is_better else pair.second
    axes.annotate(
        f"right: {shortened(right, most=18)} better",
        xy=(1, y + 0.36), xycoords=axes.get_yaxis_transform(), va="bottom", ha="right",
        color=MUTED, fontsize=10.5,
    )  # fmt: skip


def slopes(row: MetricRow, *, branches: Sequence[str], name: str = "slopes") -> tuple[str, str]:
    """Value of each branch, a line a seed."""

    def draw(width_px: int) -> Any:
        figure = new_figure(width_px, 300)
        axes = figure.subplots()
        seeds = sorted({seed for score in row.branches.values() for seed in score.values})
        ends: list[tuple[float, int]] = []
        for seed in seeds:
            points = [
                (x, value)
                for x, branch in enumerate(branches)
                if (value := row.branches[branch].values.get(seed)) is not None
            ]
            xs, ys = [p[0] for p in points], [p[1] for p in points]
            axes.plot(xs, ys, color=MUTED, linewidth=1.2, alpha=0.8, zorder=2)
            if points and points[-1][0] == len(branches) - 1:
                ends.append((points[-1][1], seed))
            for x, y in points:
                axes.plot([x], [y], marker(x), color=colour(x), markersize=7.5, zorder=3)
        for x, branch in enumerate(branches):
            mean = row.branches[branch].mean
            if mean is not None:
                axes.plot([x - 0.16, x + 0.16], [mean, mean], color=colour(x), linewidth=3.5,
                          alpha=0.55, solid_capstyle="butt", zorder=1)  # fmt: skip
        if row.chance is not None:
            axes.axhline(row.chance, color=MUTED, linewidth=1, linestyle=(0, (4, 3)), zorder=1)
            axes.annotate(f"chance {number(row.chance)}", xy=(1, row.chance),
                          xycoords=axes.get_yaxis_transform(), va="bottom", ha="right",
                          color=MUTED, fontsize=10.5)  # fmt: skip
        _label_ends(axes, ends, x=len(branches) - 1)
        axes.set_xlim(-0.4, len(branches) - 1 + 0.55)
        most = 14 if width_px < 500 else 28
        axes.set_xticks(range(len(branches)), [shortened(b, most=most) for b in branches])
        axes.tick_params(axis="x", labelcolor=INK, length=0)
        axes.grid(axis="x", visible=False)
        direction = "higher" if row.higher_is_better else "lower"
        axes.set_ylabel(f"{metric_label(row.metric)}\n({direction} is better)")
        return figure

    return both(name, draw)


def _label_ends(axes: Any, ends: Sequence[tuple[float, int]], *, x: float) -> None:
    """Seed numbers right of the last branch, moved apart where they would meet."""
    low, high = axes.get_ylim()
    step = (high - low) * 0.055
    above = -float("inf")
    for value, seed in sorted(ends):
        above = max(value, above + step)
        axes.annotate(f"seed {seed}", xy=(x + 0.1, above), va="center", color=MUTED, fontsize=10.5)
