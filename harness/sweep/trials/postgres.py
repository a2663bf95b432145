"""Studies in PostgreSQL: coordinators on several machines share them and survive its restarts.

A coordinator that claims holds an advisory lock of the server, which ends with its connection. A
trial is alive as long as its process beats; Optuna's own beats belong to `study.optimize`, so a
thread does it here. The clock is the server's throughout.
"""

import hashlib
import math
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import Any

import sqlalchemy
from optuna.storages import RDBStorage, get_storage
from optuna.trial import FrozenTrial
from sqlalchemy.engine import URL, Connection, Engine
from sqlalchemy.exc import (
    DBAPIError,
    InterfaceError,
    OperationalError,
    PendingRollbackError,
    SQLAlchemyError,
)
from sqlalchemy.pool import NullPool

from core.errors import DataError, StorageAwayError, UsageError
from harness.sweep.trials.storage import SweepStorage, causes, one_line
from harness.sweep.trials.trials import experiments_accepted

BEATS_OF_GRACE = 3  # missed ones before a trial is given to others
SECRETS = ("password", "passfile", "sslpassword")
LAST_BEAT_S = 15.0  # a beat may be waiting for a connection, `connect_timeout` at most
CONNECTION = {
    # Beats are compared with each other: every session must tell the same time.
    "options": "-c timezone=UTC",
    # A machine that vanished without a word is noticed in half a minute instead of hours.
    "connect_timeout": 10,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 4,
    "tcp_user_timeout": 30_000,
}


class PostgresSweep(SweepStorage):
    """Studies in a PostgreSQL database."""

    kind = "postgresql"

    def __init__(
        self, url: URL, *, heartbeat_s: float, say: Callable[[str], None], patience_s: float
    ) -> None:
        super().__init__(say=say, patience_s=patience_s)
        query = {key: value for key, value in url.query.items() if key not in SECRETS}
        # Not `URL.set`, which takes None for "leave it".
        self.display_url = URL.create(
            "postgresql", url.username, None, url.host, url.port, url.database, query
        ).render_as_string()
        words: dict[str, Any] = {
            "connect_args": {k: v for k, v in CONNECTION.items() if k not in url.query}
        }
        url = url.set(drivername="postgresql+psycopg")
        self._heartbeat_s = heartbeat_s
        interval_s = max(1, math.ceil(heartbeat_s))
        self._grace = timedelta(seconds=BEATS_OF_GRACE * interval_s)
        self._lock: Connection | None = None
        try:
            # Two processes that make the tables at once would stand in each other's way.
            with (
                _locked(sqlalchemy.create_engine(url, poolclass=NullPool, **words), "tables"),
                experiments_accepted(),
            ):
                self._database = RDBStorage(
                    url.render_as_string(hide_password=False),
                    engine_kwargs={
                        **words,
                        "pool_pre_ping": True,
                        "pool_size": 3,
                        "max_overflow": 2,
                    },
                    heartbeat_interval=interval_s,
                    grace_period=BEATS_OF_GRACE * interval_s,
                )
        except ImportError:
            raise UsageError(
                f"{self.display_url} needs the package psycopg, which is not installed; "
                "run `pip install 'branch-harness[postgres]'`"
            ) from None
        except (SQLAlchemyError, RuntimeError) as error:
            if self.is_away(error):
                raise StorageAwayError(
                    f"{self.display_url} cannot be reached ({one_line(error)}); is the server up, "
                    "and are user and password right (PGPASSWORD or ~/.pgpass serve too)?"
                ) from None
            raise DataError(f"{self.display_url} cannot keep studies ({one_line(error)})") from None
        self.storage = get_storage(self._database)
        self._beats = _Beats(self._beat, every_s=heartbeat_s)

    @contextmanager
    def exclusive(self, study_name: str) -> Iterator[None]:
        """Hold the study's advisory lock; it ends with its connection."""
        with _locked(self._database.engine, study_name) as self._lock:
            try:
                yield
            finally:
                self._lock = None

    def still_exclusive(self) -> bool:
        """Whether the connection that holds the lock still lives."""
        try:
            return self._lock is not None and bool(self._lock.scalar(sqlalchemy.text("SELECT 1")))
        except DBAPIError:
            return False

    def keep_alive(self, study_name: str, trial: FrozenTrial) -> None:
        """Beat for the trial, now and until `let_go`."""
        self._database.record_heartbeat(trial._trial_id)
        self._beats.add(trial._trial_id)

    def let_go(self, trial_id: int) -> None:
        """Beat no more."""
        self._beats.discard(trial_id)

    def dead(self, study_name: str, running: Iterable[FrozenTrial]) -> set[int]:
        """Ids of the running trials that have missed their beats.

        None for a while after a start of the server: nobody could beat while it was down.
        """
        with self._database.engine.connect() as connection:
            uptime = connection.scalar(
                sqlalchemy.text("SELECT clock_timestamp() - pg_postmaster_start_time()")
            )
        if uptime < self._grace:
            return set()
        study_id = self._database.get_study_id_from_name(study_name)
        stale = self._database._get_stale_trial_ids(study_id)
        return set(stale) - self._beats.trial_ids

    def is_away(self, error: Exception) -> bool:
        """Whether the connection broke, or could not be made."""
        # PendingRollback: Optuna met a broken connection, tried another query, and broke on that.
        return any(
            isinstance(cause, OperationalError | InterfaceError | PendingRollbackError)
            or (isinstance(cause, DBAPIError) and cause.connection_invalidated)
            for cause in causes(error)
        )

    def close(self) -> None:
        """Beat no more and close all connections."""
        self._beats.stop()
        self._database.engine.dispose()

    def _beat(self, trial_id: int) -> None:
        try:
            self._database.record_heartbeat(trial_id)
        except Exception as error:
            # While the server is away the calls of the trials say so; the next beat is soon.
            if not self.is_away(error):
                self._say(f"trial {trial_id} could not be kept alive: {one_line(error)}")
        finally:
            self._database.remove_session()


class _Beats:
    """A thread that calls `beat` for every trial it knows, until it is stopped."""

    def __init__(self, beat: Callable[[int], None], *, every_s: float) -> None:
        self.trial_ids: set[int] = set()
        self._beat, self._every_s = beat, every_s
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None

    def add(self, trial_id: int) -> None:
        """Beat for it from the next round on."""
        self.trial_ids.add(trial_id)
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)
            self._thread.start()

    def discard(self, trial_id: int) -> None:
        """Forget it."""
        self.trial_ids.discard(trial_id)

    def stop(self) -> None:
        """End the thread."""
        self._stopped.set()
        if self._thread is not None:
            self._thread.join(timeout=LAST_BEAT_S)

    def _run(self) -> None:
        while not self._stopped.wait(self._every_s):
            for trial_id in tuple(self.trial_ids):
                self._beat(trial_id)


@contextmanager
def _locked(engine: Engine, name: str) -> Iterator[Connection]:
    """Hold the advisory lock of that name on a connection of its own."""
    digest = hashlib.blake2b(f"sweep:{name}".encode(), digest_size=8).digest()
    key = {"key": int.from_bytes(digest, "big", signed=True)}
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(sqlalchemy.text("SELECT pg_advisory_lock(:key)"), key)
        try:
            yield connection
        finally:
            try:
                connection.execute(sqlalchemy.text("SELECT pg_advisory_unlock(:key)"), key)
            except DBAPIError:
                with suppress(DBAPIError):
                    connection.invalidate()  # the server releases it with the connection
