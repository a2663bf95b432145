"""What a run has found out so far; the record of a failed run tells of it too."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field


@dataclass
class Findings:
    """Filled while the phases of a run go by."""

    seconds: dict[str, float] = field(default_factory=dict)
    """By phase."""
    guards: list[str] = field(default_factory=list)
    """Checks passed."""
    notices: list[str] = field(default_factory=list)
    """What went wrong and was repaired, or was left out."""
    parameters: dict[str, int] = field(default_factory=dict)
    """Trainable parameters by group."""

    @contextmanager
    def timed(self, phase: str) -> Iterator[None]:
        """Leave the seconds of a phase, also when it fails."""
        started = time.monotonic()
        try:
            yield
        finally:
            self.seconds[phase] = time.monotonic() - started
