"""The state space of Mamba-2 in chunks (SSD, Dao and Gu 2024, section 6), on any device.

    state_t = exp(dt_t * A) * state_{t-1} + dt_t * x_t B_t^T
    y_t = state_t C_t + D * x_t

with one scalar A and D a head. Within a chunk the recurrence is a masked matrix product, so only
one state a chunk is carried along; memory for the backward pass grows in proportion to L.

Shape legend: G groups with parameters of their own (directions), B batch, L steps, H heads,
P channels of a head, S state size, N chunks, Q steps of a chunk (also K), E = H * P.
"""

import torch
from torch import Tensor
from torch.nn import functional

from core.foundation.mamba.selective_scan import without_autocast

CHUNK = 64
"""Steps of a chunk Q: arithmetic grows with Q, the number of states kept with 1 / Q."""


def chunked_scan(
    x_GBLHP: Tensor,
    *,
    dt_GBLH: Tensor,
    A_GH: Tensor,
    B_GBLS: Tensor,
    C_GBLS: Tensor,
    D_GH: Tensor,
    chunk: int = CHUNK,
) -> Tensor:
    """y [G, B, L, H, P] of the scan over L, in x's dtype; arithmetic in float32 or wider.

    dt: step sizes, positive. A: decay rates, negative. B, C: shared by all heads.
    """
    dtype = torch.promote_types(x_GBLHP.dtype, torch.float32)
    num_steps = x_GBLHP.shape[2]
    chunk = min(chunk, num_steps)
    with without_autocast(x_GBLHP.device.type):
        # A padded step has dt 0: it neither decays the state nor adds to it.
        padding = -num_steps % chunk
        dt_GBNQH = _chunks(dt_GBLH.to(dtype), chunk=chunk, padding=padding)
        x_GBNQHP = _chunks(x_GBLHP.to(dtype), chunk=chunk, padding=padding)
        B_GBNQS = _chunks(B_GBLS.to(dtype), chunk=chunk, padding=padding)
        C_GBNQS = _chunks(C_GBLS.to(dtype), chunk=chunk, padding=padding)
        driven_GBNQHP = dt_GBNQH[..., None] * x_GBNQHP
        # Logarithm of the decay from a chunk's start to each of its steps.
        log_GBNHQ = _running_sum((dt_GBNQH * A_GH.to(dtype)[:, None, None, None]).mT)
        y_GBNQHP = _within_chunks(driven_GBNQHP, B_GBNQS, C_GBNQS, log_GBNHQ)
        y_GBNQHP = y_GBNQHP + _across_chunks(driven_GBNQHP, B_GBNQS, C_GBNQS, log_GBNHQ)
        y_GBLHP = y_GBNQHP.flatten(2, 3)[:, :, :num_steps]
        y_GBLHP = y_GBLHP + D_GH.to(dtype)[:, None, None, :, None] * x_GBLHP
    return y_GBLHP.to(x_GBLHP.dtype)


def _chunks(values: Tensor, *, chunk: int, padding: int) -> Tensor:
    """[G, B, N, Q, ...] of [G, B, L, ...], zeros at the end."""
    num_trailing = values.ndim - 3
    padded = functional.pad(values, (0, 0) * num_trailing + (0, padding))
    return padded.unflatten(2, (-1, chunk))


def _running_sum(values_GBNHQ: Tensor) -> Tensor:
    """Cumulative sum over the steps of a chunk."""
    if not values_GBNHQ.is_cuda:
        return values_GBNHQ.cumsum(dim=-1)
    # CUDA's cumsum has no deterministic form; a chunk is short enough for a matrix product.
    num_steps = values_GBNHQ.shape[-1]
    return values_GBNHQ @ torch.ones(num_steps, num_steps).to(values_GBNHQ).triu()


def _within_chunks(driven: Tensor, B: Tensor, C: Tensor, log_GBNHQ: Tensor) -> Tensor:
    """What each step hears of its own chunk, up to itself."""
    log_decay_GBNHQK = log_GBNHQ[..., :, None] - log_GBNHQ[..., None, :]
    future_QK = torch.ones(
        log_decay_GBNHQK.shape[-2:], dtype=torch.bool, device=driven.device
    ).triu(diagonal=1)
    # Masked before exp, which would overflow for the future and turn its gradient into NaN.
    decay_GBNHQK = log_decay_GBNHQK.masked_fill(future_QK, -torch.inf).exp()
    weight_GBNHQK = (C @ B.mT)[..., None, :, :] * decay_GBNHQK
    return (weight_GBNHQK @ driven.transpose(3, 4)).transpose(3, 4)


def _across_chunks(driven: Tensor, B: Tensor, C: Tensor, log_GBNHQ: Tensor) -> Tensor:
    """What each step hears of the chunks before its own."""
    to_end_GBNHQ = (log_GBNHQ[..., -1:] - log_GBNHQ).exp()
    added_GBNHPS = torch.einsum("gbnhq,gbnqhp,gbnqs->gbnhps", to_end_GBNHQ, driven, B)
    whole_GBNH = log_GBNHQ[..., -1].exp()
    state_GBHPS = torch.zeros_like(added_GBNHPS[:, :, 0])
    entering = []
    for added_GBHPS, decay_GBH in zip(added_GBNHPS.unbind(2), whole_GBNH.unbind(2), strict=True):
        entering.append(state_GBHPS)
        state_GBHPS = decay_GBH[..., None, None] * state_GBHPS + added_GBHPS
    from_start_GBNHQ = log_GBNHQ.exp()
    return torch.einsum(
        "gbnhq,gbnqs,gbnhps->gbnqhp", from_start_GBNHQ, C, torch.stack(entering, dim=2)
    )
