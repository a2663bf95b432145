"""The parts of a run's record: plain dicts, whose keys are checked when a record is made or read.

Keys stand in the order in which a run writes them. One that may be absent came to the format
later, or a run leaves it out; whoever reads it must do without.
"""

from typing import Annotated, Any, NotRequired

from pydantic import ConfigDict, GetPydanticSchema, with_config

# Pydantic takes that of `typing` from Python 3.12 on.
from typing_extensions import TypedDict

_WHOLE = ConfigDict(extra="forbid")


@with_config(_WHOLE)
class _SplitFacts(TypedDict):
    """What a run's split was made of."""

    lock: str
    """Path of the lock file, from where the run was started."""
    hash: str
    """Hash of the split."""
    notices: NotRequired[list[str]]
    """What was noted when it was made."""
    counts: dict[str, dict[str, int]]
    """Clips by class, then by part."""
    class_weights: NotRequired[dict[str, float]]
    """Weight of each class in the training loss."""
    class_weighting: NotRequired[dict[str, Any]]
    """How these came about, as `core.data.splits.weights.ClassWeights.data` has it."""
    excluded: dict[str, int]
    """Items left out, by reason."""
    num_input: int | None
    """Items seen; None for a split that was given as a lock file."""


@with_config(_WHOLE)
class _StageFacts(TypedDict):
    """One finished stage, as `core.training.results.StageResult` has it."""

    stage: str
    """Its name."""
    steps_planned: int
    """Optimiser steps it was given."""
    steps_done: int
    """Optimiser steps it took."""
    seconds: float
    """By the clock on the wall."""
    device_seconds: NotRequired[float]
    """By the clock of the device."""
    samples_seen: int
    """Training samples, repeats included."""
    last_loss: float | None
    """Training loss of the last step; None where nothing was trained."""
    validation_loss: float | None
    """The last one that was measured; None where none was."""
    kept_step: int | None
    """Step whose weights were kept."""
    trainable_parameters: int
    """Parameters that the stage trained."""
    stopped_by: str
    """What ended it."""
    gates: dict[str, float]
    """Value of each gate at its end."""


@with_config(_WHOLE)
class _MetricScore(TypedDict):
    """One number of one arm, as `harness.metrics.values.MetricValue` describes it."""

    metric: str
    arm: str
    value: float | None
    n: int
    higher_is_better: bool
    extractor: str | None
    extractor_hash: str | None
    split_hash: NotRequired[str | None]
    standard_error: NotRequired[float | None]
    chance: NotRequired[float | None]
    is_rankable: NotRequired[bool]
    caution: NotRequired[str | None]
    reason: NotRequired[str | None]


@with_config(_WHOLE)
class _Margin(TypedDict):
    """A paired margin, as `harness.metrics.controls.ListeningMargin` describes it."""

    metric: str
    control: str
    n: int
    mean: float | None
    sd: float | None
    z: float | None
    low: float | None
    high: float | None


@with_config(_WHOLE)
class _Cost(TypedDict, total=False):
    """What a run took; a record says as much of it as was noted."""

    seconds: dict[str, float]
    """By phase, of the last process on it."""
    peak_memory_bytes: int | None
    """Most memory held; None where it was not measured."""
    train_device_seconds: float | None
    """Device seconds of training over all processes; None before it ended."""
    device: str
    """Kind of device."""
    resumed_from_step: int | None
    """Step from which the last process went on; None without an interruption."""
    dollars: float | None
    """What it cost, where somebody noted a price."""


# Readers take them for the dicts they are: most ask for a score that may not be there.
SplitFacts = Annotated[dict[str, Any], GetPydanticSchema(lambda _, schema: schema(_SplitFacts))]
StageFacts = Annotated[dict[str, Any], GetPydanticSchema(lambda _, schema: schema(_StageFacts))]
MetricScore = Annotated[dict[str, Any], GetPydanticSchema(lambda _, schema: schema(_MetricScore))]
Margin = Annotated[dict[str, Any], GetPydanticSchema(lambda _, schema: schema(_Margin))]
Cost = Annotated[dict[str, Any], GetPydanticSchema(lambda _, schema: schema(_Cost))]
