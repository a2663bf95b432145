"""Files and locks on file systems as they are: SMB, the drives of WSL, NFS, Lustre, FUSE."""

import errno
import fcntl
import json
import logging
import os
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

import core.files
import core.locks
from core.errors import NoSpaceError, UsageError
from core.files import expanded, file_sha256, sweep_leftovers, write_atomic
from core.locks import FileLock, LockHeldError, is_alive, this_process


def failing(number):
    def fail(*args, **kwargs):
        raise OSError(number, os.strerror(number))

    return fail


@pytest.fixture(autouse=True)
def not_warned_yet():
    core.files._unsynced.clear()
    core.locks._warned.clear()


@pytest.mark.parametrize("number", [errno.EINVAL, errno.ENOTSUP, errno.ENOSYS, errno.EPERM])
def test_a_folder_that_cannot_be_synced_is_written_and_named_once(
    tmp_path, monkeypatch, caplog, number
):
    """Catches: every command ended by "Invalid argument" on a share without fsync of folders."""
    real = os.fsync

    def fsync(handle):
        if stat.S_ISDIR(os.fstat(handle).st_mode):
            failing(number)()
        real(handle)

    monkeypatch.setattr(os, "fsync", fsync)
    with caplog.at_level(logging.WARNING):
        for name in ("a", "b"):
            write_atomic(tmp_path / name, content=b"x")
    assert (tmp_path / "b").read_bytes() == b"x"
    (record,) = caplog.records
    assert str(tmp_path) in record.getMessage()


def test_an_error_of_the_disk_is_not_passed_over_and_names_the_file(tmp_path, monkeypatch):
    """Catches: 'cannot use: Input/output error', or a failing disk taken for a share."""
    monkeypatch.setattr(os, "fsync", failing(errno.EIO))
    with pytest.raises(OSError, match="Input/output") as caught:
        write_atomic(tmp_path / "a", content=b"x")
    assert caught.value.filename == str(tmp_path / "a")
    assert list(tmp_path.iterdir()) == []
    monkeypatch.setattr(os, "fsync", failing(errno.ENOSPC))
    with pytest.raises(NoSpaceError):
        write_atomic(tmp_path / "a", content=b"x")


def test_files_need_no_chmod_and_follow_the_umask(tmp_path, monkeypatch):
    """Catches: 'Operation not permitted' of SMB and exFAT, and files that ignore the umask."""
    monkeypatch.setattr(os, "chmod", failing(errno.EPERM))
    for mask, mode in ((0o022, 0o644), (0o027, 0o640), (0o002, 0o664)):
        old = os.umask(mask)
        try:
            write_atomic(tmp_path / f"{mode:o}", content=b"x")
        finally:
            os.umask(old)
        assert stat.S_IMODE((tmp_path / f"{mode:o}").stat().st_mode) == mode


def test_a_file_that_cannot_be_read_to_its_end_is_named(tmp_path):
    """Catches: an error while hashing that says nothing of the file."""
    broken = Path("/proc/self/mem")  # opens, and fails where it is read
    for path in (tmp_path, broken) if broken.exists() else (tmp_path,):
        with pytest.raises(OSError, match=r"Input/output error|folder") as caught:
            file_sha256(path)
        assert caught.value.filename == str(path)


def test_leftovers_of_a_kill_are_swept_and_nothing_else(tmp_path):
    """Catches: temporary files that pile up for ever, or one in use that is taken away."""
    folder = tmp_path / "media"
    folder.mkdir()
    for name in (".tmp-old", ".tmp-new", "kept"):
        (folder / name).write_text("x")
    os.utime(folder / ".tmp-old", (1, 1))
    os.utime(folder / "kept", (1, 1))
    sweep_leftovers(tmp_path)
    assert sorted(path.name for path in folder.iterdir()) == [".tmp-new", "kept"]


def test_a_path_with_a_tilde_is_expanded_or_refused(monkeypatch):
    """Catches: a folder called `~`, of which `rm -r ~` is the natural end."""
    monkeypatch.setenv("HOME", "/home/somebody")
    assert expanded("~/x") == Path("/home/somebody/x")
    assert expanded("a/~") == Path("a/~")
    assert expanded("./~x") == Path("./~x")
    with pytest.raises(UsageError, match="no home folder is known"):
        expanded("~nobody-of-that-name/x")


@pytest.mark.parametrize("number", [errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP])
def test_where_there_are_no_locks_a_file_stands_for_one(tmp_path, monkeypatch, caplog, number):
    """Catches: 'No locks available' that ends every command on NFS or Lustre."""
    monkeypatch.setattr(fcntl, "flock", failing(number))
    first, second = FileLock(tmp_path / "a.lock"), FileLock(tmp_path / "a.lock")
    with caplog.at_level(logging.WARNING):
        first.acquire(timeout_s=0)
        with pytest.raises(LockHeldError):
            second.acquire(timeout_s=0.1)
        first.release()
        second.acquire(timeout_s=0)
        second.release()
    (record,) = caplog.records
    assert str(tmp_path) in record.getMessage()


def test_the_stand_in_of_a_dead_process_is_taken_away(tmp_path, monkeypatch):
    """Catches: a kill that locks a run for ever where the kernel has no locks."""
    monkeypatch.setattr(fcntl, "flock", failing(errno.ENOLCK))
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    marker = tmp_path / "a.lock.held"
    marker.write_text(json.dumps({**this_process(), "pid": gone.pid}))
    lock = FileLock(tmp_path / "a.lock")
    lock.acquire(timeout_s=1)
    lock.release()
    marker.write_text(json.dumps({**this_process(), "host": "another"}))
    with pytest.raises(LockHeldError):
        lock.acquire(timeout_s=0.1)


def test_a_lock_ends_with_its_process(tmp_path):
    """Catches: a lock that outlives a SIGKILL."""
    code = (
        "import sys, time\nfrom pathlib import Path\nfrom core.locks import FileLock\n"
        "FileLock(Path(sys.argv[1])).acquire()\nprint('held', flush=True)\ntime.sleep(60)\n"
    )
    path = tmp_path / "a.lock"
    child = subprocess.Popen(
        [sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE, text=True
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "held\n"
    lock = FileLock(path)
    with pytest.raises(LockHeldError):
        lock.acquire(timeout_s=0)
    child.send_signal(signal.SIGKILL)
    child.communicate()
    lock.acquire(timeout_s=5)
    lock.release()


def test_a_process_that_has_the_pid_of_a_dead_one_is_not_it():
    """Catches: a run held for ever by a number that another program was given."""
    ours = this_process()
    assert is_alive(ours)
    assert not is_alive({**ours, "started": (ours["started"] or 0) + 1})
    assert not is_alive({**ours, "pid": 2**40})
    assert time.time() > 0
