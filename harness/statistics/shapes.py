"""Trainings that collapse, and what a mean over trainings may be said of. float64.

With one training in ten collapsing, equal means are not equal trainings: the t-test and the
sign-flip test then speak of the usual training. A few seeds need not show a single collapse.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from core.randomness import rng
from harness.statistics.outcome import Speaks

Array = NDArray[np.float64]

_FAR = 6.0
"""Robust standard deviations below the branch's median from which a training has collapsed."""
_FALSE_ALARMS = 0.01
"""Share of comparisons of normal trainings in which one may be called collapsed. With 3 to 5 seeds
that takes more than `_FAR`: of three trainings the spread itself is hardly known."""
_ENOUGH_FOR_FAR = 6  # seeds from which `_FAR` keeps it
_NUM_REPEATS = 20_000
_MAD_TO_SD = 1.4826  # of a normal distribution
_MIN_FOR_SKEW = 8  # seeds, below which the test of skewness is not defined
_SKEW = 0.01
"""p of the test of skewness from which a pair is named skewed."""
_MAYBE_SKEW = 0.2
"""p up to which the mean is not spoken of: of 30 skewed differences the test sees few."""
_RARE = 0.1
"""Share of collapsing trainings that must be ruled out before the mean is spoken of."""


@dataclass(frozen=True)
class Shape:
    """How the trainings of a comparison are distributed."""

    collapsed: dict[str, list[int]]
    """By branch, the seeds far on the worse side of the branch's median; with few seeds only those
    that lie so far that no spread of normal trainings explains it."""
    num_seeds: int
    """Trainings of each branch."""
    unseen_share: float
    """Upper 95 % limit of the share of collapsing trainings of a branch that shows none."""
    skewed: list[str]
    """Pairs whose differences are skewed (p <= .01), as `first - second`."""
    speaks: Speaks
    """Of which training a win may speak."""


def shape_of(
    values: Mapping[str, Mapping[int, float]],
    *,
    differences: Mapping[str, Sequence[float]],
    higher_is_better: bool,
) -> Shape:
    """The shape of the trainings.

    values: by branch and seed. differences: by pair, over seeds.

    A win speaks of the mean, of trainings that do not collapse, only where none has, nothing looks
    skewed (p > .2), and the seeds are so many that a collapse of one training in ten would have
    been seen (29 or more). No number of seeds up to 40 shows collapses that are rarer.
    """
    collapsed = _collapsed(values, higher_is_better=higher_is_better)
    num_seeds = min((len(of_branch) for of_branch in values.values()), default=0)
    unseen = unseen_share(num_seeds)
    skewed = [name for name, found in differences.items() if is_skewed(found)]
    is_even = all(skewness_p(found) > _MAYBE_SKEW for found in differences.values())
    is_mean = unseen <= _RARE and is_even and not any(collapsed.values())
    return Shape(
        collapsed=collapsed,
        num_seeds=num_seeds,
        unseen_share=unseen,
        skewed=skewed,
        speaks=Speaks.MEAN if is_mean else Speaks.TYPICAL,
    )


def unseen_share(num_seeds: int) -> float:
    """Upper 95 % limit of a share of which no case was seen: 1 - .05^(1/n) (Clopper, Pearson)."""
    return 1.0 if num_seeds < 1 else float(1 - 0.05 ** (1 / num_seeds))


def is_skewed(differences: ArrayLike) -> bool:
    """Whether the test of D'Agostino 1970 finds skewness at p <= .01; never below 8 values."""
    return skewness_p(differences) <= _SKEW


def skewness_p(differences: ArrayLike) -> float:
    """p of the test of skewness (D'Agostino 1970); 1 below 8 values, or where all are equal."""
    found = np.asarray(differences, dtype=np.float64)
    if len(found) < _MIN_FOR_SKEW or np.ptp(found) == 0:
        return 1.0
    return float(stats.skewtest(found).pvalue)


def _collapsed(
    values: Mapping[str, Mapping[int, float]], *, higher_is_better: bool
) -> dict[str, list[int]]:
    """Trainings far below their branch's median, by the larger spread of two: that of the branch
    and that of all branches together. So neither a branch that varies more than others nor one
    whose trainings agree by chance has a merely lower one called collapsed."""
    sign = 1.0 if higher_is_better else -1.0
    named = {name: found for name, found in values.items() if found}
    fewest = min((len(found) for found in named.values()), default=0)
    if fewest < 3:
        return {name: [] for name in values}
    worse = {
        name: sign * (np.median(list(found.values())) - np.array(list(found.values())))
        for name, found in named.items()
    }
    everything = _spread(np.concatenate(list(worse.values())), fewest=fewest)
    far = far_below(fewest, num_branches=len(named))
    collapsed: dict[str, list[int]] = {name: [] for name in values}
    for name, found in worse.items():
        bound = far * max(everything, _spread(found, fewest=len(found)))
        seeds = np.array(list(named[name]))
        collapsed[name] = sorted(int(seed) for seed in seeds[(found > bound) & (bound > 0)])
    return collapsed


def _spread(worse: Array, *, fewest: int) -> float:
    """Robust standard deviation from distances to medians."""
    # A few values lie nearer to their own median than to the true one.
    return _MAD_TO_SD * float(np.median(np.abs(worse))) * fewest / (fewest - 1)


@lru_cache(maxsize=64)
def far_below(num_seeds: int, *, num_branches: int) -> float:
    """Spreads below the median from which a training has collapsed.

    From 6 seeds on 6; with 3 to 5 as many as keep false alarms at 1 % of comparisons of normal
    trainings, by simulation with fixed draws: 10 to 14 with 3 seeds.
    """
    if num_seeds >= _ENOUGH_FOR_FAR:
        return _FAR
    draw = rng(0, "collapsed trainings", num_seeds, num_branches)
    values_RBS = draw.standard_normal((_NUM_REPEATS, num_branches, num_seeds))
    worse_RBS = np.median(values_RBS, axis=2, keepdims=True) - values_RBS
    size_RBS = np.abs(worse_RBS)
    all_R = np.median(size_RBS.reshape(_NUM_REPEATS, -1), axis=1)
    spread_RB = np.maximum(np.median(size_RBS, axis=2), all_R[:, None])
    spread_RB = _MAD_TO_SD * spread_RB * num_seeds / (num_seeds - 1)
    furthest_R = (worse_RBS.max(axis=2) / spread_RB).max(axis=1)
    return max(_FAR, float(np.quantile(furthest_R, 1 - _FALSE_ALARMS)))
