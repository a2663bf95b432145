"""The selective scan for a GPU without mamba-ssm, as one Triton kernel each way.

A program scans the steps of one row for a few channels, a chunk of steps at a time: inside a chunk
the recurrence is an associative scan in registers (Blelloch 1990), from chunk to chunk the state is
handed on. The way back keeps one state a chunk and makes the others again. Everything is float32.
Sums over channels are left to torch, since adding from many programs at once has no fixed order.

Triton comes with torch for CUDA; nothing here is imported elsewhere.

Shape legend: G groups, B batch, L steps, E channels, S state size, N chunks, P blocks of channels.
"""

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor
from torch.autograd.function import once_differentiable

CHUNK = 16
"""Steps of a chunk."""
CHANNELS = 8
"""Channels of a program; with a chunk and a state of 16 that is 2,048 numbers in registers."""
WARPS = 2
"""The fastest of seven ways on an H200 at SSAMBA tiny's sizes: 1.31 ms there and back, the others
1.37 to 1.77."""


@triton.jit
def _follow(decay_1, drive_1, decay_2, drive_2):
    """Two steps of the recurrence as one, the second after the first."""
    return decay_1 * decay_2, decay_2 * drive_1 + drive_2


@triton.jit
def _forward_kernel(
    x_ptr, dt_ptr, A_ptr, B_ptr, C_ptr, y_ptr, entering_ptr,
    num_rows, num_steps, num_channels,
    NUM_CHUNKS: tl.constexpr, STATE: tl.constexpr, CHUNK: tl.constexpr, CHANNELS: tl.constexpr,
):  # fmt: skip
    channel_block, row, group = tl.program_id(0), tl.program_id(1), tl.program_id(2)
    q = tl.arange(0, CHUNK)
    e = channel_block * CHANNELS + tl.arange(0, CHANNELS)
    s = tl.arange(0, STATE)
    is_channel = e < num_channels
    A_ES = tl.load(
        A_ptr + (group * num_channels + e[:, None]) * STATE + s[None, :],
        mask=is_channel[:, None], other=0.0,
    )  # fmt: skip
    sequence = (group * num_rows + row).to(tl.int64)
    state_ES = tl.zeros((CHANNELS, STATE), tl.float32)
    for chunk in range(NUM_CHUNKS):
        entering = (sequence * NUM_CHUNKS + chunk) * num_channels + e[:, None]
        tl.store(entering_ptr + entering * STATE + s[None, :], state_ES, mask=is_channel[:, None])
        t = chunk * CHUNK + q
        at_QE = (sequence * num_steps + t[:, None]) * num_channels + e[None, :]
        is_here_QE = (t < num_steps)[:, None] & is_channel[None, :]
        x_QE = tl.load(x_ptr + at_QE, mask=is_here_QE, other=0.0)
        dt_QE = tl.load(dt_ptr + at_QE, mask=is_here_QE, other=0.0)
        at_QS = (sequence * num_steps + t[:, None]) * STATE + s[None, :]
        is_step_Q1 = (t < num_steps)[:, None]
        B_QS = tl.load(B_ptr + at_QS, mask=is_step_Q1, other=0.0)
        C_QS = tl.load(C_ptr + at_QS, mask=is_step_Q1, other=0.0)
        decay_QES = tl.exp(dt_QE[:, :, None] * A_ES[None, :, :])
        drive_QES = (dt_QE * x_QE)[:, :, None] * B_QS[:, None, :]
        is_first = (q == 0)[:, None, None]
        drive_QES += tl.where(is_first, decay_QES * state_ES[None, :, :], 0.0)
        _, states_QES = tl.associative_scan((decay_QES, drive_QES), 0, _follow)
        y_QE = tl.sum(states_QES * C_QS[:, None, :], axis=2)
        tl.store(y_ptr + at_QE, y_QE, mask=is_here_QE)
        is_last = (q == CHUNK - 1)[:, None, None]
        state_ES = tl.sum(tl.where(is_last, states_QES, 0.0), axis=0)


