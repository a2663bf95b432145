"""One process at a time on a run."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from core.errors import BusyError
from core.files import naming, sweep_leftovers
from core.locks import FileLock, LockHeldError, is_alive, read_process, this_process
from harness.records.folders import RunFolder


@contextmanager
def held(folder: Path, *, create: bool = False) -> Iterator[None]:
    """Hold the run in `folder`; the system lets go by itself when the process dies.

    create: make the folder first, for work that makes it; a folder that was made here and is empty
    when the work fails is taken away.

    Raises:
        BusyError: another process holds it; says which, where and for how long.
    """
    is_new = create and not folder.exists()
    if create:
        folder.mkdir(parents=True, exist_ok=True)
    files = RunFolder(folder)
    holder, lock = files.holder, FileLock(files.lock)
    try:
        lock.acquire(timeout_s=0)
    except LockHeldError:
        raise BusyError(
            f"{folder.name} is being worked on by {_who(holder)}; wait for it, or stop it and run "
            "the same command again"
        ) from None
    try:
        found, ours = read_process(holder), this_process()
        if found is not None and found["pid"] != ours["pid"] and is_alive(found):
            raise BusyError(
                f"{folder.name} is being worked on by {_who(holder)}, though its "
                f"{files.lock.name} was deleted; wait for it, or stop it and run the same command "
                "again"
            )
        sweep_leftovers(folder)
        with naming(holder):
            holder.write_text(json.dumps({**ours, "since": time.time()}))
        try:
            yield
        finally:
            holder.unlink(missing_ok=True)
    except BaseException:
        if is_new and not any(path != files.lock for path in folder.iterdir()):
            files.lock.unlink(missing_ok=True)
            lock.release()
            folder.rmdir()
        raise
    finally:
        lock.release()


def require_free(folder: Path) -> None:
    """Return if no process of this machine works on the run in `folder`; writes nothing.

    Raises:
        BusyError: one does.
    """
    holder = RunFolder(folder).holder
    found = read_process(holder)
    if found is not None and is_alive(found):
        raise BusyError(f"{folder.name} is being worked on by {_who(holder)}")


def _who(holder: Path) -> str:
    found = read_process(holder)
    if found is None:
        return "another process"
    since = found.get("since")
    minutes = ""
    if isinstance(since, int | float) and not isinstance(since, bool):
        minutes = f" (for {(time.time() - since) / 60:.0f} min)"
    return f"process {found['pid']} on {found['host']}{minutes}"
