"""Locks on files, also where the file system has none of the kernel's.

The kernel's lock ends with its process. NFS without its lock service, Lustre mounted without flock
and some FUSE mounts have none: there a file that only one process can create stands for it, and
names its maker, so that the leftover of a dead process of this machine is taken away.
"""

import errno
import fcntl
import json
import logging
import os
import socket
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from core.files import naming

NO_LOCKS = frozenset({errno.ENOSYS, errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP})
"""What the system says where a file system has no locks."""
_POLL_S = 0.05
_log = logging.getLogger(__name__)
_warned: set[Path] = set()


class LockHeldError(Exception):
    """Somebody else holds the lock."""


class FileLock:
    """An exclusive lock on a file; two of one process exclude each other too."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor: int | None = None
        self._marker: Path | None = None

    def acquire(self, *, timeout_s: float | None = None) -> None:
        """Take the lock; without a timeout, wait for as long as it takes.

        Raises: LockHeldError after the timeout; OSError naming the file that cannot be made.
        """
        end = None if timeout_s is None else time.monotonic() + timeout_s
        while not self._try():
            if end is not None and time.monotonic() >= end:
                raise LockHeldError(str(self._path))
            time.sleep(_POLL_S)

    def release(self) -> None:
        """Let it go; nothing if it is not held."""
        if self._marker is not None:
            self._marker.unlink(missing_ok=True)
            self._marker = None
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def __enter__(self) -> Self:
        self.acquire()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.release()

    def _try(self) -> bool:
        with naming(self._path):
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o666)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                # Somebody may have removed the file meanwhile: then this is another file's lock.
                is_ours = os.path.exists(self._path) and os.path.samestat(
                    os.fstat(descriptor), os.stat(self._path)
                )
            except BlockingIOError:
                is_ours = False
            except OSError as error:
                os.close(descriptor)
                if error.errno not in NO_LOCKS:
                    raise
                return self._try_marker()
            if is_ours:
                self._descriptor = descriptor
            else:
                os.close(descriptor)
            return is_ours

    def _try_marker(self) -> bool:
        marker = self._path.with_name(self._path.name + ".held")
        if self._path.parent not in _warned:
            _warned.add(self._path.parent)
            _log.warning(
                "the file system of %s has no locks, so lock files are used, which is safe on one "
                "machine only: do not let another machine work in it at the same time",
                self._path.parent,
            )
        try:
            descriptor = os.open(marker, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
        except FileExistsError:
            found = read_process(marker)
            if found is not None and is_gone(found):
                marker.unlink(missing_ok=True)
            return False
        with os.fdopen(descriptor, "w") as file:
            json.dump(this_process(), file)
        self._marker = marker
        return True


def this_process() -> dict[str, Any]:
    """What tells this process from all others: host, pid, and when it started."""
    pid = os.getpid()
    return {"host": socket.gethostname(), "pid": pid, "started": _start_of(pid)}


def read_process(path: Path) -> Mapping[str, Any] | None:
    """The process that a file names; None where it names none."""
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return None
    is_process = isinstance(found, dict) and isinstance(found.get("pid"), int)
    return found if is_process and isinstance(found.get("host"), str) else None


def is_gone(process: Mapping[str, Any]) -> bool:
    """Whether a process of this machine has ended; False where that cannot be told."""
    return process["host"] == socket.gethostname() and not is_alive(process)


def is_alive(process: Mapping[str, Any]) -> bool:
    """Whether this very process runs on this machine, and not another that has its pid now."""
    if process["host"] != socket.gethostname():
        return False
    try:
        os.kill(process["pid"], 0)
    except (ProcessLookupError, OverflowError, ValueError):
        return False
    except PermissionError:
        pass
    started = process.get("started")
    return started is None or started == _start_of(process["pid"])


def _start_of(pid: int) -> int | None:
    """Clock ticks from the system's start to the process'; None where the system does not say."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
        return int(stat.rpartition(")")[2].split()[19])
    except (OSError, ValueError, IndexError):
        return None
