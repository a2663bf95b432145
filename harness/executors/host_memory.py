"""How many runs the memory of this machine holds at a time."""

import os
from dataclasses import dataclass
from pathlib import Path

from harness.wording.numbers import count, size

_MEMINFO = Path("/proc/meminfo")
_GROUP = Path("/sys/fs/cgroup")


@dataclass(frozen=True)
class HostMemory:
    """What a run takes, and what is free for runs."""

    run_bytes: float
    """Of the largest run, about."""
    free_bytes: float
    """That programs can have now without swapping."""

    @property
    def room(self) -> int:
        """Runs at a time; one is started whatever there is, for the forecast may be wrong."""
        return max(1, int(self.free_bytes // self.run_bytes))

    def sentence(self, *, jobs: int, num_cores_for: int) -> str | None:
        """What a reader must know of that many runs at a time; None where all is well.

        num_cores_for: runs for which there are cores.
        """
        each = f"a run takes about {size(self.run_bytes)} of memory and {size(self.free_bytes)} "
        each += "are free"
        if jobs > self.room:
            return (
                f"warning: --jobs {jobs}, but {each}, which is room for {self.room}; the system "
                "may end runs that take more"
            )
        if self.room < num_cores_for:
            return (
                f"{count(jobs, 'run')} at a time where there are cores for {num_cores_for}: "
                f"{each}; --jobs {num_cores_for} starts as many all the same"
            )
        return None


def free_memory(meminfo: Path = _MEMINFO, group: Path = _GROUP) -> float | None:
    """Bytes that programs can have now: the machine's, or less in a container; None if unknown."""
    found = [value for value in (_of_machine(meminfo), _of_group(group)) if value is not None]
    return min(found, default=None)


def _of_machine(meminfo: Path) -> float | None:
    try:
        for line in meminfo.read_text(encoding="ascii").splitlines():
            if line.startswith("MemAvailable:"):
                return float(line.split()[1]) * 1024
        # A system without that file tells no more than its free pages, or nothing.
        return float(os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    except (OSError, ValueError, IndexError):
        return None


def _of_group(group: Path) -> float | None:
    """What the limit of this process's control group leaves; its file cache can be given back."""
    try:
        most = float((group / "memory.max").read_text(encoding="ascii"))  # or the word `max`
        used = float((group / "memory.current").read_text(encoding="ascii"))
        rows = (group / "memory.stat").read_text(encoding="ascii").splitlines()
        cache = next(float(row.split()[1]) for row in rows if row.startswith("inactive_file "))
    except (OSError, ValueError, IndexError, StopIteration):
        return None
    return max(0.0, most - used + cache)
