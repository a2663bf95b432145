"""One process at a time on a run."""

import json
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from core.errors import BusyError

LOCK = "run.lock"
HOLDER = "holder.json"
"""Who holds the lock, for whoever meets it."""


@contextmanager
def held(folder: Path, *, create: bool = False) -> Iterator[None]:
    """Hold the run in `folder`; the system lets go by itself when the process dies.

    create: make the folder first, for work that makes it.

    Raises:
        BusyError: another process holds it; says which, where and for how long.
    """
    if create:
        folder.mkdir(parents=True, exist_ok=True)
    holder = folder / HOLDER
    lock = FileLock(folder / LOCK)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise BusyError(
            f"{folder.name} is being worked on by {_who(holder)}; wait for it, or stop it and run "
            "the same command again"
        ) from None
    try:
        content = {"host": socket.gethostname(), "pid": os.getpid(), "since": time.time()}
        holder.write_text(json.dumps(content))
        yield
    finally:
        holder.unlink(missing_ok=True)
        lock.release()


def _who(holder: Path) -> str:
    try:
        found = json.loads(holder.read_text())
        minutes = (time.time() - found["since"]) / 60
        return f"process {found['pid']} on {found['host']} (for {minutes:.0f} min)"
    except (OSError, ValueError, KeyError):
        return "another process"
