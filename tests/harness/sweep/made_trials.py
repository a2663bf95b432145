"""Trials as worker processes make and read them."""

from harness.sweep.record import TrialRecord
from tests.harness.sweep import worker


def read(url: str) -> list[TrialRecord]:
    """What a newcomer reads."""
    with worker.open_storage(url) as storage:
        return list(worker.open_study(storage).records())
