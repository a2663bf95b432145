"""The arithmetic of a run's forward passes, and float32 for what must not depend on it."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from core.choices import Precision


def autocast(precision: Precision, *, device: torch.device | str) -> torch.autocast:
    """Forward passes inside run in this arithmetic."""
    kind = device.type if isinstance(device, torch.device) else device
    if precision == Precision.FLOAT32:
        return torch.autocast(kind, enabled=False)
    return torch.autocast(kind, dtype=getattr(torch, Precision(precision).value))


@contextmanager
def in_float32(module: nn.Module) -> Iterator[None]:
    """Run `module` in float32 inside, whatever its weights' type and autocast; then as it was.

    Casting half precision to float32 and back changes no bit.
    """
    tensors = [*module.parameters(), *module.buffers()]
    kept = [(t, t.dtype) for t in tensors if t.dtype in (torch.bfloat16, torch.float16)]
    kinds = {tensor.device.type for tensor in tensors} or {"cpu"}
    for tensor, _ in kept:
        tensor.data = tensor.data.float()
    try:
        with torch.autocast(kinds.pop(), enabled=False):
            yield
    finally:
        for tensor, dtype in kept:
            tensor.data = tensor.data.to(dtype)
