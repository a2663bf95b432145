"""A study in one file: processes on one machine append to it, and any of them may be killed.

Three things differ from Optuna's own file backend. A line that a killed writer left half-written
is cut before the next append; Optuna would glue its next record to it and be unable to read the
journal ever after. Locks are the kernel's, which a death releases at once, instead of a file that
others remove after 30 s. And a trial is alive as long as its process holds that trial's lock.
"""

import errno
import fcntl
import json
import os
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

from optuna.storages import BaseStorage, JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial

from core.errors import DataError, NoSpaceError
from core.files import naming
from core.locks import NO_LOCKS
from harness.sweep.trials.storage import SweepStorage, file_name

_FIRST_BYTES = b'{"op_code":'  # of every record that Optuna writes
CHUNK = 4096  # bytes looked at a time for the end of the last whole line


class KernelLock:
    """An exclusive lock on a file, released by the kernel when its process ends."""

    def __init__(self, path: Path) -> None:
        self._path = path

    @contextmanager
    def held(self) -> Iterator[None]:
        """Wait for it, hold it, let it go."""
        descriptor = os.open(self._path, os.O_CREAT | os.O_RDWR, 0o666)
        try:
            with naming(self._path):
                fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)


class Journal(JournalFileBackend):
    """Optuna's journal, of which a torn last line is cut before anything is appended."""

    def __init__(self, path: Path) -> None:
        super().__init__(str(path))
        self._path = path
        self._offsets = {0: 0}  # of the first byte behind so many records
        # Not `.lock`: a viewer with Optuna's own lock would take ours for a stale one of its kind.
        self._append_lock = KernelLock(path.with_name(path.name + ".append"))

    def read_logs(self, log_number_from: int) -> Generator[dict[str, Any], None, None]:
        """The records from a number on; an empty line is none, a torn last line is not there yet.

        Raises:
            DataError: a whole line that is not a record; names it.
        """
        known = max(number for number in self._offsets if number <= log_number_from)
        number, offset = known, self._offsets[known]
        with naming(self._path), self._path.open("rb") as file:
            left = os.fstat(file.fileno()).st_size - offset
            file.seek(offset)
            for line in file:
                left -= len(line)
                if left < 0 or not line.endswith(b"\n"):
                    return
                offset += len(line)
                # A power cut can leave NULs where a line was, and the next line behind them.
                text = line.strip(b" \t\r\n\0")
                if text:
                    record = self._record(text, end=offset)
                    number += 1
                    if number > log_number_from:
                        yield record
                self._offsets[number] = offset

    def _record(self, line: bytes, *, end: int) -> dict[str, Any]:
        try:
            record = json.loads(line)
            if isinstance(record, dict) and isinstance(record.get("op_code"), int):
                return record
            problem = "it is not an Optuna record"
        except (ValueError, RecursionError) as error:
            problem = str(error)
        with self._path.open("rb") as file:
            place = file.read(end).count(b"\n")
        raise DataError(
            f"line {place} of {self._path} cannot be read ({problem}); the {place - 1} before it "
            "are intact. Delete the line, or move the file away to start again"
        )

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Append records, whole or not at all; on the disk with the next change of a state.

        Raises:
            NoSpaceError: the disk is full; the journal is as it was.
        """
        lines = "".join(json.dumps(log, separators=(",", ":")) + "\n" for log in logs).encode()
        with self._append_lock.held(), naming(self._path), self._path.open("r+b") as file:
            end = _end_of_last_line(file)
            if end < file.seek(0, os.SEEK_END):
                file.truncate(end)
                file.seek(end)
            try:
                file.write(lines)
                file.flush()
                # A sync carries all that was appended before. What a power cut may take from a
                # trial that still ran is made again with it: its claim, losses, notes.
                if any("state" in log or "study_name" in log for log in logs):
                    os.fsync(file.fileno())
            except OSError as error:
                os.truncate(self._path, end)
                if error.errno in (errno.ENOSPC, errno.EDQUOT):
                    raise NoSpaceError(
                        f"the disk of {self._path} is full; the journal of the trials is intact, "
                        "and the same command continues once there is room"
                    ) from None
                raise


def _end_of_last_line(file: BinaryIO) -> int:
    end = file.seek(0, os.SEEK_END)
    chunk = 1  # a whole line is the rule
    while end:
        start = max(0, end - chunk)
        file.seek(start)
        found = file.read(end - start).rfind(b"\n")
        if found >= 0:
            return start + found + 1
        end, chunk = start, CHUNK
    return 0


class _CheckedStorage(JournalStorage):
    """Optuna's storage, which takes records that fit no others for a sentence, not a traceback."""

    def __init__(self, journal: Journal, *, path: Path) -> None:
        self._journal_path = path
        super().__init__(journal)

    def _sync_with_backend(self) -> None:
        try:
            super()._sync_with_backend()
        except (TypeError, AttributeError, IndexError, AssertionError) as error:
            self._refuse(error)
        except KeyError as error:
            # Optuna's own are sentences; the name of a key that a record lacks is none.
            if error.args and isinstance(error.args[0], str) and " " in error.args[0]:
                raise
            self._refuse(error)

    def _refuse(self, error: Exception) -> NoReturn:
        raise DataError(
            f"{self._journal_path} holds a record that does not fit those before it "
            f"({type(error).__name__}: {error}); restore a backup of the file, or move it away"
        ) from None


