"""Budgets that are not counted in samples: what a step costs, and how many steps that leaves."""

from collections.abc import Callable

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from core.choices import BudgetKind
from core.errors import UsageError
from core.foundation.foundation import Foundation
from harness.branches.registry import find_variant
from harness.comparison.budgeting import EqualBudget
from harness.costs.known import known_work
from harness.run.budget import (
    STAGES,
    budget_overrides,
    scaled_schedule,
    schedule_cost,
    schedule_of,
    within_budget,
)
from harness.run.flops import step_flops
from harness.run.plan import RunRequest, moved_steps, plan_run
from harness.settings.load import load_profile, parse_settings
from harness.wording.display import Display

COST = {"stage1": 2.0, "stage2": 3.0, "stage3": 1.0}
SCHEDULE = {"stage1": 100, "stage2": 50, "stage3": 10}


def test_a_whole_schedule_fits_its_own_cost_exactly() -> None:
    """Catches: a step lost to rounding, which would give the cheapest branch another schedule."""
    for scale in (1.0, 1 / 3, 1e12 / 7, 0.1):
        cost = {name: value * scale for name, value in COST.items()}
        total = schedule_cost(SCHEDULE, cost)
        assert scaled_schedule(SCHEDULE, step_cost=cost, amount=total) == SCHEDULE


@pytest.mark.parametrize("share", [0.9, 0.5, 0.37, 1.7])
def test_a_scaled_schedule_spends_the_amount_and_no_more(share: float) -> None:
    """Catches: one stage cut and the others not, or a budget overdrawn by rounding up."""
    amount = share * schedule_cost(SCHEDULE, COST)
    scaled = scaled_schedule(SCHEDULE, step_cost=COST, amount=amount)
    left = amount - schedule_cost(scaled, COST)
    assert 0 <= left < sum(COST.values())
    for name, steps in SCHEDULE.items():
        assert abs(scaled[name] - share * steps) < 1


@pytest.mark.parametrize("share", [0.0, 0.25, 0.9, -0.3])
def test_steps_moved_between_stages_keep_the_budget(share: float) -> None:
    """Catches: a branch whose stage lengths were searched, and that got more training by it."""
    steps, costs = list(SCHEDULE.values()), list(COST.values())
    found = moved_steps(steps, share=share, costs=costs)
    before = sum(n * cost for n, cost in zip(steps, costs, strict=True))
    after = sum(n * cost for n, cost in zip(found, costs, strict=True))
    assert 0 <= before - after < max(costs)
    assert found[2] == steps[2]
    source = 0 if share > 0 else 1
    assert found[source] == steps[source] - round(abs(share) * steps[source])
    # Where a step is a step, none is lost.
    assert sum(moved_steps(steps, share=share, costs=[1, 1, 1])) == sum(steps)


def test_rates_of_a_branch_reach_its_stages(small_request: Callable[..., RunRequest]) -> None:
    """Catches: a learning rate that is searched and changes nothing."""
    plain = plan_run(small_request(), display=Display()).plan
    words = ("variant.lr_factor=0.25", "variant.gate_lr_factor=4", "variant.moved_steps=0.5")
    tuned = plan_run(small_request(*words), display=Display())
    for ours, theirs in zip(tuned.plan.stages, plain.stages, strict=True):
        assert (ours.lr, ours.gate_lr) == (0.25 * theirs.lr, 4 * theirs.gate_lr)
    assert tuned.plan.total_steps == plain.total_steps
    assert tuned.plan.stages[0].steps < plain.stages[0].steps
    # What the branches share is as it was, so that they may be compared.
    assert tuned.identity.settings == plan_run(small_request(), display=Display()).identity.settings


def test_an_amount_that_pays_too_little_is_refused() -> None:
    """Catches: a branch that trains no gates because its budget ran out on the way."""
    with pytest.raises(UsageError, match="does not cover one step of each stage"):
        scaled_schedule(SCHEDULE, step_cost=COST, amount=5.0)


def test_stages_that_cost_nothing_stay_as_they_are() -> None:
    """Catches: a stage with nothing to train scaled, or a division by zero."""
    free = {"stage1": 0.0, "stage2": 0.0, "stage3": 0.0}
    assert scaled_schedule(SCHEDULE, step_cost=free, amount=1.0) == SCHEDULE
    part = {"stage1": 2.0, "stage3": 0.0}
    scaled = scaled_schedule(SCHEDULE, step_cost=part, amount=100.0)
    assert scaled == {"stage1": 50, "stage2": 50, "stage3": 10}


