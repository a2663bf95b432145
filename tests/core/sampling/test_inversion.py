"""Inversion: the sampler gives the image back that it was taken from."""

from typing import Any

import pytest
import torch
from torch import Tensor

from core.choices import Sampler
from core.errors import UsageError
from core.sampling.inversion import invert_latents
from core.sampling.sampler import build_solver


class SmoothPrediction:
    """A noise prediction that depends on its input, as a UNet's does."""

    device = torch.device("cpu")

    def __call__(self, noisy_BCHW: Tensor, timestep: Tensor) -> Tensor:
        share = float(timestep) / 1_000
        return torch.tanh(noisy_BCHW * (0.3 + share)) + 0.1 * noisy_BCHW.roll(1, dims=-1)


def solver(**changes: Any) -> Any:
    from diffusers import DDIMScheduler

    scheduler = DDIMScheduler(
        beta_schedule="scaled_linear",
        beta_start=0.00085,
        beta_end=0.012,
        clip_sample=False,
        set_alpha_to_one=False,
        **changes,
    )
    return build_solver(Sampler.DDIM, noise_scheduler=scheduler)


def sampled(start_BCHW: Tensor, *, steps: int) -> Tensor:
    ddim, guided = solver(), SmoothPrediction()
    ddim.set_timesteps(steps)
    for timestep in ddim.timesteps:
        prediction = guided(start_BCHW, timestep)
        start_BCHW = ddim.step(prediction, timestep, start_BCHW).prev_sample
    return start_BCHW


@pytest.mark.parametrize("steps", [12, 50])
def test_sampling_from_the_inverted_noise_gives_the_latents_back(steps: int) -> None:
    """Catches: a level of noise that is off by a step, or alphas of another schedule."""
    clean = torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    levels = invert_latents(SmoothPrediction(), clean, solver=solver(), steps=steps)  # type: ignore[arg-type]
    assert len(levels) == steps + 1
    errors = []
    for refinements in (1, 4):
        levels = invert_latents(
            SmoothPrediction(),  # type: ignore[arg-type]
            clean,
            solver=solver(),
            steps=steps,
            refinements=refinements,
        )
        errors.append(float((sampled(levels[-1], steps=steps) - clean).abs().max()))
    assert errors[1] < 0.01
    assert errors[1] < errors[0] / 3


def test_a_foundation_that_does_not_predict_noise_is_refused() -> None:
    """Catches: v-prediction inverted as if it were noise."""
    with pytest.raises(UsageError, match="v_prediction"):
        invert_latents(
            SmoothPrediction(),  # type: ignore[arg-type]
            torch.zeros(1, 4, 8, 8),
            solver=solver(prediction_type="v_prediction"),
            steps=4,
        )
