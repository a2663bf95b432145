"""The append-only log of a run's optimiser steps."""

import json
import math
import os
from dataclasses import asdict
from pathlib import Path

from core.data.atomic import write_atomic
from core.training.results import StepReport

_TAIL_BYTES = 65_536  # many steps, even of a model with a gate in every block


class EventLog:
    """Append-only JSONL of every optimiser step."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> "EventLog":
        self._file = self._path.open("a", encoding="utf-8")
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._file.close()

    def write(self, report: StepReport) -> None:
        """Append one step."""
        self._file.write(json.dumps(asdict(report)) + "\n")
        self._file.flush()

    def keep_up_to(self, global_step: int) -> None:
        """Drop the steps after a checkpoint, which the resumed run makes again."""
        self._file.close()
        kept = []
        for line in self._path.read_text(encoding="utf-8").splitlines(keepends=True):
            # A kill can leave half a line at the end.
            if line.endswith("\n") and _step_of(line) <= global_step:
                kept.append(line)
        write_atomic(self._path, content="".join(kept).encode())
        self._file = self._path.open("a", encoding="utf-8")


def last_step(path: Path) -> StepReport | None:
    """The last whole step on a log that another process may be writing; None before the first."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - _TAIL_BYTES))
            lines = file.read().splitlines(keepends=True)
    except OSError:
        return None
    for line in reversed(lines):
        if line.endswith(b"\n"):
            try:
                return StepReport(**json.loads(line))
            except (ValueError, TypeError):
                return None
    return None


def _step_of(line: str) -> float:
    try:
        return int(json.loads(line)["global_step"])
    except (ValueError, TypeError, KeyError):
        return math.inf
