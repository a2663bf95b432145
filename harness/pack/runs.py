"""Half-finished runs as files of a pack: what goes on, and nothing of this machine."""

import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from core.errors import DataError, UsageError
from core.training.committed import committed_checkpoints, is_verified
from harness.archive.write import Member
from harness.pack.contents import WORK, PackedRun
from harness.records.folders import (
    CHECKPOINTS,
    HOLDER,
    RUN_LOCK,
    RUN_LOG,
    ResultsFolder,
    RunFolder,
)
from harness.records.lock import require_free
from harness.records.record import RunIdentity, Status, load_record
from harness.records.sessions import SessionJournal

_MACHINE = frozenset({RUN_LOCK, f"{RUN_LOCK}.held", HOLDER, RUN_LOG})
"""Files that are of a process here, and mean nothing elsewhere."""


@dataclass(frozen=True, kw_only=True)
class RunToPack:
    """A run and its files."""

    folder: Path
    """Where it lies."""
    identity: RunIdentity
    """What it is."""
    checkpoint: Path | None
    """Its newest verified checkpoint; None for a finished run, or one that has none."""
    is_finished: bool
    """Whether there is nothing to go on with."""

    @property
    def place(self) -> str:
        """Below the results folder."""
        return f"{self.folder.parent.name}/{self.folder.name}"

    def facts(self) -> PackedRun:
        """What the pack says of it."""
        return PackedRun(
            run_id=self.folder.name,
            folder=self.place,
            checkpoint=None if self.checkpoint is None else self.checkpoint.name,
        )

    def members(self) -> Iterator[Member]:
        """Its files, without checkpoints but the newest."""
        for path in sorted(self.folder.rglob("*")):
            inner = path.relative_to(self.folder)
            if not path.is_file() or path.name in _MACHINE or path.name.startswith("."):
                continue
            if inner.parts[0] == CHECKPOINTS and (
                self.checkpoint is None or not path.is_relative_to(self.checkpoint)
            ):
                continue
            yield Member(f"{WORK}/results/{self.place}/{inner.as_posix()}", path)

    def command(self) -> list[str]:
        """The words of the command that makes it: of its record, or of the process that had it.

        Raises:
            UsageError: neither says it.
        """
        files = RunFolder(self.folder)
        if files.record.is_file():
            return shlex.split(load_record(self.folder).command)
        sessions = SessionJournal(files.sessions).sessions
        if not sessions:
            raise UsageError(
                f"{self.folder.name} was interrupted, and {files.sessions.name} in its folder does "
                "not say by which command it is made; give that command after --"
            )
        return shlex.split(sessions[-1].command)


def named_runs(names: Sequence[str], *, results: Path) -> list[RunToPack]:
    """The runs of these names, finished or not.

    Raises:
        UsageError: no run or several of a name.
        BusyError: a process works on one.
    """
    return [_run(_folder_named(name, results=results)) for name in names]


def open_runs(results: Path, *, split_hash: str) -> list[RunToPack]:
    """Every half-finished run of a split that has a checkpoint to go on from.

    Raises:
        BusyError: a process works on one.
    """
    parent = ResultsFolder(results).runs
    found = []
    for path in sorted(parent.iterdir()) if parent.is_dir() else ():
        if not committed_checkpoints(RunFolder(path).checkpoints):
            continue
        identity = _identity(path)
        if identity is None or identity.split_hash != split_hash:
            continue
        if _is_finished(path):
            continue
        run = _run(path)
        if run.checkpoint is not None:
            found.append(run)
    return found


def _folder_named(word: str, *, results: Path) -> Path:
    """The folder of the run that a word names: its path, its id, or the start of its id."""
    if word and Path(word).is_dir():
        return Path(word)
    below = ResultsFolder(results)
    found = [
        path
        for parent in (below.runs, below.validation)
        if parent.is_dir()
        for path in sorted(parent.iterdir())
        if word and path.name.startswith(word) and path.is_dir()
    ]
    found = [path for path in found if path.name == word] or found
    if len(found) != 1:
        counted = "no run" if not found else f"{len(found)} runs"
        raise UsageError(f"{counted} in {results} named '{word}' or starting with it")
    return found[0]


def _run(folder: Path) -> RunToPack:
    identity = _identity(folder)
    if identity is None:
        raise DataError(f"{folder} does not say what run it is; give its command again here first")
    require_free(folder)
    is_finished = _is_finished(folder)
    checkpoint = None
    if not is_finished:
        committed = committed_checkpoints(RunFolder(folder).checkpoints)
        checkpoint = next((path for path in reversed(committed) if is_verified(path)), None)
        if committed and checkpoint is None:
            raise DataError(
                f"no checkpoint of {folder.name} is whole, so it cannot go on elsewhere"
            )
    return RunToPack(
        folder=folder, identity=identity, checkpoint=checkpoint, is_finished=is_finished
    )


def _identity(folder: Path) -> RunIdentity | None:
    try:
        return RunIdentity.model_validate_json(RunFolder(folder).identity.read_bytes())
    except (OSError, ValidationError):
        return None


def _is_finished(folder: Path) -> bool:
    files = RunFolder(folder)
    return files.record.is_file() and load_record(folder).status is Status.FINISHED
