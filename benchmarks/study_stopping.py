"""Could a comparison of several branches end sooner? Other rules for planned looks, by simulation.

The first branch is 1.5 paired sd ahead of all others; any win ends it. Seeds alone, as if clips
were no matter: what decides how soon is the test over seeds.

Shape legend: R experiments, B branches, P pairs, S seeds, T sign patterns.
"""

import math
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np
from scipy import optimize, special, stats

from benchmarks.study_worlds import ALPHA, Array, Bools
from core.randomness import rng
from harness.statistics import looks as product
from harness.statistics.many import holm_rows, is_flip_significant, seed_p, sign_patterns

LOOKS = (6, 8, 10)
EFFECT = 1.5
WIDE = 3.0
"""Times as much one branch's trainings vary, in the world where an equal sd is not the case."""

Spending = Callable[[Array], Array]
Test = Callable[[Array, float], Bools]
"""Whether some pair wins: [R] from values [R, B, S] and the level of the look."""

SPENDINGS: dict[str, Spending] = {
    "as log(1 + (e - 1) t), the product's": lambda t: np.log1p((math.e - 1) * t),
    "as the share t of the seeds": lambda t: t,
    "as the root of t": lambda t: np.sqrt(t),
    "as 1 - exp(-2 t)": lambda t: (1 - np.exp(-2 * t)) / (1 - math.exp(-2)),
    "as 1 - exp(-4 t), nearly all at once": lambda t: (1 - np.exp(-4 * t)) / (1 - math.exp(-4)),
}
"""What of alpha is spent at a share t of the seeds."""


def stopping_rules() -> list[tuple[str, int]]:
    """Name and branches of each."""
    names = [*(f"spent {name}" for name in SPENDINGS), "not paid for", *_TESTS]
    return [(name, branches) for name in names for branches in (2, 3, 5)]


def stopping_cell(name: str, branches: int, experiments: int) -> dict[str, Any]:
    """Seeds on average with the effect, and false wins without one: of branches that vary alike,
    and where one varies `WIDE` times as much."""
    test = _TESTS.get(name, _holm_and_flips)
    ahead = _run(name, test, _values(branches, experiments, ahead=EFFECT))
    equal = _run(name, test, _values(branches, experiments))
    wide = _run(name, test, _values(branches, experiments, widest=WIDE))
    return {
        "rule": name,
        "branches": branches,
        "looks": list(LOOKS),
        "experiments": experiments,
        "mean_seeds_used": float(ahead[0].mean()),
        "ends_at_first_look": float((ahead[0] == LOOKS[0]).mean()),
        "false_wins": float(equal[1].mean()),
        "false_wins_one_wide": float(wide[1].mean()),
    }


def _values(branches: int, count: int, *, ahead: float = 0.0, widest: float = 1.0) -> Array:
    draw = rng(0, "study of stopping", branches, str(ahead), str(widest))
    found = draw.standard_normal((count, branches, LOOKS[-1])) / math.sqrt(2)
    found[:, 0] = found[:, 0] * widest + ahead
    return np.asarray(found)


def _run(name: str, test: Test, values_RBS: Array) -> tuple[Array, Bools]:
    """(Seeds at which each ended, whether by a win)."""
    used_R = np.full(len(values_RBS), float(LOOKS[-1]))
    won_R = np.zeros(len(values_RBS), dtype=bool)
    for place, look in enumerate(LOOKS):
        level = _levels(name)[place]
        wins_R = ~won_R & test(values_RBS[:, :, :look], level)
        used_R[wins_R] = look
        won_R |= wins_R
    return used_R, won_R


@lru_cache(maxsize=16)
def _levels(name: str) -> tuple[float, ...]:
    """Of each look, for the rule of this name."""
    spending = SPENDINGS.get(name.removeprefix("spent "))
    if name == "not paid for":
        return (ALPHA,) * len(LOOKS)
    if spending is None:
        return product.planned_levels(LOOKS)
    share = np.array(LOOKS) / LOOKS[-1]
    spent = ALPHA / product._drift(LOOKS) * spending(share)
    levels: list[float] = []
    density, grid, before, earlier = None, None, 0.0, 0.0
    for time, until in zip(share, spent, strict=True):
        step, budget = float(time - earlier), float(until - before)
        before, earlier = float(until), float(time)

        def excess(bound: float, *, time: float = float(time), step: float = step,
                   budget: float = budget, density: Array | None = density,
                   grid: Array | None = grid) -> float:  # fmt: skip
            found = product._crossing(density, grid, bound=bound, time=time, step=step)
            return found - budget

        bound = float(optimize.brentq(excess, 0.01, 7.5))
        levels.append(float(2 * special.ndtr(-bound)))
        density, grid = product._kept(density, grid, bound=bound, time=float(time), step=step)
    return tuple(levels)


def _differences(values_RBS: Array) -> Array:
    first_P, second_P = np.triu_indices(values_RBS.shape[1], k=1)
    return np.asarray(values_RBS[:, first_P] - values_RBS[:, second_P])


def _holm_and_flips(values_RBS: Array, level: float) -> Bools:
    """The product's: Holm's t-tests at the level of the look, and the sign-flip test at alpha."""
    difference_RPS = _differences(values_RBS)
    asked_RP = holm_rows(seed_p(difference_RPS)) <= level
    wins_RP = is_flip_significant(difference_RPS, asked_X=asked_RP, alpha=ALPHA)
    return np.asarray(wins_RP.any(axis=1))


def _largest_t_by_flips(values_RBS: Array, level: float) -> Bools:
    """The largest t of all pairs against its values under all signs of the seeds (Westfall and
    Young 1993): Holm's bound gives way to how the pairs depend on each other."""
    seeds = values_RBS.shape[-1]
    found = []
    for part_RBS in np.array_split(values_RBS, max(1, len(values_RBS) // 500)):
        difference_RPS = _differences(part_RBS)
        mean_RPT = difference_RPS @ sign_patterns(seeds).T / seeds
        square_RP = (difference_RPS**2).mean(axis=-1)
        spread_RPT = np.sqrt(np.maximum(square_RP[..., None] - mean_RPT**2, 1e-300))
        largest_RT = (np.abs(mean_RPT) / spread_RPT).max(axis=1)
        found.append((largest_RT >= largest_RT[:, :1] * (1 - 1e-9)).mean(axis=1) <= level)
    return np.concatenate(found)


def _one_sd_for_all(values_RBS: Array, level: float) -> Bools:
    """Tukey's studentised range with one sd of all branches and seeds together."""
    _, branches, seeds = values_RBS.shape
    of_branch_RB = values_RBS.mean(axis=2)
    rest_RBS = values_RBS - of_branch_RB[..., None] - values_RBS.mean(axis=1, keepdims=True)
    rest_RBS = rest_RBS + values_RBS.mean(axis=(1, 2), keepdims=True)
    freedom = (branches - 1) * (seeds - 1)
    sd_R = np.sqrt((rest_RBS**2).sum(axis=(1, 2)) / freedom)
    range_R = np.ptp(of_branch_RB, axis=1) / (sd_R / math.sqrt(seeds))
    return np.asarray(range_R > stats.studentized_range.isf(level, branches, freedom))


_TESTS: dict[str, Test] = {
    "largest t by sign flips": _largest_t_by_flips,
    "one sd for all branches": _one_sd_for_all,
}
