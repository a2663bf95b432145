"""How much larger a win's difference is printed than it is, since only large ones win.

Gelman and Carlin 2014 (type M error). The rule and its draws are those of `power`.
"""

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from core.randomness import rng
from harness.statistics.looks import level_at
from harness.statistics.many import is_flip_significant, seed_p
from harness.statistics.outcome import MIN_SEEDS_FOR_A_WIN

Array = NDArray[np.float64]

_NUM_REPEATS = 8_000
_MIN_WINS = 100  # below which a mean over the wins says nothing
_EFFECTS = tuple(0.25 * 1.25**k for k in range(15))
"""True differences that are tried, in paired seed sd: .25 to 5.7. At .25 the sign of a win is
itself in doubt, so nothing smaller is told apart."""


@dataclass(frozen=True)
class Exaggeration:
    """What a win's difference is likely to be without the selection."""

    factor: float
    """Expected ratio of the printed difference to the true one, at the shrunken estimate."""
    shrunken: float
    """The difference divided by it, in the metric's unit."""
    is_at_least: bool
    """Whether the true difference may be smaller still: then the factor is a lower limit."""


def exaggeration(
    mean: float,
    *,
    sd: float,
    num_seeds: int,
    num_pairs: int = 1,
    looks: tuple[int, ...] = (),
    alpha: float = 0.05,
) -> Exaggeration | None:
    """The exaggeration of a win with this difference and paired seed sd; None below 6 seeds
    and where the difference is the same in every seed.

    The true difference is taken where the mean standardised difference of the wins equals the one
    at hand (a moment estimate, conditional on winning). looks: planned numbers of seeds; a look's
    test is stricter, so what it lets through is more exaggerated.
    """
    if num_seeds < MIN_SEEDS_FOR_A_WIN or not math.isfinite(sd) or sd == 0:
        return None
    sizes, factors = _of_wins(num_seeds, num_pairs, looks, alpha)
    own = abs(mean) / sd
    factor = float(np.interp(own, sizes, factors))
    return Exaggeration(factor, mean / factor, is_at_least=own <= sizes[0])


@lru_cache(maxsize=64)
def _of_wins(
    num_seeds: int, num_pairs: int, looks: tuple[int, ...], alpha: float
) -> tuple[Array, Array]:
    """(mean |difference| / sd of the wins, mean |difference| over the true one), by effect."""
    noise_RS = rng(0, "exaggeration", num_seeds).standard_normal((_NUM_REPEATS, num_seeds))
    # The hardest step of Holm: what wins there wins anywhere.
    level = level_at(looks, num_seeds=num_seeds, alpha=alpha / num_pairs)
    sizes, factors = [], []
    for effect in _EFFECTS:
        difference_RS = noise_RS + effect
        asked_R = seed_p(difference_RS) <= level
        is_win_R = is_flip_significant(difference_RS, asked_X=asked_R, alpha=alpha)
        if is_win_R.sum() < _MIN_WINS:
            continue
        won_WS = difference_RS[is_win_R]
        mean_W = np.abs(won_WS.mean(axis=1))
        sizes.append(float(np.median(mean_W / won_WS.std(axis=1, ddof=1))))
        factors.append(max(1.0, float(mean_W.mean()) / effect))
    order = np.argsort(sizes)
    return np.array(sizes)[order], np.array(factors)[order]
