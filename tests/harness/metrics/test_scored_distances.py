"""Distances of a scored run: floor, curve, contributions."""

import numpy as np
import pytest

from harness.metrics.arms import REAL, Arm
from harness.metrics.batch import FloorPicture
from harness.metrics.decidable import rank_caution
from harness.metrics.registry import metric
from tests.harness.metrics.made_world import World


def test_the_floor_uses_other_real_images_where_given(world, scorers, listening):
    """Catches: a floor of the test images against themselves."""
    assert listening.arms[REAL]["kid"].n == len(world.clips) // 2
    others = {c.sample_id: FloorPicture(c.class_name, c.image) for c in world.clips[::2]}
    scores = world.score(world.painted(Arm.AUDIO, shift=0), scorers, floor_images=others)
    assert scores.arms[REAL]["kid"].n == len(others)


def test_a_perfect_generator_sits_at_the_floor(world, scorers, tmp_path):
    """Catches: distances of matched pictures beside a floor of unmatched ones, which call images
    indistinguishable from photographs (kid -.9 beside -.4, frechet_clip 6 beside 19)."""
    other = World(tmp_path, seed=6)  # of the same kind, none of its pictures one of the world's
    others = {c.sample_id: FloorPicture(c.class_name, c.image) for c in other.clips}
    # The real pictures themselves, each of another clip of the class.
    scores = world.score(world.painted(Arm.AUDIO, shift=3), scorers, floor_images=others)
    own, floor = scores.summary["frechet_clip"].value, scores.arms[REAL]["frechet_clip"].value
    assert floor > 1
    assert own == pytest.approx(floor, rel=0.05)
    scores = world.score(other.painted(Arm.AUDIO, shift=0), scorers)
    for name in ("kid", "cmmd"):
        value = scores.summary[name]
        assert abs(value.value) < 3 * value.standard_error


def test_the_clips_contributions_average_to_the_distance(listening):
    """Catches: contributions of another arm, draw or clip than the distance's."""
    means = listening.contributions.groupby(["arm", "metric"])["value"].mean()
    for (arm, name), mean in means.items():
        assert mean == pytest.approx(listening.arms[arm][name].value)
    assert set(means.index.get_level_values("metric")) == {"kid", "cmmd"}
    assert REAL not in set(means.index.get_level_values("arm"))


def test_a_distances_curve_ends_at_its_value_beside_the_floor_at_the_same_n(listening):
    """Catches: a plot whose last point is another number than the table's, or a floor at one n."""
    for name in ("kid", "cmmd", "frechet_clip"):
        of_metric = [point for point in listening.curves if point.metric == name]
        of_run = [point for point in of_metric if point.arm == "audio"]
        # A Frechet distance is taken to pictures of other clips: half of them without others.
        expected = (
            [(8, 100), (16, 1)] if name == "frechet_clip" else [(8, 1000), (16, 1000), (32, 1)]
        )
        assert [(p.n, p.repeats) for p in of_run] == expected
        assert of_run[-1].mean == listening.summary[name].value
        assert of_run[-1].sd is None
        floor = [point for point in of_metric if point.arm == REAL]
        assert [p.n for p in floor] == [8, 16]
        assert floor[-1].mean == listening.arms[REAL][name].value
    assert {point.arm for point in listening.curves} == {"audio", REAL}


def test_only_a_biased_distance_sinks_as_images_are_added(world, scorers):
    """Catches: the same clips drawn on both sides, which lets an unbiased distance depend on n."""
    scores = world.score(world.painted(Arm.AUDIO, shift=3), scorers)
    curve = {
        name: [p for p in scores.curves if (p.metric, p.arm) == (name, "audio")]
        for name in ("cmmd", "frechet_clip")
    }
    for point in curve["cmmd"][:-1]:
        error = point.sd / np.sqrt(point.repeats)
        assert abs(point.mean - curve["cmmd"][-1].mean) < 3.5 * error
    frechet = [point.mean for point in curve["frechet_clip"]]
    assert frechet == sorted(frechet, reverse=True)
    assert frechet[0] > 1.3 * frechet[-1]


def test_a_frechet_distance_of_few_images_may_rank_nothing_and_says_so(listening):
    """Catches: a verdict on a number whose bias differs by branch."""
    value = listening.summary["frechet_clip"]
    assert value.is_rankable is False
    assert "n = 16" in value.caution
    assert "2,048" in value.caution
    for name in ("kid", "cmmd", "listening_rank"):
        assert listening.summary[name].is_rankable
        assert listening.summary[name].caution is None
    assert not listening.summary["fid"].is_rankable
    assert rank_caution(metric("fid"), n=2047) is not None
    assert rank_caution(metric("fid"), n=2048) is None
