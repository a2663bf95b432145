"""LoRA and SSF on a small real UNet, and their sizes on Stable Diffusion v1.5."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from diffusers import UNet2DConditionModel
from torch import Tensor

from core.conditioning.adapters import (
    LoraAdapter,
    NoAdapter,
    SsfAdapter,
    UnetAdapter,
    attach_unet_adapter,
)
from core.conditioning.ssf.scope import SsfScope
from core.conditioning.tuner_kinds import OURS
from core.conditioning.variant import UnetAdapterKind
from core.errors import GuardError, MismatchError, UsageError
from core.randomness import torch_seeded

Predict = Callable[[Tensor], Tensor]
KINDS = tuple(sorted(OURS - {UnetAdapterKind.NONE}))


@pytest.fixture(scope="module")
def stable_diffusion_unet() -> UNet2DConditionModel:
    """The UNet of Stable Diffusion v1.5, without storage."""
    with torch.device("meta"):
        return UNet2DConditionModel(
            sample_size=64,
            block_out_channels=(320, 640, 1280, 1280),
            cross_attention_dim=768,
            attention_head_dim=8,
        )


def move(adapter: UnetAdapter) -> None:
    """Take the adapter away from the identity, as training would."""
    with torch_seeded(0, "test", "move"), torch.no_grad():
        for parameter in adapter.named_parameters().values():
            parameter.add_(0.1 * torch.randn_like(parameter))


def count(adapter: UnetAdapter) -> int:
    return sum(parameter.numel() for parameter in adapter.named_parameters().values())


@pytest.mark.parametrize("kind", KINDS)
def test_fresh_adapter_is_the_identity_also_in_training(
    kind: UnetAdapterKind, unet: UNet2DConditionModel, predict: Predict, text_BLC: Tensor
) -> None:
    """Catches: an adapter that shifts the foundation before it is trained."""
    plain = predict(text_BLC)
    attach_unet_adapter(unet, kind=kind)
    unet.train()
    assert torch.equal(predict(text_BLC), plain)


@pytest.mark.parametrize("kind", KINDS)
def test_adapter_reaches_the_output_and_every_parameter_can_train(
    kind: UnetAdapterKind, unet: UNet2DConditionModel, predict: Predict, text_BLC: Tensor
) -> None:
    """Catches: an adapter outside the graph."""
    adapter = attach_unet_adapter(unet, kind=kind)
    plain = predict(text_BLC)
    move(adapter)
    for parameter in adapter.named_parameters().values():
        parameter.requires_grad_(True)
    moved = predict(text_BLC)
    assert (moved - plain).abs().max() > 1e-3
    moved.square().sum().backward()
    for name, parameter in adapter.named_parameters().items():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().max() > 0, name


@pytest.mark.parametrize("kind", KINDS)
def test_disabled_adapter_leaves_the_output_and_keeps_what_trains(
    kind: UnetAdapterKind, unet: UNet2DConditionModel, predict: Predict, text_BLC: Tensor
) -> None:
    """Catches: a stage before the adapter's own that runs with it, or a switch that unfreezes."""
    plain = predict(text_BLC)
    adapter = attach_unet_adapter(unet, kind=kind)
    move(adapter)
    moved = predict(text_BLC)
    first = next(iter(adapter.named_parameters().values()))
    for trains in (True, False):
        first.requires_grad_(trains)
        adapter.disable()
        assert torch.equal(predict(text_BLC), plain)
        adapter.enable()
        assert torch.equal(predict(text_BLC), moved)
        assert first.requires_grad is trains


@pytest.mark.parametrize("kind", KINDS)
def test_detached_adapter_leaves_the_unet_as_it_was(
    kind: UnetAdapterKind, unet: UNet2DConditionModel, predict: Predict, text_BLC: Tensor
) -> None:
    """Catches: wrappers, hooks or changed weights that reach the next run."""
    plain, state = predict(text_BLC), {k: v.clone() for k, v in unet.state_dict().items()}
    adapter = attach_unet_adapter(unet, kind=kind)
    move(adapter)
    adapter.detach()
    after = unet.state_dict()
    assert list(after) == list(state)
    assert all(torch.equal(after[name], state[name]) for name in state)
    assert not any(module._forward_hooks for module in unet.modules())
    assert torch.equal(predict(text_BLC), plain)
    attach_unet_adapter(unet, kind=kind)


