"""Runs of a comparison that failed before they ended as they did."""

from collections.abc import Sequence

from harness.records.failures import FAILURES, times
from harness.records.record import RunRecord


def earlier_failures_sentence(records: Sequence[RunRecord]) -> str:
    """Which runs failed before and how often; blank where none did."""
    told = ", ".join(
        f"{record.run_id} {times(record.num_earlier_failures)}"
        for record in records
        if record.num_earlier_failures
    )
    if not told:
        return ""
    return (
        f"Runs failed before and were made again ({told}; {FAILURES} in a run's folder says why): "
        "where a failure is chance, such as a loss that was no number, what finished is a choice "
        "among several tries."
    )
