"""What a sweep can search for, and its value in a trial's record."""

import math
from collections.abc import Sequence

from core.errors import UsageError, suggestion
from harness.metrics.decidable import rank_caution
from harness.metrics.fit import VALIDATION_LOSS
from harness.metrics.registry import known_metrics
from harness.metrics.registry import metric as declared
from harness.records.record import RunRecord
from harness.records.score_kind import Score
from harness.sweep.record import COSTS, GPU_SECONDS, TRAINABLE_PARAMETERS, Metric

_OF_TRAINING = (VALIDATION_LOSS, *COSTS)


def parse_metrics(text: str) -> list[Metric]:
    """The metrics of a comma-separated list, the deciding one first.

    Raises:
        UsageError: none, one named twice, or one that nothing computes.
    """
    names = [word.strip() for word in text.split(",") if word.strip()]
    if not names:
        raise UsageError(f"--metric is empty; choose from {', '.join(_known())}")
    doubled = sorted({name for name in names if names.count(name) > 1})
    if doubled:
        raise UsageError(f"{', '.join(doubled)} is named twice in --metric")
    return [_metric(name) for name in names]


def score_for(metrics: Sequence[Metric]) -> Score:
    """What trials have to compute: images only where a metric is read from them."""
    is_of_training = all(metric.name in _OF_TRAINING for metric in metrics)
    return Score.LOSS if is_of_training else Score.VALIDATION


def require_rankable(metrics: Sequence[Metric], *, num_validation: int) -> None:
    """Raises: UsageError for a metric that ranks nothing at this many validation images."""
    for metric in metrics:
        if metric.name in _OF_TRAINING:
            continue
        caution = rank_caution(declared(metric.name), n=num_validation)
        if caution is not None:
            raise UsageError(f"{caution}; choose another metric, such as kid")


def objective_values(record: RunRecord, metrics: Sequence[Metric]) -> dict[str, float]:
    """The value of each metric in a finished trial's record.

    Raises:
        ValueError: one is blank; says why.
    """
    return {metric.name: _value(record, metric.name) for metric in metrics}


def _value(record: RunRecord, name: str) -> float:
    if name == GPU_SECONDS:
        value = record.cost.train_device_seconds
        reason = "the record holds no device seconds"
    elif name == TRAINABLE_PARAMETERS:
        return float(sum(record.parameters.values()))
    else:
        value, reason = record.value(name), "it was not computed"
        if name in record.metrics:
            reason = record.metrics[name].reason or reason
    if value is None or not math.isfinite(value):
        raise ValueError(f"{name} is blank: {reason}")
    return value


def _metric(name: str) -> Metric:
    if name in _OF_TRAINING:
        return Metric(name=name, is_higher_better=False)
    if name not in known_metrics():
        known = _known()
        raise UsageError(
            f"no metric named '{name}' to search for; known: {', '.join(known)}"
            f"{suggestion(name, known)}"
        )
    return Metric(name=name, is_higher_better=declared(name).higher_is_better)


def _known() -> list[str]:
    return [*_OF_TRAINING, *sorted(known_metrics())]