@pytest.mark.parametrize("second", KINDS)
@pytest.mark.parametrize("first", KINDS)
def test_second_adapter_is_refused_even_when_the_first_is_disabled(
    first: UnetAdapterKind, second: UnetAdapterKind, unet: UNet2DConditionModel
) -> None:
    """Catches: LoRA wrapped twice after a resume."""
    adapter = attach_unet_adapter(unet, kind=first)
    with pytest.raises(GuardError, match="has an adapter already"):
        attach_unet_adapter(unet, kind=second)
    adapter.disable()
    with pytest.raises(GuardError, match="has an adapter already"):
        attach_unet_adapter(unet, kind=second)


@pytest.mark.parametrize("kind", KINDS)
def test_saved_state_restores_the_output_in_a_fresh_adapter(
    kind: UnetAdapterKind, unet: UNet2DConditionModel, predict: Predict, text_BLC: Tensor
) -> None:
    """Catches: parameters that are trained but not saved."""
    adapter = attach_unet_adapter(unet, kind=kind)
    move(adapter)
    moved, state = predict(text_BLC), adapter.state_dict()
    adapter.detach()
    fresh = attach_unet_adapter(unet, kind=kind)
    fresh.load_state_dict(state)
    assert torch.equal(predict(text_BLC), moved)


@pytest.mark.parametrize("kind", KINDS)
def test_state_of_another_shape_or_with_other_keys_is_refused_and_not_loaded(
    kind: UnetAdapterKind, unet: UNet2DConditionModel
) -> None:
    """Catches: half a checkpoint loaded in silence."""
    adapter = attach_unet_adapter(unet, kind=kind)
    before = adapter.state_dict()
    ones = {name: torch.ones_like(tensor) for name, tensor in before.items()}
    first, last = next(iter(ones)), next(reversed(ones))
    missing = {name: tensor for name, tensor in ones.items() if name != last}
    reshaped = {**ones, last: torch.ones(3, 2)}
    for state in (missing, reshaped, {**ones, "unknown": torch.ones(1)}):
        with pytest.raises(MismatchError, match="does not fit"):
            adapter.load_state_dict(state)
        assert torch.equal(adapter.state_dict()[first], before[first])


@pytest.mark.parametrize("kind", KINDS)
def test_adapter_of_a_bfloat16_unet_is_float32(
    kind: UnetAdapterKind, unet: UNet2DConditionModel, predict: Predict, text_BLC: Tensor
) -> None:
    """Catches: trainable parameters in bfloat16, which swallows small updates."""
    unet.to(torch.bfloat16)
    adapter = attach_unet_adapter(unet, kind=kind)
    parameters = adapter.named_parameters().values()
    assert all(parameter.dtype == torch.float32 for parameter in parameters)
    for parameter in parameters:
        parameter.requires_grad_(True)
    out = predict(text_BLC)
    assert out.dtype == torch.bfloat16
    out.float().square().sum().backward()
    assert all(parameter.grad is not None for parameter in parameters)


@pytest.mark.parametrize("scope", list(SsfScope))
def test_merged_ssf_gives_the_same_output_without_hooks(
    scope: SsfScope, unet: UNet2DConditionModel, predict: Predict, text_BLC: Tensor
) -> None:
    """Catches: gamma on the wrong axis, or a bias that is not scaled."""
    adapter = SsfAdapter(unet, scope=scope)
    move(adapter)
    state = {name: tensor.clone() for name, tensor in unet.state_dict().items()}
    on_the_fly = predict(text_BLC)
    adapter.merge()
    adapter.merge()
    assert not any(module._forward_hooks for module in unet.modules())
    assert torch.allclose(predict(text_BLC), on_the_fly, rtol=1e-4, atol=1e-5)
    adapter.unmerge()
    after = unet.state_dict()
    assert list(after) == list(state)
    assert all(torch.equal(after[name], state[name]) for name in state)
    assert torch.equal(predict(text_BLC), on_the_fly)


def test_ssf_scales_then_shifts_one_linear(unet: UNet2DConditionModel) -> None:
    """Catches: y = gamma * (x + beta)."""
    adapter = SsfAdapter(unet)
    linear = unet.mid_block.attentions[0].transformer_blocks[0].attn2.to_k
    name = "mid_block.attentions.0.transformer_blocks.0.attn2.to_k"
    x = torch.randn(2, 3, 64)
    plain = x @ linear.weight.T
    with torch.no_grad():
        adapter.named_parameters()[f"{name}.ssf_gamma"].fill_(2.0)
        adapter.named_parameters()[f"{name}.ssf_beta"].fill_(-1.0)
    assert torch.allclose(linear(x), 2 * plain - 1, atol=1e-6)


