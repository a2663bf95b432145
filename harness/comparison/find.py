"""Which comparison a user's words name."""

from pathlib import Path

from harness.comparison.record import COMPARISON
from harness.records.named_folder import named_folder


def comparison_folder(name: str, *, results: Path) -> Path | None:
    """The folder of a comparison: its path, that of `comparison.json`, or the start of its name.

    None for what is no comparison.

    Raises:
        UsageError: the start of several names.
    """
    return named_folder(name, file=COMPARISON, parent=results / "reports", kind="comparisons")
