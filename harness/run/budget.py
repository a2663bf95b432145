"""Equal budgets that are not equal steps: what a step costs, and how many steps that leaves.

A budget speaks of training: the optimiser steps of all stages. Reading features, validation,
sampling and scoring are the same work for every branch and stand outside it.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from core.choices import BudgetKind
from core.conditioning.attached import AttachedVariant
from core.conditioning.conditioning import AudioFeature, ConditioningInputs
from core.conditioning.shapes import FoundationShapes
from core.conditioning.stage import STAGE_GROUPS, ParameterGroup
from core.conditioning.variant import Variant, VariantConfig
from core.errors import UsageError
from core.foundation.architecture import read_architecture
from core.training.objective import per_sample_mse
from harness.branches.unet_adapter import adapter_of
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


def step_flops(
    profile: Profile, *, variant: type[Variant], config: VariantConfig, num_classes: int
) -> dict[str, float]:
    """FLOPs of one optimiser step of each stage: forward and backward, over all micro-batches.

    Counted by torch's FlopCounterMode on the meta device, which sees matrix products,
    convolutions and attention; element-wise work, a selective scan among it, counts nothing.
    A stage in which the variant trains nothing costs nothing.
    """
    architecture = read_architecture(profile.foundation.stable_diffusion, profile.foundation.clap)
    log_mel = profile.data.log_mel
    shapes = architecture.shapes(
        log_mel=(log_mel.num_mels, log_mel.num_frames), num_classes=num_classes
    )
    costs = {}
    for name, seen in zip(STAGES, _trained_so_far(), strict=True):
        with torch.device("meta"):
            own = variant(config, shapes=shapes)
            model = AttachedVariant(
                own,
                unet=architecture.meta_unet(),
                attach_adapter=adapter_of(own, profile=profile),
            )
            groups = STAGE_GROUPS[STAGES.index(name)]
            costs[name] = 0.0
            if model.parameters(groups):
                uses_adapter = ParameterGroup.UNET_ADAPTER in seen
                one = _micro_batch_flops(
                    model,
                    groups=groups,
                    uses_adapter=uses_adapter,
                    shapes=shapes,
                    batch=profile.training.micro_batch,
                )
                costs[name] = float(one * profile.training.accumulation)
    return costs


def _trained_so_far() -> list[set[ParameterGroup]]:
    """Groups that a stage or one before it trains: an adapter once trained stays in use."""
    return [
        {group for groups in STAGE_GROUPS[: number + 1] for group in groups}
        for number in range(len(STAGE_GROUPS))
    ]


def _micro_batch_flops(
    model: AttachedVariant,
    *,
    groups: Sequence[ParameterGroup],
    uses_adapter: bool,
    shapes: FoundationShapes,
    batch: int,
) -> int:
    if uses_adapter:
        model.adapter.enable()
    else:
        model.adapter.disable()
    model.train_only(groups)
    model.set_training(True)
    unet: Any = model.unet
    channels, size = unet.config.in_channels, unet.config.sample_size
    inputs = ConditioningInputs(
        text_BLC=torch.zeros(batch, shapes.num_text_tokens, shapes.context_dim),
        audio={f: torch.zeros(batch, *_shape(f, shapes)) for f in model.variant.audio_features},
        class_index_B=torch.zeros(batch, dtype=torch.int64),
    )
    noisy_BCHW = torch.zeros(batch, channels, size, size)
    timesteps_B = torch.zeros(batch, dtype=torch.int64)
    with FlopCounterMode(display=False) as counter:
        conditioning = model.variant.condition(inputs)
        predicted = model.predict(noisy_BCHW, timesteps_B, conditioning.context())
        auxiliary = model.variant.auxiliary_losses(inputs, conditioning, stage=STAGES[0])
        loss = per_sample_mse(predicted, noisy_BCHW).mean()
        torch.stack([loss, *auxiliary.values()]).sum().backward()
    return int(counter.get_total_flops())


def _shape(feature: AudioFeature, shapes: FoundationShapes) -> tuple[int, ...]:
    """Shape of one clip's feature."""
    return {
        AudioFeature.CLAP_POOLED: (shapes.clap_pooled_dim,),
        AudioFeature.CLAP_SEQUENCE: shapes.clap_sequence,
        AudioFeature.LOG_MEL: shapes.log_mel,
        AudioFeature.MSCLAP_POOLED: (shapes.msclap_pooled_dim,),
    }[feature]
