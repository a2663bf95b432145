"""How often a run has read the test split, counted over all processes that worked on it."""

from pathlib import Path

from harness.records.line_journal import LineJournal

OPENINGS = "test_openings.jsonl"


class OpeningJournal(LineJournal):
    """A line for each opening, written before the clips are read, so that a kill loses none."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder / OPENINGS)

    def note(self, at: str) -> None:
        """Count one more opening; it is on disk when this returns."""
        self._append({"at": at})
