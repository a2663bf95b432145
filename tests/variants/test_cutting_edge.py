"""What the branch makes of its encoder, and the settings it refuses."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError

from core.conditioning.conditioning import AudioFeature, ConditioningInputs
from core.conditioning.shapes import FoundationShapes
from core.conditioning.stage import ParameterGroup
from core.conditioning.variant import UnetAdapterKind, Variant
from core.errors import MismatchError, MissingWeightsError, UsageError
from core.foundation.mamba.config import DEPTH, WIDTHS, Size
from core.foundation.mamba.encoder import MambaAudioEncoder
from core.foundation.mamba.storage import save_encoder
from core.randomness import torch_seeded
from variants.cutting_edge import VARIANT
from variants.cutting_edge.config import CuttingEdgeConfig
from variants.cutting_edge.variant import scale_shift_paths

Build = Callable[..., Variant]


def with_msclap(inputs: ConditioningInputs) -> ConditioningInputs:
    """The inputs with an embedding of Microsoft's CLAP, of its size and not normalised."""
    embedding_BD = 30 * torch.randn(3, 1024, generator=torch.Generator().manual_seed(3))
    return ConditioningInputs(
        text_BLC=inputs.text_BLC,
        audio={**inputs.audio, AudioFeature.MSCLAP_POOLED: embedding_BD},
        class_index_B=inputs.class_index_B,
    )


def test_per_time_tokens_keep_the_order_of_time(build: Build, inputs: ConditioningInputs) -> None:
    """Catches: a mean over time where one over frequency was meant."""
    variant = build(VARIANT, layout="plain", depth=1, audio="none")
    with torch.no_grad():
        variant.encoder.blocks[0].mixer.out_proj.weight.zero_()
    before = variant.audio_tokens(inputs)
    assert before.shape == (3, 1 + 4, 64)
    inputs.audio[AudioFeature.LOG_MEL][:, :, 16:24] += 1.0
    moved = (variant.audio_tokens(inputs) - before).abs().amax(dim=(0, 2)) > 1e-6
    assert moved.tolist() == [False, False, False, True, False]


@pytest.mark.parametrize(
    ("settings", "num_tokens"),
    [
        ({"tokens": "all"}, 1 + 8 + 4),
        ({"audio": "none"}, 1 + 4),
        ({"num_pooled_tokens": 2}, 1 + 4 + 2),
        ({"audio": "msclap"}, 1 + 4 + 4),
        ({"layout": "aum", "block": "v1"}, 1 + 4 + 4),
        ({"block": "mamba2", "head_dim": 8}, 1 + 4 + 4),
        ({}, 1 + 4 + 4),
    ],
)
def test_token_count_follows_the_settings(
    settings: dict[str, object], num_tokens: int, build: Build, inputs: ConditioningInputs
) -> None:
    """Catches: a setting that nothing reads."""
    tokens = build(VARIANT, **settings).audio_tokens(with_msclap(inputs))
    assert tokens.shape == (3, num_tokens, 64)


@pytest.mark.parametrize(
    ("audio", "pooled"),
    [
        ("clap", {AudioFeature.CLAP_POOLED}),
        ("msclap", {AudioFeature.MSCLAP_POOLED}),
        ("none", set()),
    ],
)
def test_a_pooled_embedding_is_asked_for_only_when_it_is_read(
    audio: str, pooled: set[AudioFeature], build: Build, inputs: ConditioningInputs
) -> None:
    """Catches: a feature cached and loaded in vain, or read without being asked for."""
    variant = build(VARIANT, audio=audio)
    assert variant.audio_features == {AudioFeature.LOG_MEL} | pooled
    inputs = with_msclap(inputs)
    before = variant.audio_tokens(inputs)
    for feature in {AudioFeature.CLAP_POOLED, AudioFeature.MSCLAP_POOLED} - pooled:
        inputs.audio[feature].add_(1.0)
    assert torch.equal(variant.audio_tokens(inputs), before)
    for feature in pooled:
        inputs.audio[feature].add_(torch.randn_like(inputs.audio[feature]))
        moved_N = (variant.audio_tokens(inputs) - before).abs().amax(dim=(0, 2)) > 1e-6
        assert moved_N.tolist() == [False] * 5 + [True] * 4


def test_embedding_of_microsofts_clap_enters_at_length_one(
    build: Build, inputs: ConditioningInputs
) -> None:
    """Catches: an embedding that is not normalised and drowns the encoder's tokens."""
    variant, heard = build(VARIANT, audio="msclap"), with_msclap(inputs)
    before = variant.audio_tokens(heard)
    heard.audio[AudioFeature.MSCLAP_POOLED].mul_(7.0)
    assert torch.allclose(variant.audio_tokens(heard), before, atol=1e-5)


def test_unet_adapter_follows_the_settings(build: Build) -> None:
    """Catches: a branch that trains LoRA where it says SSF."""
    assert build(VARIANT).unet_adapter is UnetAdapterKind.SSF
    assert build(VARIANT, adapt="lora").unet_adapter is UnetAdapterKind.LORA


