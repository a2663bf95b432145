"""What a number of seeds lets one claim: the power of the whole rule, not of one test of it."""

import math
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from core.randomness import rng
from harness.statistics.outcome import MIN_SEEDS_FOR_A_WIN
from harness.statistics.paired import detectable_effect

Array = NDArray[np.float64]

_NUM_REPEATS = 4_000  # the power is known to within 0.6 points
_MAX_PATTERNS = 512  # all there are up to 10 seeds
_TOLERANCE = 0.005


@lru_cache(maxsize=256)
def detectable_win(
    num_seeds: int, *, num_pairs: int = 1, power: float = 0.8, alpha: float = 0.05
) -> float:
    """Smallest true difference, in units of the paired seed sd, that is called a win so often.

    A win needs the t-test under Holm's hardest step (alpha / num_pairs) and the sign-flip test at
    alpha; `detectable_effect` speaks of the plain t-test alone, so this is the larger of the two.
    By simulation of normal differences with fixed draws: the same arguments give the same number.
    Infinite below the seeds that a win needs.
    """
    if num_seeds < MIN_SEEDS_FOR_A_WIN:
        return math.inf
    low = detectable_effect(num_seeds, power=power, alpha=alpha)
    high = 2 * detectable_effect(num_seeds, power=power, alpha=alpha / num_pairs)
    while high - low > _TOLERANCE:
        middle = (low + high) / 2
        if win_power(middle, num_seeds=num_seeds, num_pairs=num_pairs, alpha=alpha) >= power:
            high = middle
        else:
            low = middle
    return high


def win_power(effect: float, *, num_seeds: int, num_pairs: int = 1, alpha: float = 0.05) -> float:
    """How often a true difference of `effect` paired seed sd is called a win, by simulation."""
    if num_seeds < MIN_SEEDS_FOR_A_WIN:
        return 0.0
    differences_RS = _noise(num_seeds) + effect
    mean_R = differences_RS.mean(axis=1)
    error_R = differences_RS.std(axis=1, ddof=1) / math.sqrt(num_seeds)
    t_p_R = 2 * stats.t.sf(np.abs(mean_R) / error_R, num_seeds - 1)
    flip_p_R = sign_flip_ps(differences_RS)
    is_win_R = (mean_R > 0) & (t_p_R <= alpha / num_pairs) & (flip_p_R <= alpha)
    return float(is_win_R.mean())


def sign_flip_ps(differences_XS: Array) -> Array:
    """[...] p of the sign-flip test over the last axis; exact up to 10 seeds, sampled above."""
    sums_XP = np.abs(differences_XS @ _patterns(differences_XS.shape[-1]).T)
    own_X1 = sums_XP[..., :1] * (1 - 1e-12)  # the first pattern flips nothing
    return np.asarray(np.mean(sums_XP >= own_X1, axis=-1)).astype(np.float64)


@lru_cache(maxsize=64)
def _noise(num_seeds: int) -> Array:
    return rng(0, "power of a win", num_seeds).standard_normal((_NUM_REPEATS, num_seeds))


@lru_cache(maxsize=64)
def _patterns(num_seeds: int) -> Array:
    """Sign patterns [P, S] up to a common sign, the identity first: all of them, or a sample."""
    if 2 ** (num_seeds - 1) <= _MAX_PATTERNS:
        bits = (np.arange(2 ** (num_seeds - 1))[:, None] >> np.arange(num_seeds)) & 1
        return np.asarray(1.0 - 2.0 * bits, dtype=np.float64)
    draw = rng(0, "sign patterns", num_seeds)
    sample = draw.integers(0, 2, (_MAX_PATTERNS - 1, num_seeds)) * 2.0 - 1.0
    return np.concatenate([np.ones((1, num_seeds)), sample])
