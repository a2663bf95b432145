"""What a run computes on, and its clock and memory."""

import ctypes
import os
import platform
import re
import resource
import sys
import time
from pathlib import Path

import torch

from core.conditioning.variant import Variant
from core.errors import UsageError
from core.foundation.fused.blocks import block_kind
from core.foundation.mamba.mixers import has_scans
from core.foundation.mamba.selective_scan import scan_kind
from harness.settings.profile import Profile

CPU, CUDA = "cpu", "cuda"

# Of glibc's malloc.h: the parameters' names, and what they are set to.
_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_THRESHOLD = -1, -2, -3
_MAPPED_FROM_BYTES = 32 << 20
"""The largest that glibc accepts: bigger tensors are still mapped one by one, and given back."""
_KEPT_BYTES = 1 << 30
_ASKED_BYTES = 64 << 20


def training_device(asked: str | None = None) -> str:
    """What a run computes on: what was asked for, or the GPU where there is one.

    Raises:
        UsageError: a GPU was asked for and torch can use none.
    """
    if asked == CUDA and not torch.cuda.is_available():
        raise UsageError(f"--device cuda, but {why_no_gpu()}")
    return asked or (CUDA if torch.cuda.is_available() else CPU)


def require_fit_device(profile: Profile, *, asked: str | None) -> str:
    """The device of a run of this profile.

    Raises:
        UsageError: the profile needs a GPU, there is none, and no `--device cpu` asks for a CPU.
    """
    device = training_device(asked)
    if device == CPU and asked is None and profile.hardware.needs_gpu:
        raise UsageError(
            f"this profile is made for a GPU, and {why_no_gpu()}; on a CPU it takes weeks: give "
            "--device cpu if that is meant"
        )
    return device


def why_no_gpu() -> str:
    """Why torch can use no GPU, in words."""
    if torch.version.cuda is None:
        return f"torch {torch.__version__} is a build without CUDA"
    return (
        f"torch {torch.__version__} finds no GPU that it can use (built for CUDA "
        f"{torch.version.cuda}; a driver that is too old, or CUDA_VISIBLE_DEVICES)"
    )


def device_name(device: str) -> str:
    """The kind of a device."""
    return torch.cuda.get_device_name() if device == CUDA else CPU


def device_facts(device: str) -> dict[str, str]:
    """What a record says of the device, beside its name."""
    if device != CUDA:
        return {}
    facts = {"cuda": str(torch.version.cuda)}
    version = Path("/proc/driver/nvidia/version")
    if version.is_file():
        found = re.search(r"Kernel Module\s+(?:for \S+\s+)?([\d.]+)", version.read_text())
        facts |= {"driver": found[1]} if found else {}
    return facts


def device_sentence(device: str) -> str:
    """Device, driver, versions and free memory, for the first line of a run."""
    if device == CUDA:
        free, total = torch.cuda.mem_get_info()
        facts = ", ".join(f"{name} {value}" for name, value in device_facts(device).items())
        return (
            f"on {device_name(device)}: {free / 1e9:.1f} of {total / 1e9:.1f} GB free, {facts}, "
            f"torch {torch.__version__}"
        )
    num_cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"on the CPU: {_cpu_name()}, {num_cores} cores, torch {torch.__version__}"


def kernels_of(variant: Variant, *, device: str) -> dict[str, str]:
    """How a branch is computed where there is a choice, for the environment of its record."""
    kinds = {"blocks": block_kind(device)}
    return kinds | ({"selective_scan": scan_kind(device).value} if has_scans(variant) else {})


def memory_advice(*, is_trained: bool) -> str:
    """What to do about too little memory, by how far the run has got."""
    if is_trained:
        return (
            "out of memory after training, even for one picture at a time: free memory of the "
            "device and give the same command again; what is trained is kept and not trained again"
        )
    return (
        "out of memory before the end of training: lower training.micro_batch and raise "
        "training.accumulation by the same factor (their product is the batch size, which a "
        "comparison keeps); that is another training, from its first step, and the checkpoints of "
        "this one stay"
    )


def keep_freed_memory(device: str) -> bool:
    """Let this process keep what it frees, up to 1 GiB; returns whether it does so now.

    On a CPU each layer's tensors are freed soon after. glibc gives them back to the system, which
    then clears every page of the next ones; sampling on `tiny` touched three times as many pages.
    Numbers do not depend on it.
    """
    if device != CPU or platform.libc_ver()[0] != "glibc":
        return False
    libc = ctypes.CDLL(None)
    # Setting one of them ends glibc's own tuning of the others, so all are set.
    return all(
        libc.mallopt(parameter, value) == 1
        for parameter, value in (
            (_M_MMAP_THRESHOLD, _MAPPED_FROM_BYTES),
            (_M_TRIM_THRESHOLD, _KEPT_BYTES),
            (_M_TOP_PAD, _ASKED_BYTES),
        )
    )


def _cpu_name() -> str:
    info = Path("/proc/cpuinfo")
    if info.is_file():
        found = re.search(r"^model name\s*:\s*(.+)$", info.read_text(), re.MULTILINE)
        if found:
            return found[1]
    return platform.processor() or platform.machine()


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