@pytest.mark.parametrize("gate_init", [0.0, 0.1])
def test_a_shut_gate_is_what_makes_a_fresh_variant_the_identity(
    gate_init: float, build: Build
) -> None:
    """Catches: a promise of identity that does not follow the setting."""
    assert build(VARIANT, gate_init=gate_init).is_identity_at_init is (gate_init == 0)


def test_patches_that_do_not_tile_the_spectrogram_are_refused(build: Build) -> None:
    """Catches: the end of every clip cut off in silence."""
    with pytest.raises(UsageError, match="do not tile"):
        build(VARIANT, patch=(8, 12))


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"width": 64}, "width is not read at size tiny"),
        ({"size": "base", "depth": 2}, "depth is not read at size base"),
        ({"size": "own", "width": 64}, "needs width and depth"),
        ({"size": "own", "width": 8, "depth": 3, "layout": "ssamba"}, "in pairs; got depth 3"),
        ({"head_dim": 8}, "head_dim is read by block mamba2 alone"),
        ({"block": "mamba2", "head_dim": 7}, "do not divide the inner width"),
        ({"audio": "none", "num_pooled_tokens": 2}, "num_pooled_tokens is not read"),
        ({"patch": (0, 4)}, "greater than 0"),
    ],
)
def test_settings_that_nothing_would_read_are_refused(
    settings: dict[str, object], complaint: str
) -> None:
    """Catches: a width that `size` overrides in silence, a key of another block or choice."""
    with pytest.raises(ValidationError, match=complaint):
        VARIANT.Config(**settings)


def test_none_by_name_unsets_what_a_profile_set() -> None:
    """Catches: a setting of the profile that no `--set` can take back, TOML having no null."""
    config = VARIANT.Config(size="tiny", width="none", depth="none", num_pooled_tokens="none")
    assert config == VARIANT.Config()
    assert VARIANT.Config(**config.model_dump()) == config


def test_sizes_are_ssambas() -> None:
    """Catches: a name that stands for another width."""
    widths = {
        size: VARIANT.Config(size=size).encoder(log_mel=(128, 1024)).width
        for size in ("tiny", "small", "base")
    }
    assert widths == {"tiny": 192, "small": 384, "base": 768}


def test_pretrained_encoder_is_loaded_and_its_folder_counts_for_the_run(
    build: Build, tmp_path: Path
) -> None:
    """Catches: a folder that is named and not read, or a run id that does not depend on it."""
    with torch_seeded(5, "test", "pretrained"):
        donor = build(VARIANT, layout="ssamba")
    with torch.no_grad():
        donor.encoder.cls_W.fill_(7.0)
    save_encoder(donor.encoder, tmp_path / "encoder")
    variant = build(VARIANT, pretrained=str(tmp_path / "encoder"))
    assert variant.config.sources() == {"mamba_encoder": str(tmp_path / "encoder")}
    assert VARIANT.Config().sources() == {}
    theirs = donor.encoder.state_dict()
    assert all(torch.equal(t, theirs[n]) for n, t in variant.encoder.state_dict().items())


def test_pretrained_encoder_of_other_settings_is_refused(build: Build, tmp_path: Path) -> None:
    """Catches: weights of one layout run in another, which no shape would tell apart."""
    save_encoder(build(VARIANT, layout="ssamba").encoder, tmp_path)
    with pytest.raises(MismatchError, match=r"built with layout ssamba \(asked for plain\)"):
        build(VARIANT, pretrained=str(tmp_path), layout="plain")
    with pytest.raises(UsageError, match="is not a folder"):
        build(VARIANT, pretrained="owner/model")
    (tmp_path / "model.safetensors").write_bytes(b"damaged")
    with pytest.raises(MissingWeightsError, match=r"cannot read .*model\.safetensors"):
        build(VARIANT, pretrained=str(tmp_path))


def test_counting_parameters_reads_no_pretrained_weights(shapes: FoundationShapes) -> None:
    """Catches: `harness list` that needs the weights it only counts."""
    config = VARIANT.Config(patch=(8, 8), pretrained="/no/such/folder")
    with torch.device("meta"):
        assert all(p.is_meta for p in VARIANT(config, shapes=shapes).parameters())


@pytest.fixture
def pretrained(build: Build, tmp_path: Path) -> str:
    """A folder with an encoder other than a fresh one."""
    encoder = build(VARIANT, layout="ssamba").encoder
    with torch_seeded(1, "test", "pretrained"), torch.no_grad():
        for parameter in encoder.parameters():
            parameter.add_(0.01 * torch.randn_like(parameter))
    save_encoder(encoder, tmp_path / "encoder")
    return str(tmp_path / "encoder")


