"""Gives a command while its runs are kept in a store, from which another machine goes on."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from core.errors import StorageAwayError
from harness.executors.store.store import RunStore
from harness.records.folders import ResultsFolder

_POLL_S = 0.2
_PUSH_EVERY_S = 3.0


def keep(words: Sequence[str], *, store: str, results: Path) -> int:
    """Fetch the runs that are kept, give `harness WORDS`, and keep them while it works.

    A signal reaches the command, which ends after a checkpoint; that is kept before this returns.
    A store that cannot be reached meanwhile is tried again; at the end it is waited for.

    Returns the command's exit code.
    Raises: StorageAwayError where the store cannot be reached before the command, or after it.
    """
    kept = RunStore(store)
    kept.check()
    for place in kept.runs():
        kept.pull(results / place)
    command = [sys.executable, "-m", "harness", *words]
    with _forwarding() as attach:
        process = subprocess.Popen(command)
        attach(process)
        due = time.monotonic() + _PUSH_EVERY_S
        while process.poll() is None:
            time.sleep(_POLL_S)
            if time.monotonic() >= due:
                _push_all(kept, results)
                due = time.monotonic() + _PUSH_EVERY_S
        _push_all(kept, results, must=True)
    code = process.returncode
    return 128 - code if code < 0 else code


def _push_all(store: RunStore, results: Path, *, must: bool = False) -> None:
    found = ResultsFolder(results)
    for parent in (found.runs, found.validation):
        for folder in sorted(parent.iterdir()) if parent.is_dir() else ():
            if not folder.is_dir() or folder.name.startswith("."):
                continue
            try:
                store.push(folder)
            except StorageAwayError:
                if must:
                    raise


@contextmanager
def _forwarding() -> Iterator[Callable[[subprocess.Popen[bytes]], None]]:
    """While entered, hands signals on to the process that is attached, instead of dying of them."""
    target: list[subprocess.Popen[bytes]] = []

    def hand_on(number: int, frame: FrameType | None) -> None:
        for process in target:
            if process.poll() is None:
                os.kill(process.pid, number)

    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    previous = {number: signal.signal(number, hand_on) for number in numbers}
    try:
        yield target.append
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
