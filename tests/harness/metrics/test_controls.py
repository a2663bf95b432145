"""Paired listening margins."""

import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from core.randomness import rng
from harness.metrics.arms import Arm
from harness.metrics.controls import clip_means, listening_margins


def _table(metric: str, values: dict[tuple[str, str, int], float]) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {
                "sample_id": sample_id,
                "class_name": "rain",
                "arm": arm,
                "draw": draw,
                "metric": metric,
                "value": value,
            }
            for (sample_id, arm, draw), value in values.items()
        ]
    )


def test_margin_by_hand_averages_draws_before_it_pairs_clips():
    """Catches: treating draws as clips, which would double n and shrink the interval."""
    table = _table(
        "listening_rank",
        {
            ("a", "audio", 0): 1.0,
            ("a", "audio", 1): 0.5,
            ("a", "shuffled", 0): 0.25,
            ("b", "audio", 0): 0.5,
            ("b", "shuffled", 0): 0.25,
            ("b", "shuffled", 1): 0.25,
        },
    )
    (margin,) = listening_margins(table)
    assert (margin.metric, margin.control, margin.n) == ("listening_rank", Arm.SHUFFLED, 2)
    assert margin.mean == pytest.approx((0.5 + 0.25) / 2)
    assert margin.sd == pytest.approx(0.25 / math.sqrt(2))
    assert margin.z == pytest.approx(0.375 / (0.25 / 2))


def test_margin_agrees_with_the_paired_t_test():
    """Catches: an interval or z from another formula, or clips paired by position."""
    draw = rng(0, "margin")
    own, other = draw.normal(0.7, 0.2, 30), draw.normal(0.5, 0.2, 30)
    values = {(f"clip{i}", "audio", 0): own[i] for i in range(30)}
    values |= {(f"clip{i}", "silence", 0): other[i] for i in reversed(range(30))}
    (margin,) = listening_margins(_table("ais_cos", values))
    reference = stats.ttest_rel(own, other)
    interval = reference.confidence_interval(0.95)
    assert margin.z == pytest.approx(reference.statistic)
    assert (margin.low, margin.high) == pytest.approx((interval.low, interval.high))


def test_margin_of_an_error_is_positive_when_the_own_sound_has_less_of_it():
    """Catches: an error table in which listening looks like a loss."""
    values = {
        ("a", "audio", 0): 0.1, ("a", "text_only", 0): 0.4,
        ("b", "audio", 0): 0.2, ("b", "text_only", 0): 0.3,
    }  # fmt: skip
    (margin,) = listening_margins(_table("attribute_error", values))
    assert margin.mean == pytest.approx(0.2)
    (of_one,) = listening_margins(_table("attribute_error.pitch", values))
    assert of_one.mean == pytest.approx(0.2)


def test_margin_of_equal_arms_is_zero_without_a_z():
    """Catches: 0 / 0 reported as a number or as infinity."""
    values = {(clip, arm, 0): 0.5 for clip in "abc" for arm in ("audio", "silence")}
    (margin,) = listening_margins(_table("ais_win", values))
    assert (margin.n, margin.mean, margin.sd, margin.z) == (3, 0.0, 0.0, None)
    assert (margin.low, margin.high) == (0.0, 0.0)


def test_an_advantage_that_all_clips_share_has_no_interval():
    """Catches: an interval of no width above 0, by which two clips show that a branch listens."""
    values = {(clip, "audio", 0): value for clip, value in (("a", 0.4), ("b", 0.3))}
    values |= {(clip, "shuffled", 0): value for clip, value in (("a", 0.3), ("b", 0.2))}
    (margin,) = listening_margins(_table("ais_win", values))
    assert (margin.mean, margin.sd) == (pytest.approx(0.1), 0.0)
    assert margin.z is margin.low is margin.high is None


def test_margin_leaves_out_clips_that_lack_a_score_and_says_how_many_remain():
    """Catches: an undefined rank counted as zero, and an interval from one clip."""
    values = {
        ("a", "audio", 0): 0.9, ("a", "shuffled", 0): 0.4,
        ("b", "audio", 0): math.nan, ("b", "shuffled", 0): math.nan,
        ("c", "audio", 0): 0.9,
    }  # fmt: skip
    (margin,) = listening_margins(_table("listening_rank", values))
    assert (margin.n, margin.mean) == (1, pytest.approx(0.5))
    assert margin.sd is margin.z is margin.low is margin.high is None


def test_margin_without_a_control_arm_is_absent():
    """Catches: margins invented for arms that were not sampled."""
    values = {(clip, "audio", 0): 0.5 for clip in "ab"}
    assert listening_margins(_table("ais_win", values)) == []


def test_clip_mean_ignores_an_undefined_draw_but_keeps_an_undefined_clip():
    """Catches: a clip vanishing from the table without a trace."""
    values = {
        ("a", "audio", 0): 0.4, ("a", "audio", 1): math.nan, ("b", "audio", 0): math.nan,
    }  # fmt: skip
    means = clip_means(_table("ais_win", values)).set_index("sample_id")["value"]
    np.testing.assert_equal(means.loc[["a", "b"]].to_numpy(), [0.4, math.nan])
