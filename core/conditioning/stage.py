"""A stage of training as data."""

from dataclasses import dataclass
from enum import StrEnum

from core.choices import StopCriterion as StopCriterion


class ParameterGroup(StrEnum):
    """What a stage may train."""

    AUDIO = "audio"  # the variant's own modules, gates excepted
    GATES = "gates"  # the variant's gates
    UNET_ADAPTER = "unet_adapter"  # LoRA or SSF on the frozen UNet


STAGE_GROUPS = (
    (ParameterGroup.AUDIO, ParameterGroup.GATES),
    (ParameterGroup.AUDIO, ParameterGroup.GATES, ParameterGroup.UNET_ADAPTER),
    (ParameterGroup.GATES,),
)
"""What the three stages train, in order."""


@dataclass(frozen=True)
class Stage:
    """One stage of the schedule.

    name: `stage1`, `stage2`, ...; the key of its settings.
    steps: optimiser steps. lr: peak learning rate. gate_lr: peak learning rate of the gates.
    weight_decay: AdamW's, on matrices (see core.training.decay). warmup_steps: linear warm-up.
    trains: the parameter groups that get gradients. stop: what ends the stage.
    """

    name: str
    steps: int
    lr: float
    gate_lr: float
    weight_decay: float
    warmup_steps: int
    trains: tuple[ParameterGroup, ...]
    stop: StopCriterion = StopCriterion.STEPS
