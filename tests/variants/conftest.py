"""The contract's small UNet, its shapes, and conditioning inputs of three clips."""

from collections.abc import Callable

import pytest
import torch
from diffusers import UNet2DConditionModel

from core.conditioning.conditioning import ConditioningInputs
from core.conditioning.shapes import FoundationShapes
from core.conditioning.variant import Variant
from core.randomness import torch_seeded
from harness.testing import SmallFoundation
from variants.baseline import VARIANT as BASELINE
from variants.cutting_edge import VARIANT as CUTTING_EDGE
from variants.sonic import VARIANT as SONIC

FOUNDATION = SmallFoundation()
SMALL = {
    BASELINE: {"hidden_dim": 32},
    SONIC: {"hidden_dim": 32},
    CUTTING_EDGE: {"size": "own", "width": 16, "depth": 2, "state_dim": 4, "patch": (8, 8)},
}


@pytest.fixture
def unet() -> UNet2DConditionModel:
    """Two transformer blocks down, one in the middle, four up; frozen, in eval mode."""
    return FOUNDATION.unet()


@pytest.fixture
def shapes(unet: UNet2DConditionModel) -> FoundationShapes:
    return FOUNDATION.shapes(unet)


@pytest.fixture
def inputs() -> ConditioningInputs:
    return FOUNDATION.inputs(num_clips=3)


@pytest.fixture
def build(shapes: FoundationShapes) -> Callable[..., Variant]:
    """Builds a variant class at small size in eval mode; keywords are its settings."""

    def call(cls: type[Variant], **settings: object) -> Variant:
        config = cls.Config(**{**SMALL.get(cls, {}), **settings})
        with torch_seeded(0, "test", cls.name):
            return cls(config, shapes=shapes).eval()

    return call


@pytest.fixture
def predict(unet: UNet2DConditionModel) -> Callable[[torch.Tensor], torch.Tensor]:
    """The UNet's prediction for a context, on latents and timesteps fixed by row."""
    return lambda context_BKC: FOUNDATION.predict(unet, context_BKC)
