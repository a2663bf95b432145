"""The validation loss: the same timesteps and noise for a clip, whenever and whatever is asked.

Shape legend: B batch, C latent channels, H W latent height and width, K context tokens.
"""

from typing import Any

import torch

from core.conditioning.attached import AttachedVariant
from core.training.objective import (
    TrainingData,
    add_noise,
    per_sample_mse,
    sample_latents,
    validation_draws,
)
from core.training.plan import TrainingPlan
from core.training.precision import autocast


def planned_loss(
    model: AttachedVariant,
    *,
    data: TrainingData,
    plan: TrainingPlan,
    scheduler: Any,
    latent_shape: tuple[int, int, int],
) -> float:
    """`validation_loss` with a plan's draws and precision; leaves the model in eval mode."""
    model.set_training(False)
    with autocast(plan.precision, device=model.device):
        return validation_loss(
            model,
            data=data,
            scheduler=scheduler,
            latent_shape=latent_shape,
            draws=plan.validation_draws,
            batch_size=max(plan.micro_batch, 16),
        )


@torch.no_grad()
def validation_loss(
    model: AttachedVariant,
    *,
    data: TrainingData,
    scheduler: Any,
    latent_shape: tuple[int, int, int],
    draws: int,
    batch_size: int,
) -> float:
    """Unweighted mean loss of the validation clips, each at `draws` fixed timesteps and noises.

    The model has to be in eval mode, and autocast is the caller's.
    """
    device = model.device
    num_timesteps = int(scheduler.config.num_train_timesteps)
    total = 0.0
    ids = data.validation_ids
    for start in range(0, len(ids), batch_size):
        part = list(ids[start : start + batch_size])
        inputs = data.inputs(part).to(device)
        latents_BCHW = sample_latents(
            data, part, [False] * len(part), torch.zeros(len(part), *latent_shape)
        ).to(device)
        context_BKC = model.variant.condition(inputs).context()
        for draw in range(draws):
            timesteps_B, noise_BCHW = validation_draws(
                part,
                draw=draw,
                draws=draws,
                num_timesteps=num_timesteps,
                latent_shape=latent_shape,
            )
            batch = add_noise(
                scheduler,
                latents_BCHW,
                noise_BCHW=noise_BCHW.to(device),
                timesteps_B=timesteps_B.to(device),
            )
            predicted = model.predict(batch.noisy_BCHW, batch.timesteps_B, context_BKC)
            total += float(per_sample_mse(predicted, batch.target_BCHW).double().sum())
    return total / (len(ids) * draws)
