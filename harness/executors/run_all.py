"""The missing runs of a comparison, each in a process of its own, a few at a time."""

from collections import deque
from collections.abc import Sequence

from core.errors import HarnessError, PausedError
from harness.executors.base import Executor, Task
from harness.executors.schedule import Outcome, Work, drive
from harness.records.control import Asked
from harness.records.record import Status
from harness.run.limit import SpendingLimit
from harness.run.plan import PlannedRun
from harness.wording.display import Display
from harness.wording.numbers import fixed, listed


def run_all(
    planned: Sequence[PlannedRun],
    *,
    executor: Executor,
    metric: str,
    display: Display,
    asked: Asked | None = None,
    limit: SpendingLimit | None = None,
) -> None:
    """Make each run through the executor; a failed, cancelled or paused run stops no other.

    metric: whose value is told of each run as it ends. asked: what another terminal asks of all.
    limit: on all of them together.
    Raises:
        Interrupted: a signal came; every child was told to write a checkpoint and has ended.
        LimitReachedError: likewise, before the limit is passed.
        PausedError: another terminal paused one or all of them.
        CancelledError: likewise, for good.
        HarnessError: a child ended without a record, more often than is tried again.
    """
    matrix = _Matrix(planned, metric=metric, display=display, limit=limit)
    flag = None if limit is None else limit.flag
    drive(matrix, executor, display=display, asked=asked, interrupt=flag)
    if matrix.paused:
        raise PausedError(
            f"the others are done, and {listed(matrix.paused)} was paused from another terminal; "
            "the same command goes on with what is missing"
        )


class _Matrix(Work):
    """The runs in their order."""

    def __init__(
        self,
        planned: Sequence[PlannedRun],
        *,
        metric: str,
        display: Display,
        limit: SpendingLimit | None,
    ) -> None:
        self._limit = limit
        self._waiting = deque(planned)
        self._metric = metric
        self._display = display
        self.paused: list[str] = []

    def next(self) -> Task | None:
        if not self._waiting:
            return None
        planned = self._waiting.popleft()
        return Task(f"{planned.identity.variant} seed {planned.identity.seed}", planned)

    @property
    def is_over(self) -> bool:
        return not self._waiting

    def tick(self) -> None:
        if self._limit is not None:
            self._limit.note_step()

    def on_end(self, task: Task, outcome: Outcome) -> None:
        """Tell how the run ended.

        Raises:
            HarnessError: it left no record.
        """
        record = outcome.record
        if record is None and outcome.exit_code == PausedError.exit_code:
            self.paused.append(task.name)
            self._display.say(f"{task.name} paused from another terminal; the others go on")
            return
        if record is None:
            error = HarnessError(outcome.error)
            error.exit_code = max(1, outcome.exit_code)
            raise error
        if record.status is Status.FAILED:
            self._display.say(f"{task.name} failed: {record.error}")
            return
        seconds = record.total_seconds
        value = fixed(record.value(self._metric)) or "blank"
        self._display.say(f"{task.name} done in {seconds:.0f} s, {self._metric} {value}")
