"""What an executor is: something that makes a run elsewhere, and is watched through its log.

Whichever executor makes a run, its folder lies at `task.planned.folder` on this machine in the
end, and its event log grows there while it goes on.
"""

import signal
from abc import ABC, abstractmethod
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from harness.records.folders import RunFolder
from harness.run.plan import PlannedRun

LOST = -1000
"""Exit code of a task whose node or worker is gone; no signal has this number."""
UNGATHERED = -1001
"""Exit code of a task whose results did not get into the store or out of it."""
STOPPED = 128 + signal.SIGTERM
"""Exit code of a task that was told to stop."""


@dataclass(frozen=True)
class Task:
    """One run to be made."""

    name: str
    """What a person reads: `sonic seed 0`, `sonic trial 12`."""
    planned: PlannedRun
    """What is run."""

    @property
    def log(self) -> Path:
        """What the run's processes say."""
        return RunFolder(self.planned.folder).log


@dataclass(frozen=True)
class Ended:
    """How a job ended."""

    exit_code: int
    """As `Job.poll` has it."""
    last_words: str
    """As `Job.last_words` has them."""


class Job(ABC):
    """A started task."""

    task: Task

    @property
    def place(self) -> str:
        """Where it runs; empty where that is this machine, or not known yet."""
        return ""

    @abstractmethod
    def poll(self) -> int | None:
        """The exit code, negative where a signal or a lost node ended it; None while it goes on."""

    @abstractmethod
    def stop(self) -> None:
        """Ask it, once or again, to write a checkpoint and end; `poll` tells when it has."""

    @abstractmethod
    def last_words(self) -> str:
        """The last line that it said on standard error; empty where it said nothing."""


class Executor(AbstractContextManager["Executor"], ABC):
    """Makes runs; leaving the context stops what is still going on, after a checkpoint."""

    capacity: int
    """Runs at a time."""

    @abstractmethod
    def start(self, task: Task) -> Job:
        """Start a task; one that was begun before goes on from its checkpoint."""
