"""The A/A study in small: the verdict keeps its stated level and power, the naive test does not."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from core.randomness import rng
from harness.comparison.analysis import analyse
from harness.comparison.study import (
    METRIC,
    World,
    coverage,
    experiment,
    naive_rate,
    simulated_winners,
    stand_in_runs,
    winners,
)
from harness.statistics.outcome import Outcome
from harness.statistics.paired import detectable_effect, paired_difference
from harness.statistics.power import detectable_win, win_power
from harness.statistics.verdict import verdict

ALPHA = 0.05
REPEATS = 80


def largest_count(rate: float, repeats: int) -> int:
    """Events that a true `rate` exceeds in one of a thousand such tests."""
    return int(stats.binom.ppf(0.999, repeats, rate))


@pytest.mark.parametrize("names", [2, 3])
def test_one_variant_under_several_names_is_called_a_winner_no_more_often_than_stated(
    names: int,
) -> None:
    """Catches: images counted as replicates, a pairing that is lost, pairs without Holm."""
    world = World(effects=(0.0,) * names)
    wins = sum(
        any(pair.winner for pair in experiment(world, repeat=repeat).pairs)
        for repeat in range(REPEATS)
    )
    assert wins <= largest_count(ALPHA, REPEATS)


@pytest.mark.parametrize(("names", "seeds", "effect"), [(2, 6, 0.6), (3, 7, 0.5), (3, 5, 3.0)])
def test_the_fast_rule_of_the_study_is_the_rule(names: int, seeds: int, effect: float) -> None:
    """Catches: a study that judges by something else than what judges records."""
    world = World(num_seeds=seeds, effects=(effect, *(0.0,) * (names - 1)))
    scores = np.stack([world.scores(rng(repeat, "rule")) for repeat in range(12)])
    fast = winners(scores.mean(axis=-1))
    for one, row in zip(scores, fast, strict=True):
        runs = stand_in_runs(world, one)
        found = analyse(runs, metric=METRIC, folder=Path("x"), command="").pairs
        judged = [{pair.first: 1, pair.second: -1, None: 0}[pair.winner] for pair in found]
        assert judged == row.tolist()
    assert (fast.any() and not fast.all()) or seeds < 6


def test_over_many_experiments_the_level_and_the_power_are_as_stated() -> None:
    """Catches: a level or a power that is off by little, which a hundred experiments hide."""
    repeats = 20_000
    error = 3 * (0.05 * 0.95 / repeats) ** 0.5
    for names in (2, 3):
        for variance in (0.0, 0.05, 0.2):
            world = World(effects=(0.0,) * names, training_sd=variance**0.5)
            rate = simulated_winners(world, repeats=repeats).any(axis=1).mean()
            assert rate <= ALPHA + error
    for seeds, pairs, names in ((6, 1, 2), (8, 3, 3)):
        world = World(num_seeds=seeds)
        planted = detectable_win(seeds, num_pairs=pairs) * world.paired_sd
        world = replace(world, effects=(planted, *(0.0,) * (names - 1)))
        found = simulated_winners(world, repeats=repeats)[:, 0]
        # At least: another pair's p may spare this one Holm's hardest step.
        assert (found == 1).mean() > 0.78
        assert (found == -1).mean() < 0.001


def test_a_planted_effect_is_found_as_often_as_the_plan_says() -> None:
    """Catches: a detectable effect stated for the t-test alone, which the whole rule misses."""
    world = World(num_seeds=6)
    world = replace(world, effects=(detectable_win(6) * world.paired_sd, 0.0))
    found = [experiment(world, repeat=repeat) for repeat in range(REPEATS)]
    wins = sum(record.winner == "branch_a" for record in found)
    low, high = stats.binom.ppf([0.001, 0.999], REPEATS, 0.8)
    assert low <= wins <= high
    assert not any(record.winner == "branch_b" for record in found)


def test_the_naive_test_over_images_fails_the_same_study() -> None:
    """Catches: a world in which trainings do not differ, where every test would pass."""
    rate = naive_rate(World(), repeats=2_000)
    assert rate > 0.25
    # With trainings that are all alike it keeps its level: the fault is the unit, not the test.
    assert naive_rate(World(training_sd=0.0), repeats=2_000) < 0.07


def test_the_simulated_world_has_the_paired_sd_it_says() -> None:
    """Catches: an effect planted in other units than those it is stated in."""
    world = World(num_seeds=4_000)
    means = world.scores(rng(0, "sd")).mean(axis=2)
    assert np.std(means[0] - means[1], ddof=1) == pytest.approx(world.paired_sd, rel=0.05)


def test_stand_in_runs_carry_the_scores_they_were_given() -> None:
    """Catches: a study of other numbers than the simulated ones."""
    world = World(num_seeds=2)
    scores = world.scores(rng(0, "runs"))
    runs = stand_in_runs(world, scores)
    assert [(r.record.identity.variant, r.record.identity.seed) for r in runs] == [
        ("branch_a", 0), ("branch_a", 1), ("branch_b", 0), ("branch_b", 1),
    ]  # fmt: skip
    for run, values in zip(runs, scores.reshape(4, -1), strict=True):
        assert run.per_clip["value"].tolist() == values.tolist()
        assert run.record.value("listening_rank") == pytest.approx(values.mean())


@pytest.mark.parametrize(("seeds", "pairs"), [(6, 1), (7, 3), (9, 1)])
def test_the_power_of_a_win_is_that_of_the_rule(
    seeds: int, pairs: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Catches: a second rule, for planning, that differs from the one that decides."""
    differences = rng(1, "rule", seeds).normal(0, 1, (300, seeds))
    monkeypatch.setattr("harness.statistics.power._noise", lambda n: differences)
    wins = 0
    for row in differences + 1.0:
        found = paired_difference(row, second=np.zeros(seeds))
        judged = verdict(
            found,
            first="a",
            second="b",
            higher_is_better=True,
            adjusted_p=min(1.0, found.t_p * pairs),
        )
        wins += judged.outcome is Outcome.WIN and judged.winner == "a"
    assert win_power(1.0, num_seeds=seeds, num_pairs=pairs) == pytest.approx(wins / 300)


def test_a_win_takes_more_than_the_t_test_alone() -> None:
    """Catches: a plan that promises a win from three seeds, or forgets Holm or the sign flip."""
    assert detectable_win(5) == float("inf")
    assert detectable_win(6) > 1.2 * detectable_effect(6)
    assert detectable_win(8, num_pairs=3) > detectable_win(8) > detectable_effect(8)
    assert win_power(detectable_win(8), num_seeds=8) == pytest.approx(0.8, abs=0.01)
    # Nothing planted: a win of this branch is half of all false wins.
    assert win_power(0.0, num_seeds=8) <= ALPHA / 2 + 0.005


@pytest.mark.parametrize(("seeds", "training_variance", "class_sd"), [(3, 0.05, 0.3), (6, 0.01, 0)])
def test_the_interval_over_seeds_classes_and_clips_covers_the_truth(
    seeds: int, training_variance: float, class_sd: float
) -> None:
    """Catches: an interval too narrow for another set of clips, or one that counts the noise of
    an image twice and covers 99 %."""
    repeats = 250
    world = World(
        num_seeds=seeds,
        effects=(0.3, 0.0),
        training_sd=training_variance**0.5,
        class_sd=class_sd,
    )
    share = coverage(world, repeats=range(repeats), num_resamples=400)
    assert 0.92 - 2.5 * (0.95 * 0.05 / repeats) ** 0.5 <= share <= 0.98
