"""Everything the loop needs to know about a schedule."""

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from core.choices import LossWeighting as LossWeighting
from core.choices import Precision
from core.conditioning.stage import Stage
from core.errors import UsageError
from core.randomness import rng

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class TrainingPlan:
    """The schedule and the batch arithmetic; one micro-batch is one forward pass.

    precision: of forward passes (autocast); master weights are float32 whatever it is.
    text_dropout, audio_dropout: share of samples trained without caption, without sound.
    validation_draws: fixed (timestep, noise) pairs for each validation clip.
    adam_eps: AdamW's eps; a gradient far below it hardly moves its parameter.
    deterministic: whether two equal steps must give equal bits; checked on a GPU.
    loss_weighting: how much each noise level counts; validation counts all alike.
    """

    stages: tuple[Stage, ...]
    micro_batch: int
    accumulation: int
    grad_clip: float
    precision: Precision
    text_dropout: float
    audio_dropout: float
    checkpoint_every: int
    validate_every: int
    validation_draws: int
    loss_weighting: LossWeighting = LossWeighting.UNIFORM
    adam_eps: float = 1e-15
    deterministic: bool = True

    @property
    def batch_size(self) -> int:
        """Samples of one optimiser step."""
        return self.micro_batch * self.accumulation

    def first_step(self, stage_index: int) -> int:
        """Optimiser steps planned before this stage."""
        return sum(stage.steps for stage in self.stages[:stage_index])

    @property
    def total_steps(self) -> int:
        """Optimiser steps of the whole schedule."""
        return self.first_step(len(self.stages))


def timestep_weights(
    weighting: LossWeighting, *, alphas_cumprod_T: "torch.Tensor"
) -> "torch.Tensor":
    """Loss weight of each timestep [T], float32, mean 1.

    alphas_cumprod_T: the noise schedule's; SNR = alpha / (1 - alpha).

    Raises: UsageError for `high_noise` on a schedule that ends without any signal.
    """
    import torch  # here alone, so that a schedule is known without it

    if weighting is LossWeighting.UNIFORM:
        return torch.ones_like(alphas_cumprod_T, dtype=torch.float32)
    alphas_T = alphas_cumprod_T.double()
    if not bool((alphas_T > 0).all()):
        raise UsageError(
            f"loss_weighting = '{weighting.value}' divides by the signal that is left at each "
            "timestep, and this noise schedule ends at none (zero terminal SNR); use "
            "--set training.loss_weighting=uniform"
        )
    weight_T = ((1 - alphas_T) / alphas_T).sqrt()
    return (weight_T / weight_T.mean()).float()


def learning_rate_factor(step: int, *, steps: int, warmup_steps: int) -> float:
    """Share of the peak rate at `step`: linear warm-up, then half a cosine down to zero."""
    if step < warmup_steps:
        return (step + 1) / warmup_steps
    progress = (step - warmup_steps) / max(1, steps - warmup_steps)
    return 0.5 * (1.0 + math.cos(math.pi * min(1.0, progress)))


@lru_cache(maxsize=8)
def _epoch_order(seed: int, epoch: int, num_samples: int) -> np.ndarray:
    return rng(seed, "order", epoch).permutation(num_samples)


def batch_indices(global_step: int, *, batch_size: int, num_samples: int, seed: int) -> list[int]:
    """Indices of the training samples of one optimiser step, a fresh permutation an epoch."""
    first = global_step * batch_size
    indices = []
    for position in range(first, first + batch_size):
        epoch, offset = divmod(position, num_samples)
        indices.append(int(_epoch_order(seed, epoch, num_samples)[offset]))
    return indices
