"""Whether a test part bears a verdict, by the rules that decide one."""

import math

import numpy as np
import pytest

from harness.metrics.decidable import too_small
from harness.metrics.registry import METRICS
from harness.statistics.clips import smallest_clip_effect
from harness.statistics.crossed import crossed_test

RANK, AGREEMENT, FID = METRICS["listening_rank"], METRICS["clip_score"], METRICS["fid"]


def test_a_class_that_cannot_be_ranked_is_named() -> None:
    """Catches: a class of one test clip that silently has no say."""
    (sentence,) = too_small({"rain": 30, "siren": 30, "bell": 1}, metric=RANK)
    assert sentence.startswith("bell has fewer than 2 test clips")
    assert too_small({"rain": 30, "siren": 30, "bell": 1}, metric=AGREEMENT) == []
    (sentence,) = too_small({"rain": 1, "siren": 1}, metric=RANK)
    assert "no verdict is possible" in sentence


def test_a_metric_that_ranks_nothing_at_this_size_is_named() -> None:
    """Catches: weeks of training for a distance that is known to rank wrongly here."""
    (sentence,) = too_small({"rain": 30, "siren": 30}, metric=FID)
    assert "no verdict on it is possible" in sentence


def test_a_small_test_part_is_told_what_it_can_show() -> None:
    """Catches: a warning that a usual test part gets too, or that a tiny one does not."""
    (sentence,) = too_small({"rain": 4, "siren": 4}, metric=RANK)
    assert sentence.startswith("8 test clips in 2 classes can show")
    assert "however many seeds" in sentence
    assert too_small({"rain": 8, "siren": 9}, metric=RANK) == []
    assert too_small({f"class{k}": 10 for k in range(25)}, metric=RANK) == []


def test_the_smallest_effect_is_found_by_the_test_in_four_of_five_cases() -> None:
    """Catches: a formula that is not of the test that decides."""
    num_clips, classes = 12, ["a", "b", "c"] * 4
    effect = smallest_clip_effect(num_clips, num_classes=3)
    rng = np.random.default_rng(0)
    found = 0
    for _ in range(400):
        clip_C = effect + rng.standard_normal(num_clips)
        test = crossed_test(np.stack([clip_C, clip_C + 1e-5]), classes=classes)
        assert test is not None
        found += test.p <= 0.05
    # Between the classes' shares nothing varies here, so the test has its nine degrees of freedom.
    assert found / 400 == pytest.approx(0.8, abs=0.06)
    assert smallest_clip_effect(1, num_classes=1) == math.inf
