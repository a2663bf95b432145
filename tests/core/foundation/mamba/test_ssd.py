"""Mamba-2's chunked scan against the recurrence it stands for."""

import pytest
import torch
from torch import Tensor

from core.foundation.mamba.ssd import chunked_scan


def scan_inputs(*, steps: int, dtype: torch.dtype = torch.float64) -> dict[str, Tensor]:
    """Two directions, three rows, two heads of three channels, four states."""
    draws = torch.Generator().manual_seed(0)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=draws, dtype=torch.float64).to(dtype)

    return {
        "x_GBLHP": normal(2, 3, steps, 2, 3),
        "dt_GBLH": normal(2, 3, steps, 2).exp() * 0.1,
        "A_GH": -normal(2, 2).exp(),
        "B_GBLS": normal(2, 3, steps, 4),
        "C_GBLS": normal(2, 3, steps, 4),
        "D_GH": normal(2, 2),
    }


def sequential_scan(inputs: dict[str, Tensor]) -> Tensor:
    """The recurrence, one step at a time, in float64."""
    x, dt, A, B, C, D = (tensor.double() for tensor in inputs.values())
    y = torch.zeros_like(x)
    for g in range(x.shape[0]):
        for b in range(x.shape[1]):
            for h in range(x.shape[3]):
                state = torch.zeros(x.shape[4], B.shape[-1], dtype=torch.float64)
                for t in range(x.shape[2]):
                    decay = torch.exp(dt[g, b, t, h] * A[g, h])
                    added = dt[g, b, t, h] * torch.outer(x[g, b, t, h], B[g, b, t])
                    state = decay * state + added
                    y[g, b, t, h] = state @ C[g, b, t] + D[g, h] * x[g, b, t, h]
    return y


@pytest.mark.parametrize(("steps", "chunk"), [(1, 4), (4, 4), (11, 4), (12, 4), (7, 64)])
def test_chunks_give_the_recurrence(steps: int, chunk: int) -> None:
    """Catches: a state handed on too early, a decay over the wrong steps, a padded end."""
    inputs = scan_inputs(steps=steps)
    got = chunked_scan(**inputs, chunk=chunk)
    assert torch.allclose(got, sequential_scan(inputs), atol=1e-12)


def test_chunked_scan_has_the_gradients_of_finite_differences() -> None:
    """Catches: a mask behind exp, whose gradient is NaN; a detached state between chunks."""
    inputs = scan_inputs(steps=5)
    names = list(inputs)
    tensors = tuple(
        tensor[:1, :1].clone().requires_grad_() if tensor.ndim > 2 else tensor[:1].clone()
        for tensor in inputs.values()
    )
    for tensor in tensors:
        tensor.requires_grad_()
    assert torch.autograd.gradcheck(
        lambda *values: chunked_scan(**dict(zip(names, values, strict=True)), chunk=2), tensors
    )


def test_strong_decay_over_a_long_chunk_stays_finite() -> None:
    """Catches: exp of the future's decay, which overflows long before it is masked away."""
    inputs = scan_inputs(steps=64, dtype=torch.float32)
    inputs["dt_GBLH"] = inputs["dt_GBLH"] + 10
    for tensor in inputs.values():
        tensor.requires_grad_()
    y = chunked_scan(**inputs)
    y.square().sum().backward()
    assert torch.isfinite(y).all()
    assert all(torch.isfinite(tensor.grad).all() for tensor in inputs.values())


def test_low_precision_input_is_scanned_in_float32() -> None:
    """Catches: sums of decays in bfloat16, or products under autocast."""
    inputs = scan_inputs(steps=33, dtype=torch.bfloat16)
    got = chunked_scan(**inputs, chunk=8)
    assert got.dtype == torch.bfloat16
    exact = sequential_scan(inputs)
    assert torch.allclose(got.double(), exact, rtol=2**-7, atol=1e-2)
    full = {name: tensor.float() for name, tensor in inputs.items()}
    with torch.autocast("cpu", dtype=torch.bfloat16):
        under = chunked_scan(**full, chunk=8)
    assert torch.allclose(under.double(), sequential_scan(full), atol=1e-4)
