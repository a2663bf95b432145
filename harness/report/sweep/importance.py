"""How much each parameter matters, by Optuna's PED-ANOVA over the trials of the record.

Watanabe, Bansal, Hutter 2023 (arXiv 2304.10255). The evaluator is named here, so that a new
default of Optuna's does not change what a page says.
"""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from harness.report.sweep.facts import SweepFacts
from harness.sweep.record import BranchSweep, Dimension, TrialRecord
from harness.wording.numbers import count, listed, metric_label

EVALUATOR = "PedAnovaImportanceEvaluator"
MIN_TRIALS = 10
"""Complete trials. The evaluator looks at the best tenth: below ten that is less than one."""


@dataclass(frozen=True)
class Importances:
    """Shares that sum to 1, or why there are none."""

    shares: dict[str, float] = field(default_factory=dict)
    """By parameter."""
    num_trials: int = 0
    """Complete trials they rest on."""
    left_out: tuple[str, ...] = ()
    """Sentences: parameters that have none, and why."""
    reason: str = ""
    """Why there are none at all."""


def parameter_importances(facts: SweepFacts, branch: BranchSweep) -> Importances:
    """Importances for the metric that decides, of parameters that every trial has."""
    complete = facts.complete(branch)
    drawn = [trial for trial in complete if not trial.is_default] or complete
    always: list[Dimension] = []
    conditional: list[Dimension] = []
    for dimension in branch.space:
        has_all = all(dimension.name in trial.params for trial in drawn)
        (always if has_all else conditional).append(dimension)
    left_out = []
    if conditional:
        left_out.append(
            f"Conditional, drawn in only some trials, so their shares are not comparable: "
            f"{listed(d.name for d in conditional)}."
        )
    usable = [t for t in complete if all(_lies_in(d, t.params.get(d.name)) for d in always)]
    if len(usable) < MIN_TRIALS:
        return Importances(
            reason=f"{count(len(usable), 'complete trial')} with every parameter; importances "
            f"need at least {MIN_TRIALS}, and are rough below 50"
        )
    if not always:
        return Importances(reason="no parameter was drawn in every trial")
    if len({facts.value(trial) for trial in usable}) == 1:
        return Importances(
            reason=f"all complete trials have the same {metric_label(facts.metric.name)}"
        )
    shares = _evaluated(facts, usable, always)
    if not math.isclose(sum(shares.values()), 1.0, rel_tol=1e-6):
        return Importances(reason="the evaluator finds no parameter that matters")
    return Importances(shares, len(usable), tuple(left_out))


def _lies_in(dimension: Dimension, value: Any) -> bool:
    """Whether the space can hold the value; a default need not."""
    if dimension.kind == "categorical":
        return _key(value) in [_key(choice) for choice in dimension.choices]
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    if dimension.low is None or dimension.high is None or not math.isfinite(value):
        return False
    return dimension.low <= value <= dimension.high


def _key(value: Any) -> str:
    return json.dumps(value, sort_keys=True)


def _evaluated(
    facts: SweepFacts, trials: Sequence[TrialRecord], space: Sequence[Dimension]
) -> dict[str, float]:
    import optuna
    from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances

    distributions = {dimension.name: _distribution(dimension) for dimension in space}
    loudness = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)  # or each study is announced
    try:
        study = optuna.create_study(
            direction="maximize" if facts.metric.is_higher_better else "minimize",
            storage=optuna.storages.InMemoryStorage(),
        )
    finally:
        optuna.logging.set_verbosity(loudness)
    for trial in trials:
        study.add_trial(
            optuna.trial.create_trial(
                value=facts.value(trial),
                params={d.name: _drawn(d, trial.params[d.name]) for d in space},
                distributions=distributions,
            )
        )
    shares = get_param_importances(study, evaluator=PedAnovaImportanceEvaluator())
    return {name: float(share) for name, share in shares.items()}


def _drawn(dimension: Dimension, value: Any) -> Any:
    if dimension.kind == "categorical":
        return _key(value)
    return int(value) if dimension.kind == "int" else float(value)


def _distribution(dimension: Dimension) -> Any:
    from optuna.distributions import (
        CategoricalDistribution,
        FloatDistribution,
        IntDistribution,
    )

    if dimension.kind == "categorical":
        return CategoricalDistribution([_key(choice) for choice in dimension.choices])
    if dimension.low is None or dimension.high is None:
        raise ValueError(f"{dimension.name} has no ends; expected low and high of a number")
    if dimension.kind == "int":
        return IntDistribution(int(dimension.low), int(dimension.high), log=dimension.is_log)
    return FloatDistribution(dimension.low, dimension.high, log=dimension.is_log)
