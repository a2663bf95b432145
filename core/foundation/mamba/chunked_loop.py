"""The selective scan for a GPU without mamba-ssm: chunks side by side, in torch.

The steps are cut into N chunks of Q. Each chunk is scanned from a zero state, all of them at once;
then the states are carried from chunk to chunk, which decay by exp(A * sum of dt); then each chunk
is scanned again from the state it starts with. So there are 2 Q + N steps in a row instead of
L = N Q, and every product of decays is one of numbers below 1: nothing can overflow.

Shape legend: L steps, Q steps of a chunk, N chunks, G groups, B batch, E channels, S state size.
"""

import math
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable


def chunk_length(num_steps: int) -> int:
    """Q, for which 2 Q + N steps in a row are fewest."""
    return max(1, math.isqrt(num_steps // 2))


class ChunkedLoopScan(torch.autograd.Function):
    """The recurrence without D and its adjoint, tensors as in `selective_scan`'s loop.

    x, dt [L, G, B, E]; A [G, 1, E, S]; B, C [L, G, B, S]. One state a chunk is kept for the way
    back and the others are made again: states of all steps would be L / N times the memory.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, dt: Tensor, A: Tensor, B: Tensor, C: Tensor) -> Tensor:
        length = chunk_length(len(x))
        x_, dt_, B_, C_ = (_in_chunks(tensor, length=length) for tensor in (x, dt, B, C))
        entering = _entering_states(x_, dt_, B_, A)
        y = _outputs(x_, dt_, B_, C_, A, entering)
        ctx.save_for_backward(x_, dt_, B_, C_, A, entering)
        ctx.num_steps = len(x)
        return _joined(y, num_steps=len(x))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_y: Tensor) -> tuple[Tensor, ...]:
        x, dt, B, C, A, entering = ctx.saved_tensors
        grad = _in_chunks(grad_y, length=len(x))
        grads = _adjoint(grad, x, dt, B, C, A, entering)
        grad_x, grad_dt, grad_B, grad_C = (
            _joined(tensor, num_steps=ctx.num_steps) for tensor in grads[:4]
        )
        return grad_x, grad_dt, grads[4], grad_B, grad_C


def _in_chunks(tensor: Tensor, *, length: int) -> Tensor:
    """[Q, N, ...] of [L, ...]; padded steps have dt 0, so that they neither decay nor add."""
    padding = -len(tensor) % length
    if padding:
        tensor = torch.cat([tensor, tensor.new_zeros(padding, *tensor.shape[1:])])
    return tensor.unflatten(0, (-1, length)).transpose(0, 1).contiguous()


def _joined(tensor: Tensor, *, num_steps: int) -> Tensor:
    """[L, ...] of [Q, N, ...]."""
    return tensor.transpose(0, 1).flatten(0, 1)[:num_steps]


def _drive(x: Tensor, dt: Tensor, B: Tensor, q: int) -> Tensor:
    return (dt[q] * x[q])[..., None] * B[q][..., None, :]


def _decay(dt: Tensor, A: Tensor) -> Tensor:
    return torch.exp(dt[..., None] * A)


def _entering_states(x: Tensor, dt: Tensor, B: Tensor, A: Tensor) -> Tensor:
    """[N, G, B, E, S]: the state each chunk starts with."""
    state = _drive(x, dt, B, 0)
    for q in range(1, len(x)):
        state = torch.addcmul(_drive(x, dt, B, q), _decay(dt[q], A), state)
    whole = _decay(dt.sum(0), A)
    entering = torch.empty_like(state)
    carried = torch.zeros_like(state[0])
    for n in range(len(state)):
        entering[n] = carried
        carried = torch.addcmul(state[n], whole[n], carried)
    return entering


def _outputs(x: Tensor, dt: Tensor, B: Tensor, C: Tensor, A: Tensor, entering: Tensor) -> Tensor:
    """[Q, N, G, B, E]: each chunk scanned from its own entering state."""
    y = torch.empty_like(x)
    state = entering
    for q in range(len(x)):
        state = torch.addcmul(_drive(x, dt, B, q), _decay(dt[q], A), state)
        y[q] = (state * C[q][..., None, :]).sum(-1)
    return y


def _leaving_gradients(grad: Tensor, dt: Tensor, C: Tensor, A: Tensor) -> Tensor:
    """[N, G, B, E, S]: gradient of the loss by the state that each chunk hands on."""
    state = torch.zeros_like(grad[0][..., None] * C[0][..., None, :])
    for q in reversed(range(len(grad))):
        state = (state + grad[q][..., None] * C[q][..., None, :]) * _decay(dt[q], A)
    whole = _decay(dt.sum(0), A)
    leaving = torch.empty_like(state)
    carried = torch.zeros_like(state[0])
    for n in reversed(range(len(state))):
        leaving[n] = carried
        carried = torch.addcmul(state[n], whole[n], carried)
    return leaving


def _adjoint(
    grad: Tensor, x: Tensor, dt: Tensor, B: Tensor, C: Tensor, A: Tensor, entering: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Gradients of x, dt, B, C in chunks, and of A."""
    states = [entering]
    for q in range(len(x)):
        states.append(torch.addcmul(_drive(x, dt, B, q), _decay(dt[q], A), states[-1]))
    grad_state = _leaving_gradients(grad, dt, C, A)
    grad_x, grad_dt, grad_B, grad_C = (torch.empty_like(tensor) for tensor in (x, dt, B, C))
    grad_A = torch.zeros_like(entering)
    for q in reversed(range(len(x))):
        grad_C[q] = (grad[q][..., None] * states[q + 1]).sum(-2)
        grad_state = torch.addcmul(grad_state, grad[q][..., None], C[q][..., None, :])
        grad_B[q] = ((dt[q] * x[q])[..., None] * grad_state).sum(-2)
        grad_drive = (grad_state * B[q][..., None, :]).sum(-1)
        grad_x[q] = grad_drive * dt[q]
        grad_state = grad_state * _decay(dt[q], A)
        grad_exponent = grad_state * states[q]
        grad_A.addcmul_(grad_exponent, dt[q][..., None])
        grad_dt[q] = torch.addcmul((grad_exponent * A).sum(-1), grad_drive, x[q])
    return grad_x, grad_dt, grad_B, grad_C, grad_A.sum(0).sum(1, keepdim=True)
