"""Equal budgets that are not equal steps: what a step costs, and how many steps that leaves.

A budget speaks of training: the optimiser steps of all stages. Reading features, validation,
sampling and scoring are the same work for every branch and stand outside it.
"""

import math
from collections.abc import Mapping

from core.choices import BudgetKind
from core.conditioning.stage import STAGE_GROUPS
from core.errors import UsageError
from harness.settings.profile import Profile

STAGES = tuple(f"stage{number}" for number in range(1, len(STAGE_GROUPS) + 1))


def schedule_of(profile: Profile) -> dict[str, int]:
    """Optimiser steps of each stage."""
    return {name: getattr(profile, name).steps for name in STAGES}


def schedule_cost(schedule: Mapping[str, int], step_cost: Mapping[str, float]) -> float:
    """What the steps of a schedule cost together."""
    return math.fsum(steps * step_cost.get(name, 0.0) for name, steps in schedule.items())


def scaled_schedule(
    schedule: Mapping[str, int], *, step_cost: Mapping[str, float], amount: float
) -> dict[str, int]:
    """The schedule with every stage longer or shorter by one factor, so that it costs `amount`.

    Rounded down, stage by stage: what is left is less than one step of each. A stage that had
    steps keeps at least one; a stage that costs nothing stays as it is.

    Raises:
        UsageError: the amount does not cover one step of each stage.
    """
    total = schedule_cost(schedule, step_cost)
    if total == 0:
        return dict(schedule)
    factor = amount / total
    scaled = {
        name: max(1, math.floor(steps * factor)) if step_cost.get(name) and steps else steps
        for name, steps in schedule.items()
    }
    if schedule_cost(scaled, step_cost) > amount * (1 + 1e-9):
        raise UsageError(
            f"a budget of {amount:.3g} does not cover one step of each stage; raise it, or shorten "
            "the longest stage"
        )
    return scaled


def within_budget(profile: Profile) -> Profile:
    """The profile with its stages as long as its budget allows; itself for a budget of samples.

    Raises:
        UsageError: see `scaled_schedule`.
    """
    budget = profile.budget
    if budget.kind is BudgetKind.SAMPLES or budget.amount is None:
        return profile
    scaled = scaled_schedule(schedule_of(profile), step_cost=budget.step_cost, amount=budget.amount)
    stages = {}
    for name, steps in scaled.items():
        stage = getattr(profile, name)
        # The same share of the stage: else a short one would warm up to its end.
        warmup = round(stage.warmup_steps * steps / stage.steps) if stage.steps else 0
        stages[name] = stage.model_copy(update={"steps": steps, "warmup_steps": warmup})
    return profile.model_copy(update=stages)


def budget_overrides(
    kind: BudgetKind, *, amount: float, step_cost: Mapping[str, float]
) -> tuple[str, ...]:
    """The settings of a budget as `--set` items, which a run's command repeats."""
    items = [f"budget.kind={kind.value}", f"budget.amount={amount!r}"]
    return (*items, *(f"budget.step_cost.{name}={cost!r}" for name, cost in step_cost.items()))
