"""Verdicts: what six, five and one seeds may claim, and how often a claim is false."""

import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from core.randomness import rng
from harness.statistics.outcome import Outcome, Strength
from harness.statistics.paired import paired_difference
from harness.statistics.verdict import compare_pairs, leader, verdict


def _verdict(differences, **options):
    options = {"higher_is_better": True, **options}
    difference = paired_difference(differences, second=np.zeros(len(differences)))
    return verdict(difference, first="a", second="b", **options)


CLEAR = [1.0, 1.1, 0.9, 1.05, 0.95, 1.0]


def test_six_clear_seeds_are_a_confirmed_win():
    """Catches: a rule that no result can meet."""
    got = _verdict(CLEAR)
    assert (got.outcome, got.strength, got.winner) == (Outcome.WIN, Strength.CONFIRMED, "a")


def test_five_clear_seeds_are_exploratory_and_no_win():
    """Catches: a win that the sign-flip test cannot support."""
    got = _verdict(CLEAR[:5])
    assert (got.outcome, got.strength) == (Outcome.UNDECIDED, Strength.EXPLORATORY)
    assert (got.winner, got.ahead) == (None, "a")
    # At alpha .1 the p-values alone would allow it.
    assert _verdict(CLEAR[:5], alpha=0.1).outcome is Outcome.UNDECIDED


def test_the_other_branch_wins_where_lower_is_better():
    """Catches: the larger error called the winner."""
    assert _verdict(CLEAR, higher_is_better=False).winner == "b"


def test_a_win_needs_every_seed_on_one_side_at_six_seeds():
    """Catches: dropping the sign-flip test, which guards against one wild seed."""
    with_one_against = [1.0, 1.1, 0.9, 1.05, 0.95, -0.3]
    got = _verdict(with_one_against)
    assert got.adjusted_p <= 0.05 < got.difference.sign_flip_p
    assert got.outcome is Outcome.UNDECIDED


def test_a_win_is_lost_when_the_adjusted_p_is_too_large():
    """Catches: the raw p used where three pairs were tested."""
    assert _verdict(CLEAR, adjusted_p=0.06).outcome is Outcome.UNDECIDED


def test_a_tie_needs_the_whole_interval_within_the_margin():
    """Catches: calling a noisy zero a tie."""
    assert _verdict([0.01, -0.01, 0.0, 0.01, -0.01, 0.0], margin=0.05).outcome is Outcome.TIE
    assert _verdict([1.0, -1.0, 0.5, -0.5, 0.1, -0.1], margin=0.05).outcome is Outcome.UNDECIDED
    assert _verdict([0.0] * 6).outcome is Outcome.UNDECIDED


def test_a_difference_too_small_to_matter_is_a_tie_even_when_it_is_significant():
    """Catches: a win by less than the margin set before the runs."""
    got = _verdict([0.010, 0.011, 0.009, 0.0105, 0.0095, 0.010], margin=0.05)
    assert got.adjusted_p < 0.05
    assert (got.outcome, got.winner) == (Outcome.TIE, None)


def test_one_seed_is_undecided():
    """Catches: a NaN comparison that falls through to a win or a tie."""
    got = _verdict([1.0], margin=5.0)
    assert (got.outcome, got.strength) == (Outcome.UNDECIDED, Strength.EXPLORATORY)
    assert math.isnan(got.detectable)


def _values(**branches):
    return pd.DataFrame(
        [
            {"branch": name, "seed": seed, "value": value}
            for name, values in branches.items()
            for seed, value in enumerate(values)
        ]
    )


def test_pairs_are_holm_adjusted_and_use_common_seeds():
    """Catches: unadjusted pairs, or seeds paired by position."""
    base = np.array([0.1, 0.4, 0.2, 0.3, 0.5, 0.6])
    table = _values(a=base + CLEAR, b=base, c=base + 0.01 * np.array([1, -1, 2, -2, 1, -1]))
    table = table[~((table["branch"] == "b") & (table["seed"] == 2))].sample(frac=1, random_state=0)
    pairs = {
        frozenset((pair.first, pair.second)): pair
        for pair in compare_pairs(table, higher_is_better=True)
    }
    assert len(pairs) == 3
    ab, ac = pairs[frozenset("ab")], pairs[frozenset("ac")]
    assert (ab.difference.n, ac.difference.n) == (5, 6)
    assert abs(ab.difference.mean) == pytest.approx(np.delete(CLEAR, 2).mean())
    assert ac.winner == "a"
    assert ac.adjusted_p > ac.difference.t_p


def test_the_leader_beats_every_other_branch_or_there_is_none():
    """Catches: naming the best mean as the winner."""
    base = np.array([0.1, 0.4, 0.2, 0.3, 0.5, 0.6])
    ahead = compare_pairs(_values(a=base + CLEAR, b=base, c=base - CLEAR), higher_is_better=True)
    assert leader(ahead) == "a"
    noisy = base + np.array([1, -1, 2, -2, 1, -1]) * 0.1
    tied = compare_pairs(_values(a=base + CLEAR, b=noisy + CLEAR, c=base), higher_is_better=True)
    assert leader(tied) is None
    assert leader([]) is None


def test_a_branch_with_two_values_for_a_seed_is_refused():
    """Catches: clips passed where one number a seed is meant."""
    table = pd.concat([_values(a=[1.0], b=[2.0]), _values(a=[1.0])])
    with pytest.raises(ValueError, match="two values"):
        compare_pairs(table, higher_is_better=True)


def test_branches_without_a_common_seed_are_refused():
    """Catches: an unpaired comparison."""
    table = _values(a=[1.0, 2.0], b=[1.0, 2.0])
    table.loc[table["branch"] == "b", "seed"] += 10
    with pytest.raises(ValueError, match="no seed in common"):
        compare_pairs(table, higher_is_better=True)


def test_equal_branches_rarely_win_by_seeds_but_often_by_images():
    """Catches: replication counted in images. Seed variance is 10 % of image variance."""
    draw = rng(0, "A/A study")
    trials, seeds, images = 600, 6, 128
    by_seed = by_image = 0
    for _ in range(trials):
        # A branch's mean moves with the seed of its training; images scatter around it.
        seed_effect = draw.normal(0.0, math.sqrt(0.1), (seeds, 2))
        clips = draw.normal(0.0, 1.0, (seeds, images, 2)) + seed_effect[:, None, :]
        by_image += stats.ttest_rel(clips[0, :, 0], clips[0, :, 1]).pvalue <= 0.05
        means = clips.mean(axis=1)
        difference = paired_difference(means[:, 0], second=means[:, 1])
        got = verdict(difference, first="a", second="b", higher_is_better=True)
        by_seed += got.outcome is Outcome.WIN
    assert by_image / trials > 0.3
    assert by_seed / trials <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / trials)
