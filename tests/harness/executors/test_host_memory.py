"""Runs on a CPU are started as memory holds them, and what is started is said."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness.costs.host import host_bytes
from harness.executors import host_memory, local
from harness.executors.host_memory import HostMemory, free_memory
from harness.executors.local import LocalExecutor
from harness.executors.opening import ExecutorOptions, jobs_at_a_time, open_executor
from harness.run.plan import Planner, RunRequest
from harness.wording.display import Display

GB = 1e9


class Said(Display):
    """Keeps what a person is told."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, line: str) -> None:
        self.lines.append(line)


@pytest.fixture
def four_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without a GPU."""
    monkeypatch.setattr(local, "visible_gpus", list)
    monkeypatch.setattr(local, "num_cores", lambda: 4)


@pytest.mark.parametrize(("free", "capacity"), [(40, 4), (25, 2), (12, 1), (3, 1)])
def test_no_more_runs_are_started_than_memory_holds(
    four_cores: None, monkeypatch: pytest.MonkeyPatch, free: float, capacity: int
) -> None:
    """Catches: four runs of ten gigabytes on a machine of sixteen, of which the system ends some;
    or none at all where a forecast is too large."""
    monkeypatch.setattr(host_memory, "free_memory", lambda: free * GB)
    said = Said()
    words: dict[str, Any] = {"num_threads": 1, "run_bytes": lambda: 10 * GB}
    with open_executor(ExecutorOptions(), display=said, **words) as executor:
        assert executor.capacity == capacity
    assert jobs_at_a_time(ExecutorOptions(), **words) == (
        capacity,
        said.lines[0] if said.lines else None,
    )
    if capacity == 4:
        assert said.lines == []
    else:
        (line,) = said.lines
        for word in ("at a time where there are cores for 4", "10.00 GB", "--jobs 4 starts"):
            assert word in line


def test_jobs_that_were_asked_for_are_started_with_a_warning(
    four_cores: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Catches: an option overruled by a guess, or a machine that swaps without a word."""
    monkeypatch.setattr(host_memory, "free_memory", lambda: 25 * GB)
    said = Said()
    options = ExecutorOptions(jobs=3)
    with open_executor(options, num_threads=1, display=said, run_bytes=lambda: 10 * GB) as executor:
        assert executor.capacity == 3
    assert "warning: --jobs 3, but a run takes about 10.00 GB" in said.lines[0]
    assert "room for 2" in said.lines[0]


def test_memory_is_not_asked_for_where_a_gpu_holds_the_runs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Catches: runs on eight GPUs counted by what they would take on a CPU."""
    monkeypatch.setattr(local, "visible_gpus", lambda: ["0", "1"])
    executor = LocalExecutor(memory=lambda: HostMemory(10 * GB, 1 * GB))
    assert (executor.capacity, executor.notice) == (2, None)


def test_a_container_has_what_its_limit_leaves(tmp_path: Path) -> None:
    """Catches: the memory of the host counted in a container of two gigabytes."""
    meminfo = tmp_path / "meminfo"
    meminfo.write_text("MemTotal: 9000000 kB\nMemFree: 1 kB\nMemAvailable: 8000000 kB\n")
    assert free_memory(meminfo, tmp_path) == 8_000_000 * 1024
    (tmp_path / "memory.current").write_text("1500000000\n")
    (tmp_path / "memory.stat").write_text("anon 5\ninactive_file 400000000\n")
    (tmp_path / "memory.max").write_text("max\n")
    assert free_memory(meminfo, tmp_path) == 8_000_000 * 1024
    (tmp_path / "memory.max").write_text("2000000000\n")
    assert free_memory(meminfo, tmp_path) == 900_000_000


def test_what_a_run_takes_is_measured_by_a_finished_one(
    finished: Any, small_request: Callable[..., RunRequest], tmp_path: Path
) -> None:
    """Catches: a guess where it was measured, and the peak of another size of run."""
    planned = Planner(Display()).plan(small_request(seed=5))
    results = tmp_path / "results"  # others leave runs in the shared folder
    shutil.copytree(finished.folder, results / "runs" / finished.folder.name)
    measured = host_bytes([planned], results=results)
    assert measured == pytest.approx(1.1 * finished.record.cost.peak_memory_bytes)
    guessed = host_bytes([planned], results=tmp_path / "none")
    assert guessed is not None
    assert 0.7 * GB < guessed < 1.5 * GB
    larger = Planner(Display()).plan(small_request("training.micro_batch=4", seed=5))
    assert host_bytes([larger], results=results) != measured
