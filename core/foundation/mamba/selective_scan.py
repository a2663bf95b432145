"""The selective scan of Mamba (Gu and Dao 2023, algorithm 2), on any device.

    state_t = exp(dt_t * A) * state_{t-1} + dt_t * B_t * x_t
    y_t = C_t . state_t + D * x_t

Shape legend: G groups with parameters of their own (directions), B batch, L steps, E channels,
S state size.
"""

import importlib.util
import logging
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from enum import StrEnum
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional

from core.foundation.mamba.chunked_loop import ChunkedLoopScan

_log = logging.getLogger(__name__)


@cache
def has_fused_kernel() -> bool:
    """Whether mamba-ssm is installed; its kernels run on CUDA tensors only."""
    return importlib.util.find_spec("mamba_ssm") is not None


class ScanKind(StrEnum):
    """How the recurrence is computed; all agree to float32 rounding."""

    LOOP = "loop"  # one step after another; fastest on a CPU, whose cache holds a step
    CHUNKED = "chunked"  # chunks side by side in torch: few steps in a row, for a GPU
    TRITON = "triton"  # a kernel of this project each way, for a GPU
    MAMBA_SSM = "mamba_ssm"  # the fused kernels of that package, for a GPU


def scan_kind(device: str) -> ScanKind:
    """The kind that tensors on a device of this type are scanned by."""
    if device != "cuda":
        return ScanKind.LOOP
    if has_fused_kernel():
        return ScanKind.MAMBA_SSM
    return ScanKind.TRITON if triton_works() else ScanKind.CHUNKED


@cache
def triton_works(device: str = "cuda") -> bool:
    """Whether the Triton scan does on this GPU what the loop does; where it does not the log says.

    Asked once a process, on a few steps: a compiler or a card that it was never tried on shows
    here and not in a training.
    """
    if importlib.util.find_spec("triton") is None:
        _say_that_scans_run_in_torch("Triton and mamba-ssm are not installed")
        return False
    generator = torch.Generator().manual_seed(0)
    shapes = ((2, 1, 40, 6), (2, 1, 40, 6), (2, 6, 4), (2, 1, 40, 4), (2, 1, 40, 4), (2, 6))
    x, dt, A, B, C, D = (torch.randn(*shape, generator=generator) for shape in shapes)
    inputs = (x, functional.softplus(dt), -torch.exp(A), B, C, D)
    try:
        ours, theirs = (
            _all_gradients([t.detach().to(where) for t in inputs], kind=kind)
            for where, kind in ((device, ScanKind.TRITON), ("cpu", ScanKind.LOOP))
        )
    except Exception as error:  # a compiler's errors have no common type
        _say_that_scans_run_in_torch((str(error).splitlines() or [type(error).__name__])[0])
        return False
    pairs = zip(ours, theirs, strict=True)
    worst = max(float((a.cpu() - b).norm() / b.norm()) for a, b in pairs)
    if not worst <= 1e-5:
        _say_that_scans_run_in_torch(f"the Triton scan is off by {worst:.1e}")
        return False
    return True


def _all_gradients(inputs: list[Tensor], *, kind: ScanKind) -> list[Tensor]:
    """y and the gradients of everything that goes in."""
    x, dt, A, B, C, D = (tensor.requires_grad_() for tensor in inputs)
    with torch.enable_grad():
        y = selective_scan(x, dt_GBLE=dt, A_GES=A, B_GBLS=B, C_GBLS=C, D_GE=D, kind=kind)
        return [y.detach(), *torch.autograd.grad(y.square().sum(), (x, dt, A, B, C, D))]


def _say_that_scans_run_in_torch(reason: str) -> None:
    _log.warning(
        "Mamba scans run in torch, which gives the same and takes longer: %s; torch's wheels for "
        "CUDA on Linux bring a Triton that fits them, `pip install branch-harness[mamba]` "
        "mamba-ssm's kernels",
        reason,
    )


