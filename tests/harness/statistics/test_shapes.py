"""Collapsed and skewed trainings, and how much a win exaggerates."""

import numpy as np
import pytest

from benchmarks.study_means import mean_cell
from core.randomness import rng
from harness.statistics.exaggeration import exaggeration
from harness.statistics.outcome import Speaks
from harness.statistics.shapes import far_below, is_skewed, shape_of, unseen_share


def _shape(first, second, **options):
    values = {"a": dict(enumerate(first)), "b": dict(enumerate(second))}
    differences = {"a - b": np.subtract(first, second).tolist()}
    return shape_of(values, differences=differences, **{"higher_is_better": True, **options})


def test_a_collapsed_training_is_counted_for_its_branch():
    """Catches: a failure that only widens an interval."""
    steady = rng(0, "steady").normal(0.8, 0.01, 8)
    fallen = steady[::-1].copy()
    fallen[2] = 0.3
    assert _shape(steady, fallen).collapsed == {"a": [], "b": [2]}
    # Far on the better side is no collapse.
    assert _shape(steady, fallen, higher_is_better=False).collapsed == {"a": [], "b": []}


@pytest.mark.parametrize("seeds", [3, 4, 5, 6])
@pytest.mark.parametrize(("branches", "widest"), [(2, 1.0), (3, 3.0)])
def test_normal_trainings_rarely_look_collapsed(seeds, branches, widest):
    """Catches: a merely lower training called collapsed: with 3 seeds in 5 to 9 % of comparisons,
    and in 10 to 20 % where one branch varies three times as much as the others."""
    flagged = 0
    for repeat in range(600):
        values = rng(repeat, "normal", seeds).normal(size=(branches, seeds))
        values[0] *= widest
        named = {str(k): dict(enumerate(row)) for k, row in enumerate(values)}
        found = shape_of(named, differences={}, higher_is_better=True)
        flagged += any(found.collapsed.values())
    assert flagged <= 20  # 1 to 2 % are expected; 3.4 % would be 21


def test_of_three_trainings_only_a_great_fall_is_a_collapse():
    """Catches: the lowest of three real trainings (listening_rank .80, .79, .72) called collapsed,
    and a collapse to chance that is not."""
    others = [0.790, 0.806, 0.798]
    assert _shape(others, [0.80, 0.79, 0.72]).collapsed == {"a": [], "b": []}
    assert _shape(others, [0.80, 0.79, 0.50]).collapsed == {"a": [], "b": [2]}
    assert far_below(3, num_branches=2) == pytest.approx(10.5, rel=0.12)
    assert far_below(4, num_branches=2) > far_below(6, num_branches=2) == 6.0
    # Two trainings are no sample to be far from.
    assert _shape([0.8, 0.1], [0.8, 0.79]).collapsed == {"a": [], "b": []}


def test_few_seeds_speak_of_the_typical_training():
    """Catches: a claim about mean trainings where one in ten may collapse unseen."""
    values = rng(4, "shape").normal(size=(2, 29))
    assert _shape(*values[:, :10]).speaks is Speaks.TYPICAL
    assert _shape(*values).speaks is Speaks.MEAN
    assert unseen_share(6) == pytest.approx(0.393, abs=0.001)
    values[0, 3] = -60.0
    assert _shape(*values).speaks is Speaks.TYPICAL


def test_what_may_be_skewed_does_not_speak_of_the_mean():
    """Catches: a win by the mean of lognormal trainings, of which 30 seeds hide the tail: false in
    7 % where the mean is spoken of unless skewness is shown at .01."""
    found = mean_cell("lognormal, sigma 1.3, 3x sd", 30, 2_500)
    assert found["false_claims"] <= 0.044 + 3 * (0.044 * 0.956 / 2_500) ** 0.5
    assert found["false_wins"] > 0.09
    assert mean_cell("normal", 30, 400)["speaks_of_the_mean"] > 0.7


def test_skewed_differences_are_named():
    """Catches: a t interval printed over lognormal differences without a word."""
    assert is_skewed(np.exp(rng(2, "skew").normal(0, 1.5, 20)))
    assert not is_skewed(rng(3, "skew").normal(size=20))
    assert not is_skewed([1.0, 1.0, 50.0])


@pytest.mark.parametrize(("seeds", "truth"), [(6, 0.5), (10, 0.5), (6, 2.5)])
def test_a_win_is_shrunk_towards_the_truth(seeds, truth):
    """Catches: a winner's curse that is not mentioned (twice the truth at .5 sd, 6 seeds)."""
    draws = rng(seeds, "curse").normal(truth, 1, (4_000, seeds))
    mean, sd = draws.mean(axis=1), draws.std(axis=1, ddof=1)
    one_side = np.abs(np.sign(draws).sum(axis=1)) >= seeds - (0 if seeds < 8 else 2)
    won = (np.abs(mean) / sd * np.sqrt(seeds) > {6: 2.571, 10: 2.262}[seeds]) & one_side
    printed = np.abs(mean[won]).mean()
    shrunk = np.mean(
        [
            abs(exaggeration(m, sd=s, num_seeds=seeds).shrunken)
            for m, s in zip(mean[won], sd[won], strict=True)
        ]
    )
    if truth < 1:
        assert printed > 1.6 * truth
        assert abs(shrunk - truth) < 0.6 * (printed - truth)
    else:
        assert shrunk == pytest.approx(truth, rel=0.15)


def test_no_win_has_no_exaggeration():
    """Catches: a shrunken estimate of something that was not selected."""
    assert exaggeration(1.0, sd=0.1, num_seeds=5) is None
    assert exaggeration(1.0, sd=0.0, num_seeds=6) is None  # in what unit?
