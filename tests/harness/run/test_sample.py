"""Which arms a run samples, and what each row hears."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from core.data.splits.split import Part
from core.errors import GuardError
from harness.metrics.arms import Arm
from harness.run.sample import SampleRequest, arms_of, require_pictures, sample_requests
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


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_latents_that_are_no_numbers_stop_the_run_by_clip_and_arm(value: float) -> None:
    """Catches: NaN in the silent arm alone, so that a branch seems to win by listening."""
    requests = [SampleRequest(i, Arm.SILENCE, 0, None) for i in "ab"]
    latents = torch.zeros(2, 4, 8, 8)
    pixels = np.random.default_rng(0).integers(0, 256, (2, 64, 64, 3), np.uint8)
    require_pictures(latents, pixels, requests)
    latents[1, 2, 3, 4] = value
    with pytest.raises(GuardError, match=f"clip 'b' in arm {Arm.SILENCE.value} are not finite"):
        require_pictures(latents, pixels, requests)


@pytest.mark.parametrize("colour", [(0, 0, 0), (255, 255, 255), (12, 200, 7)])
def test_an_image_of_one_colour_stops_the_run(colour: tuple[int, int, int]) -> None:
    """Catches: black images scored and compared."""
    requests = [SampleRequest(i, Arm.AUDIO, 0, i) for i in "ab"]
    pixels = np.random.default_rng(0).integers(0, 256, (2, 64, 64, 3), np.uint8)
    pixels[0] = colour
    with pytest.raises(GuardError, match=f"clip 'a' in arm {Arm.AUDIO.value} is one flat colour"):
        require_pictures(torch.zeros(2, 4, 8, 8), pixels, requests)
    pixels[0, 5, 5, 1] ^= 1
    require_pictures(torch.zeros(2, 4, 8, 8), pixels, requests)
