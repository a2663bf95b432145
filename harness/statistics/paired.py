"""Paired differences over seeds: t interval, t-test, exact sign-flip test, power. float64."""

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import optimize, stats

from harness.statistics.outcome import MAX_SEEDS
from harness.statistics.rounding import RELATIVE_ROUNDING, is_rounding

Array = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class PairedDifference:
    """Two branches over the same seeds. NaN where the seeds do not allow a value: one seed, and the
    interval of a difference that is the same in every seed."""

    n: int
    """Seeds that both branches have."""
    mean: float
    """Mean of first minus second."""
    sd: float
    """Standard deviation of the difference over seeds; NaN with one seed."""
    low: float
    """Lower end of the t interval."""
    high: float
    """Upper end of the t interval."""
    level: float
    """Coverage of the interval."""
    t_p: float
    """Two-sided p of the paired t-test; that of the sign-flip test without a spread."""
    sign_flip_p: float
    """Two-sided p of the exact sign-flip test."""
    smallest_sign_flip_p: float
    """What `sign_flip_p` cannot go below with this many seeds."""

    def at_level(self, level: float) -> tuple[float, float]:
        """Ends of the t interval at another coverage; NaN where `low` is."""
        if math.isnan(self.low):
            return math.nan, math.nan
        half = float(stats.t.ppf(0.5 + level / 2, self.n - 1)) * self.sd / math.sqrt(self.n)
        return self.mean - half, self.mean + half


def paired_difference(
    first: ArrayLike, *, second: ArrayLike, level: float = 0.95
) -> PairedDifference:
    """First minus second, value i of both coming from seed i.

    Raises: ValueError for different lengths, no seeds, or values that are not finite.
    """
    a, b = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    if a.shape != b.shape or a.ndim != 1 or not len(a):
        raise ValueError(
            f"got values of shape {a.shape} and {b.shape}; expected one per seed on both sides"
        )
    difference = a - b
    if not np.all(np.isfinite(difference)):
        raise ValueError("a seed's value is not finite; leave that seed out on both sides")
    n, mean = len(difference), float(difference.mean())
    if n < 2:
        return PairedDifference(
            n=n,
            mean=mean,
            sd=math.nan,
            low=math.nan,
            high=math.nan,
            level=level,
            t_p=math.nan,
            sign_flip_p=1.0,
            smallest_sign_flip_p=1.0,
        )
    sd = float(difference.std(ddof=1))
    flip_p = sign_flip_p(difference)
    if is_rounding(sd, scale=float(max(np.abs(a).max(), np.abs(b).max()))):
        # Scores on a coarse grid, of a few clips: there is no spread to divide by, and signs alone
        # say how often equal branches would get here.
        sd, half = 0.0, math.nan
        t_p = 1.0 if mean == 0 else flip_p
    else:
        error = sd / math.sqrt(n)
        half = float(stats.t.ppf(0.5 + level / 2, n - 1)) * error
        t_p = float(2 * stats.t.sf(abs(mean) / error, n - 1))
    return PairedDifference(
        n=n,
        mean=mean,
        sd=sd,
        low=mean - half,
        high=mean + half,
        level=level,
        t_p=t_p,
        sign_flip_p=flip_p,
        smallest_sign_flip_p=smallest_sign_flip_p(n),
    )


def sign_flip_p(differences: ArrayLike) -> float:
    """Exact two-sided p: share of all sign patterns whose |sum| is at least the observed one.

    Valid when the differences are symmetric about 0 under the null, without normality
    (Fisher 1935, section 21). All 2^n patterns are counted, by meeting in the middle.
    Raises: ValueError for no differences or more than 40.
    """
    d = np.asarray(differences, dtype=np.float64)
    if not 1 <= len(d) <= MAX_SEEDS:
        raise ValueError(f"got {len(d)} differences; the exact test takes 1 to {MAX_SEEDS}")
    threshold = abs(d.sum()) - RELATIVE_ROUNDING * np.abs(d).sum()
    if threshold <= 0:
        return 1.0
    # The pattern and its mirror image have the same |sum|: fix the first sign, count one tail.
    half = len(d) // 2
    left, right = _signed_sums(d[:half]), np.sort(_signed_sums(d[half:]))
    at_least = len(right) - np.searchsorted(right, threshold - left, side="left")
    return min(1.0, 2.0 * float(at_least.sum()) / 2.0 ** len(d))


def _signed_sums(values: Array) -> Array:
    """All 2^n sums of +-values."""
    sums = np.zeros(1)
    for value in values:
        sums = np.concatenate([sums + value, sums - value])
    return sums


def smallest_sign_flip_p(num_seeds: int) -> float:
    """2^(1 - n): below .05 only from 6 seeds on."""
    return 2.0 ** (1 - num_seeds)


@lru_cache(maxsize=256)
def detectable_effect(num_seeds: int, *, power: float = 0.8, alpha: float = 0.05) -> float:
    """Smallest true difference, in units of the paired seed sd, found with this power.

    By a two-sided paired t-test at `alpha` (noncentral t). Infinite with one seed.
    """
    if num_seeds < 2:
        return math.inf
    freedom = num_seeds - 1
    critical = float(stats.t.isf(alpha / 2, freedom))

    def missing_power(effect: float) -> float:
        shift = effect * math.sqrt(num_seeds)
        upper = stats.nct.sf(critical, freedom, shift)
        # Far in the tail SciPy's nct.cdf is NaN; there the wrong side adds nothing.
        lower = np.nan_to_num(stats.nct.cdf(-critical, freedom, shift))
        return float(upper + lower) - power

    return float(optimize.brentq(missing_power, 1e-6, 1_000.0))
