"""The Mamba encoder: sizes, directions, tokens in time; and what the branch asks for."""

from collections.abc import Callable

import pytest
import torch
from mambapy.mamba import MambaBlock as ReferenceBlock
from mambapy.mamba import MambaConfig as ReferenceConfig

from core.conditioning.conditioning import AudioFeature, ConditioningInputs
from core.conditioning.variant import UnetAdapterKind, Variant
from core.errors import UsageError
from core.randomness import torch_seeded
from variants.cutting_edge import VARIANT
from variants.cutting_edge import encoder as encoder_module
from variants.cutting_edge.encoder import BidirectionalMixer, Direction, MambaAudioEncoder

Build = Callable[..., Variant]


def encoder(**settings: object) -> MambaAudioEncoder:
    """A small encoder of 16 mels x 32 frames; keywords override."""
    defaults = {
        "patch": (8, 8),
        "width": 16,
        "depth": 2,
        "state_dim": 4,
        "conv_width": 4,
        "expand": 2,
    }
    with torch_seeded(0, "test", "encoder"):
        return MambaAudioEncoder((16, 32), **{**defaults, **settings})


@pytest.mark.parametrize(
    ("width", "expected"), [(192, 6_922_176), (384, 25_345_920), (768, 96_698_112)]
)
def test_full_size_encoder_has_the_parameters_of_its_design(width: int, expected: int) -> None:
    """Catches: a parameter shared or doubled that should not be, between the directions."""
    settings = VARIANT.Config(width=width)
    with torch.device("meta"):
        model = MambaAudioEncoder(
            (128, 1024),
            patch=settings.patch,
            width=settings.width,
            depth=settings.depth,
            state_dim=settings.state_dim,
            conv_width=settings.conv_width,
            expand=settings.expand,
        )
    assert sum(parameter.numel() for parameter in model.parameters()) == expected
    assert VARIANT.Config().width == 192


def test_mixer_is_two_stock_mixers_with_shared_projections() -> None:
    """Catches: a direction not flipped back, a gate that is not flipped, a sum for a mean."""
    with torch_seeded(0, "test", "mixer"):
        mixer = BidirectionalMixer(8, state_dim=4, conv_width=4, expand=2)
        x_BLW = torch.randn(2, 9, 8)
    config = ReferenceConfig(d_model=8, n_layers=1, d_state=4, d_conv=4, pscan=False)
    stock = []
    for direction in mixer.directions:
        block = ReferenceBlock(config)
        shared = {
            "in_proj.weight": mixer.in_proj.weight,
            "out_proj.weight": mixer.out_proj.weight,
        }
        block.load_state_dict({**direction.state_dict(), **shared}, strict=True)
        stock.append(block)
    expected = (stock[0](x_BLW) + stock[1](x_BLW.flip(1)).flip(1)) / 2
    assert torch.allclose(mixer(x_BLW), expected, atol=1e-6)


@pytest.mark.parametrize(("moved", "seen"), [(-1, 1), (1, -1)])
def test_every_end_of_the_sequence_hears_the_other(moved: int, seen: int) -> None:
    """Catches: an encoder that runs in one direction only."""
    model = encoder(depth=1)
    log_mel = torch.randn(1, 16, 32, generator=torch.Generator().manual_seed(0))
    changed = log_mel.clone()
    # Frequency-major patches: the first is the lowest band's first step, the last the top's last.
    corner = (slice(8, 16), slice(24, 32)) if moved == -1 else (slice(0, 8), slice(0, 8))
    changed[0][corner] += 1.0
    difference = (model(changed) - model(log_mel)).abs().amax(dim=-1)[0]
    assert difference[seen] > 1e-7


def test_tokens_are_frequency_major_behind_cls() -> None:
    """Catches: a transposed patch grid, which scrambles time."""
    model = encoder(depth=1)
    with torch.no_grad():
        model.blocks[0].mixer.out_proj.weight.zero_()
    quiet = torch.zeros(1, 16, 32)
    changed = quiet.clone()
    changed[0, 8:16, 16:24] = 1.0
    moved = (model(changed) - model(quiet)).abs().amax(dim=-1)[0] > 1e-6
    assert model.grid == (2, 4)
    assert moved.nonzero().flatten().tolist() == [1 + 1 * 4 + 2]


def test_per_time_tokens_keep_the_order_of_time(build: Build, inputs: ConditioningInputs) -> None:
    """Catches: a mean over time where one over frequency was meant."""
    variant = build(VARIANT, depth=1, num_clap_tokens=0)
    with torch.no_grad():
        variant.encoder.blocks[0].mixer.out_proj.weight.zero_()
    before = variant.audio_tokens(inputs)
    assert before.shape == (3, 1 + 4, 64)
    inputs.audio[AudioFeature.LOG_MEL][:, :, 16:24] += 1.0
    moved = (variant.audio_tokens(inputs) - before).abs().amax(dim=(0, 2)) > 1e-6
    assert moved.tolist() == [False, False, False, True, False]


@pytest.mark.parametrize(
    ("settings", "num_tokens"),
    [({"tokens": "all"}, 1 + 8 + 4), ({"num_clap_tokens": 0}, 1 + 4), ({}, 1 + 4 + 4)],
)
def test_token_count_follows_the_settings(
    settings: dict[str, object], num_tokens: int, build: Build, inputs: ConditioningInputs
) -> None:
    """Catches: a setting that nothing reads."""
    assert build(VARIANT, **settings).audio_tokens(inputs).shape == (3, num_tokens, 64)


def test_clap_is_asked_for_only_when_it_is_read(build: Build) -> None:
    """Catches: a feature cached and loaded in vain, or read without being asked for."""
    both = frozenset({AudioFeature.LOG_MEL, AudioFeature.CLAP_POOLED})
    assert build(VARIANT).audio_features == both
    alone = build(VARIANT, num_clap_tokens=0)
    assert alone.audio_features == frozenset({AudioFeature.LOG_MEL})


def test_unet_adapter_follows_the_settings(build: Build) -> None:
    """Catches: a branch that trains LoRA where it says SSF."""
    assert build(VARIANT).unet_adapter is UnetAdapterKind.SSF
    assert build(VARIANT, adapt="lora").unet_adapter is UnetAdapterKind.LORA


def test_patches_that_do_not_tile_the_spectrogram_are_refused() -> None:
    """Catches: the end of every clip cut off in silence."""
    with pytest.raises(UsageError, match="do not tile"):
        encoder(patch=(8, 12))


def test_fresh_step_sizes_lie_in_their_range(monkeypatch: pytest.MonkeyPatch) -> None:
    """Catches: a bias that is not the inverse of softplus, so that a mixer starts deaf or blind."""
    # Far from 0, where softplus and exp differ.
    monkeypatch.setattr(encoder_module, "DT_MIN", 2.0)
    monkeypatch.setattr(encoder_module, "DT_MAX", 8.0)
    with torch_seeded(0, "test", "direction"):
        direction = Direction(64, state_dim=4, conv_width=4, dt_rank=2)
    steps = torch.nn.functional.softplus(direction.dt_proj.bias).detach()
    assert 2.0 <= steps.min() < 2.5
    assert 6.5 < steps.max() <= 8.0
