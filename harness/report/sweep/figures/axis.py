"""A searched parameter as an axis, and limits that one diverged trial does not spoil."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np

from harness.report.page.style import INK, PAPER, colour, marker, shortened
from harness.wording.numbers import MINUS

_FENCE = 3.0  # quartile distances beyond the quartile: Tukey's "far out"


class Mark(StrEnum):
    """What a trial is drawn as."""

    VALUE = "value"  # complete
    BEST = "best"
    DEFAULT = "default"
    ENDED = "ended"  # pruned, failed or lost: there is no value


@dataclass(frozen=True)
class Axis:
    """One parameter."""

    name: str
    """What it is called."""
    is_log: bool = False
    """Whether it is drawn by orders of magnitude."""
    is_integer: bool = False
    """Whether it takes whole numbers."""
    labels: tuple[str, ...] = ()
    """Of a categorical one, its choices; positions count them from 0."""

    @property
    def is_categorical(self) -> bool:
        """Whether its values are names."""
        return bool(self.labels)

    def scaled(self, positions: Sequence[float | None]) -> list[float]:
        """Positions between 0 and 1, equal ones at .5; a missing one is NaN."""
        known = [self._unrolled(x) for x in positions if x is not None]
        low, high = (0.0, len(self.labels) - 1.0) if self.labels else _ends(known)
        span = high - low
        return [
            math.nan if x is None else 0.5 if span <= 0 else (self._unrolled(x) - low) / span
            for x in positions
        ]

    def ends(self, positions: Sequence[float | None]) -> tuple[str, str]:
        """What stands at 0 and at 1; blank where there is no number."""
        known = [x for x in positions if x is not None]
        if not known or self.labels:
            return "", ""
        low, high = min(known), max(known)
        return ("", "") if low == high else (end_word(low), end_word(high))

    def _unrolled(self, x: float) -> float:
        return math.log10(x) if self.is_log and x > 0 else x


def end_word(value: float) -> str:
    """A number at the end of an axis."""
    return f"{value:.4g}".replace("-", MINUS, 1) if value < 0 else f"{value:.4g}"


def _ends(values: Sequence[float]) -> tuple[float, float]:
    return (min(values), max(values)) if values else (0.0, 0.0)


def dress(axes: Any, axis: Axis, *, positions: Sequence[float], width_px: float) -> None:
    """Give the x axis of a panel the parameter's scale and ticks that fit `width_px`."""
    from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

    if axis.is_categorical:
        room = width_px / max(1, len(axis.labels)) / 6.5  # letters, at the size of a tick
        most = max(map(len, axis.labels))
        words = [shortened(word, most=16) for word in axis.labels]
        is_tight = most > room
        axes.set_xticks(range(len(words)), words, rotation=35 if is_tight else 0,
                        ha="right" if is_tight else "center",
                        rotation_mode="anchor" if is_tight else None)  # fmt: skip
        axes.set_xlim(-0.5, len(words) - 0.5)
        axes.grid(axis="x", visible=False)
    elif axis.is_log and positions and min(positions) > 0:
        axes.set_xscale("log")
        decades = math.log10(max(positions) / min(positions))
        subs = (1.0,) if decades >= 1.7 else (1.0, 2.0, 5.0)
        axes.xaxis.set_major_locator(LogLocator(subs=subs, numticks=max(3, int(width_px / 45))))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: _short(x)))
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.margins(x=0.1)
    else:
        axes.xaxis.set_major_locator(MaxNLocator(nbins=4, integer=axis.is_integer, min_n_ticks=2))
        axes.margins(x=0.1)
    axes.set_xlabel(shortened(axis.name, most=24))


def _short(x: float) -> str:
    """A number beneath a narrow panel: `1e-4`, not `0.0001` or `1e-04`."""
    if 0.01 <= abs(x) < 1e4:
        return f"{x:g}"
    digits, power = f"{x:e}".split("e")
    return f"{float(digits):g}e{int(power)}"


def limits(
    values: Iterable[float],
    *,
    keep: Iterable[float] = (),
    is_higher_better: bool,
    pad: float = 0.08,
) -> tuple[float, float]:
    """Ends of a value axis: values that are far out on the bad side fall outside.

    keep: values that must be seen, such as the defaults'. pad: share of the span beyond them.
    """
    found = np.array([*values, *keep], dtype=np.float64)
    low, high = float(found.min()), float(found.max())
    if len(found) >= 5:
        first, third = np.quantile(found, [0.25, 0.75])
        reach = _FENCE * float(third - first)
        # All but equal: one value that differs is what there is to see.
        if reach > 0 and is_higher_better:
            low = float(found[found >= first - reach].min())
        elif reach > 0:
            high = float(found[found <= third + reach].max())
    kept = list(keep)
    low, high = min([low, *kept]), max([high, *kept])
    if pad == 0:
        return low, high
    beyond = (high - low) * pad or abs(high) * 0.01 or 1.0
    return low - beyond, high + beyond


def held(value: float, ends: tuple[float, float]) -> tuple[float, bool]:
    """A value inside the limits, and whether it had to be moved to an edge."""
    low, high = ends
    inside = min(max(value, low), high)
    return inside, inside != value


def draw_mark(axes: Any, x: float, y: float, mark: Mark, *, branch: int, **words: Any) -> None:
    """One trial's mark; the best and the defaults lie on top."""
    ink = colour(branch)
    style: dict[Mark, dict[str, Any]] = {
        Mark.VALUE: {"color": ink, "markersize": 5, "alpha": 0.5, "zorder": 3},
        Mark.BEST: {
            "color": ink, "markersize": 10.5, "markeredgecolor": INK, "markeredgewidth": 1.4,
            "zorder": 6,
        },
        Mark.DEFAULT: {
            "color": PAPER, "markersize": 8.5, "markeredgecolor": INK, "markeredgewidth": 1.6,
            "zorder": 5,
        },
        Mark.ENDED: {"color": ink, "markersize": 5, "alpha": 0.75, "zorder": 3},
    }  # fmt: skip
    shape = "x" if mark is Mark.ENDED else marker(branch)
    look = {"marker": shape, "linestyle": "none", **style[mark], **words}
    axes.plot([x], [y], **look, clip_on=False)
