"""Schedule arithmetic."""

import pytest
import torch
from diffusers import DDPMScheduler

from core.errors import UsageError
from core.training.plan import (
    LossWeighting,
    batch_indices,
    learning_rate_factor,
    timestep_weights,
)


@pytest.mark.parametrize("weighting", list(LossWeighting))
def test_timestep_weights_keep_the_mean_loss_scale(weighting: LossWeighting) -> None:
    """Catches: a weighting that is a hidden change of the learning rate."""
    alphas_T = DDPMScheduler(beta_schedule="scaled_linear").alphas_cumprod
    weights_T = timestep_weights(weighting, alphas_cumprod_T=alphas_T)
    assert float(weights_T.double().mean()) == pytest.approx(1.0, abs=1e-6)


def test_high_noise_weights_follow_the_root_of_inverse_snr() -> None:
    """Catches: SNR turned upside down, which would drown what a sound asks for."""
    alphas_T = torch.tensor([0.9, 0.5, 0.1])
    weights_T = timestep_weights(LossWeighting.HIGH_NOISE, alphas_cumprod_T=alphas_T)
    expected_T = torch.tensor([1 / 3, 1.0, 3.0])
    torch.testing.assert_close(weights_T, expected_T / expected_T.mean())


def test_high_noise_on_a_schedule_without_signal_at_its_end_is_refused() -> None:
    """Catches: weights of NaN where the terminal SNR is zero, and a loss of NaN from step 1."""
    schedule = DDPMScheduler(beta_schedule="scaled_linear", rescale_betas_zero_snr=True)
    alphas_T = schedule.alphas_cumprod.clone()
    alphas_T[-1] = 0.0
    with pytest.raises(UsageError, match=r"zero terminal SNR.*loss_weighting=uniform"):
        timestep_weights(LossWeighting.HIGH_NOISE, alphas_cumprod_T=alphas_T)
    weights_T = timestep_weights(LossWeighting.UNIFORM, alphas_cumprod_T=alphas_T)
    assert bool((weights_T == 1).all())


def test_every_sample_is_seen_once_an_epoch() -> None:
    """Catches: sampling with replacement, or an epoch boundary that drops samples."""
    seen = [
        i for step in range(5) for i in batch_indices(step, batch_size=4, num_samples=10, seed=1)
    ]
    assert sorted(seen[:10]) == list(range(10))
    assert sorted(seen[10:]) == list(range(10))
    assert seen[:10] != seen[10:]


def test_learning_rate_warms_up_then_falls_to_zero() -> None:
    """Catches: a first step at the full rate, or a last one that is not small."""
    factors = [learning_rate_factor(step, steps=100, warmup_steps=10) for step in range(100)]
    assert factors[0] == pytest.approx(0.1)
    assert factors[10] == pytest.approx(1.0)
    assert factors[99] < 0.001
    assert factors[10:] == sorted(factors[10:], reverse=True)
