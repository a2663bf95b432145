"""The arithmetic of a run's forward passes, and float32 for what must not depend on it."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch
from torch import nn

from core.choices import Precision


def autocast(precision: Precision, *, device: torch.device | str) -> AbstractContextManager[object]:
    """Forward passes inside run in this arithmetic; the meta device knows none."""
    kind = device.type if isinstance(device, torch.device) else device
    if not torch.amp.is_autocast_available(kind):
        return nullcontext()
    if precision == Precision.FLOAT32:
        return torch.autocast(kind, enabled=False)
    dtype = getattr(torch, Precision(precision).value)
    # A cast that is kept from one forward pass to the next cannot be recorded in a CUDA graph.
    return torch.autocast(kind, dtype=dtype, cache_enabled=kind != "cuda")


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
