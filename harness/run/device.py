"""What a run computes on, and its clock and memory."""

import resource
import sys
import time

import torch


def training_device() -> str:
    """What a run computes on: the GPU, where there is one."""
    return "cuda" if torch.cuda.is_available() else "cpu"


def device_name() -> str:
    """The kind of `training_device`."""
    return torch.cuda.get_device_name() if training_device() == "cuda" else "cpu"


def device_seconds(device: str) -> float:
    """A clock of the device's work: of the GPU, or the CPU seconds of this process."""
    if device == "cuda":
        torch.cuda.synchronize()
        return time.monotonic()
    return time.process_time()


def peak_memory_bytes(device: str) -> int:
    """Most memory held so far: of the GPU, or of this process."""
    if device == "cuda":
        return int(torch.cuda.max_memory_allocated())
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
