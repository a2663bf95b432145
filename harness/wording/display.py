"""What a person sees while a run goes on: bars on a terminal, plain lines elsewhere."""

import sys
import time
from contextlib import AbstractContextManager
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from core.training.results import StepReport

_PLAIN_EVERY_S = 10.0
_PLAIN_UNCHANGED_S = 600.0
"""The same line again says that it still goes on; a log of hours is read by people."""


class Display(AbstractContextManager["Display"]):
    """Base of the displays, and the silent one. All of them write to standard error."""

    def say(self, line: str) -> None:
        """Show one line that stays."""

    def phase(self, name: str, done: int, total: int, detail: str = "") -> None:
        """Show how far a counted phase is, with a few words on it."""

    def step(self, report: "StepReport") -> None:
        """Show one optimiser step."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        return None


class PlainDisplay(Display):
    """Lines for a log file: each phase's start and end, a training line every ten seconds."""

    def __init__(self) -> None:
        self._shown_at: dict[str, float] = {}
        self._last: dict[str, str] = {}

    def say(self, line: str) -> None:
        print(line, file=sys.stderr, flush=True)

    def phase(self, name: str, done: int, total: int, detail: str = "") -> None:
        # Several phases can go on side by side; each has its own ten seconds.
        line = f"{name}: {done}/{total} {detail}".rstrip()
        if name not in self._shown_at:
            self._shown_at[name] = time.monotonic()
            self._last[name] = line
            self.say(line if detail else f"{name}: {total}")
            return
        every_s = _PLAIN_UNCHANGED_S if line == self._last.get(name) else _PLAIN_EVERY_S
        if self._is_due(name, every_s=every_s) and done < total:
            self._last[name] = line
            self.say(line)

    def step(self, report: "StepReport") -> None:
        is_first = report.stage not in self._shown_at
        if is_first or report.validation_loss is not None or self._is_due(report.stage):
            self._shown_at[report.stage] = time.monotonic()
            self.say(f"{report.stage} {report.step}/{report.stage_steps} {describe(report)}")

    def _is_due(self, name: str, *, every_s: float = _PLAIN_EVERY_S) -> bool:
        is_due = time.monotonic() - self._shown_at[name] > every_s
        if is_due:
            self._shown_at[name] = time.monotonic()
        return is_due


class BarDisplay(Display):
    """One live bar a phase, with loss, gates and the time left."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            Progress,
            TextColumn,
            TimeElapsedColumn,
            TimeRemainingColumn,
        )

        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[detail]}"),
            console=Console(stderr=True),
        )
        self._tasks: dict[str, Any] = {}
        self._validation: float | None = None

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._progress.stop()

    def say(self, line: str) -> None:
        self._progress.console.print(line, highlight=False, markup=False)

    def phase(self, name: str, done: int, total: int, detail: str = "") -> None:
        self._update(name, done, total, detail)

    def step(self, report: "StepReport") -> None:
        if report.validation_loss is not None:
            self._validation = report.validation_loss
        detail = describe(report, validation=self._validation)
        self._update(report.stage, report.step, report.stage_steps, detail)

    def _update(self, name: str, done: int, total: int, detail: str) -> None:
        if name not in self._tasks:
            self._tasks[name] = self._progress.add_task(name, total=total, detail="")
        self._progress.update(self._tasks[name], completed=done, total=total, detail=detail)


def describe(report: "StepReport", *, validation: float | None = None) -> str:
    """Loss, validation loss and gates of a step in a few words."""
    words = [f"loss {report.loss:.4f}"]
    validation = report.validation_loss if report.validation_loss is not None else validation
    if validation is not None:
        words.append(f"val {validation:.4f}")
    gates = list(report.gates.values())
    if gates:
        low, high = min(gates), max(gates)
        words.append(f"gate {low:.2f}" if high - low < 0.005 else f"gates {low:.2f}..{high:.2f}")
    return ", ".join(words)


def open_display() -> Display:
    """Bars where standard error is a terminal, lines elsewhere."""
    return BarDisplay() if sys.stderr.isatty() else PlainDisplay()
