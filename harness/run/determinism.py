"""Whether a run gives the same bits twice on one kind of GPU.

A CPU does by itself, with one number of threads. On a GPU some kernels add in whatever order they
finish; torch has others that do not, and refuses an operation that has none.
"""

import os

import torch

_CUBLAS = "CUBLAS_WORKSPACE_CONFIG"


def set_determinism(is_on: bool, *, device: str) -> None:
    """Choose torch's kernels for this process; call it before the first one on the GPU."""
    if device != "cuda":
        return
    if is_on:
        # Without workspaces of its own, each cuBLAS stream may sum in another order.
        os.environ.setdefault(_CUBLAS, ":4096:8")
    torch.use_deterministic_algorithms(is_on)
    # Filling fresh memory shows reads of what nobody wrote; it costs a kernel an allocation.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.deterministic = is_on
    # The backward of cuDNN's attention has no deterministic form; flash and efficient ones have.
    torch.backends.cuda.enable_cudnn_sdp(not is_on)


def determinism_facts(is_on: bool, *, device: str) -> dict[str, str]:
    """For the environment of a record."""
    return {"deterministic": "yes" if is_on or device != "cuda" else "no"}


def determinism_notices(is_on: bool, *, device: str) -> list[str]:
    """What a reader must know of it."""
    if is_on or device != "cuda":
        return []
    return [
        "training.deterministic is off: the same command gives other weights each time on a GPU, "
        "so pairing runs by seed is approximate"
    ]
