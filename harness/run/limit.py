"""A limit on the hours or dollars of a run, over all processes that worked on it.

Training stops at a step, after a checkpoint; what comes before and after it is broken off where it
is, for caches keep what was encoded and images are made again.
"""

import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

from core.errors import LimitReachedError, StoppedBySignal, UsageError
from core.training.interrupts import InterruptFlag
from harness.records.processes import SessionFacts
from harness.settings.profile import HardwareSettings
from harness.wording.numbers import duration

_SAVING_SHARE, _MOST_SAVING_S = 0.02, 15.0
"""Kept for a checkpoint that was not timed yet: so much of the limit, and never more than that."""
_GAPS = 2.0
"""Kept too: so many of the longest time between two steps, for the next step may take as long, and
the checkpoint that follows it again; what was saved and validated between steps is among it."""


class _TimeUp(StoppedBySignal):
    """Comes out of whatever goes on, and is caught by no plug-in that catches its errors."""


@dataclass(frozen=True)
class Spent:
    """What earlier processes took."""

    seconds: float
    dollars: float | None
    """None where no price is named now."""


def spent_before(sessions: Sequence[SessionFacts], *, price_per_hour: float | None) -> Spent:
    """What these took; time that nobody named a price for costs what an hour costs now."""
    seconds = sum(session.seconds or 0.0 for session in sessions)
    if price_per_hour is None:
        return Spent(seconds, None)
    dollars = 0.0
    for session in sessions:
        price = session.price_per_hour
        price = price_per_hour if price is None else price
        dollars += (session.seconds or 0.0) * price / 3600
    return Spent(seconds, dollars)


def require_price(hardware: HardwareSettings) -> None:
    """Raises: UsageError for a limit in dollars without a price, which would never be reached."""
    if hardware.max_cost is not None and not hardware.price_per_hour:
        raise UsageError(
            f"a limit of {hardware.max_cost:g} dollars requires the machine's price; pass "
            "--price-per-hour"
        )


class SpendingLimit:
    """Asks a run to stop before it passes what it may spend."""

    def __init__(
        self,
        hardware: HardwareSettings,
        *,
        before: Spent,
        started: float,
        flag: InterruptFlag,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """started: of this process's work, by `clock`. flag: through which it asks.

        Raises:
            UsageError: a limit in dollars without a price.
        """
        require_price(hardware)
        self._hardware = hardware
        self._before = before
        self._started = started
        self._clock = clock
        self._last_step: float | None = None
        self._longest_gap = 0.0
        self.flag = flag

    @property
    def allowed_seconds(self) -> float | None:
        """What this process may take; None without a limit."""
        hardware, allowed = self._hardware, []
        if hardware.max_hours is not None:
            allowed.append(hardware.max_hours * 3600 - self._before.seconds)
        if hardware.max_cost is not None and hardware.price_per_hour:
            left = hardware.max_cost - (self._before.dollars or 0.0)
            allowed.append(left / hardware.price_per_hour * 3600)
        return min(allowed, default=None)

    def note_step(self) -> None:
        """Take note of an optimiser step; asks for a stop where the next ones might be too many."""
        allowed = self.allowed_seconds
        if allowed is None:
            return
        now = self._clock()
        if self._last_step is not None:
            self._longest_gap = max(self._longest_gap, now - self._last_step)
        self._last_step = now
        reserve = _GAPS * self._longest_gap + self._margin
        if now - self._started + reserve >= allowed:
            self.flag.ask(self.error())

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Break off what goes on inside when the limit is reached.

        Raises:
            LimitReachedError: it is reached, or was before.
        """
        allowed = self.allowed_seconds
        if allowed is None:
            yield
            return
        left = allowed - self._margin / 4 - (self._clock() - self._started)
        if left <= 0:
            raise self.error()
        if threading.current_thread() is not threading.main_thread():
            yield  # no signals here; the limit holds at the next step
            return
        previous = signal.signal(signal.SIGALRM, self._raise)
        signal.setitimer(signal.ITIMER_REAL, left)
        try:
            yield
        except _TimeUp:
            raise self.error() from None
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, previous)

    @property
    def _margin(self) -> float:
        return min(_MOST_SAVING_S, _SAVING_SHARE * max(0.0, self.allowed_seconds or 0.0))

    def _raise(self, number: int, frame: FrameType | None) -> None:
        raise _TimeUp(LimitReachedError.exit_code)

    def error(self) -> LimitReachedError:
        """What the run ends with."""
        hardware = self._hardware
        seconds = self._before.seconds + self._clock() - self._started
        limits, spent = [], [duration(seconds)]
        if hardware.max_hours is not None:
            limits.append(f"--max-hours {hardware.max_hours:g}")
        if hardware.max_cost is not None:
            limits.append(f"--max-cost {hardware.max_cost:g}")
        if self._before.dollars is not None and hardware.price_per_hour:
            now = (self._clock() - self._started) * hardware.price_per_hour / 3600
            spent.append(f"${self._before.dollars + now:.2f}")
        return LimitReachedError(
            f"stopped before it passes {' or '.join(limits)}: {', '.join(spent)} so far. What is "
            "trained is kept; give the same command with a higher limit, or none, to go on"
        )
