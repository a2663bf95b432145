"""The append-only log of a run's optimiser steps."""

import json
import math
import os
from dataclasses import asdict
from pathlib import Path

from core.files import naming, write_atomic
from core.training.results import StepReport


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
        with naming(self._path):
            self._file.write(json.dumps(asdict(report)) + "\n")
            self._file.flush()

    def keep_up_to(self, global_step: int) -> None:
        """Drop the steps after a checkpoint, which the resumed run makes again."""
        self._file.close()
        kept = []
        for line in self._path.read_bytes().splitlines(keepends=True):
            # A kill can leave half a line at the end, a bad disk a byte that is no text.
            if line.endswith(b"\n") and _step_of(line) <= global_step:
                kept.append(line)
        write_atomic(self._path, content=b"".join(kept))
        self._file = self._path.open("a", encoding="utf-8")


class EventTail:
    """Reads a log that another process writes: each step once, in order, as its line is whole."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._last = -1
        self._place = (0, 0)  # file and offset behind the last whole line

    def new_steps(self) -> list[StepReport]:
        """The steps since the last call; those that a resumed run makes again are left out."""
        try:
            with self._path.open("rb") as file:
                found = os.fstat(file.fileno())
                inode, offset = self._place
                # A resumed run replaces the log by its start.
                if found.st_ino != inode or found.st_size < offset:
                    offset = 0
                file.seek(offset)
                lines = file.read().splitlines(keepends=True)
        except OSError:
            return []
        steps = []
        for line in lines:
            if not line.endswith(b"\n"):
                break
            offset += len(line)
            step = _report_of(line)
            if step is not None and step.global_step > self._last:
                self._last = step.global_step
                steps.append(step)
        self._place = (found.st_ino, offset)
        return steps


def _report_of(line: bytes) -> StepReport | None:
    """The step of a line; None for a damaged one, which its run drops when it goes on."""
    try:
        return StepReport(**json.loads(line))
    except (ValueError, TypeError, RecursionError):
        return None


def _step_of(line: bytes) -> float:
    try:
        return int(json.loads(line)["global_step"])
    except (ValueError, TypeError, KeyError, RecursionError, OverflowError):
        return math.inf


_TAIL_BYTES = 1 << 16


def last_steps(path: Path) -> list[StepReport]:
    """The last steps in a log, as many as its last 64 kB hold; empty where there is none."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            start = max(0, size - _TAIL_BYTES)
            file.seek(start)
            lines = file.read().splitlines(keepends=True)
    except OSError:
        return []
    if start:  # it begins somewhere in a line
        lines = lines[1:]
    found = [_report_of(line) for line in lines if line.endswith(b"\n")]
    return [step for step in found if step is not None]
