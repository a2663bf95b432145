"""Files of a run that only grow, with a line for each time that something happened.

A record is written anew by every try; what must outlast a try is counted here.
"""

import json
import os
from collections.abc import Mapping
from pathlib import Path

from core.files import naming, write_atomic
from harness.records.folders import RunFolder


class LineJournal:
    """Counts over all processes that worked on the run; a kill loses no line."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def merge(self, content: bytes) -> None:
        """Add the lines of another copy of this journal that are not in this one."""
        ours = self._path.read_bytes() if self._path.is_file() else b""
        known = set(ours.split(b"\n"))
        new = [line for line in content.split(b"\n") if line not in known]
        if new:
            start = b"" if not ours or ours.endswith(b"\n") else b"\n"
            added = b"".join(line + b"\n" for line in new)
            write_atomic(self._path, content=ours + start + added)

    @property
    def count(self) -> int:
        """Lines so far, of earlier processes too."""
        if not self._path.is_file():
            return 0
        # Half a line, left by a kill, is of what happened or was about to: count it.
        return len([line for line in self._path.read_bytes().split(b"\n") if line])

    def _append(self, line: Mapping[str, object]) -> None:
        """Count one more; it is on disk when this returns."""
        with naming(self._path), self._path.open("ab+") as file:
            start = b""
            if file.seek(0, os.SEEK_END):
                file.seek(-1, os.SEEK_END)
                start = b"" if file.read(1) == b"\n" else b"\n"
            file.write(start + json.dumps({**line, "pid": os.getpid()}).encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())


class OpeningJournal(LineJournal):
    """How often a run has read the test split: a line for each time, written before it is read."""

    def __init__(self, folder: Path) -> None:
        super().__init__(RunFolder(folder).openings)

    def note(self, at: str) -> None:
        """Count one more opening; it is on disk when this returns."""
        self._append({"at": at})


class FailureJournal(LineJournal):
    """How often a run has failed: a line for each time, written before the record that says so."""

    def __init__(self, folder: Path) -> None:
        super().__init__(RunFolder(folder).failures)

    def note(self, at: str, *, error: str) -> None:
        """Count one more failure; it is on disk when this returns."""
        self._append({"at": at, "error": error})
