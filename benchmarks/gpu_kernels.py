"""The project's Triton kernels against torch in float64, on this machine's GPU; JSON on stdout."""

import json
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from core.foundation.fused import triton_kernels
from core.foundation.mamba.selective_scan import ScanKind, selective_scan

UNET_SHAPES = ((320, 64), (640, 32), (960, 32), (1920, 16), (2560, 8))
"""Channels and side of group norms in SD v1.5."""


def main() -> None:
    torch.use_deterministic_algorithms(True)
    found: dict[str, Any] = {}
    for dtype in (torch.float32, torch.bfloat16, torch.float16):
        name = str(dtype).removeprefix("torch.")
        found[name] = {
            "group_norm": max(norm_error(c, side, dtype) for c, side in UNET_SHAPES),
            "group_norm_vae": norm_error(128, 512, dtype, batch=1),
            "geglu": geglu_error(dtype),
        }
    found["scan"] = {"float32": scan_error(), **scan_times()}
    print(json.dumps(found))


def _error(found: Tensor, expected: Tensor) -> float:
    return float((found.double() - expected).norm() / expected.norm())


def norm_error(channels: int, side: int, dtype: torch.dtype, *, batch: int = 4) -> float:
    """Worst relative error of a group norm with shift and SiLU and of its gradient."""
    torch.manual_seed(0)
    norm = nn.GroupNorm(32, channels, device="cuda", dtype=dtype).requires_grad_(False)
    nn.init.normal_(norm.weight, 1, 0.2)
    nn.init.normal_(norm.bias, 0, 0.2)
    x = torch.randn(batch, channels, side, side, device="cuda").to(dtype) + 2
    x = x.contiguous(memory_format=torch.channels_last).requires_grad_()
    shift = torch.randn(batch, channels, device="cuda").to(dtype)
    weights = torch.randn_like(x)
    y = triton_kernels.group_norm(x, norm=norm, shift_BC=shift, has_silu=True)
    (grad,) = torch.autograd.grad(y, x, weights)
    exact = x.detach().double().requires_grad_()
    expected = functional.silu(norm.double()(exact + shift.double()[:, :, None, None]))
    (expected_grad,) = torch.autograd.grad(expected, exact, weights.double())
    return max(_error(y, expected), _error(grad, expected_grad))


def geglu_error(dtype: torch.dtype) -> float:
    """The same of GEGLU."""
    torch.manual_seed(0)
    joint = torch.randn(2, 4096, 2560, device="cuda").to(dtype).requires_grad_()
    weights = torch.randn(2, 4096, 1280, device="cuda").to(dtype)
    y = triton_kernels.geglu(joint)
    (grad,) = torch.autograd.grad(y, joint, weights)
    exact = joint.detach().double().requires_grad_()
    value, gate = exact.chunk(2, dim=-1)
    expected = value * functional.gelu(gate)
    (expected_grad,) = torch.autograd.grad(expected, exact, weights.double())
    return max(_error(y, expected), _error(grad, expected_grad))


def _scan_inputs(dtype: torch.dtype = torch.float32) -> dict[str, Tensor]:
    """At SSAMBA tiny's sizes, a batch of 8."""
    generator = torch.Generator().manual_seed(0)

    def draw(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator)

    drawn = {
        "x_GBLE": draw(2, 8, 513, 384),
        "dt_GBLE": functional.softplus(draw(2, 8, 513, 384) - 2),
        "A_GES": -torch.arange(1.0, 17).expand(2, 384, 16) * draw(2, 384, 16).exp(),
        "B_GBLS": draw(2, 8, 513, 16),
        "C_GBLS": draw(2, 8, 513, 16),
        "D_GE": draw(2, 384),
    }
    return {name: t.to("cuda", dtype).requires_grad_() for name, t in drawn.items()}


def scan_error() -> float:
    """Worst relative error of the Triton scan and its six gradients; the reference is in torch."""
    results = []
    for kind, dtype in ((ScanKind.TRITON, torch.float32), (ScanKind.CHUNKED, torch.float64)):
        inputs = _scan_inputs(dtype)
        y = selective_scan(**inputs, kind=kind)
        weights = torch.linspace(-1, 1, y.numel(), device="cuda", dtype=dtype).view_as(y)
        results.append([y, *torch.autograd.grad(y, list(inputs.values()), weights)])
    return max(_error(one, other) for one, other in zip(*results, strict=True))


def scan_times() -> dict[str, float]:
    """Milliseconds of a scan there and back, by kind."""
    inputs = _scan_inputs()

    def both(kind: ScanKind) -> Callable[[], None]:
        return lambda: selective_scan(**inputs, kind=kind).sum().backward()

    return {f"{kind.value}_ms": _ms(both(kind)) for kind in (ScanKind.TRITON, ScanKind.CHUNKED)}


def _ms(work: Callable[[], None], *, repeats: int = 10) -> float:
    for _ in range(3):
        work()
    torch.cuda.synchronize()
    started = time.monotonic()
    for _ in range(repeats):
        work()
    torch.cuda.synchronize()
    return 1000 * (time.monotonic() - started) / repeats


if __name__ == "__main__":
    main()
