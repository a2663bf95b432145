"""DDIM inversion: the noise from which a sampler would have generated a given image.

Shape legend: B batch, C latent channels, H W latent height and width.
"""

from typing import Any

import torch
from torch import Tensor

from core.errors import UsageError
from core.sampling.sampler import Guided

REFINEMENTS = 4
"""Fixed-point iterations of a step: on `tiny`, more change the reconstruction by less than the VAE
itself does."""


@torch.no_grad()
def invert_latents(
    guided: Guided, latents_BCHW: Tensor, *, solver: Any, steps: int, refinements: int = REFINEMENTS
) -> list[Tensor]:
    """Latents at every noise of the solver's steps, [B, C, H, W] each: clean first, noise last.

    The DDIM step (Song et al. 2021, eq. 12) solved for its input. That input is also what the
    network is asked with, so each step is a fixed point, iterated from the clean side (Pan et al.
    2023, AIDI); with one iteration it is plain DDIM inversion.

    solver: a `DDIMScheduler`.

    Raises: UsageError for a foundation that does not predict noise, or clips its prediction.
    """
    if solver.config.prediction_type != "epsilon":
        raise UsageError(
            f"this foundation predicts {solver.config.prediction_type}; only one that predicts "
            "noise (epsilon) can be inverted here"
        )
    if solver.config.clip_sample or solver.config.thresholding:
        raise UsageError("this foundation clips what it predicts; such steps cannot be inverted")
    solver.set_timesteps(steps, device=guided.device)
    alphas = solver.alphas_cumprod.to(guided.device, torch.float32)
    final = solver.final_alpha_cumprod.to(guided.device, torch.float32)
    stride = solver.config.num_train_timesteps // steps
    current = latents_BCHW.to(guided.device, torch.float32)
    found = [current]
    for timestep in reversed(solver.timesteps):
        below = int(timestep) - stride
        alpha_below = alphas[below] if below >= 0 else final
        alpha = alphas[int(timestep)]
        guess = current
        for _ in range(refinements):
            noise = guided(guess, timestep)
            clean = (current - (1 - alpha_below).sqrt() * noise) / alpha_below.sqrt()
            guess = alpha.sqrt() * clean + (1 - alpha).sqrt() * noise
        current = guess
        found.append(current)
    return found
