"""What the parameters have to do with the value: importances, slices, parallel coordinates."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from harness.report.page.style import INK, MUTED, PAPER, both, colour, new_figure, shortened
from harness.report.sweep.figures.axis import Axis, Mark, draw_mark, dress, held, limits

_PANEL_PX = 205


def importances(
    shares: Mapping[str, float], *, branch: int, name: str = "importances"
) -> tuple[str, str]:
    """A bar a parameter, the largest on top."""

    def draw(width_px: int) -> Any:
        figure = new_figure(width_px, 58 + 27 * len(shares))
        axes = figure.subplots()
        ordered = sorted(shares.items(), key=lambda item: item[1])
        bars = axes.barh(range(len(ordered)), [share for _, share in ordered], height=0.62,
                         color=colour(branch), alpha=0.85)  # fmt: skip
        axes.bar_label(bars, [f"{share:.2f}" for _, share in ordered], padding=4, color=INK)
        most = 18 if width_px < 500 else 36
        axes.set_yticks(range(len(ordered)), [shortened(n, most=most) for n, _ in ordered])
        axes.tick_params(axis="y", labelcolor=INK, length=0)
        axes.set_xlim(0, max(shares.values()) * 1.16 or 1)
        axes.grid(axis="y", visible=False)
        axes.set_xlabel("share of the importance")
        return figure

    return both(name, draw)


def slices(
    axes_of: Sequence[Axis],
    points: Sequence[tuple[tuple[float | None, ...], float | None, Mark]],
    *,
    y_label: str,
    is_higher_better: bool,
    branch: int,
    name: str = "slices",
) -> tuple[str, str]:
    """A panel a parameter: the value against it.

    points: positions on the axes, value (None of a trial that ended without), mark.
    """
    values = [value for _, value, _ in points if value is not None]
    keep = [v for _, v, mark in points if v is not None and mark is not Mark.VALUE]
    low, high = limits(values, keep=keep, is_higher_better=is_higher_better)
    has_ended = any(value is None for _, value, _ in points)
    ends = (low, high + (0.14 * (high - low) if has_ended else 0))

    def draw(width_px: int) -> Any:
        columns = 2 if width_px < 500 else 3
        columns = min(columns, len(axes_of))
        rows = -(-len(axes_of) // columns)
        figure = new_figure(width_px, 24 + _PANEL_PX * rows)
        grid = figure.subplots(rows, columns, squeeze=False, sharey=True).ravel()
        for place, (axes, axis) in enumerate(zip(grid, axes_of, strict=False)):
            own = [(at[place], value, mark) for at, value, mark in points]
            drawn = [(x, v, mark) for x, v, mark in own if x is not None]
            dress(axes, axis, positions=[x for x, _, _ in drawn],
                  width_px=(width_px - 60) / columns)  # fmt: skip
            for x, value, mark in drawn:
                _slice_mark(axes, x, value, mark, branch=branch, ends=(low, high))
            axes.set_ylim(*ends)
            if has_ended:
                axes.axhline(high, color=MUTED, linewidth=0.8, linestyle=(0, (2, 3)), zorder=1)
        for axes in grid[len(axes_of) :]:
            axes.set_visible(False)
        for place in range(0, len(axes_of), columns):
            grid[place].set_ylabel(y_label)
        return figure

    return both(name, draw)


def _slice_mark(
    axes: Any, x: float, value: float | None, mark: Mark, *, branch: int, ends: tuple[float, float]
) -> None:
    if value is None:
        axes.plot([x], [0.94], "x", color=colour(branch), markersize=5, alpha=0.75,
                  transform=axes.get_xaxis_transform(), zorder=3)  # fmt: skip
        return
    y, is_out = held(value, ends)
    words = {"marker": "^" if value > y else "v"} if is_out else {}
    draw_mark(axes, x, y, mark, branch=branch, **words)


def coordinates(
    axes_of: Sequence[Axis],
    points: Sequence[tuple[tuple[float | None, ...], float, Mark]],
    *,
    value_name: str,
    is_higher_better: bool,
    branch: int,
    name: str = "coordinates",
) -> tuple[str, str]:
    """A line a complete trial through all parameters to its value; the better, the stronger.

    On a desktop the axes stand side by side, on a phone they lie one below the other.
    """
    axes_of = (*axes_of, Axis(value_name))
    columns: list[list[float | None]] = [
        [at[place] for at, _, _ in points] for place in range(len(axes_of) - 1)
    ]
    values = [value for _, value, _ in points]
    # One diverged trial must not press all others onto one end of the value's axis.
    strong = [value for _, value, mark in points if mark is not Mark.VALUE]
    low, high = limits(values, keep=strong, is_higher_better=is_higher_better, pad=0)
    columns.append([held(value, (low, high))[0] for value in values])
    scaled = np.array(
        [axis.scaled(column) for axis, column in zip(axes_of, columns, strict=True)]
    ).T  # [trial, axis]
    texts = [axis.ends(column) for axis, column in zip(axes_of, columns, strict=True)]
    texts[-1] = (
        ("\u2264 " if min(values) < low else "") + texts[-1][0],
        ("\u2265 " if max(values) > high else "") + texts[-1][1],
    )
    ranks = np.argsort(np.argsort(values if is_higher_better else [-v for v in values]))
    strength = ranks / max(1, len(values) - 1)

    def draw(width_px: int) -> Any:
        is_narrow = width_px < 500
        figure = new_figure(width_px, 30 + 62 * len(axes_of) if is_narrow else 360)
        axes = figure.subplots()
        places = np.arange(len(axes_of), dtype=float)
        if is_narrow:
            places = places[::-1]
        for row, share, (_, _, mark) in zip(scaled, strength, points, strict=True):
            _trial_line(axes, places, row, share=float(share), mark=mark, branch=branch,
                        is_narrow=is_narrow)  # fmt: skip
        room = 100 // len(axes_of)  # letters above an axis
        is_crowded = not is_narrow and max(len(axis.name) for axis in axes_of) > room
        most = 34 if is_narrow else 2 * room if is_crowded else room
        for axis, place, text in zip(axes_of, places, texts, strict=True):
            _rail(axes, axis, place, text, is_narrow=is_narrow, is_crowded=is_crowded, most=most)
        axes.set_axis_off()
        across = (-0.03, 1.03)
        along = (-0.35, len(axes_of) - 0.65) if not is_narrow else (-0.3, len(axes_of) - 0.4)
        axes.set_xlim(*(across if is_narrow else along))
        axes.set_ylim(*(along if is_narrow else (-0.12, 1.25)))
        return figure

    return both(name, draw)


def _trial_line(
    axes: Any, places: Any, row: Any, *, share: float, mark: Mark, branch: int, is_narrow: bool
) -> None:
    looks: dict[Mark, dict[str, Any]] = {
        Mark.BEST: {"color": colour(branch), "linewidth": 3.2, "zorder": 6},
        Mark.DEFAULT: {"color": INK, "linewidth": 2, "linestyle": (0, (4, 2)), "zorder": 5},
    }
    faint = {
        "color": colour(branch),
        "linewidth": 1.1 + 0.5 * share,
        "alpha": 0.1 + 0.6 * share**2,
        "zorder": 2 + share,
    }
    look = looks.get(mark, faint)
    axes.plot(*((row, places) if is_narrow else (places, row)), **look)
    for place, x in zip(places, row, strict=True):
        # A point between two gaps has no line to show it.
        if math.isfinite(x) and (mark in looks or np.isnan(row).any()):
            dot = {k: v for k, v in look.items() if k not in ("linewidth", "linestyle")}
            axes.plot(*(([x], [place]) if is_narrow else ([place], [x])), "o", markersize=4, **dot)


def _rail(
    axes: Any,
    axis: Axis,
    place: float,
    ends: tuple[str, str],
    *,
    is_narrow: bool,
    is_crowded: bool,
    most: int,
) -> None:
    """One axis with its name of at most so many letters, its ends and its choices."""
    line = ([0, 1], [place, place]) if is_narrow else ([place, place], [0, 1])
    axes.plot(*line, color=MUTED, linewidth=1, zorder=1)
    behind = {"facecolor": PAPER, "edgecolor": "none", "pad": 1.2, "alpha": 0.8}
    small = {"color": MUTED, "fontsize": 10, "bbox": behind, "zorder": 7}
    # Long names take two lines in turn, or none of them could be read.
    is_raised = is_crowded and round(place) % 2 == 1
    title = shortened(axis.name, most=most)
    if is_narrow:
        axes.text(0.5, place + 0.36, title, ha="center", va="center", color=INK, fontsize=11,
                  bbox=behind, zorder=7)  # fmt: skip
        axes.text(0, place + 0.2, ends[0], ha="left", va="center", **small)
        axes.text(1, place + 0.2, ends[1], ha="right", va="center", **small)
    else:
        axes.text(
            place,
            1.2 if is_raised else 1.13,
            title,
            ha="center",
            va="center",
            color=INK,
            fontsize=11,
        )
        axes.text(place, -0.06, ends[0], ha="center", va="center", **small)
        axes.text(place, 1.05, ends[1], ha="center", va="center", **small)
    for at, word in enumerate(axis.labels):
        where = 0.5 if len(axis.labels) == 1 else at / (len(axis.labels) - 1)
        text = shortened(word, most=14)
        if is_narrow:
            side = "left" if where < 0.01 else "right" if where > 0.99 else "center"
            axes.text(where, place + 0.2, text, ha=side, va="center", **small)
        else:
            # Above the place where lines cross the axis.
            axes.text(place + 0.04, where + 0.035, text, ha="left", va="center", **small)
