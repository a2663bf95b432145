"""Verdicts: what six, five and one seeds may claim, and how often a claim is false."""

import math

import numpy as np
import pandas as pd
import pytest
from scipy import optimize, stats

from core.randomness import rng
from harness.statistics.crossed import crossed_test
from harness.statistics.looks import spent_p
from harness.statistics.outcome import Outcome, Population, Strength
from harness.statistics.paired import paired_difference
from harness.statistics.verdict import compare_pairs, leader, tie_ps, verdict


def _verdict(differences, **options):
    options = {"higher_is_better": True, **options}
    difference = paired_difference(differences, second=np.zeros(len(differences)))
    return verdict(difference, first="a", second="b", **options)


CLEAR = [1.0, 1.1, 0.9, 1.05, 0.95, 1.0]


def _crossed(differences, *, clip_sd):
    """The crossed test of these seeds, on 20 clips that differ by so much."""
    clips = clip_sd * np.tile([1.0, -1.0], 10)
    table = np.asarray(differences)[:, None] + clips
    return crossed_test(table, classes=["x"] * 20)


def test_six_clear_seeds_are_a_confirmed_win():
    """Catches: a rule that no result can meet."""
    got = _verdict(CLEAR, crossed=_crossed(CLEAR, clip_sd=0.5))
    assert (got.outcome, got.strength, got.winner) == (Outcome.WIN, Strength.CONFIRMED, "a")
    assert got.population is Population.CLIPS


def test_a_win_that_other_clips_need_not_repeat_speaks_of_these_clips():
    """Catches: "confirmed" over seeds where the clips disagree, or where no clip is known."""
    for crossed in (_crossed(CLEAR, clip_sd=4.0), None):
        got = _verdict(CLEAR, crossed=crossed)
        assert (got.outcome, got.winner) == (Outcome.WIN, "a")
        assert (got.strength, got.population) == (Strength.THESE_CLIPS, Population.THESE_CLIPS)


def test_enough_seeds_that_establish_nothing_are_not_confirmed():
    """Catches: `strength: confirmed` beside `outcome: undecided` for scripts to read."""
    got = _verdict([1.0, -1.0, 0.5, -0.5, 0.1, -0.1])
    assert (got.outcome, got.strength) == (Outcome.UNDECIDED, Strength.NONE)


def test_pair_ties_keep_their_level_over_all_pairs():
    """Catches: each pair tied at 5 %: any false tie of 5 branches in 15 %."""
    branches, repeats, wrong, naive = 5, 400, 0, 0
    draw = rng(branches, "ties")
    for _ in range(repeats):
        # The first branch is exactly at the margin from all others.
        values = draw.normal(size=(branches, 10)) * 0.2
        values[0] += 1.0
        table = _values(**{str(k): row for k, row in enumerate(values)})
        pairs = compare_pairs(table, higher_is_better=True, margin=1.0)
        false = [pair for pair in pairs if "0" in (pair.first, pair.second)]
        wrong += any(pair.outcome is Outcome.TIE for pair in false)
        naive += any(tie_ps(p.difference, crossed=None, margin=1.0)[0] <= 0.05 for p in false)
    assert wrong / repeats <= 0.05 + 3 * (0.05 * 0.95 / repeats) ** 0.5
    assert naive / repeats > 0.09


def test_all_pairs_that_tie_alone_tie_together():
    """Catches: an adjustment that takes pairs out of a joint tie, which needs none."""
    draws = rng(3, "joint tie").normal(size=(3, 8)) * 0.3
    table = _values(a=draws[0], b=draws[1], c=draws[2])
    pairs = compare_pairs(table, higher_is_better=True, margin=1.0)
    # The margin at which the worst pair alone just ties.
    margin = float(
        optimize.brentq(
            lambda m: max(tie_ps(p.difference, crossed=None, margin=m)[0] for p in pairs) - 0.049,
            0.05,
            5.0,
        )
    )
    pairs = compare_pairs(table, higher_is_better=True, margin=margin)
    assert all(pair.outcome is Outcome.TIE for pair in pairs)


def test_planned_looks_raise_every_p():
    """Catches: looks that are planned and cost nothing."""
    table = _values(a=np.array(CLEAR) + rng(0, "l").normal(0, 0.6, 6), b=np.zeros(6))
    (alone,) = compare_pairs(table, higher_is_better=True)
    (looked,) = compare_pairs(table, higher_is_better=True, looks=(6, 8, 10))
    assert looked.adjusted_p == pytest.approx(
        spent_p(alone.adjusted_p, looks=(6, 8, 10), num_seeds=6)
    )
    assert looked.adjusted_p > alone.adjusted_p


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


@pytest.mark.parametrize(
    ("num_seeds", "p"), [(2, 0.25), (4, 0.0625), (5, 0.03125), (8, 0.00390625)]
)
def test_equal_differences_tie_by_their_number_alone(num_seeds: int, p: float):
    """Catches: a tie of two seeds with p = 0, since scores of a few clips have no spread."""
    base = np.linspace(0.2, 0.9, num_seeds)
    difference = paired_difference(base, second=base - 0.01)
    assert tie_ps(difference, crossed=None, margin=0.05) == (p, 1.0)
    assert tie_ps(difference, crossed=None, margin=0.005) == (1.0, 1.0)


def test_a_difference_too_small_to_matter_is_a_tie_even_when_it_is_significant():
    """Catches: a win by less than the margin set before the runs."""
    got = _verdict([0.010, 0.011, 0.009, 0.0105, 0.0095, 0.010], margin=0.05)
    assert got.adjusted_p < 0.05
    assert (got.outcome, got.winner) == (Outcome.TIE, None)


def test_one_seed_is_undecided():
    """Catches: a NaN comparison that falls through to a win or a tie."""
    got = _verdict([1.0], margin=5.0)
    assert (got.outcome, got.strength) == (Outcome.UNDECIDED, Strength.EXPLORATORY)


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
