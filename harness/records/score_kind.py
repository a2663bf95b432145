"""Which clips a run is scored on, and how much of a score it gets."""

from enum import StrEnum

from harness.records.folders import RUNS, VALIDATION


class Score(StrEnum):
    """What follows training. Only `TEST` reads the test clips, so only it may be compared."""

    TEST = "test"  # every arm, generated for the test clips and scored on them
    VALIDATION = "validation"  # the matching sound for the validation clips, and their loss
    LOSS = "loss"  # the validation loss of the finished model; nothing is generated

    @property
    def folder(self) -> str:
        """Folder of such runs below the results."""
        return RUNS if self is Score.TEST else VALIDATION
