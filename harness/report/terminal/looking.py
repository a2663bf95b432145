"""One look after the other at a results folder, or at one thing in it."""

from pathlib import Path
from typing import Any

from rich.console import RenderableType

from harness.records.folders import RunFolder
from harness.records.names import Kind, named
from harness.records.sessions import SessionJournal
from harness.report.terminal.status import comparison_view, run_view, status_view, sweep_view
from harness.report.terminal.tables import console
from harness.watch.results import Watcher


class Look:
    """What `harness status` prints, as often as it is asked."""

    def __init__(self, results: Path, *, name: str | None = None, most_done: int | None = 5):
        """name: of a run, a comparison or a sweep; None: everything.

        Raises:
            UsageError: it names nothing, or several.
        """
        self._target = None if name is None else named(name, results=results)
        self._watcher = Watcher(results)
        self._most_done = most_done

    def now(self) -> tuple[Any, RenderableType]:
        """The data for scripts, and what a person reads."""
        width = console().width
        if self._target is None:
            found = self._watcher.snapshot()
            return found.data(), status_view(found, width=width, most_done=self._most_done)
        folder = self._target.folder
        if self._target.kind is Kind.COMPARISON:
            comparison = self._watcher.comparison(folder)
            data = {**comparison.data(), "runs": [run.data() for run in comparison.runs]}
            return data, comparison_view(comparison, width=width)
        if self._target.kind is Kind.SWEEP:
            sweep = self._watcher.sweep(folder)
            data = {**sweep.data(), "running": [run.data() for run in sweep.trials]}
            return data, sweep_view(sweep, width=width)
        run = self._watcher.run(folder)
        command = command_of(folder) if run.is_open else ""
        return {**run.data(), "command": command}, run_view(run, command=command)


def command_of(folder: Path) -> str:
    """The command of the last process on a run; empty where none is written down."""
    sessions = SessionJournal(RunFolder(folder).sessions).sessions
    return sessions[-1].command if sessions else ""
