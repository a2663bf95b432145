"""What an optimiser step costs in FLOPs, counted on the meta device."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from core.conditioning.attached import AttachedVariant
from core.conditioning.conditioning import ConditioningInputs
from core.conditioning.shapes import FoundationShapes
from core.conditioning.stage import STAGE_GROUPS, ParameterGroup
from core.conditioning.variant import Variant, VariantConfig
from core.training.objective import per_sample_mse
from harness.branches.meta_model import meta_model
from harness.run.budget import STAGES
from harness.settings.architecture import architecture_of
from harness.settings.profile import Profile


@dataclass(frozen=True)
class MicroBatch:
    """What one forward and backward pass of a stage is; all 0 where the stage trains nothing."""

    forward_flops: int
    """Of the forward pass."""
    flops: int
    """Of both passes."""
    trainable: int
    """Parameters that get a gradient."""


def step_flops(
    profile: Profile, *, variant: type[Variant], config: VariantConfig, num_classes: int
) -> dict[str, float]:
    """FLOPs of one optimiser step of each stage: forward and backward, over all micro-batches.

    A stage in which the variant trains nothing costs nothing.
    """
    counted = micro_batches(profile, variant=variant, config=config, num_classes=num_classes)
    return {name: float(one.flops * profile.training.accumulation) for name, one in counted.items()}


def micro_batches(
    profile: Profile, *, variant: type[Variant], config: VariantConfig, num_classes: int
) -> dict[str, MicroBatch]:
    """One micro-batch of each stage.

    Counted by torch's FlopCounterMode on the meta device, which sees matrix products,
    convolutions and attention; element-wise work, a selective scan among it, counts nothing.
    """
    built = meta_model(
        variant,
        config=config,
        profile=profile,
        architecture=architecture_of(profile),
        num_classes=num_classes,
    )
    costs = {}
    for name, groups, seen in zip(STAGES, STAGE_GROUPS, _trained_so_far(), strict=True):
        costs[name] = MicroBatch(0, 0, 0)
        if built.attached.parameters(groups):
            with torch.device("meta"):
                costs[name] = _micro_batch(
                    built.attached,
                    groups=groups,
                    uses_adapter=ParameterGroup.UNET_ADAPTER in seen,
                    shapes=built.shapes,
                    batch=profile.training.micro_batch,
                )
    return costs


def _trained_so_far() -> list[set[ParameterGroup]]:
    """Groups that a stage or one before it trains: an adapter once trained stays in use."""
    return [
        {group for groups in STAGE_GROUPS[: number + 1] for group in groups}
        for number in range(len(STAGE_GROUPS))
    ]


def _micro_batch(
    model: AttachedVariant,
    *,
    groups: Sequence[ParameterGroup],
    uses_adapter: bool,
    shapes: FoundationShapes,
    batch: int,
) -> MicroBatch:
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
        audio={f: torch.zeros(batch, *shapes.of(f)) for f in model.variant.audio_features},
        class_index_B=torch.zeros(batch, dtype=torch.int64),
    )
    noisy_BCHW = torch.zeros(batch, channels, size, size)
    timesteps_B = torch.zeros(batch, dtype=torch.int64)
    with FlopCounterMode(display=False) as counter:
        conditioning = model.variant.condition(inputs)
        predicted = model.predict(noisy_BCHW, timesteps_B, conditioning.context())
        auxiliary = model.variant.auxiliary_losses(inputs, conditioning, stage=STAGES[0])
        loss = per_sample_mse(predicted, noisy_BCHW).mean()
        forward = int(counter.get_total_flops())
        torch.stack([loss, *auxiliary.values()]).sum().backward()
    trainable = sum(parameter.numel() for parameter in model.parameters(groups).values())
    return MicroBatch(forward, int(counter.get_total_flops()), trainable)
