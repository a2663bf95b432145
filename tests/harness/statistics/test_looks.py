"""Looks at a growing comparison: planned ones keep the level, unplanned ones are priced."""

import math

import numpy as np
import pytest
from scipy import stats

from core.randomness import rng
from harness.statistics.looks import level_of_looks, planned_levels, spent_p


def _p(values: np.ndarray, n: int) -> np.ndarray:
    first = values[:, :n]
    return 2 * stats.t.sf(
        np.abs(first.mean(axis=1)) / first.std(axis=1, ddof=1) * math.sqrt(n), n - 1
    )


@pytest.mark.parametrize("looks", [(6, 8, 10), tuple(range(6, 21, 2))])
def test_planned_looks_keep_the_level_together(looks):
    """Catches: the full level at each look, or a boundary of normal sums on few seeds."""
    values = rng(0, "looks", len(looks)).standard_normal((30_000, looks[-1]))
    levels = planned_levels(looks)
    ever = np.any([_p(values, n) <= x for n, x in zip(looks, levels, strict=True)], axis=0)
    assert 0.043 <= ever.mean() <= 0.0525


def test_the_level_of_unplanned_looks_is_what_simulation_finds():
    """Catches: a notice that looks happened without saying what they cost."""
    values = rng(1, "unplanned").standard_normal((40_000, 300))
    # Many seeds, so that t is normal: looks at 180, 240, 300 stand at the shares of 6, 8, 10.
    ever = np.any([_p(values, n) <= 0.05 for n in (180, 240, 300)], axis=0)
    assert level_of_looks((6, 8, 10)) == pytest.approx(ever.mean(), abs=0.004)
    assert level_of_looks((6,)) == pytest.approx(0.05)
    assert level_of_looks((6, 8, 10, 12)) > level_of_looks((6, 8, 10)) > 0.08


def test_two_looks_by_an_independent_integral():
    """Catches: a wrong joint distribution of two looks."""
    levels = planned_levels((8, 16), alpha=0.05)
    alpha = 0.05 / 1.02
    first = alpha * math.log(1 + (math.e - 1) / 2)
    assert levels[0] == pytest.approx(first, abs=1e-6)
    bounds = stats.norm.isf(np.array(levels) / 2)
    both = stats.multivariate_normal(cov=[[1, math.sqrt(0.5)], [math.sqrt(0.5), 1]])
    inside = both.cdf(bounds, lower_limit=-bounds)
    assert 1 - inside == pytest.approx(alpha, abs=2e-4)


@pytest.mark.parametrize("seeds", [6, 8, 10])
def test_an_adjusted_p_is_below_alpha_just_where_the_level_is_met(seeds):
    """Catches: a p that says significant where the planned level is missed."""
    looks = (6, 8, 10)
    level = planned_levels(looks)[looks.index(seeds)]
    assert spent_p(level * 0.99, looks=looks, num_seeds=seeds) < 0.05
    assert spent_p(level * 1.01, looks=looks, num_seeds=seeds) > 0.05
    assert math.isnan(spent_p(math.nan, looks=looks, num_seeds=seeds))
    assert spent_p(0.999, looks=looks, num_seeds=seeds) == 1.0


def test_one_look_costs_nothing_and_others_are_refused():
    """Catches: a lone look that is corrected, or a look that nobody planned passing as one."""
    assert spent_p(0.03, looks=(6,), num_seeds=6) == 0.03
    with pytest.raises(ValueError, match="no look is planned at 7"):
        spent_p(0.03, looks=(6, 8), num_seeds=7)
    with pytest.raises(ValueError, match="rising"):
        planned_levels((8, 6))


def test_planned_looks_save_trainings_where_the_difference_is_large():
    """Catches: a spending so stingy at first that looking early is of no use."""
    looks, values = (6, 8, 10), rng(2, "saving").standard_normal((4_000, 10)) + 1.5
    used = np.full(len(values), 10.0)
    for n, level in reversed(list(zip(looks, planned_levels(looks), strict=True))):
        # At 6 seeds the sign-flip test asks for one side of all.
        one_side = np.abs(np.sign(values[:, :n]).sum(axis=1)) == n
        used[(_p(values, n) <= level) & (one_side | (n > 6))] = n
    assert used.mean() <= 7.05
