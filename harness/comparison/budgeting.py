"""The budget that every branch of a comparison gets, when it is not counted in samples."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from core.choices import BudgetKind
from core.errors import DataError, UsageError
from core.files import json_sha256, write_atomic
from harness.branches.registry import find_variant
from harness.records.folders import ResultsFolder
from harness.run.budget import (
    budget_overrides,
    scaled_schedule,
    schedule_cost,
    schedule_of,
)
from harness.run.plan import RunRequest, plan_run
from harness.settings.load import load_profile
from harness.wording.display import Display

_CALIBRATION_STEPS = 12
"""Of each stage: a median of eleven; on two busy cores it repeats to a few per cent."""


class _Calibration(BaseModel):
    """What a step takes on a device, measured; on disk among the calibrations."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    variant: str
    """The branch."""
    device: str
    """What computed it."""
    num_steps: int
    """Steps of each stage that were measured."""
    step_seconds: dict[str, float]
    """By stage, the median."""


@dataclass(frozen=True, kw_only=True)
class EqualBudget:
    """What each branch may spend, and what its steps cost."""

    kind: BudgetKind
    """What is counted."""
    amount: float
    """What each branch may spend on training."""
    step_cost: dict[str, dict[str, float]]
    """Branch, then stage: cost of one optimiser step."""
    steps: dict[str, dict[str, int]]
    """Branch, then stage: the steps this leaves."""

    def overrides(self, variant: str) -> tuple[str, ...]:
        """The branch's budget as settings of its runs.

        Also of one that trains nothing: a comparison demands that all runs were allowed the same.
        """
        return budget_overrides(self.kind, amount=self.amount, step_cost=self.step_cost[variant])

    def sentence(self) -> str:
        """What each branch gets, in words."""
        unit = "FLOPs" if self.kind is BudgetKind.FLOPS else "device seconds"
        steps = ", ".join(f"{name} {sum(own.values()):,}" for name, own in self.steps.items())
        return f"Each branch trains for {self.amount:.4g} {unit}; steps: {steps}."


def equal_budget(
    kind: BudgetKind,
    *,
    base: RunRequest,
    variants: tuple[str, ...],
    configs: Mapping[str, Path] | None = None,
    display: Display,
) -> EqualBudget:
    """The largest budget that no branch's own schedule goes beyond.

    It is what the profile's schedule costs the cheapest branch, so that no branch trains longer
    than the profile says; the others' stages are shortened by one factor each. Controls, a floor
    that trains little, do not set it: they get it. configs: by branch, the file of its settings.

    Raises:
        UsageError: no branch trains anything, or the budget does not pay a step of each stage.
        HarnessError: what a run of a branch would raise.
    """
    costs = {
        name: _step_cost(
            kind, replace(base, variant=name, config=(configs or {}).get(name)), display=display
        )
        for name in variants
    }
    schedule = schedule_of(load_profile(base.profile, overrides=_common(base.overrides)))
    totals = {n: t for n, own in costs.items() if (t := schedule_cost(schedule, own)) > 0}
    if not totals:
        raise UsageError("none of these branches trains anything, so there is no budget to share")
    branches = [n for n in totals if not find_variant(n).load().is_control]
    amount = min(totals[n] for n in branches or totals)
    steps = {
        name: scaled_schedule(schedule, step_cost=own, amount=amount) for name, own in costs.items()
    }
    return EqualBudget(kind=kind, amount=amount, step_cost=costs, steps=steps)


def _common(overrides: tuple[str, ...]) -> list[str]:
    return [item for item in overrides if not item.strip().startswith("variant.")]


def _step_cost(kind: BudgetKind, request: RunRequest, *, display: Display) -> dict[str, float]:
    if kind is BudgetKind.FLOPS:
        return _flops(request, display=display)
    return _calibrated(request, display=display)


def _flops(request: RunRequest, *, display: Display) -> dict[str, float]:
    from harness.run.flops import step_flops

    planned = plan_run(request, display=display)
    return step_flops(
        planned.profile,
        variant=planned.variant,
        config=planned.config,
        num_classes=len(planned.prepared.split.classes),
    )


def _calibrated(request: RunRequest, *, display: Display) -> dict[str, float]:
    """Seconds of a step, measured once for a branch, its settings and a device, then kept.

    Kept, because another measurement would be another schedule, and so another run.
    """
    from harness.run.calibration import measure_step_seconds
    from harness.run.device import device_name, training_device

    planned = plan_run(request, display=display)
    content = planned.identity.model_dump(mode="json", exclude={"seed", "profile"})
    device = device_name(training_device(request.device))
    key = json_sha256({"identity": content, "device": device})[:12]
    path = ResultsFolder(request.results).calibrations / f"{request.variant}-{key}.json"
    if path.is_file():
        return _load(path)
    display.say(f"measuring the cost of a step of {request.variant} on {device}")
    seconds = measure_step_seconds(request, num_steps=_CALIBRATION_STEPS, display=display)
    kept = _Calibration(
        variant=request.variant,
        device=device,
        num_steps=_CALIBRATION_STEPS,
        step_seconds=seconds,
    )
    write_atomic(path, content=(kept.model_dump_json(indent=2) + "\n").encode())
    return seconds


def _load(path: Path) -> dict[str, float]:
    try:
        return _Calibration.model_validate_json(path.read_bytes()).step_seconds
    except ValidationError:
        raise DataError(f"{path} is damaged; delete it to measure again") from None
