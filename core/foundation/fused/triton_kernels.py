"""Group norm with SiLU and GEGLU as Triton kernels, forward and backward, for frozen weights.

On a GPU these read and write whole activations and little else, so what counts is how often. A
group norm here takes channels last, adds a shift, normalises and applies SiLU in two reads and one
write, in the activations' own type with float32 inside. Gradients go to the activations alone.
Sums are made in a fixed order, so equal calls give equal bits.

Triton comes with torch for CUDA; nothing here is imported elsewhere.

Shape legend: B batch, C channels, H W height and width, R = H W rows, G groups, P parts of the
rows.
"""

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

ROWS = 128
"""Rows of a program."""
CHANNELS = 32
"""Channels of a program."""
WARPS = 4


@triton.jit
def _place(num_rows, num_channels, ROWS: tl.constexpr, CHANNELS: tl.constexpr):
    """Rows and channels of this program, their offsets in [B, R, C], and which exist."""
    r = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    c = tl.program_id(1) * CHANNELS + tl.arange(0, CHANNELS)
    row = tl.program_id(2).to(tl.int64) * num_rows + r
    at = row[:, None] * num_channels + c[None, :]
    return r, c, at, (r < num_rows)[:, None] & (c < num_channels)[None, :]


@triton.jit
def _read(x_ptr, shift_ptr, at, c, exists, num_channels, HAS_SHIFT: tl.constexpr):
    """x plus its channel's shift, float32, and 0 where nothing is."""
    x = tl.load(x_ptr + at, mask=exists, other=0.0).to(tl.float32)
    if HAS_SHIFT:
        shift = tl.load(
            shift_ptr + tl.program_id(2) * num_channels + c, mask=c < num_channels, other=0.0
        ).to(tl.float32)
        x = tl.where(exists, x + shift[None, :], 0.0)
    return x


@triton.jit
def _normal(x, mean_ptr, rstd_ptr, weight_ptr, bias_ptr, c, num_channels, num_groups):
    """(normalised x, its rstd, weight, bias), the last three by channel."""
    is_channel = c < num_channels
    group = tl.program_id(2) * num_groups + c // (num_channels // num_groups)
    mean = tl.load(mean_ptr + group, mask=is_channel, other=0.0)
    rstd = tl.load(rstd_ptr + group, mask=is_channel, other=0.0)
    weight = tl.load(weight_ptr + c, mask=is_channel, other=0.0).to(tl.float32)
    bias = tl.load(bias_ptr + c, mask=is_channel, other=0.0).to(tl.float32)
    return (x - mean[None, :]) * rstd[None, :], rstd, weight, bias


@triton.jit
def _moments_kernel(
    x_ptr, shift_ptr, mean_ptr, m2_ptr, num_rows, num_channels,
    HAS_SHIFT: tl.constexpr, ROWS: tl.constexpr, CHANNELS: tl.constexpr,
):  # fmt: skip
    """Mean and sum of squared deviations of each channel over a part of the rows, [B, P, C]."""
    _, c, at, exists = _place(num_rows, num_channels, ROWS, CHANNELS)
    x = _read(x_ptr, shift_ptr, at, c, exists, num_channels, HAS_SHIFT)
    count = tl.minimum(num_rows - tl.program_id(0) * ROWS, ROWS)
    mean = tl.sum(x, axis=0) / count
    deviation = tl.where(exists, x - mean[None, :], 0.0)
    out = (tl.program_id(2) * tl.num_programs(0) + tl.program_id(0)) * num_channels + c
    tl.store(mean_ptr + out, mean, mask=c < num_channels)
    tl.store(m2_ptr + out, tl.sum(deviation * deviation, axis=0), mask=c < num_channels)


@triton.jit
def _normalise_kernel(
    x_ptr, shift_ptr, mean_ptr, rstd_ptr, weight_ptr, bias_ptr, y_ptr,
    num_rows, num_channels, num_groups,
    HAS_SHIFT: tl.constexpr, HAS_SILU: tl.constexpr, ROWS: tl.constexpr, CHANNELS: tl.constexpr,
):  # fmt: skip
    _, c, at, exists = _place(num_rows, num_channels, ROWS, CHANNELS)
    x = _read(x_ptr, shift_ptr, at, c, exists, num_channels, HAS_SHIFT)
    normal, _, weight, bias = _normal(
        x, mean_ptr, rstd_ptr, weight_ptr, bias_ptr, c, num_channels, num_groups
    )
    y = normal * weight[None, :] + bias[None, :]
    if HAS_SILU:
        y = y * tl.sigmoid(y)
    tl.store(y_ptr + at, y.to(y_ptr.dtype.element_ty), mask=exists)