def selective_scan(
    x_GBLE: Tensor,
    *,
    dt_GBLE: Tensor,
    A_GES: Tensor,
    B_GBLS: Tensor,
    C_GBLS: Tensor,
    D_GE: Tensor,
    kind: ScanKind | None = None,
) -> Tensor:
    """y [G, B, L, E] of the scan over L, in x's dtype; the state is kept in float32 or wider.

    dt: step sizes, positive. A: decay rates, negative.
    kind: by default what the tensors' device decides (`scan_kind`), at each call.
    """
    if x_GBLE.device.type == "meta":
        return _shape_alone(x_GBLE, dt_GBLE, A_GES, B_GBLS, C_GBLS, D_GE)
    if kind is None:
        kind = scan_kind(x_GBLE.device.type)
    if kind is ScanKind.MAMBA_SSM:
        return _fused_scan(x_GBLE, dt_GBLE, A_GES, B_GBLS, C_GBLS, D_GE)
    is_wide = torch.promote_types(x_GBLE.dtype, torch.float32) != torch.float32
    if kind is ScanKind.TRITON and not is_wide:
        return _triton_scan(x_GBLE, dt_GBLE, A_GES, B_GBLS, C_GBLS, D_GE)
    scan = _in_torch(ScanKind.LOOP if kind is ScanKind.LOOP else ScanKind.CHUNKED)
    return scan(x_GBLE, dt_GBLE, A_GES, B_GBLS, C_GBLS, D_GE)


def _in_torch(kind: ScanKind) -> Callable[..., Tensor]:
    """The scan by torch alone, one way or the other."""
    function = ChunkedLoopScan if kind is ScanKind.CHUNKED else _LoopScan

    def scan(
        x_GBLE: Tensor, dt_GBLE: Tensor, A_GES: Tensor, B_GBLS: Tensor, C_GBLS: Tensor, D_GE: Tensor
    ) -> Tensor:
        dtype = torch.promote_types(x_GBLE.dtype, torch.float32)
        x_LGBE, dt_LGBE, B_LGBS, C_LGBS = (
            tensor.to(dtype).permute(2, 0, 1, 3).contiguous()
            for tensor in (x_GBLE, dt_GBLE, B_GBLS, C_GBLS)
        )
        A_G1ES = A_GES.to(dtype)[:, None]
        with without_autocast(x_GBLE.device.type):
            y_LGBE: Tensor = function.apply(x_LGBE, dt_LGBE, A_G1ES, B_LGBS, C_LGBS)
        y_GBLE = y_LGBE.permute(1, 2, 0, 3)
        return (y_GBLE + D_GE.to(dtype)[:, None, None] * x_GBLE).to(x_GBLE.dtype)

    return scan


def without_autocast(device: str) -> AbstractContextManager[None]:
    """Full precision inside; on a device that knows no autocast (meta) there is nothing to stop."""
    if torch.amp.is_autocast_available(device):
        return torch.autocast(device, enabled=False)
    return nullcontext()


