"""A GPU that is not there: tensors that say `cuda`, and whose values the CPU computes.

What goes wrong on a GPU alone is mostly that something stayed on the CPU. A GPU refuses operations
on tensors of two devices, and so does this; and where deterministic operations are asked for, it
refuses those that have no such form there, as torch does. A CUDA graph is a tape of operations on
the tensors that they met, which is played again without Python. It knows nothing of kernels, memory
or speed.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor

from core.foundation.fused.blocks import works_on_gpu
from core.foundation.mamba.selective_scan import triton_works
from harness.testing.gpu_tape import Graph, recording
from harness.testing.gpu_tensors import GPU as GPU
from harness.testing.gpu_tensors import GpuGenerator, OnGpu, PutWhereAsked
from harness.testing.gpu_tensors import OnGpuError as OnGpuError


class _Stream:
    def wait_stream(self, other: object) -> None:
        """Nothing runs next to it."""

    def synchronize(self) -> None:
        """Nothing is left to do."""


def _without_gradients(mode: Any) -> None:
    mode.instead = torch.no_grad()
    mode.instead.__enter__()


def _with_gradients_again(mode: Any, *error: Any) -> None:
    mode.instead.__exit__(*error)


def _autocast_there(kind: str, *words: Any, **settings: Any) -> Any:
    return _AUTOCAST("cpu" if kind == "cuda" else kind, *words, **settings)


def _grouped(lists: list[list[Tensor | None]], with_indices: bool = False) -> dict[Any, Any]:
    """By device and type, as optimisers ask for it; torch's own takes the tensors for the CPU's."""
    found = _GROUPED(lists, with_indices)
    if not any(isinstance(tensor, OnGpu) for tensor in lists[0]):
        return dict(found)
    return {(GPU, kind): group for (_, kind), group in found.items()}


_GROUPED = torch._C._group_tensors_by_device_and_dtype
_AUTOCAST = torch.autocast
_ANSWERS: dict[str, Callable[..., Any]] = {
    "is_available": lambda: True,
    "current_device": lambda: 0,
    "device_count": lambda: 1,
    "get_device_name": lambda *device: "a pretended GPU",
    "get_device_capability": lambda *device: (9, 0),
    "mem_get_info": lambda *device: (64 * 2**30, 80 * 2**30),
    "max_memory_allocated": lambda *device: 2**30,
    "is_bf16_supported": lambda *words: True,
    "reset_peak_memory_stats": lambda *device: None,
    "synchronize": lambda *device: None,
    "empty_cache": lambda: None,
    "Stream": _Stream,
    "current_stream": lambda *device: _Stream(),
    "stream": lambda stream: nullcontext(),
    "CUDAGraph": Graph,
    "graph": recording,
}


def _forget_kernels() -> None:
    """What a real GPU of this machine can do is not what this one can."""
    works_on_gpu.cache_clear()
    triton_works.cache_clear()


@contextmanager
def pretended_gpu() -> Iterator[None]:
    """Inside, `torch.cuda` answers for one card, and tensors can be put there."""
    _forget_kernels()
    swaps = torch.__future__.get_swap_module_params_on_conversion()
    with ExitStack() as stack:
        for name, answer in _ANSWERS.items():
            stack.enter_context(patch.object(torch.cuda, name, answer))
        stack.enter_context(patch.object(torch, "autocast", _autocast_there))
        stack.enter_context(patch.object(torch, "Generator", GpuGenerator))
        stack.enter_context(patch.object(torch._C, "_group_tensors_by_device_and_dtype", _grouped))
        # Tensors of the inference mode have no versions, and those that only say `cuda` need them.
        stack.enter_context(patch.object(torch.inference_mode, "__enter__", _without_gradients))
        stack.enter_context(patch.object(torch.inference_mode, "__exit__", _with_gradients_again))
        # A parameter stays the same object when its module moves.
        torch.__future__.set_swap_module_params_on_conversion(True)
        try:
            stack.enter_context(PutWhereAsked())
            yield
        finally:
            torch.__future__.set_swap_module_params_on_conversion(swaps)
            _forget_kernels()
