"""Whether the UNet's attention, which reads a set, can tell when a sound comes."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from core.conditioning.conditioning import AudioFeature, ConditioningInputs
from core.conditioning.variant import Variant
from variants.cutting_edge import VARIANT
from variants.cutting_edge.codes import axis_codes, place_codes

Build = Callable[..., Variant]
PATCH_FRAMES = 8


def heard_by_attention(
    variant: Variant, inputs: ConditioningInputs, *, event_at: int | None
) -> Tensor:
    """What attention with the variant's fresh keys and values makes of an event in one patch."""
    log_mel_BMT = torch.full_like(inputs.audio[AudioFeature.LOG_MEL], -1.0)
    if event_at is not None:
        start = event_at * PATCH_FRAMES
        log_mel_BMT[:, :, start : start + PATCH_FRAMES] = 1.0
    audio = {**inputs.audio, AudioFeature.LOG_MEL: log_mel_BMT}
    tokens_BNC = variant.audio_tokens(
        ConditioningInputs(inputs.text_BLC, audio, inputs.class_index_B)
    )
    assert tokens_BNC is not None
    outputs = []
    for layer in variant.layers_by_path().values():
        scores_BNW = layer.audio_k(tokens_BNC)
        outputs.append((scores_BNW.softmax(dim=1) * layer.audio_v(tokens_BNC)).sum(dim=1))
    return torch.cat(outputs, dim=-1)[0]


@pytest.fixture
def without_places(build: Build) -> Callable[..., Variant]:
    """Builds a variant whose encoder hands each patch on by itself and says nothing of its place,
    as the one that ships nearly does (docs/timing.md)."""

    def call(**settings: str) -> Variant:
        variant = build(VARIANT, layout="plain", depth=1, audio="none", patch=(16, 8), **settings)
        with torch.no_grad():
            variant.encoder.blocks[0].mixer.out_proj.weight.zero_()
            variant.encoder.position_LW.zero_()
        return variant

    return call


@torch.no_grad()
def moved_share(variant: Variant, inputs: ConditioningInputs) -> float:
    """How far moving an event moves what attention hears, over how far the event itself does."""
    silent, early, late = (heard_by_attention(variant, inputs, event_at=at) for at in (None, 0, 3))
    return float((late - early).norm() / (early - silent).norm())


def test_attention_tells_early_from_late_by_sinusoidal_codes(
    without_places: Callable[..., Variant], inputs: ConditioningInputs
) -> None:
    """Catches: codes that are built and not added, or too small to be heard next to the tokens."""
    assert moved_share(without_places(position="sinusoidal"), inputs) > 0.3


def test_attention_hardly_tells_by_the_codes_of_the_default(
    without_places: Callable[..., Variant], inputs: ConditioningInputs
) -> None:
    """Catches: a changed default, by which all numbers of `tiny` would move unannounced."""
    assert moved_share(without_places(), inputs) < 0.05


def test_codes_are_the_only_weights_that_the_setting_changes(build: Build) -> None:
    """Catches: a setting that draws from the generator, so that branches no longer pair by seed;
    codes written over the rows of cls or of the pooled embedding."""
    learned, sinusoidal = (
        build(VARIANT, position=position).state_dict() for position in ("learned", "sinusoidal")
    )
    assert learned.keys() == sinusoidal.keys()
    changed = [name for name in learned if not torch.equal(learned[name], sinusoidal[name])]
    assert changed == ["position_NC"]
    rows = (learned["position_NC"] != sinusoidal["position_NC"]).any(dim=1)
    assert rows.tolist() == [False, True, True, True, True, False, False, False, False]


def test_codes_train_and_never_decay(build: Build) -> None:
    """Catches: codes kept as a buffer, or pulled back to zero by weight decay."""
    variant = build(VARIANT, position="sinusoidal")
    assert "position_NC" in dict(variant.named_parameters())
    assert "position_NC" in VARIANT.no_weight_decay


@pytest.mark.parametrize(("length", "width"), [(32, 128), (4, 64), (1, 64), (101, 769), (64, 33)])
def test_a_code_is_as_large_as_a_token_and_near_places_are_alike(length: int, width: int) -> None:
    """Catches: codes that fade with the width, two places of one code, odd widths refused."""
    codes = axis_codes(length, width=width)
    assert codes.shape == (length, width)
    assert codes.square().sum(dim=1).tolist() == pytest.approx([width - width % 2] * length)
    distances = torch.cdist(codes.double(), codes.double())
    if length > 2:
        assert distances[0, 1:].min() == pytest.approx(float(distances[0, 1]))
        assert distances[0, 1] > 0.1 * distances.max()


def test_every_patch_has_the_code_of_its_band_and_of_its_step() -> None:
    """Catches: codes in time-major order for tokens in frequency-major order."""
    codes = place_codes(2, 3, width=12).unflatten(0, (2, 3))
    bands, steps = codes.split(6, dim=-1)
    assert torch.equal(bands[:, 0], bands[:, 2])
    assert torch.equal(steps[0], steps[1])
    assert not torch.equal(bands[0], bands[1])
    assert len({tuple(row.tolist()) for row in codes.flatten(0, 1)}) == 6


def test_all_patches_get_codes_of_both_axes(build: Build) -> None:
    """Catches: codes of time alone where every patch is a token, so that bands are one."""
    variant = build(VARIANT, position="sinusoidal", tokens="all", audio="none")
    codes = variant.position_NC.detach()[1:]
    num_bands, num_steps = variant.encoder.grid
    assert num_bands > 1
    assert torch.equal(codes, place_codes(num_bands, num_steps, width=codes.shape[1]))
