"""Blocks that are computed for a GPU: the same as diffusers' own, by whatever kernels."""

from typing import Any

import pytest
import torch
from diffusers import AutoencoderKL
from torch import Tensor, nn
from torch.nn import functional

from core.conditioning.adapters import attach_unet_adapter
from core.conditioning.ssf.scope import SsfScope
from core.conditioning.variant import UnetAdapterKind
from core.foundation.fused import blocks
from core.foundation.fused.blocks import agrees, block_kind, fuse, fuse_on_gpu
from harness.testing import SmallFoundation

FOUNDATION = SmallFoundation()


class InTorch:
    """What the kernels compute, in torch; counts what it was asked for."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def group_norm(
        self, x_BCHW: Tensor, *, norm: nn.GroupNorm, shift_BC: Tensor | None = None, has_silu: bool
    ) -> Tensor:
        self.asked.append("group_norm")
        if shift_BC is not None:
            x_BCHW = x_BCHW + shift_BC[:, :, None, None]
        y_BCHW = functional.group_norm(x_BCHW, norm.num_groups, norm.weight, norm.bias, norm.eps)
        return functional.silu(y_BCHW) if has_silu else y_BCHW

    def geglu(self, joint: Tensor) -> Tensor:
        self.asked.append("geglu")
        value, gate = joint.chunk(2, dim=-1)
        return value * functional.gelu(gate)


def distance(found: Tensor, expected: Tensor) -> float:
    """Length of the difference over that of what is expected; a key's bias has gradient 0."""
    return float((found - expected).norm() / (expected.norm() + 1e-9))


def answers(unet: Any, **adapter: Any) -> tuple[Tensor, dict[str, Tensor]]:
    """The prediction under an adapter, and the gradients of the adapter."""
    torch.manual_seed(0)
    attached = attach_unet_adapter(unet.double(), lora_dropout=0.0, **adapter)
    for parameter in attached.named_parameters().values():
        parameter.data = parameter.data.double() + 0.1
    text_BLC = torch.randn(2, FOUNDATION.num_text_tokens, FOUNDATION.context_dim).double()
    predicted = FOUNDATION.predict(unet, text_BLC)
    predicted.square().mean().backward()
    found = {n: p.grad for n, p in attached.named_parameters().items() if p.grad is not None}
    attached.detach()
    return predicted.detach(), found


@pytest.mark.parametrize(
    "adapter",
    [
        {"kind": UnetAdapterKind.LORA, "lora_rank": 2},
        {"kind": UnetAdapterKind.SSF, "ssf_scope": SsfScope.ALL},
    ],
    ids=["lora", "ssf on norms and convolutions too"],
)
def test_fused_blocks_compute_what_diffusers_does(adapter: dict[str, Any]) -> None:
    """Catches: a shift, a shortcut or an activation left out, or an adapter's layer passed over."""
    expected, expected_grads = answers(FOUNDATION.unet(), **adapter)
    unet, kernels = FOUNDATION.unet(), InTorch()
    fuse(unet, kernels=kernels)
    predicted, grads = answers(unet, **adapter)
    assert {"group_norm", "geglu"} <= set(kernels.asked)
    assert distance(predicted, expected) < 1e-6  # timesteps are embedded in float32
    assert grads.keys() == expected_grads.keys()
    for name, grad in grads.items():
        assert distance(grad, expected_grads[name]) < 1e-5, name


def test_a_vae_without_timesteps_is_fused_too() -> None:
    """Catches: a block without a time embedding that fails, or one computed as before."""
    torch.manual_seed(0)
    vae = AutoencoderKL(
        block_out_channels=(8, 16),
        norm_num_groups=4,
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
    ).requires_grad_(False)
    latents = torch.randn(1, 4, 8, 8)
    expected, kernels = vae.decode(latents).sample, InTorch()
    fuse(vae, kernels=kernels)
    assert torch.allclose(vae.decode(latents).sample, expected, atol=2e-4)
    assert len(kernels.asked) > 10


def test_a_block_that_is_trained_stays_as_it_was() -> None:
    """Catches: kernels without gradients for weights used on weights that are trained."""
    unet, kernels = FOUNDATION.unet(), InTorch()
    fuse(unet, kernels=kernels)
    for module in unet.modules():
        if isinstance(module, nn.GroupNorm):
            module.requires_grad_(True)
    text_BLC = torch.randn(1, FOUNDATION.num_text_tokens, FOUNDATION.context_dim)
    assert FOUNDATION.predict(unet, text_BLC).requires_grad
    assert "group_norm" not in kernels.asked


def test_hooks_and_names_stay() -> None:
    """Catches: an edit that keeps a layer's features and gets none, or weights of other names."""
    unet = FOUNDATION.unet()
    names = list(unet.state_dict())
    fuse(unet, kernels=InTorch())
    seen: list[nn.Module] = []
    for module in unet.modules():
        if type(module).__name__ == "ResnetBlock2D":
            module.conv2.register_forward_hook(lambda layer, *_: seen.append(layer))
    text_BLC = torch.randn(1, FOUNDATION.num_text_tokens, FOUNDATION.context_dim)
    FOUNDATION.predict(unet, text_BLC)
    assert list(unet.state_dict()) == names
    assert len(seen) == sum(type(m).__name__ == "ResnetBlock2D" for m in unet.modules())


def test_a_cpu_computes_what_it_always_did() -> None:
    """Catches: other roundings, and so other numbers, where there is no GPU."""
    unet = FOUNDATION.unet()
    before = [module.forward for module in unet.modules()]
    fuse_on_gpu(unet, device="cpu")
    assert block_kind("cpu") == "torch"
    assert [module.forward for module in unet.modules()] == before


class Broken(InTorch):
    """A kernel that forgets the shift."""

    def group_norm(self, x_BCHW: Tensor, **settings: Any) -> Tensor:
        return super().group_norm(x_BCHW, **(settings | {"shift_BC": None}))


class Uncompiled(InTorch):
    def geglu(self, joint: Tensor) -> Tensor:
        raise ValueError("no code for this card")


@pytest.mark.parametrize(
    ("kernels", "said"),
    [(InTorch(), ""), (Broken(), "off by"), (Uncompiled(), "no code for this card")],
    ids=["right", "wrong", "not compiled"],
)
def test_kernels_are_used_where_they_agree_with_torch(
    kernels: InTorch, said: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Catches: other images, or a crash, on a card that the kernels were never tried on."""
    assert agrees(kernels, device="cpu") == (said == "")
    assert said in caplog.text


def test_a_gpu_whose_kernels_differ_is_left_to_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    """Catches: kernels used on a GPU where the check of them failed."""
    monkeypatch.setattr(blocks, "works_on_gpu", lambda: False)
    assert block_kind("cuda") == "torch"
    monkeypatch.setattr(blocks, "works_on_gpu", lambda: True)
    assert block_kind("cuda") == "triton"
