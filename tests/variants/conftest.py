"""A small real UNet, its shapes, and conditioning inputs of three clips."""

from collections.abc import Callable

import pytest
import torch
from diffusers import UNet2DConditionModel

from core.conditioning.conditioning import AudioFeature, ConditioningInputs
from core.conditioning.shapes import FoundationShapes, block_shapes
from core.conditioning.variant import Variant
from core.randomness import torch_seeded
from variants.baseline import VARIANT as BASELINE
from variants.cutting_edge import VARIANT as CUTTING_EDGE
from variants.sonic import VARIANT as SONIC

SMALL = {
    BASELINE: {"hidden_dim": 32},
    SONIC: {"hidden_dim": 32},
    CUTTING_EDGE: {"size": "own", "width": 16, "depth": 2, "state_dim": 4, "patch": (8, 8)},
}


@pytest.fixture
def unet() -> UNet2DConditionModel:
    """Two transformer blocks down, one in the middle, four up; frozen, in eval mode."""
    with torch_seeded(0, "test", "unet"):
        model = UNet2DConditionModel(
            sample_size=8,
            block_out_channels=(32, 64),
            layers_per_block=1,
            cross_attention_dim=64,
            attention_head_dim=4,
            norm_num_groups=8,
            down_block_types=("CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
            up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D"),
        )
    return model.requires_grad_(False).eval()


@pytest.fixture
def shapes(unet: UNet2DConditionModel) -> FoundationShapes:
    return FoundationShapes(
        context_dim=64,
        num_text_tokens=6,
        clap_pooled_dim=20,
        clap_sequence=(4, 24),
        log_mel=(16, 32),
        num_classes=3,
        blocks=block_shapes(unet),
    )


@pytest.fixture
def inputs() -> ConditioningInputs:
    draws = torch.Generator().manual_seed(1)
    clap_BD = torch.randn(3, 20, generator=draws)
    return ConditioningInputs(
        text_BLC=torch.randn(3, 6, 64, generator=draws),
        audio={
            AudioFeature.CLAP_POOLED: clap_BD / clap_BD.norm(dim=-1, keepdim=True),
            AudioFeature.LOG_MEL: torch.randn(3, 16, 32, generator=draws),
        },
        class_index_B=torch.tensor([0, 1, 0]),
    )


@pytest.fixture
def build(shapes: FoundationShapes) -> Callable[..., Variant]:
    """Builds a variant class at small size in eval mode; keywords are its settings."""

    def call(cls: type[Variant], **settings: object) -> Variant:
        config = cls.Config(**{**SMALL[cls], **settings})
        with torch_seeded(0, "test", cls.name):
            return cls(config, shapes=shapes).eval()

    return call


@pytest.fixture
def predict(unet: UNet2DConditionModel) -> Callable[[torch.Tensor], torch.Tensor]:
    """The UNet's prediction for a context, on latents and timesteps fixed by row."""

    def call(context_BKC: torch.Tensor, *, first_row: int = 0) -> torch.Tensor:
        rows = torch.arange(first_row, first_row + len(context_BKC))
        noisy_BCHW = (rows[:, None] + torch.linspace(-40, 40, 256)).sin().view(-1, 4, 8, 8)
        return unet(noisy_BCHW, rows * 200 + 100, context_BKC).sample

    return call
