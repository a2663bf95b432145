"""One process's work on a run: its time, its progress and its end, kept in the run's folder."""

import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from types import TracebackType
from typing import TYPE_CHECKING, Self

from core.training.interrupts import InterruptFlag
from core.training.ledger import Ledger
from harness.records.control import Asked, take_back
from harness.records.folders import RunFolder
from harness.records.processes import SessionFacts
from harness.records.progress import ProgressFile
from harness.records.sessions import (
    End,
    SessionJournal,
    close_lost,
    end_of,
    new_session,
    utc,
)
from harness.run.limit import SpendingLimit, spent_before
from harness.wording.display import Display

if TYPE_CHECKING:
    from core.training.results import StepReport
    from harness.run.plan import PlannedRun


class RunSession(AbstractContextManager["RunSession"]):
    """Begins and ends a line of the run's sessions; for whoever holds the run."""

    def __init__(
        self,
        planned: "PlannedRun",
        *,
        device: str,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """device: kind of the device."""
        files = RunFolder(planned.folder)
        self._clock = clock
        self._folder = planned.folder
        self._journal = SessionJournal(files.sessions)
        self._session = new_session(
            command=planned.request.command,
            device=device,
            price_per_hour=planned.profile.hardware.price_per_hour,
        )
        self._hardware = planned.profile.hardware
        self._started = clock()
        self._step: int | None = None
        self._is_closed = False
        self.ledger = Ledger()
        self.interrupt = InterruptFlag()
        self._asked = Asked(planned.folder, name=planned.identity.run_id)
        self.progress = ProgressFile(
            files.progress, session=self._session.session, parts=self.ledger.seconds
        )

    def __enter__(self) -> Self:
        take_back(self._folder)
        close_lost(self._folder)
        hardware = self._hardware
        self.limit = SpendingLimit(
            hardware,
            before=spent_before(self.facts, price_per_hour=hardware.price_per_hour),
            started=self._started,
            flag=self.interrupt,
            clock=self._clock,
        )
        self._journal.begin(self._session)
        self.progress.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.progress.__exit__()
        if error is None:
            self.close(End.FINISHED)
        else:
            self.close(end_of(error))

    def close(self, how: End) -> None:
        """Note the end, once; it is on disk when this returns."""
        if self._is_closed:
            return
        self._is_closed = True
        self._session = self._session.model_copy(
            update={
                "ended_at": utc(datetime.now(UTC)),
                "how": how.value,
                "seconds": round(self._clock() - self._started, 3),
                "step": self._step,
                "parts": {part: round(s, 3) for part, s in self.ledger.seconds().items()},
            }
        )
        self._journal.end(self._session)

    @property
    def facts(self) -> list[SessionFacts]:
        """Every process that worked on the run, this one included."""
        return [session.facts for session in self._journal.sessions]

    @property
    def dollars(self) -> float | None:
        """What all of them cost; None where the price or the time of one is not known."""
        spent = [session.dollars for session in self.facts]
        known = [dollars for dollars in spent if dollars is not None]
        return sum(known) if known and len(known) == len(spent) else None

    def stop_if_asked(self) -> None:
        """Raises PausedError or CancelledError where another terminal asks for it."""
        if (error := self._asked.look()) is not None:
            raise error

    def note_step(self, report: "StepReport") -> None:
        """Take note of an optimiser step."""
        self._step = report.global_step
        self.limit.note_step()
        self.progress.step(report)
        if (error := self._asked.look()) is not None:
            self.interrupt.ask(error)

    def showing(self, display: Display) -> Display:
        """A display that shows on `display` and tells the run's progress."""
        return _Both(display, self)


class _Both(Display):
    """Shows what the display shows, and writes it down; ends a phase where that is asked for."""

    def __init__(self, display: Display, session: RunSession) -> None:
        self._display = display
        self._session = session

    def say(self, line: str) -> None:
        self._display.say(line)

    def phase(self, name: str, done: int, total: int, detail: str = "") -> None:
        self._session.progress.phase(name, done, total)
        self._session.stop_if_asked()
        self._display.phase(name, done, total, detail)

    def step(self, report: "StepReport") -> None:
        self._session.note_step(report)
        self._display.step(report)
