"""What another terminal asks of a run, a comparison or a sweep: a file in its folder."""

import json
import time
from enum import StrEnum
from pathlib import Path

from core.errors import CancelledError, HarnessError, PausedError
from core.files import write_atomic
from harness.records.folders import CONTROL

_LOOK_EVERY_S = 0.5


class Verb(StrEnum):
    """What can be asked."""

    PAUSE = "pause"
    """End after a checkpoint, to be gone on with."""
    CANCEL = "cancel"
    """End after a checkpoint, and count as failed."""


def ask(folder: Path, verb: Verb) -> None:
    """Ask whoever works in a folder; it looks between two steps, and about once a second."""
    write_atomic(folder / CONTROL, content=(json.dumps({"verb": verb.value}) + "\n").encode())


def take_back(folder: Path) -> bool:
    """Ask nothing any more; whether something was asked."""
    try:
        (folder / CONTROL).unlink()
    except FileNotFoundError:
        return False
    return True


def asked(folder: Path) -> Verb | None:
    """What is asked of whoever works in a folder; a file that cannot be read asks nothing."""
    try:
        return Verb(json.loads((folder / CONTROL).read_bytes())["verb"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


class Asked:
    """Looks now and then whether something is asked."""

    def __init__(self, folder: Path, *, name: str) -> None:
        """name: of the run, comparison or sweep, for the sentence."""
        self._folder = folder
        self._name = name
        self._looked_at = 0.0

    def look(self) -> HarnessError | None:
        """The error to end with, after a checkpoint; None where nothing is asked."""
        now = time.monotonic()
        if now - self._looked_at < _LOOK_EVERY_S:
            return None
        self._looked_at = now
        verb = asked(self._folder)
        if verb is None:
            return None
        if verb is Verb.PAUSE:
            return PausedError(
                f"{self._name} was paused from another terminal, after a checkpoint; `harness ctl "
                f"{self._name} resume` or the same command goes on with it"
            )
        return CancelledError(
            f"{self._name} was cancelled from another terminal, after a checkpoint; the same "
            "command goes on with it"
        )