class _LoopScan(torch.autograd.Function):
    """The recurrence without D, and its adjoint, as one loop over L each.

    Written out because autograd over the loop keeps four tensors of the size of all states and
    takes two to four times as long. A step's tensors fit a core's cache; the states alone are
    kept, decays are computed again on the way back.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, dt: Tensor, A: Tensor, B: Tensor, C: Tensor) -> Tensor:
        with without_autocast(x.device.type):
            states = x.new_empty(*x.shape, A.shape[-1])
            state = torch.zeros_like(states[0])
            y = torch.empty_like(x)
            for t in range(len(x)):
                drive = (dt[t] * x[t])[..., None] * B[t][..., None, :]
                decay = torch.exp(dt[t][..., None] * A)
                state = torch.addcmul(drive, decay, state, out=states[t])
                y[t] = (state @ C[t][..., None]).squeeze(-1)
        ctx.save_for_backward(x, dt, A, B, C, states)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_y: Tensor) -> tuple[Tensor, ...]:
        x, dt, A, B, C, states = ctx.saved_tensors
        grad_x, grad_dt, grad_B, grad_C = (torch.empty_like(v) for v in (x, dt, B, C))
        grad_state = torch.zeros_like(states[0])
        grad_A = torch.zeros_like(states[0])
        with without_autocast(x.device.type):
            for t in reversed(range(len(x))):
                grad_C[t] = (grad_y[t][..., None, :] @ states[t]).squeeze(-2)
                grad_state.addcmul_(grad_y[t][..., None], C[t][..., None, :])
                grad_B[t] = ((dt[t] * x[t])[..., None, :] @ grad_state).squeeze(-2)
                grad_drive = (grad_state @ B[t][..., None]).squeeze(-1)
                grad_x[t] = grad_drive * dt[t]
                grad_dt[t] = grad_drive * x[t]
                grad_state *= torch.exp(dt[t][..., None] * A)
                if t > 0:
                    grad_exponent = grad_state * states[t - 1]
                    grad_A.addcmul_(grad_exponent, dt[t][..., None])
                    grad_dt[t] += (grad_exponent * A).sum(-1)
        return grad_x, grad_dt, grad_A.sum(1, keepdim=True), grad_B, grad_C


def _shape_alone(
    x_GBLE: Tensor, dt_GBLE: Tensor, A_GES: Tensor, B_GBLS: Tensor, C_GBLS: Tensor, D_GE: Tensor
) -> Tensor:
    """Something of the scan's shape and type that every input has a part in.

    On the meta device there is nothing to compute, and the loop would take minutes at full size.
    """
    parameters_G11E = (A_GES.sum(-1) + D_GE)[:, None, None]
    inputs_GBL1 = (B_GBLS * C_GBLS).sum(-1, keepdim=True)
    return (x_GBLE + dt_GBLE + inputs_GBL1 + parameters_G11E).to(x_GBLE.dtype)


def _triton_scan(
    x_GBLE: Tensor, dt_GBLE: Tensor, A_GES: Tensor, B_GBLS: Tensor, C_GBLS: Tensor, D_GE: Tensor
) -> Tensor:
    from core.foundation.mamba.triton_scan import TritonScan

    with without_autocast(x_GBLE.device.type):
        # Triton's arrays are powers of two long; a state of zeros stays zero and adds nothing.
        padding = (0, (1 << (A_GES.shape[-1] - 1).bit_length()) - A_GES.shape[-1])
        A_GES, B_GBLS, C_GBLS = (
            functional.pad(tensor.float(), padding).contiguous()
            for tensor in (A_GES, B_GBLS, C_GBLS)
        )
        x, dt = x_GBLE.float().contiguous(), dt_GBLE.float().contiguous()
        y_GBLE: Tensor = TritonScan.apply(x, dt, A_GES, B_GBLS, C_GBLS)
        return (y_GBLE + D_GE.float()[:, None, None] * x).to(x_GBLE.dtype)


def _fused_scan(
    x_GBLE: Tensor, dt_GBLE: Tensor, A_GES: Tensor, B_GBLS: Tensor, C_GBLS: Tensor, D_GE: Tensor
) -> Tensor:
    from mamba_ssm.ops.selective_scan_interface import selective_scan_fn

    groups = [
        selective_scan_fn(
            x.transpose(1, 2),
            dt.to(x.dtype).transpose(1, 2),
            A.float(),
            B.to(x.dtype).transpose(1, 2),
            C.to(x.dtype).transpose(1, 2),
            D.float(),
        ).transpose(1, 2)
        for x, dt, A, B, C, D in zip(x_GBLE, dt_GBLE, A_GES, B_GBLS, C_GBLS, D_GE, strict=True)
    ]
    return torch.stack(groups)
