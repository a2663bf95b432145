"""benchmarks/adapter_ranking.py on hand-made scores, and the five arms that it compares."""

import math
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks.adapter_arms import KINDS, arm, write_plugin
from benchmarks.adapter_ranking import (
    agreement,
    by_few_clips,
    by_single_seeds,
    flipped,
    interval,
    order,
    tau,
)
from harness.branches.registry import find_variant
from harness.settings.load import load_profile
from variants.baseline import CONFIG

# Adapters a, b and c, four seeds. Means .625, .5, .4; the orders: abc, abc, bac, cba.
SCORES_AS = np.array([[0.9, 0.8, 0.5, 0.3], [0.6, 0.4, 0.6, 0.4], [0.3, 0.1, 0.4, 0.8]])


def test_single_seeds_are_counted_against_all_by_hand():
    """Catches: seeds counted as adapters, pairs counted twice, a seed held against itself."""
    assert order(SCORES_AS.mean(axis=1)) == (0, 1, 2)
    found = by_single_seeds(SCORES_AS)
    assert found["seeds_with_another_winner"] == 2
    assert found["seeds_with_another_order"] == 2
    assert found["different_winners"] == 3
    assert found["tau_with_all_seeds"] == [1.0, 1.0, 0.333, -1.0]
    # Flips against all: 0, 0, 1 and 3 of 3 pairs.
    assert found["pairs_flipped_against_all"] == round(4 / 12, 3)
    # Between seeds: 0, 1, 3, 1, 3, 2 of 3 pairs, for 01, 02, 03, 12, 13, 23.
    assert found["pairs_flipped_between_two_seeds"] == round(10 / 18, 3)
    # Of 12 pairs of unequal seeds: a and b 4 flips; a and c 3, with two ties; b and c 4, too.
    assert found["pairs_flipped_against_all_by_own_seeds"] == round(11 / 36, 3)
    # Whichever seed is left out, the mean of the others says abc.
    assert found["tau_with_the_other_seeds"] == [1.0, 1.0, 0.333, -1.0]
    # 01 and 23: .85 .5 .2, .4 .5 .6; 02 and 13: .7 .6 .35, .55 .4 .45; 03 and 12: .6 .5 .55,
    # .65 .5 .25. So 3, 1 and 1 of 3 pairs are flipped: tau -1, 1/3 and 1/3.
    assert found["mean_tau_between_sets_of_seeds"] == {"1": -0.111, "2": -0.111}


def test_a_seed_is_also_held_against_the_others_alone():
    """Catches: a seed that decides the mean said to agree with the rest."""
    found = by_single_seeds(np.array([[9.0, 0.0, 0.0], [0.0, 1.0, 1.0]]))
    assert found["tau_with_all_seeds"] == [1.0, -1.0, -1.0]
    assert found["tau_with_the_other_seeds"] == [-1.0, -1.0, -1.0]


def test_sets_of_seeds_share_none():
    """Catches: a set held against one that holds its seeds, which agrees by itself."""
    one_and_other = np.array([[3.0, 1.0], [2.0, 2.0], [1.0, 3.0]])
    assert agreement(one_and_other, size=1) == -1.0
    four = np.array([[3.0, 3.0, 1.0, 1.0], [2.0, 2.0, 2.0, 2.0], [1.0, 1.0, 3.0, 3.0]])
    # {01} against {23}: -1; the two other halvings: all equal, tau 0.
    assert agreement(four, size=2) == pytest.approx(-1 / 3)


def test_a_tie_is_half_a_flip():
    """Catches: ties counted as agreement, which makes coarse scores look stable."""
    assert flipped(np.array([1.0, 1.0]), np.array([2.0, 1.0])) == 0.5
    assert tau(np.array([1.0, 1.0]), np.array([2.0, 1.0])) == 0.0


def test_a_few_clips_find_the_winner_where_all_clips_agree_and_not_where_they_do_not():
    """Catches: other clips drawn for each adapter; the mean over clips taken for a few."""
    draw = np.random.default_rng(0)
    of_clip_SC = draw.normal(size=(2, 40))
    clear = np.stack([of_clip_SC + gap for gap in (0.2, 0.1, 0.0)])
    assert by_few_clips(clear, num_draws=200) == {
        "clips": 4, "another_winner": 0.0, "pairs_flipped": 0.0, "mean_tau": 1.0,
    }  # fmt: skip
    # The first wins on one clip by much and loses all the others.
    rare = np.zeros((2, 1, 40))
    rare[0, 0, 0], rare[0, 0, 1:] = 100.0, -1.0
    found = by_few_clips(rare, num_draws=4_000)
    assert found["another_winner"] == pytest.approx(0.9, abs=0.02)  # 36 / 40 of the sets


def test_the_interval_is_students():
    """Catches: a normal quantile, or the sd of the seeds in the place of their mean's error."""
    low, high = interval(np.array([1.0, 2.0, 3.0]))
    reach = 4.302652729911275 / math.sqrt(3)  # t(.975, 2) x sd 1 / sqrt(3)
    assert (low, high) == pytest.approx((2 - reach, 2 + reach))


def test_arms_differ_from_the_baseline_of_tiny_in_their_adapter_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Catches: an arm with another width than `tiny` gives, or two arms with one adapter."""
    write_plugin(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    of_tiny = CONFIG(**load_profile("tiny", overrides=()).variants["baseline"])
    found = []
    for kind in KINDS:
        monkeypatch.delitem(sys.modules, arm(kind), raising=False)
        settings = find_variant(arm(kind)).load().Config().model_dump()
        found.append(settings.pop("adapt").value)
        assert settings == of_tiny.model_dump(exclude={"adapt"})
    assert tuple(found) == KINDS
