"""The selective scan of Mamba (Gu and Dao 2023, algorithm 2), on any device.

    state_t = exp(dt_t * A) * state_{t-1} + dt_t * B_t * x_t
    y_t = C_t . state_t + D * x_t

Shape legend: G groups with parameters of their own (directions), B batch, L steps, E channels,
S state size.
"""

import importlib.util
from functools import cache

import torch
from torch import Tensor


@cache
def has_fused_kernel() -> bool:
    """Whether mamba-ssm is installed; its kernels run on CUDA tensors only."""
    return importlib.util.find_spec("mamba_ssm") is not None


def selective_scan(
    x_GBLE: Tensor, *, dt_GBLE: Tensor, A_GES: Tensor, B_GBLS: Tensor, C_GBLS: Tensor, D_GE: Tensor
) -> Tensor:
    """y [G, B, L, E] of the scan over L, in x's dtype; the state is kept in float32 or wider.

    dt: step sizes, positive. A: decay rates, negative.
    CUDA tensors go to mamba-ssm's fused kernel where that is installed, which agrees to float32
    rounding; everything else runs in torch.
    """
    if x_GBLE.is_cuda and has_fused_kernel():
        return _fused_scan(x_GBLE, dt_GBLE, A_GES, B_GBLS, C_GBLS, D_GE)
    return _torch_scan(x_GBLE, dt_GBLE, A_GES, B_GBLS, C_GBLS, D_GE)


def _torch_scan(
    x_GBLE: Tensor, dt_GBLE: Tensor, A_GES: Tensor, B_GBLS: Tensor, C_GBLS: Tensor, D_GE: Tensor
) -> Tensor:
    dtype = torch.promote_types(x_GBLE.dtype, torch.float32)
    x, dt, B, C = (tensor.to(dtype) for tensor in (x_GBLE, dt_GBLE, B_GBLS, C_GBLS))
    decay_GBLES = torch.exp(dt[..., None] * A_GES.to(dtype)[:, None, None])
    drive_GBLES = (dt * x)[..., None] * B[..., None, :]
    state_GBES = torch.zeros_like(drive_GBLES[:, :, 0])
    states = []
    # unbind, not indexing: the backward of L slices writes L tensors of full size.
    for decay_GBES, drive_GBES in zip(decay_GBLES.unbind(2), drive_GBLES.unbind(2), strict=True):
        state_GBES = torch.addcmul(drive_GBES, decay_GBES, state_GBES)
        states.append(state_GBES)
    y_GBLE = torch.einsum("gbles,gbls->gble", torch.stack(states, dim=2), C)
    return (y_GBLE + D_GE.to(dtype)[:, None, None] * x).to(x_GBLE.dtype)


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
