"""Keeps an executor busy with work, tells its progress, and retries what died."""

import signal
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

from core.errors import BusyError, PausedError
from core.training.interrupts import InterruptFlag
from core.training.results import StepReport
from harness.executors.base import UNGATHERED, Executor, Task
from harness.records.control import Asked
from harness.records.events import EventTail
from harness.records.folders import RunFolder
from harness.records.progress import read_progress
from harness.records.record import RunRecord, load_record
from harness.records.score_kind import Score
from harness.wording.display import Display, describe

_POLL_S = 0.1
_TICK_S = 1.0
_HELD_PAUSE_S = 10.0
_HELD_S = 300.0
"""How long a run that another process holds is waited for without any step being made."""
_AFTER_TRAINING = ("sampling", "scoring")


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
        return None


def drive(
    work: Work,
    executor: Executor,
    *,
    display: Display,
    max_retries: int = 3,
    interrupt: InterruptFlag | None = None,
    asked: Asked | None = None,
) -> None:
    """Do all of the work, `executor.capacity` tasks at a time.

    A process that a signal or the loss of its node ended is started again from its checkpoint, up
    to `max_retries` times a task. A run that another process holds is waited for.

    interrupt: set by signals meanwhile, for who waits within `work`.
    asked: looked at about once a second: what another terminal asks of the whole.

    Raises:
        Interrupted: a signal came; every task was told to write a checkpoint and has ended, and
            `on_end` was not called for them.
        PausedError, CancelledError: likewise, asked for from another terminal.
    """
    going: list[_Going] = []
    ticked = time.monotonic()
    with interrupt or InterruptFlag() as interrupt:
        try:
            while True:
                interrupt.raise_if_set()
                while len(going) < executor.capacity and (task := work.next()) is not None:
                    going.append(
                        _Going(task, executor=executor, display=display, max_retries=max_retries)
                    )
                if not going and work.is_over:
                    return
                time.sleep(_POLL_S)
                if time.monotonic() - ticked >= _TICK_S:
                    ticked = time.monotonic()
                    work.tick()
                    if asked is not None and (error := asked.look()) is not None:
                        interrupt.ask(error)
                for one in list(going):
                    outcome = one.watch(work)
                    if outcome is not None:
                        going.remove(one)
                        work.on_end(one.task, outcome)
        finally:
            for one in going:
                one.job.stop()
            while any(one.job.poll() is None for one in going):
                time.sleep(_POLL_S)


class _Going:
    """A task that was started and has not ended for good."""

    def __init__(
        self, task: Task, *, executor: Executor, display: Display, max_retries: int
    ) -> None:
        self.task = task
        self._executor = executor
        self._display = display
        self._retries_left = self._max_retries = max_retries
        self._tail = EventTail(RunFolder(task.planned.folder).events)
        self._last: StepReport | None = None
        self._is_told_to_stop = False
        self._held_since: float | None = None
        self._start_at: float | None = None
        record = RunFolder(task.planned.folder).record
        # A failed run is tried again; its old record must not pass for the new one.
        if record.is_file() and task.planned.finished_record is None:
            record.unlink()
        self.job = executor.start(task)
        self._show()

    def watch(self, work: Work) -> Outcome | None:
        """Hand on new steps and see to a process that ended; None while the task goes on."""
        # Asked first: the steps that are read after the end are all of them.
        code = self.job.poll()
        self._hand_on(work)
        if code is None:
            return None
        record = self._record()
        if record is not None:
            total = self.task.planned.plan.total_steps
            self._display.phase(self.task.name, total, total)
            return Outcome(record, code, None)
        if self._is_told_to_stop or code == PausedError.exit_code:
            return Outcome(None, code, None)
        if code == BusyError.exit_code:
            return self._wait_for_holder(code)
        if code < 0 and self._retries_left:
            self._retries_left -= 1
            why = f" ({self.job.last_words()})" if code == UNGATHERED else ""
            self._display.say(
                f"{self.task.name} was ended by {_cause(code)}{why}; it resumes from its "
                f"checkpoint (retry {self._max_retries - self._retries_left} of "
                f"{self._max_retries})"
            )
            self.job = self._executor.start(self.task)
            return None
        return Outcome(None, code, self._error(code))

    def _hand_on(self, work: Work) -> None:
        steps = self._tail.new_steps()
        if steps:
            self._last = steps[-1]
            if self._held_since is not None:
                self._held_since = time.monotonic()
            if not self._is_told_to_stop and not work.on_steps(self.task, steps):
                self._is_told_to_stop = True
                self.job.stop()
        self._show()

    def _wait_for_holder(self, code: int) -> Outcome | None:
        """Start the task again after a pause; give up where its holder makes no step for long."""
        clock = time.monotonic()
        if self._start_at is None:
            if self._held_since is None:
                self._held_since = clock
                self._display.say(f"{self.task.name} waits: {self.job.last_words()}")
            if clock - self._held_since > _HELD_S:
                return Outcome(None, code, self._error(code))
            self._start_at = clock + _HELD_PAUSE_S
        elif clock >= self._start_at:
            self._start_at = None
            self.job = self._executor.start(self.task)
        return None

    def _record(self) -> RunRecord | None:
        folder = self.task.planned.folder
        return load_record(folder) if RunFolder(folder).record.is_file() else None

    def _show(self) -> None:
        total = self.task.planned.plan.total_steps
        if self._last is None:
            self._display.phase(self.task.name, 0, total, f"{self._place}starting")
            return
        # The last step is held back: after it come sampling and scoring.
        is_trained = self._last.global_step >= total
        detail = f"{self._last.stage} {describe(self._last)}"
        if is_trained:
            detail = self._after_training()
        done = min(self._last.global_step, total - 1)
        self._display.phase(self.task.name, done, total, self._place + detail)

    def _after_training(self) -> str:
        progress = read_progress(RunFolder(self.task.planned.folder).progress)
        if progress is not None and progress.phase in _AFTER_TRAINING:
            return f"{progress.phase} {progress.done}/{progress.total}"
        is_scored = self.task.planned.request.score is not Score.LOSS
        return "sampling, scoring" if is_scored else "ending"

    @property
    def _place(self) -> str:
        return f"{self.job.place}: " if self.job.place else ""

    def _error(self, code: int) -> str:
        if code == 0:
            # It is another run by now: its identity is read anew in its own process.
            return (
                f"{self.task.name} finished, but as a different run from "
                f"{self.task.planned.folder.name}: the code, the models or the data changed "
                "meanwhile; run the same command again"
            )
        how = f"ended with exit code {code} and no record"
        if code < 0:
            how = f"was ended by {_cause(code)} after {self._max_retries} retries, with no record"
        last = self.job.last_words() or "no output"
        return f"{self.task.name} {how}: {last} (log: {self.task.log})"


def _cause(code: int) -> str:
    """What a negative exit code stands for."""
    if code == UNGATHERED:
        return "its store"
    try:
        return signal.Signals(-code).name
    except ValueError:
        return "the loss of its node"