@triton.jit
def _grad_normal(grad_y, normal, weight, bias, HAS_SILU: tl.constexpr):
    """Gradient of the normalised x."""
    if HAS_SILU:
        y = normal * weight[None, :] + bias[None, :]
        sigmoid = tl.sigmoid(y)
        grad_y = grad_y * sigmoid * (1 + y * (1 - sigmoid))
    return grad_y * weight[None, :]


@triton.jit
def _grad_sums_kernel(
    grad_y_ptr, x_ptr, shift_ptr, mean_ptr, rstd_ptr, weight_ptr, bias_ptr, sum_ptr, product_ptr,
    num_rows, num_channels, num_groups,
    HAS_SHIFT: tl.constexpr, HAS_SILU: tl.constexpr, ROWS: tl.constexpr, CHANNELS: tl.constexpr,
):  # fmt: skip
    """Sums over a part of the rows of the normalised x's gradient, alone and times x, [B, P, C]."""
    _, c, at, exists = _place(num_rows, num_channels, ROWS, CHANNELS)
    x = _read(x_ptr, shift_ptr, at, c, exists, num_channels, HAS_SHIFT)
    grad_y = tl.load(grad_y_ptr + at, mask=exists, other=0.0).to(tl.float32)
    normal, _, weight, bias = _normal(
        x, mean_ptr, rstd_ptr, weight_ptr, bias_ptr, c, num_channels, num_groups
    )
    grad = tl.where(exists, _grad_normal(grad_y, normal, weight, bias, HAS_SILU), 0.0)
    out = (tl.program_id(2) * tl.num_programs(0) + tl.program_id(0)) * num_channels + c
    tl.store(sum_ptr + out, tl.sum(grad, axis=0), mask=c < num_channels)
    tl.store(product_ptr + out, tl.sum(grad * normal, axis=0), mask=c < num_channels)


@triton.jit
def _grad_input_kernel(
    grad_y_ptr, x_ptr, shift_ptr, mean_ptr, rstd_ptr, weight_ptr, bias_ptr,
    mean_grad_ptr, mean_product_ptr, grad_x_ptr,
    num_rows, num_channels, num_groups,
    HAS_SHIFT: tl.constexpr, HAS_SILU: tl.constexpr, ROWS: tl.constexpr, CHANNELS: tl.constexpr,
):  # fmt: skip
    _, c, at, exists = _place(num_rows, num_channels, ROWS, CHANNELS)
    x = _read(x_ptr, shift_ptr, at, c, exists, num_channels, HAS_SHIFT)
    grad_y = tl.load(grad_y_ptr + at, mask=exists, other=0.0).to(tl.float32)
    normal, rstd, weight, bias = _normal(
        x, mean_ptr, rstd_ptr, weight_ptr, bias_ptr, c, num_channels, num_groups
    )
    grad = _grad_normal(grad_y, normal, weight, bias, HAS_SILU)
    is_channel = c < num_channels
    group = tl.program_id(2) * num_groups + c // (num_channels // num_groups)
    mean_grad = tl.load(mean_grad_ptr + group, mask=is_channel, other=0.0)
    mean_product = tl.load(mean_product_ptr + group, mask=is_channel, other=0.0)
    grad_x = rstd[None, :] * (grad - mean_grad[None, :] - normal * mean_product[None, :])
    tl.store(grad_x_ptr + at, grad_x.to(grad_x_ptr.dtype.element_ty), mask=exists)


@triton.jit
def _group(num_parts, num_channels, PARTS: tl.constexpr, WIDTH: tl.constexpr):
    """Parts and offsets in [B, P, C] of this program's row and group, and which exist."""
    width = num_channels // tl.num_programs(0)
    p, d = tl.arange(0, PARTS), tl.arange(0, WIDTH)
    at = (tl.program_id(1) * num_parts + p[:, None]) * num_channels
    at += tl.program_id(0) * width + d[None, :]
    return p, at, (p < num_parts)[:, None] & (d < width)[None, :], width


@triton.jit
def _join_moments_kernel(
    mean_ptr, m2_ptr, joined_mean_ptr, joined_rstd_ptr, num_rows, num_channels, num_parts, eps,
    ROWS: tl.constexpr, PARTS: tl.constexpr, WIDTH: tl.constexpr,
):  # fmt: skip
    """Mean and 1 / std of a group from those of its channels' parts (Chan et al. 1979)."""
    p, at, exists, width = _group(num_parts, num_channels, PARTS, WIDTH)
    count = tl.where(exists, tl.minimum(num_rows - p * ROWS, ROWS)[:, None], 0).to(tl.float32)
    means = tl.load(mean_ptr + at, mask=exists, other=0.0)
    m2 = tl.load(m2_ptr + at, mask=exists, other=0.0)
    total = width * num_rows
    mean = tl.sum(tl.sum(count * means, axis=0), axis=0) / total
    deviation = tl.where(exists, means - mean, 0.0)
    m2 = tl.sum(tl.sum(m2 + count * deviation * deviation, axis=0), axis=0)
    out = tl.program_id(1) * tl.num_programs(0) + tl.program_id(0)
    tl.store(joined_mean_ptr + out, mean)
    tl.store(joined_rstd_ptr + out, 1.0 / tl.sqrt(m2 / total + eps))


