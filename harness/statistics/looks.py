"""What looking more than once costs: planned looks share alpha, unplanned ones raise the level.

Looks are numbers of seeds at which a comparison is decided, such as 6, 8, 10. Between equal
branches the mean over seeds wanders; who stops at the first win finds one too often (8 % at looks
6, 8, 10 instead of 5 %).
"""

import math
from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, special

Array = NDArray[np.float64]

_POINTS = 301  # of the grid over each look's sum; 1,201 move no level by 1e-5
_REACH = 8.0  # standard deviations that the grid covers
_DRIFT = 0.02
"""By how much each further look raises the level of t-tests above that of normal sums, found by
simulation at 6 to 20 seeds (8 looks: 5.5 % at a planned 5 %); alpha is divided by as much."""


def planned_levels(looks: Sequence[int], *, alpha: float = 0.05) -> tuple[float, ...]:
    """Level of the two-sided test at each look, so that all together keep alpha.

    Lan and DeMets 1983 with their Pocock-type spending alpha log(1 + (e - 1) t), t the share of
    the seeds; the O'Brien-Fleming type spends so little at the first look that it saves few
    trainings here, where the sign-flip test already asks for one side of all first six seeds. The
    levels are meant for p-values of t-tests, whose correlation over looks is weaker than that of
    normal sums; alpha is lowered for it (`_DRIFT`).

    Raises: ValueError for looks that do not rise from 2 on, or alpha outside (0, 1).
    """
    found = _checked(looks)
    return _planned_levels(found, alpha / _drift(found))


def spent_p(p: float, *, looks: Sequence[int], num_seeds: int) -> float:
    """p at the look with `num_seeds`, adjusted for all planned looks: the smallest alpha at which
    this look's level would be p; at most 1. NaN stays NaN.

    Raises: ValueError where no look has that many seeds.
    """
    found = _checked(looks)
    if num_seeds not in found:
        raise ValueError(f"no look is planned at {num_seeds} seeds; planned: {list(found)}")
    place = found.index(num_seeds)
    if math.isnan(p) or len(found) == 1:
        return p
    smallest, largest = 1e-9, 0.5

    def excess(log_alpha: float) -> float:
        return _planned_levels(found[: place + 1], math.exp(log_alpha), found[-1])[place] - p

    if excess(math.log(largest)) <= 0:
        return 1.0
    if excess(math.log(smallest)) >= 0:
        return smallest
    bounds = math.log(smallest), math.log(largest)
    alpha = math.exp(float(optimize.brentq(excess, *bounds, xtol=1e-4)))
    return min(1.0, alpha * _drift(found))


def level_at(looks: Sequence[int], *, num_seeds: int, alpha: float = 0.05) -> float:
    """Level of the two-sided test at the look with so many seeds; alpha where none is planned."""
    found = tuple(looks)
    if num_seeds not in found:
        return alpha
    return planned_levels(found, alpha=alpha)[found.index(num_seeds)]


def interval_level(
    looks: Sequence[int], *, num_seeds: int, num_pairs: int = 1, level: float = 0.95
) -> float:
    """Coverage of the single interval at the look with `num_seeds`, so that those of all planned
    looks and all pairs hold together (repeated confidence intervals, Jennison and Turnbull 1989).

    Pairs by Bonferroni. looks: none, or none with so many seeds: this look is the only one.
    """
    alpha = (1 - level) / num_pairs
    return 1 - level_at(looks, num_seeds=num_seeds, alpha=alpha)


def level_of_looks(looks: Sequence[int], *, alpha: float = 0.05) -> float:
    """How often equal branches are told apart at some look, each tested at alpha as if alone."""
    found = _checked(looks)
    share = np.array(found) / found[-1]
    bound = _isf(alpha / 2)
    density, grid, total = None, None, 0.0
    for place, time in enumerate(share):
        step = time - (share[place - 1] if place else 0.0)
        total += _crossing(density, grid, bound=bound, time=float(time), step=float(step))
        density, grid = _kept(density, grid, bound=bound, time=float(time), step=float(step))
    return total


def _drift(looks: tuple[int, ...]) -> float:
    return 1.0 + _DRIFT * (len(looks) - 1)


def _checked(looks: Sequence[int]) -> tuple[int, ...]:
    found = tuple(looks)
    if not found or found[0] < 2 or any(b <= a for a, b in pairwise(found)):
        raise ValueError(f"looks {list(found)}; expected rising numbers of seeds, from 2 on")
    return found


@lru_cache(maxsize=4096)
def _planned_levels(
    looks: tuple[int, ...], alpha: float, most: int | None = None
) -> tuple[float, ...]:
    """most: seeds of the last planned look, where `looks` end before it."""
    if not 0 < alpha < 1:
        raise ValueError(f"alpha is {alpha:g}; expected more than 0 and less than 1")
    share = np.array(looks) / (most or looks[-1])
    spent = alpha * np.log1p((math.e - 1) * share)
    levels: list[float] = []
    density, grid, before = None, None, 0.0
    for place, time in enumerate(share):
        step = float(time - (share[place - 1] if place else 0.0))
        budget = float(spent[place]) - before
        before = float(spent[place])

        def excess(bound: float, *, time: float = float(time), step: float = step,
                   budget: float = budget, density: Array | None = density,
                   grid: Array | None = grid) -> float:  # fmt: skip
            return _crossing(density, grid, bound=bound, time=time, step=step) - budget

        bound = float(optimize.brentq(excess, 0.01, 7.5, xtol=1e-6))
        levels.append(float(2 * special.ndtr(-bound)))
        density, grid = _kept(density, grid, bound=bound, time=float(time), step=step)
    return tuple(levels)


def _crossing(
    density: Array | None, grid: Array | None, *, bound: float, time: float, step: float
) -> float:
    """Probability that the sum at `time` is beyond bound * sqrt(time), and was within before."""
    edge = bound * math.sqrt(time)
    if density is None or grid is None:
        return float(2 * special.ndtr(-bound))
    sd = math.sqrt(step)
    outside = special.ndtr((grid - edge) / sd) + special.ndtr((-edge - grid) / sd)
    return float(np.trapezoid(density * outside, grid))


def _kept(
    density: Array | None, grid: Array | None, *, bound: float, time: float, step: float
) -> tuple[Array, Array]:
    """Density of the sums that are still within the bound at `time` (Armitage, McPherson and Rowe
    1969), and its grid."""
    edge = min(bound, _REACH) * math.sqrt(time)
    points = np.linspace(-edge, edge, _POINTS)
    if density is None or grid is None:
        return _normal(points, sd=math.sqrt(time)), points
    kernel = _normal(points[:, None] - grid[None, :], sd=math.sqrt(step))
    return np.asarray(np.trapezoid(kernel * density, grid, axis=1)), points


def _normal(values: Array, *, sd: float) -> Array:
    return np.asarray(np.exp(-0.5 * (values / sd) ** 2) / (sd * math.sqrt(2 * math.pi)))


def _isf(tail: float) -> float:
    return -float(special.ndtri(tail))
