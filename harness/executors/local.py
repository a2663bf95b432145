"""Runs as processes of this machine, each with a GPU where there are any."""

import math
import os
import time
from collections.abc import Callable
from types import TracebackType

from core.errors import MismatchError, UsageError
from harness.executors.base import Executor, Job, Task
from harness.executors.child import Child, ChildProcess, ForkedChild, can_fork
from harness.executors.host_memory import HostMemory
from harness.run.code import code_of

_POLL_S = 0.1


def visible_gpus() -> list[str]:
    """The GPUs that this process may use, as CUDA_VISIBLE_DEVICES names them."""
    import torch

    if not torch.cuda.is_available():
        return []
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    if named is None:
        return [str(index) for index in range(torch.cuda.device_count())]
    # CUDA itself drops what follows a name that it does not know.
    return [word.strip() for word in named.split(",")][: torch.cuda.device_count()]


def runs_a_gpu(gpu_share: float) -> int:
    """How many runs fit on one GPU where each takes this share of it, above 0 and up to 1."""
    return math.floor(1 / gpu_share + 1e-9)


def num_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1


class LocalExecutor(Executor):
    """Child processes: with GPUs, each sees one of them; without, one a core."""

    def __init__(
        self,
        *,
        jobs: int = 0,
        gpu_share: float = 1.0,
        num_threads: int = 1,
        memory: Callable[[], HostMemory | None] = lambda: None,
    ) -> None:
        """Count what there is to run on.

        jobs: runs at a time; 0 is as many as fit on the GPUs, or on the cores and in the memory
            without any.
        memory: what runs take and what is free; asked where there are no GPUs.
        gpu_share: part of a GPU that one run takes; 0.5 puts two runs on each.
        num_threads: cores that a run takes.

        Raises:
            UsageError: more jobs than fit on the GPUs.
        """
        self._gpus = visible_gpus()
        room = max(1, num_cores() // num_threads)
        if self._gpus:
            room = len(self._gpus) * runs_a_gpu(gpu_share)
        if self._gpus and jobs > room:
            raise UsageError(
                f"--jobs {jobs}, but {len(self._gpus)} GPU{'s' * (len(self._gpus) > 1)} at "
                f"--gpu-share {gpu_share:g} have room for {room}; if more runs fit in their "
                f"memory, pass --gpu-share {_share_for(jobs, len(self._gpus)):g}"
            )
        host = None if self._gpus else memory()
        self.capacity = jobs or (room if host is None else min(room, host.room))
        self.notice = (
            None if host is None else host.sentence(jobs=self.capacity, num_cores_for=room)
        )
        """What a reader must know of that number."""
        self._going: list[_LocalJob] = []

    def start(self, task: Task) -> Job:
        """Start a child process on the GPU that has the fewest."""
        self._going = [job for job in self._going if job.poll() is None]
        gpu = None
        if self._gpus:
            taken = [job.gpu for job in self._going]
            gpu = min(self._gpus, key=taken.count)
        job = _LocalJob(task, gpu=gpu)
        self._going.append(job)
        return job

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for job in self._going:
            job.stop()
        while any(job.poll() is None for job in self._going):
            time.sleep(_POLL_S)


class _LocalJob(Job):
    def __init__(self, task: Task, *, gpu: str | None) -> None:
        self.task = task
        self.gpu = gpu
        words = task.planned.request.words[1:]
        environment = dict(os.environ)
        self._child: Child
        if gpu is None and can_fork():
            _require_planned_code(task)
            self._child = ForkedChild(words, log=task.log, environment=environment)
        else:
            if gpu is not None:
                environment["CUDA_VISIBLE_DEVICES"] = gpu
            self._child = ChildProcess(words, log=task.log, environment=environment)

    @property
    def pid(self) -> int:
        """Of the child."""
        return self._child.pid

    def poll(self) -> int | None:
        return self._child.poll()

    def stop(self) -> None:
        self._child.stop()

    def last_words(self) -> str:
        return self._child.last_words()


def _require_planned_code(task: Task) -> None:
    """What a forked run does is the code that was loaded, what it notes is that on the disk."""
    identity = task.planned.identity
    if code_of(identity.variant) != identity.code:
        raise MismatchError(
            f"code that makes {task.name} was edited since this command planned it; run the same "
            "command again, and what is finished under the new code is kept"
        )


def _share_for(jobs: int, num_gpus: int) -> float:
    """The largest share, of two digits, at which so many runs fit."""
    return math.floor(100 / math.ceil(jobs / num_gpus)) / 100
