"""Trainings that collapse, and what a mean over trainings may be said of. float64.

With one training in ten collapsing, equal means are not equal trainings: the t-test and the
sign-flip test then speak of the usual training. A few seeds need not show a single collapse.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from harness.statistics.outcome import Speaks

Array = NDArray[np.float64]

_FAR = 6.0
"""Robust standard deviations from the branch's median; of normal trainings of 2 or 3 branches, 6
seeds each, about one comparison in a hundred has one so far below."""
_MAD_TO_SD = 1.4826  # of a normal distribution
_MIN_FOR_SKEW = 8  # seeds, below which the test of skewness is not defined
_RARE = 0.1
"""Share of collapsing trainings that must be ruled out before the mean is spoken of."""


@dataclass(frozen=True)
class Shape:
    """How the trainings of a comparison are distributed."""

    collapsed: dict[str, list[int]]
    """By branch, the seeds far on the worse side of the branch's median."""
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

    A win speaks of the mean only where nothing has collapsed, nothing is skewed, and the seeds are
    so many that a collapse of one training in ten would have been seen (29 or more).
    """
    collapsed = _collapsed(values, higher_is_better=higher_is_better)
    num_seeds = min((len(of_branch) for of_branch in values.values()), default=0)
    unseen = unseen_share(num_seeds)
    skewed = [name for name, found in differences.items() if is_skewed(found)]
    is_mean = unseen <= _RARE and not skewed and not any(collapsed.values())
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
    found = np.asarray(differences, dtype=np.float64)
    if len(found) < _MIN_FOR_SKEW or np.ptp(found) == 0:
        return False
    return bool(stats.skewtest(found).pvalue <= 0.01)


def _collapsed(
    values: Mapping[str, Mapping[int, float]], *, higher_is_better: bool
) -> dict[str, list[int]]:
    sign = 1.0 if higher_is_better else -1.0
    worse = {
        name: {
            seed: sign * (float(np.median(list(found.values()))) - v) for seed, v in found.items()
        }
        for name, found in values.items()
        if found
    }
    pooled = [abs(v) for found in worse.values() for v in found.values()]
    fewest = min((len(found) for found in worse.values()), default=0)
    if fewest < 3:
        return {name: [] for name in values}
    # A few values lie nearer to their own median than to the true one.
    scale = _MAD_TO_SD * float(np.median(pooled)) * fewest / (fewest - 1)
    return {
        name: sorted(seed for seed, v in worse.get(name, {}).items() if v > _FAR * scale > 0)
        for name in values
    }
