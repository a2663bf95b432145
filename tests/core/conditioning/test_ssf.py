"""SSF as a peft tuner of any model, and by parametrisation."""

from pathlib import Path

import pytest
import torch
from peft import PeftModel, get_peft_model
from torch import Tensor, nn
from transformers import ClapAudioConfig, ClapAudioModelWithProjection

from core.conditioning.ssf.parametrise import merge, parametrise, remove
from core.conditioning.ssf.tuner import SsfConfig, SsfLayer
from core.errors import GuardError, MismatchError
from core.randomness import torch_seeded

CLAP_TARGETS = r".*\.(query|key|value|dense|layernorm_before|layernorm_after)"


def whole_numbers(*shape: int) -> Tensor:
    """Small integers, on which float32 is exact."""
    return torch.randint(-4, 5, shape).float()


class Read(nn.Module):
    """Reads weights directly, as a Mamba mixer does."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv1d(4, 4, 3, groups=4, padding=1)
        self.bare = nn.Linear(4, 6, bias=False)

    def forward(self, x_BTC: Tensor) -> Tensor:
        convolved = nn.functional.conv1d(
            x_BTC.mT, self.conv.weight, self.conv.bias, padding=1, groups=4
        )
        return convolved.mT @ self.bare.weight.T


@pytest.fixture
def clap() -> ClapAudioModelWithProjection:
    config = ClapAudioConfig(
        num_mel_bins=16,
        spec_size=64,
        patch_size=4,
        patch_stride=[4, 4],
        window_size=4,
        depths=[1, 1],
        num_attention_heads=[2, 2],
        patch_embeds_hidden_size=8,
        hidden_size=16,
        projection_dim=8,
        num_hidden_layers=2,
    )
    with torch_seeded(0, "test", "clap"):
        return ClapAudioModelWithProjection(config).eval()


def spectrogram() -> Tensor:
    with torch_seeded(0, "test", "spectrogram"):
        return torch.randn(2, 1, 64, 16)


def move(model: nn.Module) -> None:
    with torch_seeded(0, "test", "move"), torch.no_grad():
        for name, parameter in model.named_parameters():
            if "ssf_" in name:
                parameter.add_(0.1 * torch.randn_like(parameter))


@pytest.mark.parametrize("has_bias", [True, False])
@pytest.mark.parametrize("kind", ["linear", "conv"])
def test_merge_error_is_zero(kind: str, has_bias: bool) -> None:
    """Catches: gamma on the input's side, a bias left unscaled, beta scaled by gamma."""
    with torch_seeded(0, "test", "merge"):
        if kind == "linear":
            base: nn.Module = nn.Linear(5, 3, bias=has_bias)
            x = whole_numbers(2, 7, 5)
        else:
            base = nn.Conv2d(5, 3, 3, padding=1, bias=has_bias)
            x = whole_numbers(2, 5, 6, 6)
        with torch.no_grad():
            for parameter in base.parameters():
                parameter.copy_(whole_numbers(*parameter.shape))
        layer = SsfLayer(base, "default", inference_mode=False)
        with torch.no_grad():
            layer.ssf_gamma["default"].copy_(torch.tensor([2.0, -0.5, 4.0]))
            layer.ssf_beta["default"].copy_(torch.tensor([1.0, -2.0, 0.25]))
    weight, bias = base.weight, base.bias
    on_the_fly = layer(x)
    assert not torch.equal(on_the_fly, base(x))
    layer.merge()
    assert (layer(x) - on_the_fly).abs().max() == 0
    assert (base(x) - on_the_fly).abs().max() == 0
    layer.unmerge()
    assert base.weight is weight
    assert base.bias is bias


