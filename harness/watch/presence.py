"""Whether a process is at work, and how that is known."""

import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from core.locks import is_alive, read_process
from harness.records.folders import RunFolder
from harness.records.processes import Session
from harness.records.sessions import is_going
from harness.watch.state import State
from harness.wording.numbers import duration

SILENT_AFTER_S = 120.0
"""A process tells every five seconds that it is there; a shared folder can be late by a minute."""
STUCK_AFTER_S = 600.0


@dataclass(frozen=True)
class Presence:
    """Who has a run, a comparison or a sweep."""

    state: State
    """RUNNING, SILENT or INTERRUPTED."""
    note: str = ""
    """How that is known, where it is not by the process itself."""
    host: str | None = None


def age_s(*paths: Path) -> float | None:
    """Seconds since the newest of the files changed; None where none is there."""
    times = []
    for path in paths:
        try:
            times.append(path.stat().st_mtime)
        except OSError:
            continue
    return max(0.0, time.time() - max(times)) if times else None


def presence_of_run(folder: Path) -> Presence:
    """Who holds the run in a folder."""
    files = RunFolder(folder)
    holder = read_process(files.holder)
    if holder is None:
        return Presence(State.INTERRUPTED)
    host = str(holder["host"])
    if host == socket.gethostname():
        if is_alive(holder):
            return Presence(State.RUNNING, host=host)
        return Presence(State.INTERRUPTED, "its process ended without a word", host)
    return _elsewhere(host, age_s(files.progress, files.events, files.holder))


def presence_of_sessions(sessions: Sequence[Session], *, signs: Sequence[Path]) -> Presence:
    """Who works on a comparison or a sweep.

    signs: files that change while somebody does.
    """
    for session in sessions:
        if is_going(session):
            return Presence(State.RUNNING, host=session.host)
    for session in sessions:
        if session.how is None and session.host != socket.gethostname():
            return _elsewhere(session.host, age_s(*signs))
    if sessions and sessions[-1].how is None:
        return Presence(State.INTERRUPTED, "its process ended without a word", sessions[-1].host)
    return Presence(State.INTERRUPTED)


def _elsewhere(host: str, age: float | None) -> Presence:
    """A process of another machine, judged by its files alone."""
    if age is None:
        return Presence(State.SILENT, f"on {host}, which has left no sign of life", host)
    if age <= SILENT_AFTER_S:
        note = f"on {host}, judged by its files: the last sign was {duration(age)} ago"
        return Presence(State.RUNNING, note, host)
    note = (
        f"no sign of {host} for {duration(age)}: it is gone, stuck, or the folder is not "
        "refreshed; look there before the run is started again"
    )
    return Presence(State.SILENT, note, host)
