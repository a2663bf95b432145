"""The processes that worked on a run, a comparison or a sweep: since when, how long, how it ended.

A record is written by the last process; what the ones before it took is kept here.
"""

import json
import socket
import time
import uuid
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

from core.errors import CancelledError, LimitReachedError, PausedError
from core.files import write_atomic
from core.locks import is_alive, this_process
from core.training.interrupts import Interrupted
from harness.records.control import take_back
from harness.records.folders import RunFolder
from harness.records.journals import LineJournal
from harness.records.processes import Session
from harness.records.progress import read_progress


class End(StrEnum):
    """How a process ended."""

    FINISHED = "finished"
    FAILED = "failed"
    STOPPED = "stopped"
    """By a signal, after a checkpoint."""
    PAUSED = "paused"
    """By another terminal, after a checkpoint."""
    CANCELLED = "cancelled"
    """Likewise, for good."""
    KILLED = "killed"
    """Without a word: a kill, a lost machine, a power cut."""


def new_session(
    *,
    command: str,
    device: str | None = None,
    price_per_hour: float | None = None,
) -> Session:
    """A session of this process that begins now."""
    process = this_process()
    return Session(
        session=uuid.uuid4().hex[:12],
        started_at=utc(),
        host=process["host"],
        pid=process["pid"],
        process_started=process["started"],
        command=command,
        device=device,
        price_per_hour=price_per_hour,
    )


class SessionJournal(LineJournal):
    """A line when a process begins, one when it ends; both are of one session."""

    def begin(self, session: Session) -> None:
        """Note a start; it is on disk when this returns."""
        self._append({"begun": session.model_dump(mode="json", exclude_defaults=True)})

    def end(self, session: Session) -> None:
        """Note the end of a session that was begun."""
        ended = session.model_dump(
            mode="json", include={"session", "ended_at", "how", "seconds", "parts", "step", "error"}
        )
        self._append({"ended": ended})

    def carry_out(self, command: str) -> bool:
        """Say of every session that it carried out this command; whether one said another.

        For a run that a node made under a command with paths of its own, and that has ended there.
        """
        lines = list(self._lines())
        begun = [line["begun"] for line in lines if isinstance(line.get("begun"), dict)]
        if all(session.get("command") == command for session in begun):
            return False
        for session in begun:
            session["command"] = command
        write_atomic(self._path, content="".join(json.dumps(x) + "\n" for x in lines).encode())
        return True

    @property
    def sessions(self) -> list[Session]:
        """Every session, by its start; a line that cannot be read is left out."""
        found: dict[str, dict[str, Any]] = {}
        ends: list[dict[str, Any]] = []
        for line in self._lines():
            if isinstance(begun := line.get("begun"), dict):
                found.setdefault(str(begun.get("session")), begun)
            if isinstance(ended := line.get("ended"), dict):
                ends.append(ended)
        for ended in ends:
            begun = found.get(str(ended.get("session")), {})
            if begun.get("how") is None:  # the first word on it counts
                begun |= ended
        return sorted(_valid(found.values()), key=lambda session: session.started_at)

    def _lines(self) -> Iterable[dict[str, Any]]:
        try:
            content = self._path.read_bytes()
        except OSError:
            return
        for line in content.split(b"\n"):
            try:
                value = json.loads(line)
            except (ValueError, RecursionError):
                continue  # half a line, left by a kill
            if isinstance(value, dict):
                yield value


def _valid(contents: Iterable[Mapping[str, Any]]) -> Iterable[Session]:
    for content in contents:
        try:
            yield Session.model_validate(content)
        except ValueError:
            continue


def end_of(error: BaseException) -> End:
    """How a process ended that this error ends."""
    if isinstance(error, PausedError):
        return End.PAUSED
    if isinstance(error, CancelledError):
        return End.CANCELLED
    is_stopped = isinstance(error, Interrupted | LimitReachedError | SystemExit | KeyboardInterrupt)
    return End.STOPPED if is_stopped else End.FAILED


@contextmanager
def attending(path: Path, *, command: str) -> Iterator[None]:
    """Keep in the journal at `path` that this process works on a comparison or a sweep.

    Others may do so at the same time; of those of this machine, the ends of the lost ones are
    noted first.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    journal = SessionJournal(path)
    for lost in journal.sessions:
        if lost.how is None and lost.host == socket.gethostname() and not is_going(lost):
            journal.end(lost.model_copy(update={"how": End.KILLED.value}))
    session, started = new_session(command=command), time.monotonic()
    journal.begin(session)
    how, told = End.FAILED, None
    take_back(path.parent)
    try:
        yield
        how = End.FINISHED
    except BaseException as error:
        how = end_of(error)
        told = str(error) or type(error).__name__ if how is End.FAILED else None
        raise
    finally:
        seconds = round(time.monotonic() - started, 3)
        journal.end(
            session.model_copy(
                update={
                    "ended_at": utc(),
                    "how": how.value,
                    "seconds": seconds,
                    "error": told,
                }
            )
        )


def is_going(session: Session) -> bool:
    """Whether a session of this machine has no end yet and its process is there."""
    return session.how is None and is_alive(
        {"host": session.host, "pid": session.pid, "started": session.process_started}
    )


def close_lost(folder: Path) -> None:
    """Note the end of every session of a run that ended without a word.

    For whoever holds the run: nobody else is at work on it. A lost process ended, as far as is
    known, when it last told how far it was.
    """
    files = RunFolder(folder)
    journal = SessionJournal(files.sessions)
    for session in journal.sessions:
        if session.how is not None:
            continue
        progress = read_progress(files.progress)
        start = datetime.fromisoformat(session.started_at)
        end, parts, step = start, {}, None
        if progress is not None and progress.session == session.session:
            end = datetime.fromtimestamp(max(progress.at, start.timestamp()), tz=UTC)
            parts, step = progress.parts, progress.global_step
        journal.end(
            session.model_copy(
                update={
                    "ended_at": utc(end),
                    "how": End.KILLED.value,
                    "seconds": (end - start).total_seconds(),
                    "parts": parts,
                    "step": step,
                }
            )
        )


def utc(at: datetime | None = None) -> str:
    """A time in UTC to the millisecond, ISO 8601; now without one."""
    return (at or datetime.now(UTC)).isoformat(timespec="milliseconds")
