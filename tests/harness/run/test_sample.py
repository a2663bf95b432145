"""Which arms a run samples, and what each row hears."""

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from core.data.items import DataKind, Sample
from core.data.splits.split import Part
from core.errors import GuardError
from harness.metrics.arms import Arm
from harness.run import nearest_captions
from harness.run.partners import partners_of, shuffle_all
from harness.run.sample import SampleRequest, arms_of, require_pictures, sample_requests
from harness.testing import SmallFoundation
from variants.baseline import VARIANT as BASELINE
from variants.class_embedding import VARIANT as CLASS_EMBEDDING
from variants.text_only import VARIANT as TEXT_ONLY

FOUNDATION = SmallFoundation()
SHAPES = FOUNDATION.shapes(FOUNDATION.unet())


@pytest.fixture
def split() -> SimpleNamespace:
    """Two test clips of one class and one of another, which has no partner."""
    classes = {"a": "fire", "b": "fire", "c": "siren"}
    return SimpleNamespace(
        kind=DataKind.CLASSES,
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
    assert {arm for clip, arm, _ in asked if clip == "a"} == set(Arm) - {Arm.CHANCE}
    assert ("a", Arm.AUDIO, "a") in asked
    assert ("a", Arm.SHUFFLED, "b") in asked
    assert ("b", Arm.SHUFFLED, "a") in asked
    assert {arm for clip, arm, _ in asked if clip == "c"} == set(Arm) - {Arm.CHANCE, Arm.SHUFFLED}


def test_controls_are_sampled_only_where_they_can_differ(split: SimpleNamespace) -> None:
    """Catches: a control that pretends to have heard, or paints one picture under two names."""
    assert requested(split, TEXT_ONLY) == {(clip, Arm.TEXT_ONLY, None) for clip in "abc"}
    assert requested(split, CLASS_EMBEDDING) == {
        (clip, arm, None) for clip in "abc" for arm in (Arm.AUDIO, Arm.TEXT_ONLY)
    }


def captioned(texts: Mapping[str, str], *, sources: Mapping[str, str] | None = None) -> Any:
    """A split of test clips with captions alone."""
    sources = sources or {}
    samples = {
        id_: Sample(
            id=id_,
            class_name="1",
            caption=text,
            source=sources.get(id_, id_),
            audio_path="",
            image_path="",
            audio_sha256="",
            image_sha256="",
            duration_s=1.0,
        )
        for id_, text in texts.items()
    }
    parts = {Part.TEST: tuple(texts)}
    return SimpleNamespace(kind=DataKind.CAPTIONS, classes=("1",), parts=parts, samples=samples)


def test_without_classes_a_clip_hears_the_nearest_caption_and_one_by_chance() -> None:
    """Catches: a control by class where there is none, or one control that is easy alone."""
    texts = {
        "a": "a dog barks",
        "b": "rain falls",
        "c": "a dog barks twice",
        "d": "rain falls hard",
    }
    split = captioned(texts)
    assert partners_of(split, ids=list(texts)) == {"a": "c", "c": "a", "b": "d", "d": "b"}
    chance = shuffle_all(split, ids=list(texts))
    assert set(chance) == set(chance.values()) == set(texts)
    assert all(id_ != other for id_, other in chance.items())
    arms = arms_of(BASELINE(BASELINE.Config(), shapes=SHAPES), kind=DataKind.CAPTIONS)
    asked = list(sample_requests(split, draws=1, arms=arms, hears=True))
    assert {request.arm for request in asked} == set(Arm)
    heard = {(r.sample_id, r.arm): r.heard_id for r in asked}
    assert heard["a", Arm.SHUFFLED] == "c"
    assert heard["a", Arm.CHANCE] == chance["a"]


def test_a_clip_never_hears_another_cut_of_its_own_video() -> None:
    """Catches: a mismatched sound that is the matching one by another id."""
    texts = {"a": "a dog barks", "b": "a dog barks", "c": "rain falls"}
    split = captioned(texts, sources={"a": "video", "b": "video"})
    for found in (partners_of(split, ids=list(texts)), shuffle_all(split, ids=list(texts))):
        assert ("a", "b") not in found.items()
        assert ("b", "a") not in found.items()
    alone = captioned({"a": "rain", "b": "rain"}, sources={"a": "video", "b": "video"})
    assert partners_of(alone, ids=["a", "b"]) == shuffle_all(alone, ids=["a", "b"]) == {}


def test_many_clips_are_matched_group_by_group(monkeypatch: pytest.MonkeyPatch) -> None:
    """Catches: clips lost where a matching is cut into blocks."""
    monkeypatch.setattr(nearest_captions, "MOST_TOGETHER", 4)
    texts = {f"c{k}": f"sound number {k % 3}" for k in range(9)}
    found = partners_of(captioned(texts), ids=list(texts))
    assert len(found) == 8  # the last block has one clip
    assert len(set(found.values())) == 8


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_latents_that_are_no_numbers_stop_the_run_by_clip_and_arm(value: float) -> None:
    """Catches: NaN in the silent arm alone, so that a branch seems to win by listening."""
    requests = [SampleRequest(sample_id=i, arm=Arm.SILENCE, draw=0, heard_id=None) for i in "ab"]
    latents = torch.zeros(2, 4, 8, 8)
    pixels = np.random.default_rng(0).integers(0, 256, (2, 64, 64, 3), np.uint8)
    require_pictures(latents, pixels, requests)
    latents[1, 2, 3, 4] = value
    with pytest.raises(GuardError, match=f"clip 'b' in arm {Arm.SILENCE.value} are not finite"):
        require_pictures(latents, pixels, requests)


@pytest.mark.parametrize("colour", [(0, 0, 0), (255, 255, 255), (12, 200, 7)])
def test_an_image_of_one_colour_stops_the_run(colour: tuple[int, int, int]) -> None:
    """Catches: black images scored and compared."""
    requests = [SampleRequest(sample_id=i, arm=Arm.AUDIO, draw=0, heard_id=i) for i in "ab"]
    pixels = np.random.default_rng(0).integers(0, 256, (2, 64, 64, 3), np.uint8)
    pixels[0] = colour
    with pytest.raises(GuardError, match=f"clip 'a' in arm {Arm.AUDIO.value} is one flat colour"):
        require_pictures(torch.zeros(2, 4, 8, 8), pixels, requests)
    pixels[0, 5, 5, 1] ^= 1
    require_pictures(torch.zeros(2, 4, 8, 8), pixels, requests)
