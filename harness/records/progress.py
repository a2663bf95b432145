"""How far the process on a run is: one small file, written anew while it goes on."""

import json
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Self

from pydantic import Field, ValidationError

from harness.records.parts import Part

if TYPE_CHECKING:
    from core.training.results import StepReport

_WRITE_EVERY_S = 1.0
_BEAT_EVERY_S = 5.0
"""A sign of life where nothing advances: models load, or a batch takes long."""
_RATE_OVER_S = 60.0


class Progress(Part):
    """What a run's process is at."""

    session: str
    """Which process; see `harness.records.sessions`."""
    phase: str
    """A stage's name, or what is counted: `features`, `sampling`, `scoring`."""
    done: int
    """Of the phase: steps, clips or images."""
    total: int
    """Of the phase; 0 where it is not counted."""
    global_step: int | None = None
    """Optimiser steps of the whole schedule done; None before training."""
    total_steps: int | None = None
    """Optimiser steps of the whole schedule."""
    rate: float | None = None
    """Done per second over the last minute; None before there is anything to divide."""
    advanced_at: float
    """When it last advanced: seconds since 1970, by the clock of its machine."""
    at: float
    """When this was written, by the same clock."""
    parts: dict[str, float] = Field(default_factory=dict)
    """Seconds so far by what they were spent on."""


class ProgressFile:
    """Writes a run's progress, at most once a second, and a sign of life every few seconds."""

    def __init__(
        self,
        path: Path,
        *,
        session: str,
        parts: Callable[[], Mapping[str, float]] = dict,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """parts: seconds so far by what they were spent on."""
        self._path = path
        self._session = session
        self._parts = parts
        self._clock = clock
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._beat: threading.Thread | None = None
        self._written_at = 0.0
        self._phase, self._done, self._total = "starting", 0, 0
        self._step: tuple[int, int] | None = None
        self._advanced_at = clock()
        self._seen: deque[tuple[float, int]] = deque()

    def __enter__(self) -> Self:
        self._write()
        self._beat = threading.Thread(target=self._beat_until_over, name="progress", daemon=True)
        self._beat.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._over.set()
        if self._beat is not None:
            self._beat.join()
        self._write()

    def step(self, report: "StepReport") -> None:
        """Take note of an optimiser step."""
        self._step = (report.global_step, report.total_steps)
        self.phase(report.stage, report.step, report.stage_steps)

    def phase(self, name: str, done: int, total: int) -> None:
        """Take note of how far a counted phase is."""
        with self._lock:
            now = self._clock()
            is_new = name != self._phase
            if is_new:
                self._seen.clear()
            if is_new or done != self._done:
                self._advanced_at = now
                self._seen.append((now, done))
            while len(self._seen) > 2 and now - self._seen[1][0] > _RATE_OVER_S:
                self._seen.popleft()
            self._phase, self._done, self._total = name, done, total
        if is_new or done == total or self._clock() - self._written_at >= _WRITE_EVERY_S:
            self._write()

    @property
    def _rate(self) -> float | None:
        if len(self._seen) < 2:
            return None
        (start, first), (end, last) = self._seen[0], self._seen[-1]
        return (last - first) / (end - start) if end > start and last > first else None

    def _write(self) -> None:
        with self._lock:
            now = self._written_at = self._clock()
            step, total_steps = self._step or (None, None)
            progress = Progress(
                session=self._session,
                phase=self._phase,
                done=self._done,
                total=self._total,
                global_step=step,
                total_steps=total_steps,
                rate=self._rate,
                advanced_at=self._advanced_at,
                at=now,
                parts={name: round(value, 3) for name, value in self._parts().items()},
            )
            temporary = self._path.with_name(f".tmp-progress-{os.getpid()}")
            # Not flushed to the disk: it is of no use after a power cut, and a flush takes long.
            temporary.write_text(progress.model_dump_json() + "\n", encoding="utf-8")
            os.replace(temporary, self._path)

    def _beat_until_over(self) -> None:
        while not self._over.wait(_BEAT_EVERY_S):
            if self._clock() - self._written_at >= _BEAT_EVERY_S:
                try:
                    self._write()
                except OSError:
                    continue  # a full disk stops the run where it writes what counts


def read_progress(path: Path) -> Progress | None:
    """What a run's process last said; None where it said nothing that can be read."""
    try:
        return Progress.model_validate(json.loads(path.read_bytes()))
    except (OSError, ValueError, ValidationError, RecursionError):
        return None
