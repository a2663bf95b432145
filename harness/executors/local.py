"""Runs as processes of this machine, each with a GPU where there are any."""

import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

from core.errors import UsageError
from harness.executors.base import Executor, Job, Task

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

    def __init__(self, *, jobs: int = 0, gpu_share: float = 1.0, num_threads: int = 1) -> None:
        """Count what there is to run on.

        jobs: runs at a time; 0 is as many as fit on the GPUs, or on the cores without any.
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
        self.capacity = jobs or room
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


class ChildProcess:
    """One `harness.cli.child`, which stops after a checkpoint when this process is gone."""

    def __init__(
        self,
        words: Sequence[str],
        *,
        log: Path,
        environment: dict[str, str],
        working_folder: Path | None = None,
    ) -> None:
        """Start it.

        words: of the command line, after `harness`. log: takes what it says on standard error.
        """
        self._log = log
        self._log.parent.mkdir(parents=True, exist_ok=True)
        with self._log.open("ab") as stderr:
            self._said_before = stderr.tell()
            self.process = subprocess.Popen(
                [sys.executable, "-m", "harness.cli.child", *words],
                # Never written to: the child stops when it closes, however this process ends.
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=stderr,
                # Ctrl-C reaches this process alone, which stops its children once: a second
                # signal would kill them before their checkpoint.
                start_new_session=True,
                env=environment,
                cwd=working_folder,
            )
        self._is_told = False

    def poll(self) -> int | None:
        """The exit code; None while it goes on."""
        code = self.process.poll()
        if code is not None and self.process.stdin is not None:
            self.process.stdin.close()
        return code

    def stop(self) -> None:
        """Send SIGTERM once."""
        if not self._is_told and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        self._is_told = True

    def last_words(self) -> str:
        """The last line on standard error."""
        with self._log.open("rb") as log:
            log.seek(self._said_before)
            lines = log.read().decode(errors="replace").strip().splitlines()
        return lines[-1] if lines else ""


class _LocalJob(Job):
    def __init__(self, task: Task, *, gpu: str | None) -> None:
        self.task = task
        self.gpu = gpu
        environment = dict(os.environ)
        if gpu is not None:
            environment["CUDA_VISIBLE_DEVICES"] = gpu
        self._child = ChildProcess(
            task.planned.request.words[1:], log=task.log, environment=environment
        )

    @property
    def pid(self) -> int:
        """Of the child."""
        return self._child.process.pid

    def poll(self) -> int | None:
        return self._child.poll()

    def stop(self) -> None:
        self._child.stop()

    def last_words(self) -> str:
        return self._child.last_words()


def _share_for(jobs: int, num_gpus: int) -> float:
    """The largest share, of two digits, at which so many runs fit."""
    return math.floor(100 / math.ceil(jobs / num_gpus)) / 100
