"""How a measure follows a property: slope, monotonicity, and their intervals.

Shape legend: D draws of noise, N sounds, L levels.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from harness.statistics.bootstrap import crossed_bootstrap

Array = NDArray[np.float64]
_FEWEST_LEVELS = 3


@dataclass(frozen=True)
class Followed:
    """How one measure follows one property."""

    means: tuple[float | None, ...]
    """Of each level, over sounds and noises; None where no sound has the level."""
    slope: float
    """Least-squares slope per unit of the property, mean over sounds and noises."""
    low: float | None
    """Lower end of the slope's 95 % interval, over sounds and noises; None with one of each."""
    high: float | None
    """Upper end."""
    p: float | None
    """Two-sided p of a slope of 0, not yet adjusted."""
    monotonicity: float
    """Kendall's tau-b of level and measure, mean over sounds and noises: 1 rises at every step,
    -1 falls at every step, 0 neither."""
    monotonicity_low: float | None
    """Lower end of its 95 % interval."""
    monotonicity_high: float | None
    """Upper end."""


def follow(
    values_DNL: Array,
    *,
    levels: tuple[float, ...],
    seed: int = 0,
    from_reference: float | None = None,
) -> Followed | None:
    """How values follow levels, each sound and noise for itself; None without three levels.

    A sound's own height is not part of it: slopes are taken within a sound and a noise.
    from_reference: take the distance from this level in place of the level (of `change`).
    """
    at_L = np.asarray(levels, dtype=np.float64)
    if from_reference is not None:
        at_L = np.abs(at_L - from_reference)
    slope_DN = np.full(values_DNL.shape[:2], math.nan)
    tau_DN = np.full(values_DNL.shape[:2], math.nan)
    for place in np.ndindex(*slope_DN.shape):
        own_L = values_DNL[place]
        has_L = np.isfinite(own_L)
        if has_L.sum() < _FEWEST_LEVELS:
            continue
        x, y = at_L[has_L], own_L[has_L]
        if np.ptp(x) == 0:  # all as far from the reference: nothing to follow
            continue
        spread = x - x.mean()
        slope_DN[place] = float(spread @ (y - y.mean()) / (spread @ spread))
        tau = stats.kendalltau(x, y).statistic if np.ptp(y) > 0 else 0.0
        tau_DN[place] = float(tau)
    if not np.isfinite(slope_DN).any():
        return None
    slope = crossed_bootstrap(slope_DN, seed=seed)
    tau = crossed_bootstrap(tau_DN, seed=seed)
    columns = values_DNL.reshape(-1, len(levels)).T
    means = tuple(
        float(np.nanmean(column)) if np.isfinite(column).sum() else None for column in columns
    )
    return Followed(
        means=means,
        slope=slope.mean,
        low=_known(slope.low),
        high=_known(slope.high),
        p=_known(slope.p),
        monotonicity=tau.mean,
        monotonicity_low=_within(tau.low),
        monotonicity_high=_within(tau.high),
    )


def _known(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _within(value: float) -> float | None:
    """An end of an interval of a rank correlation, which none passes 1."""
    return min(1.0, max(-1.0, value)) if math.isfinite(value) else None
