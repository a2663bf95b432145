"""What has been decoded so far, kept line by line, so that a killed cleaning goes on.

One JSON line a file, keyed by path, size, times of change and the rules it was judged by; a file
that was replaced, or judged by other rules, is not found and is decoded again. A line is written
by one call after the file is decoded, so a kill loses at most the files in work. A torn last line
is ignored. Losing the journal costs time, never a result.
"""

import errno
import json
import os
import threading
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from core.data.media.decode_audio import MIN_DURATION_S
from core.data.media.decode_image import MAX_PIXELS, MIN_SIDE_PX
from core.data.media.inspection import FileOutcome, MediaKind
from core.data.revisions import JUDGING
from core.errors import NoSpaceError
from core.files import naming

JOURNAL_FILE = "clean_journal.jsonl"


class Journal:
    """Outcomes by file; safe to use from several threads of one process."""

    def __init__(self, path: Path, *, root: Path, window_s: float) -> None:
        self._path = path
        self._root = root
        self._rules = f"{JUDGING}:{window_s:g}:{MIN_DURATION_S}:{MIN_SIDE_PX}:{MAX_PIXELS}"
        self._known: dict[tuple[Any, ...], dict[str, Any]] = {}
        self._lock = threading.Lock()
        self._handle: int | None = None

    def __enter__(self) -> Self:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        content = self._path.read_bytes() if self._path.is_file() else b""
        for line in content.splitlines():
            self._learn(line)
        self._handle = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
        if content and not content.endswith(b"\n"):
            os.write(self._handle, b"\n")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None

    def find(self, path: str, kind: MediaKind) -> FileOutcome | None:
        """The outcome of a file that is as it was; None when it has to be decoded."""
        key = self._key(path, kind)
        value = None if key is None else self._known.get(key)
        if value is None:
            return None
        try:
            return FileOutcome.from_json(value, kind=kind)
        except (KeyError, TypeError, ValueError):
            return None

    def add(self, path: str, kind: MediaKind, outcome: FileOutcome) -> None:
        """Keep the outcome of a file; one that could not be read is tried again next time.

        Raises: NoSpaceError when the disk is full.
        """
        key = self._key(path, kind)
        if key is None or outcome.sha256 is None or self._handle is None:
            return
        line = json.dumps({"key": key, "outcome": outcome.to_json()}, allow_nan=False)
        with self._lock:
            try:
                with naming(self._path):
                    os.write(self._handle, line.encode("ascii") + b"\n")
            except OSError as error:
                if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                    raise
                raise NoSpaceError(
                    f"no space left to write {self._path}; free some and run the same command "
                    "again, it goes on where it stopped"
                ) from error

    def _key(self, path: str, kind: MediaKind) -> tuple[Any, ...] | None:
        try:
            stat = (self._root / path).stat()
        except OSError:
            return None
        # The time of the last change of the inode, which no program can set back.
        return (self._rules, kind.value, path, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns)

    def _learn(self, line: bytes) -> None:
        try:
            entry = json.loads(line)
            self._known[tuple(entry["key"])] = dict(entry["outcome"])
        except (ValueError, KeyError, TypeError, RecursionError):
            return