def test_no_adapter_adds_nothing(unet: UNet2DConditionModel) -> None:
    """Catches: a choice of `none` that still adapts."""
    keys = list(unet.state_dict())
    adapter = attach_unet_adapter(unet, kind=UnetAdapterKind.NONE)
    assert isinstance(adapter, NoAdapter)
    assert adapter.state_dict() == {}
    adapter.load_state_dict({})
    assert list(unet.state_dict()) == keys


@pytest.mark.parametrize(
    ("scope", "expected"),
    [(SsfScope.CROSS_ATTENTION, 99_840), (SsfScope.ATTENTION, 199_680), (SsfScope.ALL, 837_128)],
)
def test_ssf_sizes_on_stable_diffusion(
    scope: SsfScope, expected: int, stable_diffusion_unet: UNet2DConditionModel
) -> None:
    """Catches: operations left out of a scope, or counted twice."""
    unet = stable_diffusion_unet
    assert sum(parameter.numel() for parameter in unet.parameters()) == 859_520_964
    adapter = SsfAdapter(unet, scope=scope)
    assert count(adapter) == expected
    adapter.detach()


@pytest.mark.parametrize(("rank", "expected"), [(4, 797_184), (8, 1_594_368), (16, 3_188_736)])
def test_lora_sizes_on_stable_diffusion(
    rank: int, expected: int, stable_diffusion_unet: UNet2DConditionModel
) -> None:
    """Catches: projections left out, or feed-forwards taken in."""
    adapter = LoraAdapter(stable_diffusion_unet, rank=rank)
    assert count(adapter) == expected
    adapter.detach()


def test_an_adapter_that_is_none_of_ours_is_refused(unet: UNet2DConditionModel) -> None:
    """Catches: a variant with a typing error that trains without its adapter, unseen."""
    kind: Any = "lroa"
    with pytest.raises(UsageError, match="no UNet adapter 'lroa'; known: lora, dora"):
        attach_unet_adapter(unet, kind=kind)


def test_lora_under_autocast_copies_no_activation_to_float32(
    unet: UNet2DConditionModel, predict: Predict, text_BLC: Tensor
) -> None:
    """Catches: peft's cast of every layer's input, which autocast takes back at once."""
    adapter = attach_unet_adapter(unet.bfloat16(), kind=UnetAdapterKind.LORA)
    move(adapter)
    entering: set[torch.dtype] = set()
    for name, module in unet.named_modules():
        if ".lora_dropout." in name:
            module.register_forward_pre_hook(lambda _, args: entering.add(args[0].dtype))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        predict(text_BLC)
    assert entering == {torch.bfloat16}
    predict(text_BLC)  # without autocast the cast is what lets float32 weights multiply at all
    assert entering == {torch.bfloat16, torch.float32}


def test_lora_of_some_sections_lies_there_alone(
    stable_diffusion_unet: UNet2DConditionModel,
) -> None:
    """Catches: LoRA asked for in the mid block that adapts the whole UNet, or nothing."""
    mid = attach_unet_adapter(
        stable_diffusion_unet, kind=UnetAdapterKind.LORA, lora_rank=16, lora_sections=("mid",)
    )
    assert {name.split(".")[0] for name in mid.named_parameters()} == {"mid_block"}
    # Two attentions of width 1,280 with four projections; keys and values of the second read 768.
    per_rank = 6 * (1280 + 1280) + 2 * (768 + 1280)
    assert count(mid) == 16 * per_rank
    mid.detach()
    both = attach_unet_adapter(
        stable_diffusion_unet, kind=UnetAdapterKind.LORA, lora_sections=("down", "up")
    )
    assert {name.split(".")[0] for name in both.named_parameters()} == {"down_blocks", "up_blocks"}
    both.detach()


@pytest.mark.parametrize("sections", [(), ("middle",)])
def test_lora_of_an_unknown_section_is_a_sentence(
    sections: tuple[str, ...], unet: UNet2DConditionModel
) -> None:
    """Catches: peft's complaint about a regular expression that nobody wrote."""
    with pytest.raises(UsageError, match="expected one or more of down, mid, up"):
        attach_unet_adapter(unet, kind=UnetAdapterKind.LORA, lora_sections=sections)
