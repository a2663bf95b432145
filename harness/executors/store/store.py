"""Run folders in one place that is not a shared folder, so that another machine goes on with a run.

A run lies under the same names there as below a results folder: `runs/ID/...` or
`validation/ID/...`. What readers take for whole is put there last: a checkpoint's own list of
hashes, and the record after everything else.
"""

import os
import shutil
from dataclasses import dataclass, field
from pathlib import Path

from core.errors import HarnessError
from core.files import TEMPORARY_PREFIX, no_space_is_a_sentence, write_atomic
from core.training.checkpoints import NUM_KEPT
from core.training.committed import CHECKPOINT_NAME, HASHES, STATE, TENSORS
from harness.executors.store.claim import Claim
from harness.executors.store.remote import RemoteFolder
from harness.records.folders import (
    CHECKPOINTS,
    CONTROL,
    EVENTS,
    FAILURES,
    HOLDER,
    OPENINGS,
    PROGRESS,
    RECORD,
    RUN_LOCK,
    RUN_LOG,
    RUNS,
    SESSIONS,
    VALIDATION,
)
from harness.records.journals import FailureJournal, LineJournal, OpeningJournal

_OF_THIS_MACHINE = (RUN_LOCK, HOLDER, CONTROL)


@dataclass
class _Known:
    """What the store is known to hold of a run."""

    stamps: dict[str, tuple[int, int, int]] = field(default_factory=dict)
    """Of files that the store has as they are here: size, time of change (ns), inode."""
    checkpoints: dict[str, bytes] | None = None
    """List of hashes of each whole checkpoint, by name; None: not asked yet."""


