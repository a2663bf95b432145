"""Which folder a user's word means, and where the lock file that a record names lies now."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from pydantic import BaseModel, ValidationError

from core.data.splits.split import Split, load_split
from core.errors import DataError, HarnessError, MismatchError, UsageError
from harness.records.folders import COMPARISON, MATRIX, SWEEP, ResultsFolder, RunFolder
from harness.records.record import RunRecord

_FOLDER_NAME = re.compile(r"\w[\w.-]*")
_MOST_LISTED = 5


class Kind(StrEnum):
    """What has a folder in a results folder, and can be named."""

    COMPARISON = "comparison"
    SWEEP = "sweep"
    RUN = "run"


@dataclass(frozen=True)
class Named:
    """What a user's word means."""

    kind: Kind
    """What it is."""
    path: Path
    """Its folder; of a run, the record file where that was named by its path."""

    @property
    def folder(self) -> Path:
        """Its folder."""
        return self.path.parent if self.path.is_file() else self.path


def named(word: str, *, results: Path) -> Named:
    """The comparison, else the sweep, else the run that a word names, ended or not.

    A word is the path of a folder or of the record in it, a name in its place below `results`, or
    the start of one name there.

    Raises:
        UsageError: it names nothing, or several of the first kind that it fits.
    """
    if (folder := named_comparison(word, results=results)) is not None:
        return Named(Kind.COMPARISON, folder)
    if (folder := named_sweep(word, results=results)) is not None:
        return Named(Kind.SWEEP, folder)
    if (folder := _open_comparison(word, results=results)) is not None:
        return Named(Kind.COMPARISON, folder)
    if (folder := _open_run(word, results=results)) is not None:
        return Named(Kind.RUN, folder)
    return Named(Kind.RUN, named_run(word, results=results))


def _open_comparison(word: str, *, results: Path) -> Path | None:
    parent = ResultsFolder(results).reports
    return _folder(word, file=MATRIX, parent=parent, kind="comparisons")


def _open_run(word: str, *, results: Path) -> Path | None:
    """The folder of the run without a record that a word names; None where one has a record."""
    if not word or Path(word).exists():
        return None
    below = ResultsFolder(results)
    for folders in (below.run_folders, below.trial_folders):
        found = _of_name(word, folders)
        if any(RunFolder(folder).record.is_file() for folder in found):
            return None
        if len(found) == 1:
            return found[0]
    return None


def named_comparison(word: str, *, results: Path) -> Path | None:
    """The folder of the comparison that a word names; None for what names none.

    Raises:
        UsageError: the start of several names.
    """
    parent = ResultsFolder(results).reports
    return _folder(word, file=COMPARISON, parent=parent, kind="comparisons")


def named_sweep(word: str, *, results: Path) -> Path | None:
    """The folder of the sweep that a word names; None for what names none.

    Raises:
        UsageError: the start of several names.
    """
    return _folder(word, file=SWEEP, parent=ResultsFolder(results).sweeps, kind="sweeps")


def named_run(word: str, *, results: Path) -> Path:
    """Folder, or file, of the record of the run that a word names.

    A run that was scored on the validation clips is found where no other run has the name.

    Raises:
        UsageError: no run or several of that name.
    """
    if word and Path(word).exists():
        return Path(word)
    below = ResultsFolder(results)
    for records in (below.run_records, below.trial_records):
        found = _of_name(word, [path.parent for path in records])
        if len(found) > 1:
            listing = ", ".join(run.name for run in found[:_MOST_LISTED])
            raise UsageError(
                f"'{word}' names {len(found)} runs: {listing}; see `harness list --runs`"
            )
        if found:
            return found[0]
    raise UsageError(
        f"nothing is named '{word}' or starts with it, nor any run in {below.runs} or "
        f"{below.validation}; see `harness list --runs` and `harness list --sweeps`"
    )


def run_folders(words: Sequence[str], *, results: Path) -> list[Path]:
    """The folders of the runs that the words name, each once, in order.

    Raises:
        UsageError: a word names no run or several.
    """
    found = [named_run(word, results=results) for word in words]
    return list(dict.fromkeys(path.parent if path.is_file() else path for path in found))


def require_folder_name(name: str | None) -> None:
    """Raises: UsageError for a --name that is a path or not plain."""
    if name is not None and not _FOLDER_NAME.fullmatch(name):
        raise UsageError(
            f"--name {name!r}; expected the name of one folder: letters, digits, "
            "and . _ - after the first"
        )


def _folder(word: str, *, file: str, parent: Path, kind: str) -> Path | None:
    """The folder with `file` in it that is named: by its path, that of the file, or its start."""
    path = Path(word)
    if path.name == file and path.is_file():
        return path.parent
    if word and (path / file).is_file():
        return path
    if not word or path.exists():
        return None
    found = _of_name(word, sorted(path.parent for path in parent.glob(f"*/{file}")))
    if len(found) > 1:
        listing = ", ".join(folder.name for folder in found[:_MOST_LISTED])
        raise UsageError(f"'{word}' matches {len(found)} {kind}: {listing}; type more of the name")
    return found[0] if found else None


def _of_name(word: str, folders: list[Path]) -> list[Path]:
    """The folder of that name, else those whose names begin so."""
    found = [folder for folder in folders if word and folder.name.startswith(word)]
    return [folder for folder in found if folder.name == word] or found


# The lock of a run ------------------------------------------------------------------------


def locks_of(recorded: str, *, results: Path) -> list[Path]:
    """The files that a recorded lock may be now, the likeliest first; none where none is there.

    recorded: the path in the record; if it is not absolute, it starts where the run was started.
    results: the results folder that the run lies in now; a lock in it has moved with it.
    """
    lock = Path(recorded)
    places = [lock, results.parent / lock]
    data = ResultsFolder(results).data
    if data.name in lock.parts:
        last = len(lock.parts) - 1 - lock.parts[::-1].index(data.name)
        places.append(data.joinpath(*lock.parts[last + 1 :]))
    present = {place.resolve(): place for place in reversed(places) if place.is_file()}
    return list(reversed(present.values()))


def recorded_lock(record: Path) -> str | None:
    """The lock that a record's file names, also where its format is not ours; None without one."""
    try:
        return _NamesALock.model_validate_json(record.read_bytes()).split.lock
    except (OSError, ValidationError):
        return None


class _Lock(BaseModel):
    lock: str


class _NamesALock(BaseModel):
    split: _Lock


def split_of(record: RunRecord, *, results: Path) -> Split:
    """The split that a run was made on, with its media where they lie now.

    results: the results folder that the run lies in now.

    Raises:
        DataError: no lock file is there any more, or it is not one.
        MismatchError: it was edited, or holds another split than the run was made on.
    """
    problems: list[HarnessError] = []
    for path in locks_of(record.split.lock, results=results):
        try:
            split = load_split(path)
        except HarnessError as error:
            problems.append(error)
            continue
        if split.hash == record.identity.split_hash:
            return split
        problems.append(
            MismatchError(
                f"{path} now holds a different split from the one {record.run_id} was made with"
            )
        )
    if problems:
        raise problems[0]
    raise DataError(f"the lock file {record.split.lock} of the split no longer exists")
