"""Opens the storage of trials that an address names."""

from collections.abc import Callable
from pathlib import Path

from core.errors import UsageError
from harness.records.folders import SweepFolder
from harness.sweep.trials.storage import SweepStorage


def open_storage(
    url: str | None,
    *,
    folder: Path,
    heartbeat_s: float,
    patience_s: float,
    say: Callable[[str], None],
) -> SweepStorage:
    """The storage that `url` names, made if it is not there.

    url: None (`folder/journal.log`), `journal:PATH`, a path that ends in `.log`, or
        `postgresql://...`.
    heartbeat_s: how often a process tells PostgreSQL that its trials are alive; after three
        times that without a word they are given to others.
    patience_s: how long calls wait for a database that went away.

    Raises:
        UsageError: the address is of no known kind, or its driver is not installed.
        StorageAwayError: no database answers there.
        DataError: the file is not a journal of Optuna.
    """
    if url is None or url.startswith("journal:") or url.endswith(".log"):
        from harness.sweep.trials.journal import JournalSweep

        name = str(SweepFolder(folder).journal) if url is None else url.removeprefix("journal:")
        if not name:
            raise UsageError(f"--storage {url} names no file; expected journal:PATH")
        return JournalSweep(Path(name), say=say, patience_s=patience_s)
    scheme = url.partition(":")[0]
    if "://" not in url or scheme.partition("+")[0] not in ("postgresql", "postgres"):
        raise UsageError(
            f"no storage of the kind {scheme!r}; known: journal:PATH, a file for the processes of "
            "one machine, and postgresql://USER@HOST/DATABASE"
        )
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError

    from harness.sweep.trials.postgres import PostgresSweep

    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):  # whose messages may hold the password
        raise UsageError(
            f"the address after {scheme}:// cannot be read; a password's own @, : and / are "
            "written %40, %3A and %2F"
        ) from None
    return PostgresSweep(parsed, heartbeat_s=heartbeat_s, say=say, patience_s=patience_s)
