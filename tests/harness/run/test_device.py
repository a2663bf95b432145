"""What a run does to the process it computes in."""

import subprocess
import sys

import pytest

PAGES = """
import resource, sys
import torch
from harness.run.device import keep_freed_memory

if sys.argv[1] == "kept" and not keep_freed_memory("cpu"):
    sys.exit(3)

def used():
    # Six tensors of 4 MiB at a time, as of a layer: freed, and asked for again.
    for _ in range(40):
        [torch.zeros(1 << 20) for _ in range(6)]

used()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
used()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def touched(how: str) -> int:
    """Pages that the system had to find for the same work, in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-c", PAGES, how], capture_output=True, text=True, check=False
    )
    if done.returncode == 3:
        pytest.skip("not glibc: its memory is left as it is")
    return int(done.stdout)


def test_memory_that_a_layer_frees_is_there_for_the_next() -> None:
    """Catches: every tensor's pages given back, and found and cleared again for the next one."""
    assert touched("kept") <= 100
    # Of some processes, as their heap happens to lie, glibc keeps it unasked: one in four as seen.
    gives_back = any(touched("as it is") >= 1000 for _ in range(10))
    assert gives_back, "glibc keeps it unasked: the setting could go"


def test_a_run_on_a_gpu_leaves_the_memory_of_its_process_alone() -> None:
    """Catches: a gigabyte kept on a host whose tensors lie elsewhere."""
    from harness.run.device import keep_freed_memory

    assert not keep_freed_memory("cuda")
