"""Diffusers' blocks of a frozen model, computed for a GPU: fewer reads and writes of activations.

What changes is how the same is computed: group norms with SiLU and GEGLU by one kernel each, layer
norms in the activations' own type (autocast would write float32), convolutions with channels last.
Parameters, their names and hooks stay. A layer that an adapter has put something around, or that
is trained, is computed as it was.

Shape legend: B batch, C channels, H W height and width.
"""

import importlib.util
import logging
from collections.abc import Callable
from functools import cache
from types import MethodType
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional

_log = logging.getLogger(__name__)

# Relative error of one kernel on random numbers, about four roundings of each type.
_TOLERANCES = {torch.float32: 1e-5, torch.float16: 2e-3, torch.bfloat16: 2e-2}


class Kernels(Protocol):
    """What is computed by one kernel."""

    def group_norm(
        self, x_BCHW: Tensor, *, norm: nn.GroupNorm, shift_BC: Tensor | None = None, has_silu: bool
    ) -> Tensor:
        """[silu of] `norm` of x plus its channel's shift, in x's type."""

    def geglu(self, joint: Tensor) -> Tensor:
        """value * gelu(gate), the two being halves of the last dimension."""


def block_kind(device: str | torch.device) -> str:
    """How the blocks of UNet and VAE are computed on a device: `triton` or `torch`."""
    return "triton" if torch.device(device).type == "cuda" and works_on_gpu() else "torch"


def fuse_on_gpu(model: nn.Module, *, device: str | torch.device) -> None:
    """Fuse the blocks of a model on a GPU whose kernels agree with torch; else change nothing."""
    if block_kind(device) == "triton":
        from core.foundation.fused import triton_kernels

        fuse(model, kernels=triton_kernels)


@cache
def works_on_gpu() -> bool:
    """Whether the kernels agree with torch on this machine's GPU; asked once a process."""
    if importlib.util.find_spec("triton") is None:
        return False
    from core.foundation.fused import triton_kernels

    return agrees(triton_kernels, device="cuda")


def agrees(kernels: Kernels, *, device: str) -> bool:
    """Whether kernels do on this device what torch does, forward and backward, in every type.

    A compiler or a card that they were never tried on shows here, in a second, and not in images.
    Where they fail or differ the log says so.
    """
    try:
        worst = {dtype: _disagreement(kernels, device=device, dtype=dtype) for dtype in _TOLERANCES}
    except Exception as error:  # a compiler's errors have no common type
        problem = (str(error).splitlines() or [type(error).__name__])[0]
    else:
        far = {d: e for d, e in worst.items() if not e <= _TOLERANCES[d]}
        if not far:
            return True
        problem = ", ".join(f"off by {e:.1e} in {str(d)[6:]}" for d, e in far.items())
    _log.warning(
        "the fused kernels of UNet and VAE do not work on this GPU (%s), so torch's own are used, "
        "which take longer and differ by rounding alone",
        problem,
    )
    return False


def _disagreement(kernels: Kernels, *, device: str, dtype: torch.dtype) -> float:
    """Worst relative error against torch in float64 of a norm, of GEGLU and of their gradients."""
    generator = torch.Generator().manual_seed(0)

    def draw(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator).to(device, dtype)

    norm = nn.GroupNorm(8, 80, device=device, dtype=dtype).requires_grad_(False)
    norm.weight.copy_(1 + draw(80) / 4)
    norm.bias.copy_(draw(80) / 4)
    exact = nn.GroupNorm(8, 80, device=device, dtype=torch.float64).requires_grad_(False)
    exact.load_state_dict(norm.state_dict())
    shift = draw(2, 80)
    pairs: list[tuple[Tensor, Callable[[Tensor], Tensor], Callable[[Tensor], Tensor]]] = [
        (
            draw(2, 80, 13, 13) + 1,
            lambda x: kernels.group_norm(x, norm=norm, shift_BC=shift, has_silu=True),
            lambda x: functional.silu(exact(x + shift.double()[:, :, None, None])),
        ),
        (draw(2, 80, 13, 13), lambda x: kernels.group_norm(x, norm=norm, has_silu=False), exact),
        (
            draw(7, 600),
            kernels.geglu,
            lambda x: x.chunk(2, dim=-1)[0] * functional.gelu(x.chunk(2, dim=-1)[1]),
        ),
    ]
    errors = []
    for x, ours, theirs in pairs:
        one, other = x.clone().requires_grad_(), x.double().requires_grad_()
        y, expected = ours(one), theirs(other)
        weights = draw(*y.shape)
        grads = (
            torch.autograd.grad(y, one, weights),
            torch.autograd.grad(expected, other, weights.double()),
        )
        results = (y.detach(), expected.detach()), (grads[0][0], grads[1][0])
        for found, wanted in results:
            errors.append(float((found.double() - wanted).norm() / wanted.norm()))
    return max(errors)


