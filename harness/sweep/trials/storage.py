"""Where the trials of sweeps are kept, and how several processes share them.

A journal file serves the processes of one machine, PostgreSQL those of several. Each kind answers
the same questions: who may claim now (`exclusive`), which running trials lost their process
(`dead`), and is the storage away for a while (`patiently`). `opening` opens either by its address.
"""

import logging
import re
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Literal, Self, TypeVar

from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial

from core.errors import StorageAwayError
from core.training.interrupts import InterruptFlag

Result = TypeVar("Result")
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.2, 5.0  # between two tries while the database is away

logging.getLogger("optuna").setLevel(logging.WARNING)  # it would announce every study


def file_name(study_name: str) -> str:
    """A study's name as part of a file name."""
    return re.sub(r"[^A-Za-z0-9._-]", "_", study_name)


class SweepStorage(AbstractContextManager["SweepStorage"], ABC):
    """An open storage of studies; leaving the context lets go of its trials.

    A trial that is let go while it runs counts as one whose process died.
    """

    kind: Literal["journal", "postgresql"]
    """What it is."""
    storage: BaseStorage
    """For Optuna's own functions."""
    display_url: str
    """What `open_storage` takes to open it again, without any password."""
    interrupt: InterruptFlag | None
    """What ends waiting for a storage that is away; None: the end of patience alone."""

    def __init__(self, *, say: Callable[[str], None], patience_s: float) -> None:
        self._say, self._patience_s = say, patience_s
        self.interrupt: InterruptFlag | None = None

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __enter__(self) -> Self:
        return self

    @abstractmethod
    def close(self) -> None:
        """Let go of every trial and connection."""

    @abstractmethod
    def exclusive(self, study_name: str) -> AbstractContextManager[None]:
        """Be the only process that claims trials of this study; death ends it."""

    def still_exclusive(self) -> bool:
        """Whether this process still holds its lock; a connection may have taken it away."""
        return True

    @abstractmethod
    def keep_alive(self, study_name: str, trial: FrozenTrial) -> None:
        """Show others that this process works on the trial, until `let_go`; twice is once."""

    @abstractmethod
    def let_go(self, trial_id: int) -> None:
        """Stop showing so; nothing if it was not shown."""

    @abstractmethod
    def dead(self, study_name: str, running: Iterable[FrozenTrial]) -> set[int]:
        """Ids of those running trials whose process is gone."""

    def is_away(self, error: Exception) -> bool:
        """Whether the error says that the storage cannot be reached now."""
        return False

    def patiently(self, call: Callable[[], Result]) -> Result:
        """What `call` returns, tried again while the storage is away; it must bear repetition.

        Raises:
            StorageAwayError: it stayed away.
            Interrupted: a signal came meanwhile.
        """
        away_since: float | None = None
        pause_s = FIRST_PAUSE_S
        while True:
            try:
                result = call()
            except Exception as error:
                if not self.is_away(error):
                    raise
                reason = one_line(error)
            else:
                if away_since is not None:
                    self._say(
                        f"{self.display_url} is back after {time.monotonic() - away_since:.0f} s"
                    )
                return result
            now = time.monotonic()
            if away_since is None:
                away_since = now
                self._say(
                    f"{self.display_url} is away ({reason}); trying again for up to "
                    f"{self._patience_s:.0f} s"
                )
            if now - away_since >= self._patience_s:
                raise StorageAwayError(
                    f"{self.display_url} has been away for {now - away_since:.0f} s ({reason}); "
                    "the runs keep their checkpoints, and the same command continues once it is "
                    "back"
                ) from None
            if self.interrupt is not None:
                self.interrupt.raise_if_set()
            time.sleep(min(pause_s, self._patience_s))
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)


def causes(error: BaseException) -> Iterator[BaseException]:
    """The error and what it was raised from, outermost first."""
    link: BaseException | None = error
    while link is not None:
        yield link
        link = link.__cause__


def one_line(error: BaseException) -> str:
    """The first line of what the innermost cause says."""
    *_, innermost = causes(error)
    return (str(innermost).strip() or type(innermost).__name__).splitlines()[0]
