"""Durations, levels and sizes of the kept pairs, as plots that follow the page's light and dark."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from core.data.items import Item, Status
from core.data.media.quality import NEAR_SILENT_DBFS
from harness.report.page.content import Figure
from harness.report.page.style import INK, both, colour, new_figure

_HEIGHT_PX = 210
_NUM_BINS = 30
_EDGE = 0.6


def histograms(items: Sequence[Item]) -> list[Figure]:
    """The plots that the included items have numbers for."""
    kept = [item for item in items if item.status is Status.INCLUDED]
    quantities: tuple[tuple[str, str, list[float | None], bool, float | None], ...] = (
        ("duration", "Duration, seconds", [i.duration_s for i in kept], False, None),
        ("level", "Level (RMS), dBFS", [i.rms_dbfs for i in kept], False, NEAR_SILENT_DBFS),
        (
            "pixels",
            "Shorter side of the picture, pixels",
            [_short_side(i) for i in kept],
            True,
            None,
        ),
        ("audio-size", "Audio file, KiB", [_kib(i.audio_bytes) for i in kept], True, None),
        ("image-size", "Image file, KiB", [_kib(i.image_bytes) for i in kept], True, None),
    )
    made = []
    for name, title, values, is_log, limit in quantities:
        known = np.array([value for value in values if value is not None], dtype=np.float64)
        if len(known):
            made.append(_histogram(known, name=name, title=title, is_log=is_log, limit=limit))
    return made


def _histogram(
    values: np.ndarray, *, name: str, title: str, is_log: bool, limit: float | None
) -> Figure:
    from matplotlib.ticker import LogLocator, NullLocator

    low, median, high = (float(q) for q in np.quantile(values, (0, 0.5, 1)))

    def draw(width_px: int) -> Any:
        figure = new_figure(width_px, _HEIGHT_PX)
        axes = figure.add_subplot()
        axes.hist(values, bins=_bins(low, high, is_log=is_log), color=colour(0), linewidth=0)
        if is_log:
            axes.set_xscale("log")
            axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5), numticks=9))
            axes.xaxis.set_minor_locator(NullLocator())
            axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
        if limit is not None and low < limit:
            axes.axvline(limit, color=INK, linewidth=1.2, linestyle=(0, (4, 3)))
        axes.set_title(title)
        axes.set_ylabel("pairs")
        axes.yaxis.get_major_locator().set_params(integer=True, nbins=5)
        axes.grid(visible=False, axis="x")
        return figure

    wide, narrow = both(f"hist-{name}", draw)
    words = f"{title}: from {low:.4g} to {high:.4g}, median {median:.4g}, over {len(values)} pairs."
    return Figure(f"hist-{name}", words, alt=words, wide=wide, narrow=narrow, branches=())


def _bins(low: float, high: float, *, is_log: bool) -> np.ndarray:
    if is_log:
        low, high = max(low, 1e-3), max(high, 1e-3)
        if high < 3 * low:  # so that two of 1, 2, 5 lie inside
            low, high = low * _EDGE, high / _EDGE
        return np.geomspace(low, high, _NUM_BINS + 1)
    if high - low < 1e-6 + 1e-3 * abs(high):
        low, high = low - 0.5, high + 0.5
    return np.linspace(low, high, _NUM_BINS + 1)


def _short_side(item: Item) -> float | None:
    if item.image_width is None or item.image_height is None:
        return None
    return float(min(item.image_width, item.image_height))


def _kib(num_bytes: int | None) -> float | None:
    return None if num_bytes is None else num_bytes / 1024
