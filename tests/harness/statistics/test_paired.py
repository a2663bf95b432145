"""Paired tests over seeds, power and multiplicity, against SciPy and by hand."""

import itertools
import math

import numpy as np
import pytest
from scipy import stats

from core.randomness import rng
from harness.statistics.multiplicity import benjamini_hochberg, holm
from harness.statistics.paired import (
    detectable_effect,
    paired_difference,
    sign_flip_p,
    smallest_sign_flip_p,
)


def test_paired_difference_agrees_with_scipy():
    """Catches: an unpaired test, n for n - 1, or a normal for a t quantile."""
    a, b = rng(0, "a").normal(size=7), rng(0, "b").normal(size=7)
    reference = stats.ttest_rel(a, b)
    interval = reference.confidence_interval(0.9)
    got = paired_difference(a, second=b, level=0.9)
    assert got.t_p == pytest.approx(reference.pvalue)
    assert (got.low, got.high) == pytest.approx((interval.low, interval.high))
    assert (got.n, got.mean, got.sd) == (
        7,
        pytest.approx((a - b).mean()),
        pytest.approx((a - b).std(ddof=1)),
    )


def test_identical_branches_show_no_difference():
    """Catches: 0 / 0 becoming a significant p."""
    got = paired_difference([0.3, 0.4, 0.5], second=[0.3, 0.4, 0.5])
    assert (got.mean, got.sd) == (0.0, 0.0)
    # Three differences of 0 do not say that every other is.
    assert math.isnan(got.low)
    assert math.isnan(got.high)
    assert (got.t_p, got.sign_flip_p) == (1.0, 1.0)


def test_a_difference_that_is_the_same_in_every_seed_is_judged_by_its_signs():
    """Catches: p of 0 and an interval of no width where a t-test divides by 0 or 1e-17."""
    ours = [0.4, 0.8, 0.7, 0.6, 0.5, 0.3]
    found = paired_difference(ours, second=[0.3, 0.7, 0.6, 0.5, 0.4, 0.2])
    assert found.mean == pytest.approx(0.1)
    assert found.sd == 0
    assert found.t_p == found.sign_flip_p == 2 / 2**6
    assert math.isnan(found.low)
    assert all(math.isnan(end) for end in found.at_level(0.99))
    close = paired_difference([0.4, 0.8, 0.7], second=[0.3, 0.7, 0.6 + 1e-6])
    assert 0 < close.t_p < 1e-9
    assert close.low > 0.09


def test_one_seed_has_a_difference_but_neither_interval_nor_p():
    """Catches: a claim from a single seed."""
    got = paired_difference([0.6], second=[0.5])
    assert got.mean == pytest.approx(0.1)
    assert all(math.isnan(value) for value in (got.sd, got.low, got.high, got.t_p))
    assert got.sign_flip_p == 1.0


@pytest.mark.parametrize(
    ("first", "second"), [([], []), ([1.0], [1.0, 2.0]), ([math.nan, 1.0], [0.0, 0.0])]
)
def test_values_that_do_not_pair_are_refused(first, second):
    """Catches: pairing by truncation, or a NaN that spreads into a verdict."""
    with pytest.raises(ValueError, match="seed"):
        paired_difference(first, second=second)


def test_sign_flip_p_by_hand():
    """Catches: a one-sided p, or the observed pattern left out."""
    # |sum| of the 8 patterns of 1, 2, 3: 6, 4, 2, 0 and mirrored; two of them reach 6.
    assert sign_flip_p([1.0, 2.0, 3.0]) == 2 / 8
    # 1, -2, 3 sums to 2; patterns with |sum| >= 2: all but +1+2-3 and its mirror.
    assert sign_flip_p([1.0, -2.0, 3.0]) == 6 / 8


@pytest.mark.parametrize("n", [1, 2, 5, 8])
def test_sign_flip_p_equals_the_full_enumeration(n):
    """Catches: a pattern lost or counted twice where the halves meet."""
    d = rng(n, "sign flip").normal(0.4, 1.0, n).round(1)
    sums = [abs(np.dot(signs, d)) for signs in itertools.product((1, -1), repeat=n)]
    expected = np.mean([value >= abs(d.sum()) - 1e-9 for value in sums])
    assert sign_flip_p(d) == pytest.approx(expected, abs=1e-12)


def test_sign_flip_p_agrees_with_scipys_permutation_test():
    """Catches: another test under the same name."""
    d = rng(3, "sign flip").normal(0.5, 1.0, 9)
    reference = stats.permutation_test(
        (d,), np.mean, permutation_type="samples", n_resamples=np.inf
    )
    assert sign_flip_p(d) == pytest.approx(reference.pvalue)


def test_sign_flip_p_reaches_five_percent_only_from_six_seeds_on():
    """Catches: a win called on five seeds."""
    for n in range(1, 13):
        assert sign_flip_p(np.arange(1.0, n + 1)) == smallest_sign_flip_p(n) == 2.0 ** (1 - n)
    assert smallest_sign_flip_p(5) > 0.05 > smallest_sign_flip_p(6)


@pytest.mark.parametrize(("seeds", "effect"), [(3, 3.26), (5, 1.69), (8, 1.15), (10, 0.99)])
def test_detectable_effect_matches_the_planned_figures(seeds, effect):
    """Catches: normal instead of noncentral t, or a one-sided test."""
    assert detectable_effect(seeds) == pytest.approx(effect, abs=0.01)


def test_detectable_effect_is_found_in_eighty_percent_of_simulated_comparisons():
    """Catches: a promise of power that the test itself does not keep."""
    n, trials = 6, 4000
    d = rng(0, "power").normal(detectable_effect(n), 1.0, (trials, n))
    found = stats.ttest_1samp(d, 0.0, axis=1).pvalue <= 0.05
    assert found.mean() == pytest.approx(0.8, abs=0.02)


def test_detectable_effect_with_one_seed_is_infinite():
    """Catches: a planner that offers one seed as a comparison."""
    assert detectable_effect(1) == math.inf


def test_holm_by_hand():
    """Catches: Bonferroni, a missing running maximum, or results in sorted order."""
    np.testing.assert_allclose(holm([0.04, 0.01, 0.03]), [0.06, 0.03, 0.06])
    np.testing.assert_allclose(holm([0.9, 0.8]), [1.0, 1.0])


def test_benjamini_hochberg_agrees_with_scipy():
    """Catches: the step-down instead of the step-up procedure."""
    p = rng(0, "p").random(11)
    np.testing.assert_allclose(benjamini_hochberg(p), stats.false_discovery_control(p, method="bh"))


@pytest.mark.parametrize("adjust", [holm, benjamini_hochberg])
def test_a_missing_p_stays_missing_and_is_not_counted(adjust):
    """Catches: a metric without a value making the others look worse, or an empty family."""
    np.testing.assert_equal(adjust([math.nan, 0.02, math.nan]), [math.nan, 0.02, math.nan])
    assert adjust([]).shape == (0,)
    with pytest.raises(ValueError, match="outside"):
        adjust([1.2])