class RunStore:
    """Run folders below a URL; a store is used by one process at a time for each run.

    Every method raises StorageAwayError where the store cannot be reached or used.
    """

    def __init__(self, url: str) -> None:
        """Find the URL's driver.

        Raises:
            UsageError: not a URL that several machines can read and write.
            HarnessError: its driver is not installed.
        """
        self._remote = RemoteFolder(url)
        self._known: dict[Path, _Known] = {}

    @property
    def url(self) -> str:
        """Where the run folders lie."""
        return self._remote.url

    def check(self) -> None:
        """Write something and remove it again."""
        self._remote.check()

    def runs(self) -> list[str]:
        """Places of the runs that it holds, as they are below a results folder."""
        found = {
            f"{parent}/{name.split('/')[0]}"
            for parent in (RUNS, VALIDATION)
            for name in self._remote.names(parent)
        }
        return sorted(found)

    def claim(self, folder: Path) -> Claim:
        """The claim on a run, yet to be taken."""
        return Claim(self._remote, f"claims/{_place(folder)}.json")

    def pull(self, folder: Path) -> bool:
        """Make the run's folder what the store has of it; whether it has anything.

        A folder here that is ahead of the store, by its newest checkpoint, stays as it is.
        Openings of the test split, failures and sessions are never lost: those of both are kept.

        Raises:
            NoSpaceError: the disk is full.
        """
        where = _place(folder)
        names = self._remote.names(where)
        plain = [name for name in names if not name.startswith(f"{CHECKPOINTS}/")]
        for name, journal in (
            (OPENINGS, OpeningJournal(folder)),
            (FAILURES, FailureJournal(folder)),
            (SESSIONS, LineJournal(folder / SESSIONS)),
        ):
            if name in plain:
                journal.merge(self._remote.read(f"{where}/{name}") or b"")
                plain.remove(name)
        known = self._known[folder] = _Known(checkpoints=self._whole(where, names))
        assert known.checkpoints is not None
        ours, theirs = sorted(_committed(folder)), sorted(known.checkpoints)
        if RECORD not in plain and ours and (not theirs or ours[-1] > theirs[-1]):
            return bool(names)
        for name in theirs[-NUM_KEPT:]:
            self._pull_checkpoint(folder, name, hashes=known.checkpoints[name])
        for name in sorted(plain, key=lambda name: name == RECORD):
            self._pull_file(folder, name)
            known.stamps[name] = _stamp(folder / name)
        return bool(names)

    def pull_logs(self, folder: Path) -> None:
        """Fetch how far the run is and what its processes said, where the store has them."""
        for name in (EVENTS, RUN_LOG, PROGRESS, SESSIONS):
            content = self._remote.read(f"{_place(folder)}/{name}")
            path = folder / name
            if content is not None and not (path.is_file() and path.read_bytes() == content):
                write_atomic(path, content=content)

    def push(self, folder: Path) -> None:
        """Put there what is new or changed in the run's folder since the last pull or push."""
        where, known = _place(folder), self._known.setdefault(folder, _Known())
        if known.checkpoints is None:
            known.checkpoints = self._whole(where, self._remote.names(where))
        # Seen before the logs are read: a checkpoint there has all of its steps there.
        checkpoints = _committed(folder)
        is_over = (folder / RECORD).is_file()
        for name in _plain(folder):
            if name != RECORD:
                self._push_file(folder, name, known)
        for name in sorted(checkpoints):
            self._push_checkpoint(folder, name, known.checkpoints)
        # Of a run that is over and has cleared its own away, none is of use.
        num_kept = NUM_KEPT if checkpoints or not is_over else 0
        for name in sorted(known.checkpoints)[: max(0, len(known.checkpoints) - num_kept)]:
            if name not in checkpoints:
                self._remove_checkpoint(where, name)
                del known.checkpoints[name]
        if is_over:
            self._push_file(folder, RECORD, known)

    def drop_record(self, folder: Path) -> None:
        """Remove a record here and there: the run is tried again."""
        self._remote.remove(f"{_place(folder)}/{RECORD}")
        (folder / RECORD).unlink(missing_ok=True)

    # Files -------------------------------------------------------------------------------

    def _pull_file(self, folder: Path, name: str) -> None:
        path = folder / name
        temporary = path.with_name(f"{TEMPORARY_PREFIX}{os.getpid()}-{path.name}")
        with no_space_is_a_sentence(folder):
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                self._remote.download(f"{_place(folder)}/{name}", temporary)
                temporary.replace(path)
            finally:
                temporary.unlink(missing_ok=True)

    def _push_file(self, folder: Path, name: str, known: _Known) -> None:
        path = folder / name
        try:
            stamp = _stamp(path)
            if known.stamps.get(name) != stamp:
                self._remote.write(f"{_place(folder)}/{name}", content=path.read_bytes())
                known.stamps[name] = stamp
        except FileNotFoundError:
            return  # its run took it away meanwhile

    # Checkpoints -------------------------------------------------------------------------

    def _whole(self, where: str, names: list[str]) -> dict[str, bytes]:
        found = {}
        for name in names:
            parts = name.split("/")
            if len(parts) == 3 and (parts[0], parts[2]) == (CHECKPOINTS, HASHES):
                hashes = self._remote.read(f"{where}/{name}")
                if hashes is not None and CHECKPOINT_NAME.match(parts[1]):
                    found[parts[1]] = hashes
        return found

    def _pull_checkpoint(self, folder: Path, name: str, *, hashes: bytes) -> None:
        here = folder / CHECKPOINTS / name
        if (here / HASHES).is_file() and (here / HASHES).read_bytes() == hashes:
            return
        # Named as those that are being saved: the next save clears what a kill leaves of it.
        temporary = here.with_name(f".{name}.{os.getpid()}.tmp")
        with no_space_is_a_sentence(folder, remove=temporary):
            shutil.rmtree(temporary, ignore_errors=True)
            temporary.mkdir(parents=True)
            there = f"{_place(folder)}/{CHECKPOINTS}/{name}"
            for file in self._remote.names(there):
                self._remote.download(f"{there}/{file}", temporary / file)
            shutil.rmtree(here, ignore_errors=True)
            temporary.rename(here)

    def _push_checkpoint(self, folder: Path, name: str, there: dict[str, bytes]) -> None:
        here, where = folder / CHECKPOINTS / name, f"{_place(folder)}/{CHECKPOINTS}/{name}"
        while (hashes := _hashes(here)) is not None and there.get(name) != hashes:
            self._remote.remove(f"{where}/{HASHES}")
            there.pop(name, None)
            try:
                for file in (STATE, TENSORS):
                    self._remote.upload(here / file, f"{where}/{file}")
            except (FileNotFoundError, HarnessError):
                if _hashes(here) == hashes:
                    raise
            # A stage's last step is saved again with the stage's result: what was sent is then of
            # both, and is sent again. Pruned meanwhile, it is not wanted.
            if _hashes(here) == hashes:
                self._remote.write(f"{where}/{HASHES}", content=hashes)
                there[name] = hashes

    def _remove_checkpoint(self, where: str, name: str) -> None:
        there = f"{where}/{CHECKPOINTS}/{name}"
        # The list of hashes first: half a checkpoint must not pass for a whole one.
        files = self._remote.names(there)
        for file in sorted(files, key=lambda file: file != HASHES):
            self._remote.remove(f"{there}/{file}")
        self._remote.remove_folder(there)


def _place(folder: Path) -> str:
    return f"{folder.parent.name}/{folder.name}"


def _stamp(path: Path) -> tuple[int, int, int]:
    found = path.stat()
    return found.st_size, found.st_mtime_ns, found.st_ino


def _hashes(checkpoint: Path) -> bytes | None:
    """Its list of hashes; None where it is not there."""
    try:
        return (checkpoint / HASHES).read_bytes()
    except FileNotFoundError:
        return None


def _committed(folder: Path) -> list[str]:
    """Names of the checkpoints here, in no order."""
    if not (folder / CHECKPOINTS).is_dir():
        return []
    found = os.listdir(folder / CHECKPOINTS)
    return [name for name in found if CHECKPOINT_NAME.match(name)]


def _plain(folder: Path) -> list[str]:
    """Every file to be carried that is not a checkpoint's, relative."""
    found = []
    for root, folders, files in os.walk(folder):
        here = Path(root).relative_to(folder)
        folders[:] = sorted(
            name
            for name in folders
            if not name.startswith(".") and (here / name).as_posix() != CHECKPOINTS
        )
        found += [
            (here / name).as_posix()
            for name in sorted(files)
            if not name.startswith(TEMPORARY_PREFIX) and name not in _OF_THIS_MACHINE
        ]
    return found
