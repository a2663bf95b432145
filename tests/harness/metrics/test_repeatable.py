"""A score that is not of the images is refused while a run is scored: defect (j)."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from core.errors import GuardError
from core.randomness import rng
from harness.metrics import computing
from harness.metrics.batch import Batch
from harness.metrics.computing import compute_all
from harness.metrics.metric import Absent, ClipMetric, SetMetric, SetScore
from harness.metrics.registry import METRICS
from harness.testing.toy_world import CLIPS_PER_CLASS, NUM_CLASSES, ToyWorld, toy_world

NUM_CLIPS = NUM_CLASSES * CLIPS_PER_CLASS
Compute = Callable[[Batch], Any]
ENTROPY = np.random.default_rng(4)


def unseeded(batch: Batch) -> Any:
    return ENTROPY.random(len(batch.rows))


def by_place(batch: Batch) -> Any:
    return rng(0, "score").random(len(batch.rows))


def by_clip(batch: Batch) -> Any:
    return np.array([rng(0, row.sample_id).random() for row in batch.rows])


def by_clip_and_arm(batch: Batch) -> Any:
    """What a cache that is keyed without the image gives."""
    return np.array([rng(0, row.sample_id, "x").random() for row in batch.rows])


def answers(world: ToyWorld) -> Batch:
    next_ones = [*range(1, NUM_CLIPS), 0]
    return world.batch(world.answered(next_ones, num_draws=1))


def of_clips(compute: Compute) -> ClipMetric:
    return replace(METRICS["attribute_error"], name="mine", compute=compute, parts=None)


@pytest.mark.parametrize(
    ("compute", "sentence"),
    [
        (unseeded, "draws at random"),
        (by_place, "belong to places"),
        (by_clip, "looks at no image"),
        (by_clip_and_arm, "looks at no image"),
    ],
)
def test_j_a_score_that_is_a_random_number_is_refused(compute: Compute, sentence: str) -> None:
    """Catches: a metric whose value is drawn, and looks like one that tells branches apart."""
    with toy_world() as world:
        batch = answers(world)
        (found,) = compute_all(batch, {"mine": of_clips(compute)}, is_judged=True).of_clips
    assert isinstance(found.values, Absent)
    assert sentence in found.values.reason


def test_j_a_random_distance_of_sets_is_refused() -> None:
    """Catches: the same of a metric that has one value an arm."""

    def compute(batch: Batch) -> dict[str, SetScore]:
        return {arm: SetScore(value=float(ENTROPY.random()), n=9, num_real=9) for arm in batch.arms}

    declared = replace(METRICS["kid"], name="mine", compute=compute)
    assert isinstance(declared, SetMetric)
    with toy_world() as world:
        (found,) = compute_all(answers(world), {"mine": declared}, is_judged=True).of_sets
    for score in found.by_arm.values():
        assert isinstance(score, Absent)
        assert "draws at random" in score.reason


def test_j_a_metric_of_this_package_ends_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """Catches: a headline that is blank, where the code that makes it is broken."""
    declared = of_clips(unseeded)
    monkeypatch.setattr(computing, "METRICS", {"mine": declared})
    with toy_world() as world, pytest.raises(GuardError, match="metric mine: computed twice"):
        compute_all(answers(world), {"mine": declared}, is_judged=True)


@pytest.mark.parametrize("collapsed", [False, True])
def test_j_no_metric_of_this_package_is_refused(
    collapsed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Catches: a false alarm, also where all images are one, so that exchanging them does nothing.

    Embedding costs the most, so whoever embeds is not asked again.
    """
    with toy_world() as world:
        shown = [0] * NUM_CLIPS if collapsed else list(range(NUM_CLIPS))
        batch = world.batch(world.answered(shown, num_draws=2))
        plain = compute_all(batch, METRICS)
        asked: list[str] = []
        monkeypatch.setattr(Batch, "_embedded", lambda self, what, *rest: asked.append(what))
        judged = compute_all(batch, METRICS, is_judged=True)
    assert not asked
    for one, other in zip(plain.of_clips, judged.of_clips, strict=True):
        assert type(one.values) is type(other.values)
        if not isinstance(one.values, Absent):
            assert np.array_equal(one.values, other.values, equal_nan=True)
    assert [s.by_arm.keys() for s in plain.of_sets] == [s.by_arm.keys() for s in judged.of_sets]
    for one_set, other_set in zip(plain.of_sets, judged.of_sets, strict=True):
        assert [type(s) for s in one_set.by_arm.values()] == [
            type(s) for s in other_set.by_arm.values()
        ]