def test_a_profile_under_a_budget_has_other_steps_and_nothing_else() -> None:
    """Catches: settings of a budget that nothing reads, a warm-up that fills its stage."""
    items = budget_overrides(BudgetKind.FLOPS, amount=10.0, step_cost=COST)
    few = ("stage1.steps=100", "stage1.warmup_steps=20", "stage2.steps=50", "stage3.steps=10")
    profile = load_profile("tiny", overrides=(*few, *items))
    assert profile.budget.step_cost == COST
    scaled = within_budget(profile)
    assert schedule_of(scaled) == {"stage1": 2, "stage2": 1, "stage3": 1}
    assert scaled.stage1.warmup_steps == 0
    assert scaled.model_dump(exclude=set(STAGES)) == profile.model_dump(exclude=set(STAGES))
    plain = load_profile("tiny", overrides=few)
    assert within_budget(plain) is plain


def test_a_branch_that_trains_nothing_is_allowed_the_same() -> None:
    """Catches: a floor without a budget, refused beside the others once all runs are made."""
    free = dict.fromkeys(STAGES, 0.0)
    shared = EqualBudget(
        kind=BudgetKind.FLOPS, amount=10.0, step_cost={"floor": free, "other": COST}, steps={}
    )
    floor, other = (load_profile("tiny", overrides=shared.overrides(n)) for n in ("floor", "other"))
    assert (floor.budget.kind, floor.budget.amount) == (other.budget.kind, other.budget.amount)
    assert schedule_of(within_budget(floor)) == schedule_of(load_profile("tiny"))


def test_a_shorter_stage_warms_up_for_the_same_share_of_it() -> None:
    """Catches: branches whose rates rise for another share of their stage than the others'."""
    few = ("stage1.steps=100", "stage1.warmup_steps=20", "stage2.steps=50", "stage3.steps=10")
    half = budget_overrides(BudgetKind.FLOPS, amount=180.0, step_cost=COST)  # of 360
    scaled = within_budget(load_profile("tiny", overrides=(*few, *half)))
    assert (scaled.stage1.steps, scaled.stage1.warmup_steps) == (50, 10)


@pytest.mark.parametrize(
    "items",
    [
        ("budget.kind=flops",),
        ("budget.amount=3.0",),
        ("budget.kind=gpu_seconds", "budget.amount=3.0"),
    ],
)
def test_half_a_budget_is_refused(items: tuple[str, ...]) -> None:
    """Catches: a run that is called equal in FLOPs and was never scaled."""
    with pytest.raises(UsageError, match="amount and step_cost belong to a budget"):
        load_profile("tiny", overrides=items)


def test_a_step_of_full_size_costs_the_frozen_unet_and_hardly_more() -> None:
    """Catches: an encoder called in the step, or attention computed over and over for the gate."""
    profile = load_profile(
        "sd15", overrides=("training.micro_batch=1", "training.accumulation=1"), variant="baseline"
    )
    variant = find_variant("baseline").load()
    flops = step_flops(profile, variant=variant, config=variant.Config(), num_classes=8)
    assert 1671e9 < flops["stage1"] <= 1.01 * 1671e9
    assert 1722e9 < flops["stage2"] <= 1.01 * 1722e9
    known = known_work(find_variant("baseline"), profile=profile, config=variant.Config())
    assert known is not None
    assert {stage: own.flops for stage, own in known.stages.items()} == flops


def test_flops_of_a_step_are_those_of_the_real_modules() -> None:
    """Catches: an adapter or the backward pass left out, or a micro-batch not counted."""
    profile = load_profile("tiny", overrides=("training.micro_batch=2", "training.accumulation=3"))
    variant = find_variant("baseline").load()
    config = parse_settings(variant.Config, profile.variants["baseline"], what="setting")
    found = step_flops(profile, variant=variant, config=config, num_classes=8)
    assert found["stage2"] > found["stage1"] > found["stage3"] > 0
    unet = Foundation(
        stable_diffusion=profile.foundation.stable_diffusion,
        clap=profile.foundation.clap,
        device="cpu",
        dtype="float32",
    ).unet
    size, width = unet.config.sample_size, unet.config.cross_attention_dim
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        unet(
            torch.zeros(2, unet.config.in_channels, size, size),
            torch.zeros(2, dtype=torch.int64),
            encoder_hidden_states=torch.zeros(2, 16, width),
        )
    forward = 3 * counter.get_total_flops()
    # Forward and the gradient of the inputs; hardly a weight of the frozen UNet has one.
    assert 1.9 * forward < found["stage1"] < 2.6 * forward


def test_a_stage_that_trains_nothing_costs_nothing() -> None:
    """Catches: a floor charged for stages that it skips."""
    profile = load_profile("tiny")
    variant = find_variant("text_only").load()
    config = parse_settings(variant.Config, profile.variants.get("text_only", {}), what="setting")
    found = step_flops(profile, variant=variant, config=config, num_classes=8)
    assert (found["stage1"], found["stage3"]) == (0, 0)
    assert found["stage2"] > 0
