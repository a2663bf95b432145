"""One thing that was looked at."""

from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any


class State(StrEnum):
    """What it means for a run."""

    GOOD = "good"
    NOTE = "note"  # worth knowing; runs go through
    BAD = "bad"  # prevents a run


@dataclass(frozen=True)
class Finding:
    """What was found, and what to do."""

    name: str
    """What was looked at."""
    state: State
    """What it means for a run."""
    sentence: str
    """What was found; where it is bad, what is wrong."""
    command: str | None = None
    """What mends it; None where nothing has to or one command cannot."""

    def data(self) -> dict[str, Any]:
        """For scripts."""
        return asdict(self)


def good(name: str, sentence: str) -> Finding:
    """Nothing to do."""
    return Finding(name, State.GOOD, sentence)


def note(name: str, sentence: str, command: str | None = None) -> Finding:
    """Worth knowing."""
    return Finding(name, State.NOTE, sentence, command)


def bad(name: str, sentence: str, command: str | None = None) -> Finding:
    """Prevents a run."""
    return Finding(name, State.BAD, sentence, command)