@triton.jit
def _backward_kernel(
    grad_y_ptr, x_ptr, dt_ptr, A_ptr, B_ptr, C_ptr, entering_ptr,
    grad_x_ptr, grad_dt_ptr, grad_A_ptr, grad_B_ptr, grad_C_ptr,
    num_rows, num_steps, num_channels,
    NUM_CHUNKS: tl.constexpr, STATE: tl.constexpr, CHUNK: tl.constexpr, CHANNELS: tl.constexpr,
):  # fmt: skip
    channel_block, row, group = tl.program_id(0), tl.program_id(1), tl.program_id(2)
    q = tl.arange(0, CHUNK)
    e = channel_block * CHANNELS + tl.arange(0, CHANNELS)
    s = tl.arange(0, STATE)
    is_channel = e < num_channels
    A_ES = tl.load(
        A_ptr + (group * num_channels + e[:, None]) * STATE + s[None, :],
        mask=is_channel[:, None], other=0.0,
    )  # fmt: skip
    sequence = (group * num_rows + row).to(tl.int64)
    partial = sequence * tl.num_programs(0) + channel_block
    grad_A_ES = tl.zeros((CHANNELS, STATE), tl.float32)
    later_ES = tl.zeros(
        (CHANNELS, STATE), tl.float32
    )  # the gradient of the next chunk's first state
    for k in range(NUM_CHUNKS):
        chunk = NUM_CHUNKS - 1 - k
        t = chunk * CHUNK + q
        at_QE = (sequence * num_steps + t[:, None]) * num_channels + e[None, :]
        is_here_QE = (t < num_steps)[:, None] & is_channel[None, :]
        x_QE = tl.load(x_ptr + at_QE, mask=is_here_QE, other=0.0)
        dt_QE = tl.load(dt_ptr + at_QE, mask=is_here_QE, other=0.0)
        grad_y_QE = tl.load(grad_y_ptr + at_QE, mask=is_here_QE, other=0.0)
        at_QS = (sequence * num_steps + t[:, None]) * STATE + s[None, :]
        is_step_Q1 = (t < num_steps)[:, None]
        B_QS = tl.load(B_ptr + at_QS, mask=is_step_Q1, other=0.0)
        C_QS = tl.load(C_ptr + at_QS, mask=is_step_Q1, other=0.0)

        # The states before each step: the same scan, one step late.
        is_first = (q == 0)[:, None, None]
        before = (t - 1)[:, None]
        is_before_QE = ((q > 0) & (t - 1 < num_steps))[:, None] & is_channel[None, :]
        at_before_QE = (sequence * num_steps + before) * num_channels + e[None, :]
        x_before_QE = tl.load(x_ptr + at_before_QE, mask=is_before_QE, other=0.0)
        dt_before_QE = tl.load(dt_ptr + at_before_QE, mask=is_before_QE, other=0.0)
        B_before_QS = tl.load(
            B_ptr + (sequence * num_steps + before) * STATE + s[None, :],
            mask=((q > 0) & (t - 1 < num_steps))[:, None], other=0.0,
        )  # fmt: skip
        entering = (sequence * NUM_CHUNKS + chunk) * num_channels + e[:, None]
        entering_ES = tl.load(
            entering_ptr + entering * STATE + s[None, :], mask=is_channel[:, None], other=0.0
        )
        late_decay_QES = tl.exp(dt_before_QE[:, :, None] * A_ES[None, :, :])
        late_drive_QES = (dt_before_QE * x_before_QE)[:, :, None] * B_before_QS[:, None, :]
        late_drive_QES = tl.where(is_first, entering_ES[None, :, :], late_drive_QES)
        _, before_QES = tl.associative_scan((late_decay_QES, late_drive_QES), 0, _follow)

        decay_QES = tl.exp(dt_QE[:, :, None] * A_ES[None, :, :])
        states_QES = decay_QES * before_QES + (dt_QE * x_QE)[:, :, None] * B_QS[:, None, :]

        # The gradient of each state: a scan from the end, each decayed by the step after it.
        is_after_QE = (t + 1 < num_steps)[:, None] & is_channel[None, :]
        at_after_QE = (sequence * num_steps + t[:, None] + 1) * num_channels + e[None, :]
        dt_after_QE = tl.load(dt_ptr + at_after_QE, mask=is_after_QE, other=0.0)
        next_decay_QES = tl.exp(dt_after_QE[:, :, None] * A_ES[None, :, :])
        own_QES = grad_y_QE[:, :, None] * C_QS[:, None, :]
        is_last = (q == CHUNK - 1)[:, None, None]
        own_QES += tl.where(is_last, next_decay_QES * later_ES[None, :, :], 0.0)
        _, grad_QES = tl.associative_scan((next_decay_QES, own_QES), 0, _follow, reverse=True)
        later_ES = tl.sum(tl.where(is_first, grad_QES, 0.0), axis=0)

        grad_C_QS = tl.sum(grad_y_QE[:, :, None] * states_QES, axis=1)
        grad_B_QS = tl.sum((dt_QE * x_QE)[:, :, None] * grad_QES, axis=1)
        grad_drive_QE = tl.sum(grad_QES * B_QS[:, None, :], axis=2)
        grad_exponent_QES = grad_QES * decay_QES * before_QES
        grad_A_ES += tl.sum(grad_exponent_QES * dt_QE[:, :, None], axis=0)
        grad_dt_QE = grad_drive_QE * x_QE + tl.sum(grad_exponent_QES * A_ES[None, :, :], axis=2)
        tl.store(grad_x_ptr + at_QE, grad_drive_QE * dt_QE, mask=is_here_QE)
        tl.store(grad_dt_ptr + at_QE, grad_dt_QE, mask=is_here_QE)
        at_partial_QS = (partial * num_steps + t[:, None]) * STATE + s[None, :]
        tl.store(grad_B_ptr + at_partial_QS, grad_B_QS, mask=is_step_Q1)
        tl.store(grad_C_ptr + at_partial_QS, grad_C_QS, mask=is_step_Q1)
    at_ES = (sequence * num_channels + e[:, None]) * STATE + s[None, :]
    tl.store(grad_A_ptr + at_ES, grad_A_ES, mask=is_channel[:, None])