def fuse(model: nn.Module, *, kernels: Kernels) -> None:
    """Let a diffusers UNet or VAE compute its blocks by `kernels`."""
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    for module in model.modules():
        made = _fused_forward(module, kernels=kernels)
        if made is not None:
            module.forward = MethodType(made, module)


def _fused_forward(module: Any, *, kernels: Kernels) -> Callable[..., Tensor] | None:
    """What takes the place of a module's `forward`, bound later; None leaves it."""
    kind = type(module).__name__
    if kind == "ResnetBlock2D" and _is_plain_resnet(module):
        return _resnet(module.forward, kernels=kernels)
    if kind == "GEGLU":
        return _geglu(kernels=kernels)
    if type(module) is nn.GroupNorm and module.affine:
        return _group_norm(module.forward, kernels=kernels)
    if type(module) is nn.LayerNorm:
        return _layer_norm
    return None


def _is_plain_resnet(block: Any) -> bool:
    """Whether it is put together as in Stable Diffusion 1.x."""
    return (
        block.time_embedding_norm == "default"
        and block.upsample is None
        and block.downsample is None
        and not block.skip_time_act
        and block.output_scale_factor == 1
        and block.dropout.p == 0
        and isinstance(block.nonlinearity, nn.SiLU)
    )


def _is_frozen(norm: object) -> bool:
    return type(norm) is nn.GroupNorm and not norm.weight.requires_grad


def _resnet(plain: Callable[..., Tensor], *, kernels: Kernels) -> Callable[..., Tensor]:
    def forward(
        self: Any, x_BCHW: Tensor, temb: Tensor | None, *args: Any, **kwargs: Any
    ) -> Tensor:
        if not (_is_frozen(self.norm1) and _is_frozen(self.norm2)):
            return plain(x_BCHW, temb, *args, **kwargs)
        shift_BC = None
        if self.time_emb_proj is not None and temb is not None:
            shift_BC = self.time_emb_proj(functional.silu(temb))
            if shift_BC.requires_grad:
                return plain(x_BCHW, temb, *args, **kwargs)
        h_BCHW = self.conv1(kernels.group_norm(x_BCHW, norm=self.norm1, has_silu=True))
        h_BCHW = self.conv2(
            kernels.group_norm(h_BCHW, norm=self.norm2, shift_BC=shift_BC, has_silu=True)
        )
        if self.conv_shortcut is not None:
            x_BCHW = self.conv_shortcut(x_BCHW)
        return x_BCHW + h_BCHW

    return forward


def _geglu(*, kernels: Kernels) -> Callable[..., Tensor]:
    def forward(self: Any, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        return kernels.geglu(self.proj(x))

    return forward


def _group_norm(plain: Callable[..., Tensor], *, kernels: Kernels) -> Callable[..., Tensor]:
    def forward(self: Any, x: Tensor) -> Tensor:
        if x.ndim != 4 or not _is_frozen(self):
            return plain(x)
        return kernels.group_norm(x, norm=self, has_silu=False)

    return forward


def _layer_norm(self: Any, x: Tensor) -> Tensor:
    with torch.autocast(x.device.type, enabled=False):
        return functional.layer_norm(
            x.to(self.weight.dtype), self.normalized_shape, self.weight, self.bias, self.eps
        )
