"""Keeps an executor busy with work, tells its progress, and retries what died."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

from core.training.results import StepReport
from harness.executors.base import Executor, Task
from harness.progress import Display
from harness.records import RunRecord


@dataclass(frozen=True)
class Outcome:
    """How a task ended for good."""

    record: RunRecord | None
    """The run's record, finished or failed; None where it was stopped or left none."""
    exit_code: int
    """Of the last process on it."""
    error: str | None
    """A sentence, where there is no record and it was not told to stop."""


class Work(ABC):
    """What there is to do; all methods are called from one thread."""

    @abstractmethod
    def next(self) -> Task | None:
        """A task to start now; None where there is none now."""

    @property
    @abstractmethod
    def is_over(self) -> bool:
        """Whether no task will come any more, whatever the going ones do."""

    def on_steps(self, task: Task, steps: Sequence[StepReport]) -> bool:
        """Take the steps since the last call, in order, each once; False stops the task."""
        return True

    @abstractmethod
    def on_end(self, task: Task, outcome: Outcome) -> None:
        """Take note of how a task ended; `next` may give it again."""

    def tick(self) -> None:
        """Called about once a second."""


def drive(work: Work, executor: Executor, *, display: Display, max_retries: int = 3) -> None:
    """Do all of the work, `executor.capacity` tasks at a time."""
    raise NotImplementedError