@pytest.mark.parametrize("adapt", ["ssf", "frozen"])
def test_adapted_encoder_starts_as_the_pretrained_one_and_keeps_its_weights(
    adapt: str, build: Build, inputs: ConditioningInputs, pretrained: str
) -> None:
    """Catches: SSF that starts off the identity, or pretrained weights among what trains."""
    whole = build(VARIANT, pretrained=pretrained)
    adapted = build(VARIANT, pretrained=pretrained, encoder_adapt=adapt)
    assert torch.equal(adapted.audio_tokens(inputs), whole.audio_tokens(inputs))
    frozen = adapted.frozen_parameters()
    num_weights = sum(p.numel() for p in whole.encoder.parameters())
    assert sum(p.numel() for p in frozen.values()) == num_weights
    trains = {n: p for group in adapted.parameter_groups().values() for n, p in group.items()}
    assert not frozen.keys() & trains.keys()
    assert frozen.keys() | trains.keys() == dict(adapted.named_parameters()).keys()
    of_the_encoder = {n for n in trains if n.startswith("encoder.")}
    assert all("ssf_" in name for name in of_the_encoder)
    assert bool(of_the_encoder) is (adapt == "ssf")
    adapted.audio_tokens(inputs).square().sum().backward()
    assert all(p.grad is None for p in frozen.values())
    for name, parameter in trains.items():
        if name in of_the_encoder:
            assert parameter.grad is not None, name
            assert parameter.grad.abs().max() > 0, name


def test_encoder_without_weights_of_its_own_is_not_left_as_it_is(build: Build) -> None:
    """Catches: a branch that hears through random numbers."""
    for adapt in ("ssf", "frozen"):
        with pytest.raises(ValidationError, match="there are none without `pretrained`"):
            build(VARIANT, encoder_adapt=adapt)


@pytest.mark.parametrize(
    ("size", "num_scales_and_shifts", "share"),
    [("tiny", 108_864, 0.0157), ("small", 216_192, 0.0085), ("base", 430_848, 0.0045)],
)
def test_ssf_over_the_whole_encoder_has_its_known_size(
    size: str, num_scales_and_shifts: int, share: float, shapes: FoundationShapes
) -> None:
    """Catches: operations left out, or a shift where there is no bias to merge it into.

    With shifts on the bias-free projections too it would be 1.94, 1.05 and 0.54 %.
    """
    full_size = replace(shapes, log_mel=(128, 1024))
    config = VARIANT.Config(size=size, pretrained="/a/folder", encoder_adapt="ssf")
    with torch.device("meta"):
        variant = VARIANT(config, shapes=full_size)
    trains = variant.parameter_groups()[ParameterGroup.AUDIO]
    count = sum(p.numel() for name, p in trains.items() if "ssf_" in name)
    frozen = sum(p.numel() for p in variant.frozen_parameters().values())
    assert (count, round(count / frozen, 4)) == (num_scales_and_shifts, share)
    assert len(scale_shift_paths(MambaAudioEncoder(config.encoder(log_mel=(16, 16))))) == 2 + 24 * 9


def test_a_fresh_encoder_gets_gradients_as_large_in_its_last_blocks_as_in_its_first() -> None:
    """Catches: a default layout whose stream doubles, so that deep blocks hardly get a gradient."""

    def last_to_first(**settings: Any) -> float:
        config = CuttingEdgeConfig(size="own", width=32, depth=DEPTH, **settings)
        with torch_seeded(0, "test", "encoder"):
            encoder = MambaAudioEncoder(config.encoder(log_mel=(32, 64)))
        mel_BMT, target_BLW = torch.randn(2, 32, 64), torch.randn(2, 9, 32)
        (encoder(mel_BMT) * target_BLW).sum().backward()
        first, last = (encoder.blocks[k].mixer.in_proj.weight.grad for k in (0, DEPTH - 1))
        return float(last.norm() / first.norm())

    assert last_to_first() > 0.2
    assert last_to_first(layout="ssamba") < 0.01


def test_the_layout_follows_from_whether_the_encoder_is_pretrained() -> None:
    """Catches: a converted SSAMBA refused for a layout that nobody set."""
    assert CuttingEdgeConfig().in_effect()["layout"] == "plain"
    assert CuttingEdgeConfig(pretrained="/a/folder").in_effect()["layout"] == "ssamba"
    assert CuttingEdgeConfig(layout="aum").in_effect()["layout"] == "aum"
    assert CuttingEdgeConfig(layout="none").in_effect()["layout"] == "plain"


def test_settings_in_effect_say_what_an_unset_one_stands_for() -> None:
    """Catches: a first trial of a sweep that is not the branch as it is, or numbers that nothing
    reads."""
    found = CuttingEdgeConfig().in_effect()
    assert (found["num_pooled_tokens"], found["head_dim"]) == (4, None)
    assert (found["width"], found["depth"]) == (WIDTHS[Size.TINY], DEPTH)
    alone = CuttingEdgeConfig(audio="none", block="mamba2", layout="plain").in_effect()
    assert (alone["num_pooled_tokens"], alone["head_dim"]) == (None, 64)
