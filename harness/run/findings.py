"""What a run has found out so far; the record of a failed run tells of it too."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from core.conditioning.variant import Variant
from core.training import ledger
from core.training.ledger import Ledger
from core.training.results import NOTHING_TO_TRAIN, TrainingResult

_PARTS = {
    "verify": ledger.PREPARE,
    "build": ledger.PREPARE,
    "features": ledger.FEATURES,
    "train": ledger.PREPARE,
    "validate": ledger.VALIDATION,
    "sample": ledger.SAMPLING,
    "score": ledger.SCORING,
}
"""To what a phase's time is booked where nothing inside it says otherwise."""


@dataclass
class Findings:
    """Filled while the phases of a run go by."""

    ledger: Ledger = field(default_factory=Ledger)
    """To which the seconds are booked."""
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
            with self.ledger.spending(_PARTS[phase]):
                yield
        finally:
            self.seconds[phase] = time.monotonic() - started


def variant_notices(variant: Variant) -> list[str]:
    """What a reader must know of what the variant declares."""
    if variant.hears_loudness:
        return []
    return [
        f"variant '{variant.name}' declares hears_loudness = False, so whether a quieter sound "
        "changes its tokens was not checked"
    ]


def stage_notices(result: TrainingResult, *, variant: str) -> list[str]:
    """What a reader must know of the stages: left out, or not all of it applied or moved."""
    notices: list[str] = []
    notices += [
        f"{stage.stage}: variant '{variant}' has nothing to train in it, "
        f"so its {stage.steps_planned} steps were left out"
        for stage in result.stages
        if stage.stopped_by == NOTHING_TO_TRAIN
    ]
    notices += [
        f"{stage.stage}: {stage.skipped_steps} of {stage.steps_done} steps overflowed in "
        "float16 and were not applied"
        for stage in result.stages
        if stage.skipped_steps
    ]
    notices += [
        f"{stage.stage}: {stage.steps_done} steps, warm-up included, are too few to tell "
        f"whether all of it trains: {stage.unmoved} parameters have not moved yet"
        for stage in result.stages
        if stage.unmoved
    ]
    notices += [
        f"{stage.stage}: {', '.join(stage.loss_only)} learn by the variant's own terms alone, as "
        "it says: they shape no image"
        for stage in result.stages
        if stage.loss_only
    ]
    return notices
