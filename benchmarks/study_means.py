"""How often a win is said of the mean over trainings where the means are equal.

With 29 trainings and more a win may speak of the mean over those that do not collapse. Its test is
a t-test, so what is not normal must have shown. The t-test over seeds alone decides here: whatever
else a win takes makes fewer false ones.

Shape legend: R experiments, S seeds.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from core.randomness import rng
from harness.statistics.outcome import Speaks
from harness.statistics.shapes import shape_of

Array = NDArray[np.float64]
_ALPHA = 0.05
_FALL = 12.0


def _lognormal(sigma: float) -> Callable[[np.random.Generator, tuple[int, int]], Array]:
    """Standardised, the long tail on the worse side."""
    mean, variance = math.exp(sigma**2 / 2), math.exp(sigma**2)

    def values(draw: np.random.Generator, shape: tuple[int, int]) -> Array:
        raw = np.exp(sigma * draw.standard_normal(shape))
        return np.asarray((mean - raw) / (mean * math.sqrt(variance - 1)))

    return values


def _collapsing(share: float) -> Callable[[np.random.Generator, tuple[int, int]], Array]:
    """Of trainings whose usual mean is 0; a collapse takes `_FALL` sd."""

    def values(draw: np.random.Generator, shape: tuple[int, int]) -> Array:
        falls = draw.random(shape) < share
        return np.asarray(draw.standard_normal(shape) - _FALL * falls)

    return values


_TRAININGS: dict[str, tuple[Callable[[np.random.Generator, tuple[int, int]], Array], float]] = {
    "normal": (lambda draw, shape: draw.standard_normal(shape), 1.0),
    "lognormal, sigma .5, 3x sd": (_lognormal(0.5), 3.0),
    "lognormal, sigma .8, 3x sd": (_lognormal(0.8), 3.0),
    "lognormal, sigma 1.3, 3x sd": (_lognormal(1.3), 3.0),
    "exponential": (lambda draw, shape: 1 - draw.exponential(size=shape), 1.0),
    "Student's t of 3 degrees": (lambda draw, shape: draw.standard_t(3, shape), 1.0),
    "one in thirty collapses": (_collapsing(1 / 30), 1.0),
    "one in ten collapses": (_collapsing(0.1), 1.0),
}
"""Of the first branch, by name, and its sd; those of the second are normal."""


def mean_cells() -> list[tuple[str, int]]:
    """Trainings and seeds of each."""
    return [(name, seeds) for seeds in (30, 40) for name in _TRAININGS]


def mean_cell(name: str, seeds: int, experiments: int) -> dict[str, Any]:
    """false_claims: a win that is said of the mean of trainings that do not collapse; those means
    are equal."""
    draw = rng(0, "study of means", name, seeds)
    made, scale = _TRAININGS[name]
    first_RS = scale * made(draw, (experiments, seeds))
    second_RS = draw.standard_normal((experiments, seeds))
    difference_RS = first_RS - second_RS
    wins_R = stats.ttest_1samp(difference_RS, 0.0, axis=1).pvalue <= _ALPHA
    speaks_R = np.array(
        [
            shape_of(
                {"first": dict(enumerate(first)), "second": dict(enumerate(second))},
                differences={"first - second": difference},
                higher_is_better=True,
            ).speaks
            is Speaks.MEAN
            for first, second, difference in zip(first_RS, second_RS, difference_RS, strict=True)
        ]
    )
    false = int((wins_R & speaks_R).sum())
    interval = stats.binomtest(false, experiments).proportion_ci(0.95)
    return {
        "trainings": name,
        "seeds": seeds,
        "experiments": experiments,
        "false_wins": float(wins_R.mean()),
        "speaks_of_the_mean": float(speaks_R.mean()),
        "false_claims": false / experiments,
        "lower_95": float(interval.low),
        "upper_95": float(interval.high),
    }
