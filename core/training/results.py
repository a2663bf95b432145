"""What training tells while it runs, and what it leaves for the record."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from core.conditioning.stage import StopCriterion

NOTHING_TO_TRAIN = "nothing_to_train"
"""What "stopped" a stage that trains nothing of this variant: stage 3 without gates."""


@dataclass(frozen=True, kw_only=True)
class StepReport:
    """One optimiser step, for the event log and the progress display."""

    stage: str
    step: int
    stage_steps: int
    global_step: int
    total_steps: int
    loss: float
    losses: Mapping[str, float]
    grad_norm: float | None
    lr: float
    gates: Mapping[str, float]
    validation_loss: float | None


@dataclass
class StageResult:
    """What a finished stage leaves for the record."""

    stage: str
    steps_planned: int
    steps_done: int
    seconds: float = 0.0
    device_seconds: float = 0.0
    """By the clock that `train` was given, over all processes that worked on the stage; steps that
    a kill without a checkpoint undid are counted once, when they are made again."""
    samples_seen: int = 0
    last_loss: float | None = None
    validation_loss: float | None = None
    kept_step: int | None = None
    trainable_parameters: int = 0
    stopped_by: str = StopCriterion.STEPS
    gates: dict[str, float] = field(default_factory=dict)
    skipped_steps: int = 0
    """Steps of float16 that overflowed and were not applied."""
    is_recorded: bool = False
    """Whether its steps were replayed from a CUDA graph."""
    unmoved: int = 0
    """Parameters that had not moved at the end of a stage too short to judge them by that."""
    loss_only: Sequence[str] | None = None
    """Parameters that the variant's own terms alone trained, as it says; None: not looked at."""


@dataclass(frozen=True)
class TrainingResult:
    """All stages and the guards that watched them."""

    stages: tuple[StageResult, ...]
    guards_passed: tuple[str, ...]
    resumed_from: int | None
