"""A small real UNet and contexts for it, randomly initialised on the CPU."""

from collections.abc import Callable

import pytest
import torch
from diffusers import UNet2DConditionModel

from harness.testing import SmallFoundation

FOUNDATION = SmallFoundation()
NUM_TEXT_TOKENS = FOUNDATION.num_text_tokens
CONTEXT_DIM = FOUNDATION.context_dim


@pytest.fixture
def unet() -> UNet2DConditionModel:
    """Two transformer blocks down, one in the middle, four up; frozen, in eval mode."""
    return FOUNDATION.unet()


@pytest.fixture
def predict(unet: UNet2DConditionModel) -> Callable[[torch.Tensor], torch.Tensor]:
    """The UNet's prediction for a context, on fixed latents and timesteps."""

    def call(context_BKC: torch.Tensor) -> torch.Tensor:
        batch = len(context_BKC)
        noisy_BCHW = torch.linspace(-2, 2, batch * 256).sin().view(batch, 4, 8, 8)
        timesteps_B = torch.arange(batch) * 200 + 100
        return unet(noisy_BCHW.to(unet.dtype), timesteps_B, context_BKC.to(unet.dtype)).sample

    return call


@pytest.fixture(name="text_BLC")
def text() -> torch.Tensor:
    return torch.randn(3, NUM_TEXT_TOKENS, CONTEXT_DIM, generator=torch.Generator().manual_seed(1))


@pytest.fixture(name="audio_BNC")
def audio() -> torch.Tensor:
    return torch.randn(3, 4, CONTEXT_DIM, generator=torch.Generator().manual_seed(2))
