"""The journal of a study: damaged lines, refused files, locks."""

import contextlib
import errno
import fcntl
import os
from pathlib import Path

import pytest
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

from core.errors import DataError, UsageError
from tests.harness.sweep import worker
from tests.harness.sweep.made_trials import read


def test_a_torn_line_is_cut_and_nothing_whole_is_lost(tmp_path: Path) -> None:
    """Catches: a journal that nobody can read after a writer was killed within a line."""
    url, path = f"journal:{tmp_path / 'journal.log'}", tmp_path / "journal.log"
    with worker.open_storage(url) as storage:
        study = worker.open_study(storage)
        study.complete(study.claim(), [1.0])
    whole = path.read_bytes()
    torn = whole + b'{"op_code":4,"worker_id":"' + b"x" * 5000

    path.write_bytes(torn)  # Optuna's own backend glues its next record to the torn one
    theirs = JournalStorage(JournalFileBackend(str(path)))
    study_id = theirs.get_study_id_from_name("sweep/tested branch")
    for _ in range(2):
        with contextlib.suppress(AttributeError, ValueError):
            theirs.create_new_trial(study_id)
    with pytest.raises(ValueError, match=r"Unterminated|delimiter|control character"):
        JournalStorage(JournalFileBackend(str(path)))

    path.write_bytes(torn)
    with worker.open_storage(url) as storage:
        study = worker.open_study(storage, num_trials=3)
        worker.work(study)
        assert [trial.state.counts for trial in study.records()] == [True] * 3
    assert path.read_bytes().startswith(whole)
    assert b"xxx" not in path.read_bytes()
    assert next(trial.values for trial in read(url)) == {"kid": 1.0}


def two_trials(path: Path) -> str:
    url = f"journal:{path}"
    with worker.open_storage(url) as storage:
        worker.work(worker.open_study(storage, num_trials=2))
    return url


@pytest.mark.parametrize("line", [b"\n", b"\r\n", b"   \n", b"\0\0\0\n", b"\0\0"])
def test_an_empty_line_is_passed_over(tmp_path: Path, line: bytes) -> None:
    """Catches: a traceback for what an editor or a power cut adds to a journal."""
    path = tmp_path / "journal.log"
    url = two_trials(path)
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*lines[:3], line, *lines[3:]]))
    assert [trial.state.counts for trial in read(url)] == [True] * 2
    path.write_bytes(b"".join([*lines, line]))
    with worker.open_storage(url) as storage:
        worker.work(worker.open_study(storage, num_trials=3))
    assert [trial.state.counts for trial in read(url)] == [True] * 3


@pytest.mark.parametrize(
    "line",
    [b"rubbish", b"[1]", b"{}", b'{"op_code":"x"}', b"[" * 100_000, b'{"op_code":4}', b"\xff"],
)
@pytest.mark.parametrize("is_last", [True, False])
def test_a_damaged_line_is_refused_by_its_number(
    tmp_path: Path, line: bytes, is_last: bool
) -> None:
    """Catches: a JSONDecodeError or KeyError traceback for one bad line."""
    path = tmp_path / "journal.log"
    url = two_trials(path)
    lines = path.read_bytes().splitlines(keepends=True)
    place = len(lines) if is_last else 4
    path.write_bytes(b"".join([*lines[:place], line + b"\n", *lines[place:]]))
    told = rf"line {place + 1} of .*journal\.log|journal\.log holds a record that does not fit"
    with pytest.raises(DataError, match=told), worker.open_storage(url) as storage:
        worker.open_study(storage).records()


def test_a_folder_without_locks_is_named_before_a_trial_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Catches: 'Function not implemented' as all that a sweep on Lustre says."""

    def flock(descriptor: int, operation: int) -> None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))

    monkeypatch.setattr(fcntl, "flock", flock)
    with pytest.raises(DataError, match=f"{tmp_path} has no locks .*local disk"):
        worker.open_storage(f"journal:{tmp_path / 'journal.log'}")


def test_what_is_no_journal_stays_as_it_is(tmp_path: Path) -> None:
    """Catches: folders and locks left beside a stranger's file, or beside the working folder."""
    strange = tmp_path / "letter.txt"
    strange.write_text("Dear Ada,\n")
    with pytest.raises(DataError, match="not a journal of trials"):
        worker.open_storage(f"journal:{strange}")
    with pytest.raises(UsageError, match="names no file"):
        worker.open_storage("journal:")
    assert [path.name for path in tmp_path.iterdir()] == ["letter.txt"]
    assert strange.read_text() == "Dear Ada,\n"
