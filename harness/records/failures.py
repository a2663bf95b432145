"""How often a run has failed, counted over all tries: a later one overwrites a failed record."""

from pathlib import Path

from harness.records.line_journal import LineJournal

FAILURES = "failures.jsonl"


def times(num_failures: int) -> str:
    """`1 time`, `2 times`."""
    return f"{num_failures} {'time' if num_failures == 1 else 'times'}"


class FailureJournal(LineJournal):
    """A line for each failure, written before the record that tells of it."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder / FAILURES)

    def note(self, at: str, *, error: str) -> None:
        """Count one more failure; it is on disk when this returns."""
        self._append({"at": at, "error": error})
