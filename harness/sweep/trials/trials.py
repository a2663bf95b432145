"""Optuna's trials in the words of a sweep's record."""

import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.exceptions import ExperimentalWarning
from optuna.trial import FrozenTrial
from optuna.trial import TrialState as OptunaState

from harness.sweep.record import COSTS, Dimension, Metric, TrialRecord, TrialState

# User attributes of a trial that this package writes; those of `BranchStudy.note` lie beside them.
IS_DEFAULT = "is_default"
PLACE = "place"  # which of the asked trials it is; a retry keeps it. Written last by a claim
RELEASES = "releases"  # how often a process that was stopped gave it back
ERROR = "error"  # why it failed by its own fault
RETRY_HISTORY = "retry_history"  # a system attribute of Optuna's retry callback

_STATES = {
    OptunaState.WAITING: TrialState.WAITING,
    OptunaState.RUNNING: TrialState.RUNNING,
    OptunaState.COMPLETE: TrialState.COMPLETE,
    OptunaState.PRUNED: TrialState.PRUNED,
}


@contextmanager
def experiments_accepted() -> Iterator[None]:
    """Without Optuna's word that heartbeats, their retries and grouped sampling may change.

    Nor that heartbeats are meant for `study.optimize`: `keep_alive` beats in its stead.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=ExperimentalWarning)
        warnings.filterwarnings("ignore", message="Heartbeat of storage is supposed")
        yield


def state_of(trial: FrozenTrial) -> TrialState:
    """How far a trial is; one that failed without an error of its own is lost."""
    if trial.state is OptunaState.FAIL:
        return TrialState.FAILED if ERROR in trial.user_attrs else TrialState.LOST
    return _STATES[trial.state]


def retry_of(trial: FrozenTrial) -> int | None:
    """The trial that it stands in for."""
    history = trial.system_attrs.get(RETRY_HISTORY)
    return int(history[-1]) if history else None


def loss_sign(metrics: Sequence[Metric]) -> int:
    """What a loss is multiplied with so that the study's direction is the better one."""
    return -1 if len(metrics) == 1 and metrics[0].is_higher_better else 1


def may_prune(metrics: Sequence[Metric]) -> bool:
    """Whether a high validation loss may end a trial early.

    Not where several metrics are traded, nor where a cost is searched for: what is cheap would end
    for being worse, and never be found.
    """
    return len(metrics) == 1 and metrics[0].name not in COSTS


def record_of(trial: FrozenTrial, *, metrics: Sequence[Metric]) -> TrialRecord:
    """A trial for `sweep.json`."""
    sign = loss_sign(metrics)
    attrs = trial.user_attrs
    is_complete = trial.state is OptunaState.COMPLETE
    return TrialRecord(
        number=trial.number,
        state=state_of(trial),
        is_default=bool(attrs.get(IS_DEFAULT)),
        params=dict(trial.params),
        values=(
            {m.name: v for m, v in zip(metrics, trial.values, strict=True)} if is_complete else {}
        ),
        validation_losses=[
            (step, sign * loss) for step, loss in sorted(trial.intermediate_values.items())
        ],
        stage_ends=attrs.get("stage_ends", {}),
        run_id=attrs.get("run_id"),
        steps=attrs.get("steps", 0),
        seconds=attrs.get("seconds"),
        device_seconds=attrs.get("device_seconds"),
        retry_of=retry_of(trial),
        error=attrs.get(ERROR),
        started_at=_utc(trial.datetime_start),
        finished_at=_utc(trial.datetime_complete),
    )


def _utc(local: datetime | None) -> str | None:
    """Optuna's times are local ones without a zone."""
    return None if local is None else local.astimezone(UTC).isoformat(timespec="seconds")


def space_of(trials: Iterable[FrozenTrial]) -> list[Dimension]:
    """Every parameter that any trial drew, in the order in which they first appeared."""
    found: dict[str, BaseDistribution] = {}
    for trial in trials:
        for name, distribution in trial.distributions.items():
            found.setdefault(name, distribution)
    return [_dimension(name, distribution) for name, distribution in found.items()]


def _dimension(name: str, distribution: BaseDistribution) -> Dimension:
    if isinstance(distribution, CategoricalDistribution):
        return Dimension(name=name, kind="categorical", choices=list(distribution.choices))
    if isinstance(distribution, IntDistribution | FloatDistribution):
        return Dimension(
            name=name,
            kind="int" if isinstance(distribution, IntDistribution) else "float",
            low=distribution.low,
            high=distribution.high,
            is_log=distribution.log,
        )
    raise TypeError(f"parameter {name!r} has an unknown distribution {distribution}")
