"""Which sweep a user's words name."""

from pathlib import Path

from harness.records.named_folder import named_folder
from harness.sweep.record import SWEEP

FOLDER = "sweeps"
"""Of a results folder."""


def sweep_folder(name: str, *, results: Path) -> Path | None:
    """The folder of a sweep: its path, that of its `sweep.json`, or the start of its name.

    None for what is no sweep.

    Raises:
        UsageError: the start of several names.
    """
    return named_folder(name, file=SWEEP, parent=results / FOLDER, kind="sweeps")
