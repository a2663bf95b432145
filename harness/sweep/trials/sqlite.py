"""Studies in an SQLite file, for one process."""

import fcntl
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from optuna.storages import RDBStorage, get_storage
from optuna.trial import FrozenTrial
from sqlalchemy.engine import URL
from sqlalchemy.exc import SQLAlchemyError

from core.errors import BusyError, DataError, UsageError
from harness.sweep.trials.storage import SweepStorage, one_line


class SqliteSweep(SweepStorage):
    """Studies in an SQLite file that no other sweep has open."""

    kind = "sqlite"

    def __init__(self, url: URL, *, say: Callable[[str], None], patience_s: float) -> None:
        super().__init__(say=say, patience_s=patience_s)
        if url.database in (None, "", ":memory:"):
            raise UsageError("sqlite:// without a file would forget every trial; sqlite:///PATH")
        path = Path(str(url.database))
        self.display_url = f"sqlite:///{path}"
        path.parent.mkdir(parents=True, exist_ok=True)
        self._alive: set[int] = set()
        self._descriptor = _lock(path)
        try:
            database = RDBStorage(url.render_as_string(hide_password=False))
        except (SQLAlchemyError, RuntimeError) as error:
            os.close(self._descriptor)
            raise DataError(f"{path} is not a database of trials ({one_line(error)})") from None
        self._database = database
        self.storage = get_storage(database)

    @contextmanager
    def exclusive(self, study_name: str) -> Iterator[None]:
        """Nothing to do: this process is the only one."""
        yield

    def keep_alive(self, study_name: str, trial: FrozenTrial) -> None:
        """Remember that the trial is worked on."""
        self._alive.add(trial._trial_id)

    def let_go(self, trial_id: int) -> None:
        """Forget it."""
        self._alive.discard(trial_id)

    def dead(self, study_name: str, running: Iterable[FrozenTrial]) -> set[int]:
        """Ids of the running trials that an earlier process left behind."""
        return {trial._trial_id for trial in running} - self._alive

    def close(self) -> None:
        """Close the file and let others in."""
        self._alive.clear()
        self._database.remove_session()
        self._database.engine.dispose()
        os.close(self._descriptor)


def _lock(path: Path) -> int:
    """A descriptor that holds the file's lock until it is closed.

    Raises:
        BusyError: another sweep holds it.
    """
    lock = path.with_name(path.name + ".sweep")
    descriptor = os.open(lock, os.O_CREAT | os.O_RDWR, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.read(descriptor, 100).decode(errors="replace").strip()
        os.close(descriptor)
        raise BusyError(
            f"another sweep ({holder}) uses {path}, and SQLite bears one: each write locks the "
            "whole file, parallel writers lose trials to 'database is locked', and its locks fail "
            "on network file systems; several processes take a journal (--storage journal:PATH) "
            "or PostgreSQL (--storage postgresql://...)"
        ) from None
    os.truncate(descriptor, 0)
    os.write(descriptor, f"process {os.getpid()}".encode())
    return descriptor
