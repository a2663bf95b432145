"""Processes of this machine: how many at a time, and on which GPU."""

from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

import pytest
import torch

from core.errors import UsageError
from harness.executors import local
from harness.executors.base import Task
from harness.executors.local import LocalExecutor, runs_a_gpu, visible_gpus
from harness.run.plan import PlannedRun, RunRequest, plan_run
from harness.wording.display import Display

MakeRequest = Callable[..., RunRequest]


class Sleeping:
    """A stand-in for a child process: goes on until the test ends it."""

    started: ClassVar[list["Sleeping"]] = []

    def __init__(self, words: list[str], *, log: Path, environment: dict[str, str]) -> None:
        self.gpu = environment.get("CUDA_VISIBLE_DEVICES")
        self.code: int | None = None
        self.started.append(self)

    def poll(self) -> int | None:
        return self.code

    def stop(self) -> None:
        self.code = 143


@pytest.fixture
def planned(small_request: MakeRequest) -> PlannedRun:
    """Any run; nothing is made."""
    return plan_run(small_request(seed=70), display=Display())


def with_gpus(monkeypatch: pytest.MonkeyPatch, count: int, *, visible: str | None) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: count > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
    if visible is None:
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    else:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)


@pytest.mark.parametrize(
    ("count", "visible", "expected"),
    [
        (0, "", []),
        (2, None, ["0", "1"]),
        (2, "3, 5", ["3", "5"]),
        (1, "GPU-8f3a,-1,4", ["GPU-8f3a"]),
    ],
)
def test_the_gpus_are_those_this_process_may_see(
    count: int, visible: str | None, expected: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Catches: runs on a GPU that a scheduler gave to somebody else."""
    with_gpus(monkeypatch, count, visible=visible)
    assert visible_gpus() == expected


def test_each_run_gets_the_gpu_with_the_fewest(
    planned: PlannedRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Catches: all runs on GPU 0, or a GPU that stays taken when its run has ended."""
    with_gpus(monkeypatch, 2, visible="3,5")
    monkeypatch.setattr(local, "ChildProcess", Sleeping)
    monkeypatch.setattr(Sleeping, "started", [])
    with LocalExecutor(gpu_share=0.5) as executor:
        assert executor.capacity == 4
        for _ in range(4):
            executor.start(Task("one", planned))
        assert [child.gpu for child in Sleeping.started] == ["3", "5", "3", "5"]
        Sleeping.started[1].code = 0
        executor.start(Task("one", planned))
        assert Sleeping.started[-1].gpu == "5"
    assert [child.code for child in Sleeping.started] == [143, 0, 143, 143, 143]


@pytest.mark.parametrize(
    ("share", "runs"), [(1.0, 1), (0.6, 1), (0.5, 2), (0.34, 2), (0.33, 3), (0.1, 10), (0.05, 20)]
)
def test_a_gpu_takes_whole_shares(share: float, runs: int) -> None:
    """Catches: 1 / 0.1 that is a little less than ten, or three thirds and a half on one GPU."""
    assert runs_a_gpu(share) == runs


def test_more_jobs_than_the_gpus_hold_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Catches: three runs on the memory of one, found out hours later."""
    with_gpus(monkeypatch, 2, visible=None)
    with pytest.raises(UsageError, match=r"--jobs 5, but 2 GPUs .* have room for 4"):
        LocalExecutor(jobs=5, gpu_share=0.5)
    with pytest.raises(UsageError, match=r"pass --gpu-share 0\.33"):
        LocalExecutor(jobs=5, gpu_share=0.5)
    assert LocalExecutor(jobs=5, gpu_share=0.33).capacity == 5


def test_without_gpus_there_is_one_run_a_core(monkeypatch: pytest.MonkeyPatch) -> None:
    """Catches: a capacity of nothing on a machine without GPUs."""
    with_gpus(monkeypatch, 0, visible="")
    monkeypatch.setattr(local, "num_cores", lambda: 7)
    assert LocalExecutor().capacity == 7
    assert LocalExecutor(jobs=9).capacity == 9
    assert [LocalExecutor(num_threads=n).capacity for n in (2, 7, 8)] == [3, 1, 1]
