"""CPU seconds and memory: of this process, of a child, of two sides in turn."""

import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
PAIRS = 7
"""Rounds of two sides in turn, where a round takes no minutes."""


def say(line: str) -> None:
    """A line of progress."""
    print(f"[{time.strftime('%H:%M:%S')}] {line}", file=sys.stderr, flush=True)


def cpu_s(work: Callable[[], Any]) -> float:
    """CPU seconds of this process, all its threads together."""
    started = time.process_time()
    work()
    return time.process_time() - started


def in_turn(
    sides: Mapping[str, Callable[[], Any]], *, pairs: int = PAIRS
) -> dict[str, list[float]]:
    """CPU seconds of each side, one after the other, `pairs` times; a first round is left out."""
    for work in sides.values():
        work()
    found: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(pairs):
        for name, work in sides.items():
            found[name].append(cpu_s(work))
    return found


@dataclass(frozen=True)
class Ratio:
    """How many times one side costs another, of neighbouring rounds."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, more: Sequence[float], less: Sequence[float]) -> "Ratio":
        """Medians and extremes of the quotients of pairs."""
        found = [a / b for a, b in zip(more, less, strict=True)]
        return cls(statistics.median(found), min(found), max(found))


@dataclass(frozen=True)
class Child:
    """What a child process cost, and what it wrote."""

    cpu_s: float
    stdout: str


def child(words: Sequence[str], *, cwd: Path = ROOT, **more: str) -> Child:
    """Run a command to its end. Raises: RuntimeError where it fails, with its last words."""
    with tempfile.TemporaryFile("w+") as said, tempfile.TemporaryFile("w+") as complaint:
        process = subprocess.Popen(
            words, stdout=said, stderr=complaint, cwd=cwd, env=child_environment(**more)
        )
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        for file in (said, complaint):
            file.seek(0)
        if process.returncode:
            last = complaint.read()[-800:]
            raise RuntimeError(f"{' '.join(words)} ended with {process.returncode}: {last}")
        return Child(usage.ru_utime + usage.ru_stime, said.read())


def child_environment(**more: str) -> dict[str, str]:
    """One thread, offline, and this checkout's own packages."""
    paths = [str(ROOT), os.environ.get("PYTHONPATH", "")]
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(path for path in paths if path),
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "TOKENIZERS_PARALLELISM": "false",
        "HF_HUB_OFFLINE": "1",
        **more,
    }


def peak_mib() -> float:
    """Largest resident memory of this process so far.

    Of the kernel's account of this program: `ru_maxrss` begins with what the parent held.
    """
    status = Path("/proc/self/status")
    if status.is_file():
        lines = [line for line in status.read_text().splitlines() if line.startswith("VmHWM")]
        return int(lines[0].split()[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def forget_peak() -> None:
    """Let `peak_mib` count from now on, where the system can."""
    reset = Path("/proc/self/clear_refs")
    if reset.exists():
        reset.write_text("5")


def machine() -> dict[str, Any]:
    """Where and when, and how busy the machine is."""
    packages = ("numpy", "scipy", "pandas", "torch", "diffusers", "transformers", "peft")
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "load": round(os.getloadavg()[0], 1),
        "python": platform.python_version(),
        "versions": {name: version(name) for name in packages},
    }


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.is_file() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()
