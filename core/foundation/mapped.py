"""Copies of weights whose file is mapped into memory, without holding the file beside them.

A loader maps a safetensors file and lets go of it when the last of its tensors goes. Whoever copies
tensor by tensor would so hold the whole file next to the whole copy: 7 GB for the UNet of Stable
Diffusion v1.5 in float32. Here the pages of each tensor are given back once it is copied; the file
stays in the system's cache, and a page that is read again comes from there.
"""

import ctypes
import mmap
import sys
from bisect import bisect_right
from collections.abc import Iterable
from pathlib import Path

from torch import Tensor

_MAPS = Path("/proc/self/maps")


def own_memory(tensors: Iterable[Tensor]) -> None:
    """Let every tensor lie in memory of its own, wherever it lay before; on a GPU too."""
    files = _FilePages.now()
    for tensor in tensors:
        before = tensor.data
        tensor.data = before.clone()
        files.give_back(before)


class _FilePages:
    """The parts of this process's memory that are files and not programs."""

    def __init__(self, ranges: list[tuple[int, int]]) -> None:
        self._ranges = sorted(ranges)
        self._starts = [start for start, _ in self._ranges]

    @classmethod
    def now(cls) -> "_FilePages":
        """As they are at this moment; none where the system does not say."""
        if sys.platform != "linux" or not _MAPS.is_file():
            return cls([])
        ranges = []
        for line in _MAPS.read_text(errors="replace").splitlines():
            # start-end perms offset device inode path; inode 0 is memory without a file.
            place, permissions, _, _, inode = line.split(maxsplit=5)[:5]
            if inode != "0" and "x" not in permissions:
                start, end = (int(part, 16) for part in place.split("-"))
                ranges.append((start, end))
        return cls(ranges)

    def give_back(self, tensor: Tensor) -> None:
        """Unmap the whole pages of a tensor that lies in a file; others are left alone.

        Of a file the system reads a page again when it is asked for. Memory without a file would
        lose what is in it.
        """
        if tensor.device.type != "cpu" or not tensor.is_contiguous():
            return
        start = tensor.data_ptr()
        end = start + tensor.nbytes
        place = bisect_right(self._starts, start) - 1
        if place < 0 or end > self._ranges[place][1]:
            return
        page = mmap.PAGESIZE
        first, last = -(-start // page) * page, end // page * page
        if last > first:
            _madvise(first, last - first)


def _madvise(start: int, length: int) -> None:
    # A refusal costs memory and nothing else, so its answer is not asked for.
    libc = ctypes.CDLL(None)
    libc.madvise(ctypes.c_void_p(start), ctypes.c_size_t(length), mmap.MADV_DONTNEED)