class TritonScan(torch.autograd.Function):
    """The recurrence without D: y [G, B, L, E] of x and dt of that shape.

    A is [G, E, S], B and C are [G, B, L, S]. All float32 and contiguous; S a power of two.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, dt: Tensor, A: Tensor, B: Tensor, C: Tensor) -> Tensor:
        num_groups, num_rows, num_steps, num_channels = x.shape
        num_chunks = triton.cdiv(num_steps, CHUNK)
        y = torch.empty_like(x)
        entering = x.new_empty(num_groups, num_rows, num_chunks, num_channels, A.shape[-1])
        grid = (triton.cdiv(num_channels, CHANNELS), num_rows, num_groups)
        _forward_kernel[grid](
            x, dt, A, B, C, y, entering,
            num_rows, num_steps, num_channels,
            NUM_CHUNKS=num_chunks, STATE=A.shape[-1],
            CHUNK=CHUNK, CHANNELS=CHANNELS, num_warps=WARPS,
        )  # fmt: skip
        ctx.save_for_backward(x, dt, A, B, C, entering)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_y: Tensor) -> tuple[Tensor, ...]:
        x, dt, A, B, C, entering = ctx.saved_tensors
        num_groups, num_rows, num_steps, num_channels = x.shape
        num_blocks = triton.cdiv(num_channels, CHANNELS)
        grad_x, grad_dt = torch.empty_like(x), torch.empty_like(dt)
        grad_A = x.new_empty(num_groups, num_rows, num_channels, A.shape[-1])
        grad_B, grad_C = (
            x.new_empty(num_groups, num_rows, num_blocks, num_steps, A.shape[-1]) for _ in range(2)
        )
        _backward_kernel[(num_blocks, num_rows, num_groups)](
            grad_y.contiguous(), x, dt, A, B, C, entering,
            grad_x, grad_dt, grad_A, grad_B, grad_C,
            num_rows, num_steps, num_channels,
            NUM_CHUNKS=entering.shape[2], STATE=A.shape[-1],
            CHUNK=CHUNK, CHANNELS=CHANNELS, num_warps=WARPS,
        )  # fmt: skip
        return grad_x, grad_dt, grad_A.sum(1), grad_B.sum(2), grad_C.sum(2)