class JournalSweep(SweepStorage):
    """Studies in a journal file."""

    kind = "journal"
    storage: BaseStorage

    def __init__(self, path: Path, *, say: Callable[[str], None], patience_s: float) -> None:
        super().__init__(say=say, patience_s=patience_s)
        self._path = path.resolve()
        self._alive_folder = self._path.with_name(self._path.name + ".alive")
        self._held: dict[int, tuple[int, Path]] = {}
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._require_journal()
        self._require_locks()
        try:
            self.storage = _CheckedStorage(Journal(self._path), path=self._path)
        except (ValueError, KeyError, TypeError) as error:
            raise DataError(
                f"{self._path} is not a journal of trials ({error}); move it away, or name "
                "another storage"
            ) from None
        self._alive_folder.mkdir(exist_ok=True)  # not beside a file that is not a journal
        self.display_url = f"journal:{path}"

    def _require_locks(self) -> None:
        """Refuse a file system on which nobody can tell whether a trial's process lives."""
        with naming(self._path):
            descriptor = os.open(self._path, os.O_CREAT | os.O_RDWR, 0o666)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno not in NO_LOCKS:
                    raise
                raise DataError(
                    f"the file system of {self._path.parent} has no locks ({error.strerror}), by "
                    "which the processes of a sweep share its trials; put --results on a local "
                    "disk, or name a PostgreSQL database with --storage"
                ) from None
            finally:
                os.close(descriptor)

    def _require_journal(self) -> None:
        """Refuse what would be appended to, or cut, and is somebody else's file."""
        if not self._path.is_file():
            return
        with self._path.open("rb") as file:
            start = file.read(len(_FIRST_BYTES))
        # A killed first write may have left less than that.
        if not _FIRST_BYTES.startswith(start):
            raise DataError(
                f"{self._path} is not a journal of trials; move it away, or name another storage"
            )

    @contextmanager
    def exclusive(self, study_name: str) -> Iterator[None]:
        """Hold the study's lock; its owner's death releases it."""
        with KernelLock(self._alive_folder / f"{file_name(study_name)}.claim").held():
            yield

    def keep_alive(self, study_name: str, trial: FrozenTrial) -> None:
        """Hold the trial's lock until `let_go` or death."""
        if trial._trial_id in self._held:
            return
        path = self._alive_path(study_name, trial)
        descriptor = os.open(path, os.O_CREAT | os.O_RDWR, 0o666)
        fcntl.flock(descriptor, fcntl.LOCK_EX)  # free: only a claimer under the study's lock asks
        self._held[trial._trial_id] = descriptor, path

    def let_go(self, trial_id: int) -> None:
        """Release the trial's lock; nothing if it is not held."""
        if trial_id in self._held:
            descriptor, path = self._held.pop(trial_id)
            path.unlink(missing_ok=True)
            os.close(descriptor)

    def dead(self, study_name: str, running: Iterable[FrozenTrial]) -> set[int]:
        """Ids of the running trials whose process is gone."""
        return {
            trial._trial_id
            for trial in running
            if trial._trial_id not in self._held
            and not _is_locked(self._alive_path(study_name, trial))
        }

    def close(self) -> None:
        """Let go of every trial."""
        for trial_id in list(self._held):
            self.let_go(trial_id)

    def _alive_path(self, study_name: str, trial: FrozenTrial) -> Path:
        return self._alive_folder / f"{file_name(study_name)}-{trial.number}.lock"


def _is_locked(path: Path) -> bool:
    try:
        descriptor = os.open(path, os.O_RDWR)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    else:
        return False
    finally:
        os.close(descriptor)