def test_peft_saves_loads_merges_and_unloads_clap(
    clap: ClapAudioModelWithProjection, tmp_path: Path
) -> None:
    """Catches: a tuner that only our own adapter class can drive, or norms left out on CLAP."""
    plain = clap(spectrogram()).audio_embeds
    tuned = get_peft_model(clap, SsfConfig(target_modules=CLAP_TARGETS))
    assert torch.equal(tuned(spectrogram()).audio_embeds, plain)
    trains = [name for name, p in tuned.named_parameters() if p.requires_grad]
    assert trains
    assert all("ssf_" in name for name in trains)
    assert any("layernorm_before" in name for name in trains)
    move(tuned)
    moved = tuned(spectrogram()).audio_embeds
    assert (moved - plain).abs().max() > 1e-3
    tuned.save_pretrained(tmp_path)
    untuned = tuned.unload()
    assert torch.equal(untuned(spectrogram()).audio_embeds, plain)
    loaded = PeftModel.from_pretrained(untuned, tmp_path)
    assert torch.equal(loaded(spectrogram()).audio_embeds, moved)
    merged = loaded.merge_and_unload()
    assert not any(isinstance(module, SsfLayer) for module in merged.modules())
    assert torch.allclose(merged(spectrogram()).audio_embeds, moved, atol=1e-6)


def test_broken_values_are_not_merged() -> None:
    """Catches: NaN written into a foundation's weights."""
    layer = SsfLayer(nn.Linear(2, 2), "default", inference_mode=False)
    weight = layer.base_layer.weight
    with torch.no_grad():
        layer.ssf_gamma["default"][0] = torch.nan
    with pytest.raises(ValueError, match="not finite"):
        layer.merge(safe_merge=True)
    assert layer.base_layer.weight is weight
    assert not layer.merged


def test_module_without_a_weight_is_refused() -> None:
    """Catches: SSF that cannot be merged later."""
    with pytest.raises(MismatchError, match="got LayerNorm"):
        SsfLayer(nn.LayerNorm(4, elementwise_affine=False), "default", inference_mode=False)


def test_parametrised_weights_train_and_merge_exactly() -> None:
    """Catches: a wrapped module whose weight is read past the wrapper, so gamma has no gradient."""
    with torch_seeded(0, "test", "parametrise"):
        model, x_BTC = Read(), torch.randn(2, 5, 4)
    plain, conv_weight = model(x_BTC), model.conv.weight
    parameters = parametrise(model, paths=["conv", "bare"])
    assert list(parameters) == ["conv.ssf_gamma", "conv.ssf_beta", "bare.ssf_gamma"]
    assert torch.equal(model(x_BTC), plain)
    move(model)
    moved = model(x_BTC)
    moved.square().sum().backward()
    for name, parameter in parameters.items():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().max() > 0, name
    expected = (
        parameters["conv.ssf_gamma"]
        * nn.functional.conv1d(
            x_BTC.mT,
            conv_weight,
            model.conv.parametrizations["bias"].original,
            padding=1,
            groups=4,
        ).mT
        + parameters["conv.ssf_beta"]
    )
    bare = parameters["bare.ssf_gamma"] * (
        expected @ model.bare.parametrizations["weight"].original.T
    )
    assert torch.allclose(moved, bare, atol=1e-5)
    merge(model)
    assert list(dict(model.named_parameters())) == ["conv.weight", "conv.bias", "bare.weight"]
    assert torch.equal(model(x_BTC), moved)


def test_removed_parametrisation_gives_the_model_back() -> None:
    """Catches: an adapted encoder that reaches the next run."""
    with torch_seeded(0, "test", "parametrise"):
        model, x_BTC = Read(), torch.randn(2, 5, 4)
    plain = model(x_BTC)
    parametrise(model, paths=["conv", "bare"])
    with pytest.raises(GuardError, match="already"):
        parametrise(model, paths=["bare"])
    move(model)
    remove(model)
    assert torch.equal(model(x_BTC), plain)
    with pytest.raises(MismatchError, match="no module 'cnov'"):
        parametrise(model, paths=["cnov"])