@triton.jit
def _join_sums_kernel(
    sum_ptr, product_ptr, mean_sum_ptr, mean_product_ptr, num_rows, num_channels, num_parts,
    PARTS: tl.constexpr, WIDTH: tl.constexpr,
):  # fmt: skip
    """Means over a group of what `_grad_sums_kernel` summed by channel and part."""
    _, at, exists, width = _group(num_parts, num_channels, PARTS, WIDTH)
    sums = tl.load(sum_ptr + at, mask=exists, other=0.0)
    products = tl.load(product_ptr + at, mask=exists, other=0.0)
    total = width * num_rows
    out = tl.program_id(1) * tl.num_programs(0) + tl.program_id(0)
    tl.store(mean_sum_ptr + out, tl.sum(tl.sum(sums, axis=0), axis=0) / total)
    tl.store(mean_product_ptr + out, tl.sum(tl.sum(products, axis=0), axis=0) / total)


class _GroupNorm(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        shift: Tensor | None,
        weight: Tensor,
        bias: Tensor,
        num_groups: int,
        eps: float,
        has_silu: bool,
    ) -> Tensor:
        x = x.contiguous(memory_format=torch.channels_last)
        num_rows, (batch, num_channels) = x.shape[2] * x.shape[3], x.shape[:2]
        num_parts = triton.cdiv(num_rows, ROWS)
        grid = (num_parts, triton.cdiv(num_channels, CHANNELS), batch)
        means, m2 = (
            x.new_empty(batch, num_parts, num_channels, dtype=torch.float32) for _ in range(2)
        )
        mean, rstd = (x.new_empty(batch, num_groups, dtype=torch.float32) for _ in range(2))
        y = torch.empty_like(x)
        shape = {"ROWS": ROWS, "CHANNELS": CHANNELS, "num_warps": WARPS}
        moved = x if shift is None else shift.contiguous()
        has_shift = shift is not None
        _moments_kernel[grid](
            x, moved, means, m2, num_rows, num_channels, HAS_SHIFT=has_shift, **shape
        )
        _join_moments_kernel[(num_groups, batch)](
            means, m2, mean, rstd, num_rows, num_channels, num_parts, eps,
            ROWS=ROWS, **_joined(num_parts, num_channels // num_groups),
        )  # fmt: skip
        _normalise_kernel[grid](
            x, moved, mean, rstd, weight, bias, y, num_rows, num_channels, num_groups,
            HAS_SHIFT=has_shift, HAS_SILU=has_silu, **shape,
        )  # fmt: skip
        ctx.save_for_backward(x, moved, weight, bias, mean, rstd)
        ctx.has_shift, ctx.has_silu, ctx.num_groups = has_shift, has_silu, num_groups
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_y: Tensor) -> tuple[Tensor | None, ...]:
        x, moved, weight, bias, mean, rstd = ctx.saved_tensors
        grad_y = grad_y.contiguous(memory_format=torch.channels_last)
        num_rows, (batch, num_channels) = x.shape[2] * x.shape[3], x.shape[:2]
        num_parts = triton.cdiv(num_rows, ROWS)
        grid = (num_parts, triton.cdiv(num_channels, CHANNELS), batch)
        sums, products = (
            x.new_empty(batch, num_parts, num_channels, dtype=torch.float32) for _ in range(2)
        )
        mean_sum, mean_product = torch.empty_like(mean), torch.empty_like(mean)
        grad_x = torch.empty_like(x)
        shape = {"ROWS": ROWS, "CHANNELS": CHANNELS, "num_warps": WARPS}
        kind = {"HAS_SHIFT": ctx.has_shift, "HAS_SILU": ctx.has_silu}
        read = (grad_y, x, moved, mean, rstd, weight, bias)
        _grad_sums_kernel[grid](
            *read, sums, products, num_rows, num_channels, ctx.num_groups, **kind, **shape
        )
        _join_sums_kernel[(ctx.num_groups, batch)](
            sums, products, mean_sum, mean_product, num_rows, num_channels, num_parts,
            **_joined(num_parts, num_channels // ctx.num_groups),
        )  # fmt: skip
        _grad_input_kernel[grid](
            *read, mean_sum, mean_product, grad_x, num_rows, num_channels, ctx.num_groups,
            **kind, **shape,
        )  # fmt: skip
        return grad_x, None, None, None, None, None, None


def _joined(num_parts: int, width: int) -> dict[str, int]:
    """Block of a kernel that joins the parts of a group."""
    return {"PARTS": triton.next_power_of_2(num_parts), "WIDTH": triton.next_power_of_2(width)}


def group_norm(
    x_BCHW: Tensor, *, norm: nn.GroupNorm, shift_BC: Tensor | None = None, has_silu: bool
) -> Tensor:
    """[silu of] `norm` of x plus its channel's shift; channels last, in x's type.

    Neither `norm` nor the shift gets gradients.
    """
    y_BCHW: Tensor = _GroupNorm.apply(
        x_BCHW, shift_BC, norm.weight, norm.bias, norm.num_groups, norm.eps, has_silu
    )
    return y_BCHW


GEGLU_ROWS, GEGLU_WIDTH = 4, 256


@triton.jit
def _gelu(gate):
    """(gelu, its slope), exact: x Phi(x)."""
    phi = 0.5 * (1.0 + tl.math.erf(gate * 0.7071067811865476))
    density = 0.3989422804014327 * tl.exp(-0.5 * gate * gate)
    return gate * phi, phi + gate * density


@triton.jit
def _halves(num_rows, width, ROWS: tl.constexpr, WIDTH: tl.constexpr):
    """Offsets of this program in [R, W] and in [R, 2 W], and which exist."""
    row = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    column = tl.program_id(1) * WIDTH + tl.arange(0, WIDTH)
    start = row.to(tl.int64)[:, None] * width
    exists = (row < num_rows)[:, None] & (column < width)[None, :]
    return start + column[None, :], 2 * start + column[None, :], exists


@triton.jit
def _geglu_kernel(joint_ptr, y_ptr, num_rows, width, ROWS: tl.constexpr, WIDTH: tl.constexpr):
    out, at, exists = _halves(num_rows, width, ROWS, WIDTH)
    value = tl.load(joint_ptr + at, mask=exists, other=0.0).to(tl.float32)
    gate = tl.load(joint_ptr + at + width, mask=exists, other=0.0).to(tl.float32)
    gelu, _ = _gelu(gate)
    tl.store(y_ptr + out, (value * gelu).to(y_ptr.dtype.element_ty), mask=exists)


@triton.jit
def _geglu_grad_kernel(
    grad_y_ptr, joint_ptr, grad_ptr, num_rows, width, ROWS: tl.constexpr, WIDTH: tl.constexpr
):
    out, at, exists = _halves(num_rows, width, ROWS, WIDTH)
    value = tl.load(joint_ptr + at, mask=exists, other=0.0).to(tl.float32)
    gate = tl.load(joint_ptr + at + width, mask=exists, other=0.0).to(tl.float32)
    grad_y = tl.load(grad_y_ptr + out, mask=exists, other=0.0).to(tl.float32)
    gelu, slope = _gelu(gate)
    dtype = grad_ptr.dtype.element_ty
    tl.store(grad_ptr + at, (grad_y * gelu).to(dtype), mask=exists)
    tl.store(grad_ptr + at + width, (grad_y * value * slope).to(dtype), mask=exists)


class _Geglu(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, joint: Tensor) -> Tensor:
        joint = joint.contiguous()
        y = joint.new_empty(*joint.shape[:-1], joint.shape[-1] // 2)
        rows, width = y.numel() // y.shape[-1], y.shape[-1]
        _geglu_kernel[_geglu_grid(rows, width)](
            joint, y, rows, width, ROWS=GEGLU_ROWS, WIDTH=GEGLU_WIDTH
        )
        ctx.save_for_backward(joint)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_y: Tensor) -> Tensor:
        (joint,) = ctx.saved_tensors
        grad = torch.empty_like(joint)
        rows, width = grad_y.numel() // grad_y.shape[-1], grad_y.shape[-1]
        _geglu_grad_kernel[_geglu_grid(rows, width)](
            grad_y.contiguous(), joint, grad, rows, width, ROWS=GEGLU_ROWS, WIDTH=GEGLU_WIDTH
        )
        return grad


def _geglu_grid(rows: int, width: int) -> tuple[int, int]:
    return triton.cdiv(rows, GEGLU_ROWS), triton.cdiv(width, GEGLU_WIDTH)


def geglu(joint: Tensor) -> Tensor:
    """value * gelu(gate), the two being halves of the last dimension."""
    y: Tensor = _Geglu.apply(joint)
    return y
