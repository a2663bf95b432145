"""Which arms a run samples, and what each row hears."""

from types import SimpleNamespace

import pytest

from core.data.splits.split import Part
from harness.metrics.arms import Arm
from harness.run.sample import arms_of, sample_requests
from harness.testing import SmallFoundation
from variants.baseline import VARIANT as BASELINE
from variants.class_embedding import VARIANT as CLASS_EMBEDDING
from variants.text_only import VARIANT as TEXT_ONLY

FOUNDATION = SmallFoundation()


@pytest.fixture
def split() -> SimpleNamespace:
    """Two test clips of one class and one of another, which has no partner."""
    classes = {"a": "fire", "b": "fire", "c": "siren"}
    return SimpleNamespace(
        classes=("fire", "siren"),
        parts={Part.TEST: tuple(classes)},
        samples={i: SimpleNamespace(class_name=name) for i, name in classes.items()},
    )


def requested(split: SimpleNamespace, cls: type) -> set[tuple[str, Arm, str | None]]:
    variant = cls(cls.Config(), shapes=FOUNDATION.shapes(FOUNDATION.unet()))
    requests = sample_requests(
        split, draws=1, arms=arms_of(variant), hears=bool(variant.audio_features)
    )
    return {(r.sample_id, r.arm, r.heard_id) for r in requests}


def test_a_branch_is_sampled_in_every_arm_a_clip_allows(split: SimpleNamespace) -> None:
    """Catches: a clip shuffled with itself, or an arm forgotten."""
    asked = requested(split, BASELINE)
    assert {arm for clip, arm, _ in asked if clip == "a"} == set(Arm)
    assert ("a", Arm.AUDIO, "a") in asked
    assert ("a", Arm.SHUFFLED, "b") in asked
    assert ("b", Arm.SHUFFLED, "a") in asked
    assert {arm for clip, arm, _ in asked if clip == "c"} == set(Arm) - {Arm.SHUFFLED}


def test_controls_are_sampled_only_where_they_can_differ(split: SimpleNamespace) -> None:
    """Catches: a control that pretends to have heard, or paints one picture under two names."""
    assert requested(split, TEXT_ONLY) == {(clip, Arm.TEXT_ONLY, None) for clip in "abc"}
    assert requested(split, CLASS_EMBEDDING) == {
        (clip, arm, None) for clip in "abc" for arm in (Arm.AUDIO, Arm.TEXT_ONLY)
    }
