"""GPU, driver, torch's build, arithmetic and memory."""

import re
from dataclasses import dataclass
from pathlib import Path

from core.choices import Precision
from harness.costs.cards import load_cards
from harness.costs.matrix import MatrixPlan
from harness.costs.memory import largest_micro_batch, memory_need
from harness.doctor.finding import Finding, bad, good, note
from harness.settings.profile import Profile

_DRIVER_FILE = Path("/proc/driver/nvidia/version")
_WHEELS = ((580, "cu130"), (525, "cu126"))
"""Oldest driver branch that runs torch's wheels of a CUDA version, newest first (NVIDIA's table of
CUDA compatibility)."""
_SIZES_GB = (8, 12, 16, 24, 80)
_HALF = ("--set training.precision=float16", "--set foundation.dtype=float16")


@dataclass(frozen=True, kw_only=True)
class Graphics:
    """What torch and the system say of the GPU."""

    torch: str | None
    """Version; None where it cannot be imported."""
    built_for: str | None
    """CUDA version of torch's build; None for a build without."""
    driver: str | None
    """Version of the kernel driver; None without one."""
    name: str | None
    """Of the GPU; None where torch can use none."""
    capability: tuple[int, int] = (0, 0)
    """Compute capability."""
    free_bytes: int = 0
    """Memory that is free now."""
    total_bytes: int = 0
    """All of its memory."""


def read_graphics() -> Graphics:
    """What is here."""
    driver = None
    if _DRIVER_FILE.is_file():
        found = re.search(r"Kernel Module\s+(?:for \S+\s+)?([\d.]+)", _DRIVER_FILE.read_text())
        driver = found[1] if found else None
    try:
        import torch
    except ImportError:
        return Graphics(torch=None, built_for=None, driver=driver, name=None)
    if not torch.cuda.is_available():
        return Graphics(
            torch=torch.__version__, built_for=torch.version.cuda, driver=driver, name=None
        )
    free, total = torch.cuda.mem_get_info()
    return Graphics(
        torch=torch.__version__,
        built_for=torch.version.cuda,
        driver=driver,
        name=torch.cuda.get_device_name(),
        capability=torch.cuda.get_device_capability(),
        free_bytes=free,
        total_bytes=total,
    )


def check_device(graphics: Graphics, *, profile: Profile, asked: str | None) -> Finding:
    """Whether a run of the profile finds what it computes on."""
    name = "device"
    if graphics.torch is None:
        return bad(
            name,
            "torch cannot be imported, so nothing can be trained",
            "python -m pip install 'branch-harness[train]'",
        )
    if asked == "cpu":
        return good(name, f"the CPU, as --device cpu asks, torch {graphics.torch}")
    if graphics.name is not None:
        return good(
            name,
            f"{graphics.name}, driver {graphics.driver or 'unknown'}, torch {graphics.torch} for "
            f"CUDA {graphics.built_for}",
        )
    if not profile.hardware.needs_gpu:
        return good(name, f"the CPU, torch {graphics.torch}; this profile needs no GPU")
    if graphics.driver is None:
        return bad(
            name,
            "this profile needs a GPU, and the system has no NVIDIA driver: rent a machine with "
            "one (`harness plan` says which), or pass --device cpu to runs and wait for weeks",
        )
    wheel = _wheel(graphics.driver)
    if wheel is None:
        return bad(
            name,
            f"driver {graphics.driver} is older than torch's builds need (525); update the driver "
            "or choose a machine with a newer one",
        )
    command = (
        f"python -m pip install --force-reinstall 'torch' --index-url "
        f"https://download.pytorch.org/whl/{wheel}"
    )
    if graphics.built_for is None:
        return bad(name, f"torch {graphics.torch} is a build without CUDA", command)
    return bad(
        name,
        f"torch {graphics.torch} for CUDA {graphics.built_for} can use no GPU under driver "
        f"{graphics.driver}: the driver is too old for it, or CUDA_VISIBLE_DEVICES hides the GPUs",
        command,
    )


def check_arithmetic(graphics: Graphics, *, profile: Profile) -> Finding:
    """Whether the card computes in the profile's precision."""
    name, precision = "arithmetic", profile.training.precision
    has_bf16 = graphics.capability >= (8, 0)
    if graphics.name is None or precision is not Precision.BFLOAT16 or has_bf16:
        return good(name, f"{precision.value}")
    return bad(
        name,
        f"{graphics.name} has no bfloat16 units, and torch would emulate them slowly; pass "
        f"{' '.join(_HALF)} to every command",
    )


def check_memory(graphics: Graphics, *, plan: MatrixPlan, profile: Profile) -> Finding:
    """Whether training fits, and at which micro-batch."""
    name, precision = "GPU memory", profile.training.precision
    works = [branch.work for branch in plan.branches]
    batch_size = plan.branches[0].batch_size
    cards = load_cards().cards
    pattern = next(iter(cards.values()))

    def largest(num_bytes: float) -> int | None:
        card = pattern.model_copy(update={"memory_gb": num_bytes / 1e9})
        return largest_micro_batch(works, card=card, precision=precision, batch_size=batch_size)

    if graphics.name is None:
        fits = [f"{gb} GB {_at(largest(gb * 1e9))}" for gb in _SIZES_GB]
        return note(name, f"no GPU here; the largest micro-batch of cards: {', '.join(fits)}")
    found, own = largest(graphics.free_bytes), profile.training.micro_batch
    free = f"{graphics.free_bytes / 1e9:.1f} of {graphics.total_bytes / 1e9:.1f} GB are free"
    need = max(memory_need(w, precision=precision, micro_batch=own).num_bytes for w in works)
    needs = f"training takes about {need / 1e9:.1f} GB at micro-batch {own}"
    if found is None:
        return bad(name, f"{free}, too little even for one sample at a time; {needs}")
    if found < own:
        return bad(
            name,
            f"{free}, and {needs}: pass --set training.micro_batch={found} --set "
            f"training.accumulation={batch_size // found} to every command",
        )
    more = f"; micro-batch {found} fits too and is faster" if found > own else ""
    return good(name, f"{free}; {needs}{more}")


def check_scan(graphics: Graphics, *, variants: tuple[str, ...], is_installed: bool) -> Finding:
    """Whether Mamba's scan has its own kernels."""
    name = "mamba-ssm"
    if "cutting_edge" not in variants or graphics.name is None or is_installed:
        return good(name, "installed" if is_installed else "not needed here")
    return note(
        name,
        "not installed: cutting_edge scans by this project's Triton kernel (docs/gpu.md)",
        "python -m pip install 'branch-harness[mamba]'",
    )


def _at(micro_batch: int | None) -> str:
    return "does not suffice" if micro_batch is None else str(micro_batch)


def _wheel(driver: str) -> str | None:
    major = int(driver.split(".")[0])
    return next((wheel for oldest, wheel in _WHEELS if major >= oldest), None)
