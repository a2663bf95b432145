"""Runs of a comparison that failed before they ended as they did."""

from collections.abc import Sequence

from harness.records.folders import FAILURES
from harness.records.record import RunRecord
from harness.wording.numbers import count


def earlier_failures_sentence(records: Sequence[RunRecord]) -> str:
    """Which runs failed before and how often; blank where none did."""
    shown = ", ".join(
        f"{record.run_id} {count(record.num_earlier_failures, 'time')}"
        for record in records
        if record.num_earlier_failures
    )
    if not shown:
        return ""
    return (
        f"Runs failed before and were made again ({shown}; {FAILURES} in a run's folder says why): "
        "if such failures are due to chance, such as a loss that is not a number, the finished "
        "runs are a selection among several tries."
    )
