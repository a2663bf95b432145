"""What holds for every variant whose layers sit in the UNet's cross-attentions."""

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from diffusers import UNet2DConditionModel
from torch import Tensor

from core.conditioning.attention_variant import AttentionVariant
from core.conditioning.conditioning import ConditioningInputs
from core.conditioning.shapes import FoundationShapes
from core.errors import GuardError, MismatchError, UsageError
from variants.baseline import VARIANT as BASELINE
from variants.class_embedding import VARIANT as CLASS_EMBEDDING
from variants.cutting_edge import VARIANT as CUTTING_EDGE
from variants.sonic import VARIANT as SONIC

Build = Callable[..., AttentionVariant]
Predict = Callable[..., Tensor]
every_variant = pytest.mark.parametrize("cls", [BASELINE, SONIC, CUTTING_EDGE, CLASS_EMBEDDING])


@every_variant
def test_a_second_variant_on_one_unet_is_refused(
    cls: type[AttentionVariant], build: Build, unet: UNet2DConditionModel
) -> None:
    """Catches: two variants on one UNet, of which the first would be heard through the second."""
    variant = build(cls)
    variant.attach(unet)
    with pytest.raises(GuardError, match="attached already"):
        variant.attach(unet)
    with pytest.raises(GuardError, match="already listens"):
        build(cls).attach(unet)
    variant.detach()
    variant.attach(unet)


@every_variant
def test_unet_with_other_blocks_is_refused(
    cls: type[AttentionVariant], shapes: FoundationShapes, build: Build, unet: UNet2DConditionModel
) -> None:
    """Catches: layers that end up in other blocks than they were built for."""
    settings = build(cls).config
    other = cls(settings, shapes=replace(shapes, blocks=shapes.blocks[:-1]))
    with pytest.raises(MismatchError, match="other transformer blocks"):
        other.attach(unet)


@every_variant
def test_audio_scale_of_zero_is_text_only_and_survives_attaching(
    cls: type[AttentionVariant],
    build: Build,
    inputs: ConditioningInputs,
    unet: UNet2DConditionModel,
    predict: Predict,
) -> None:
    """Catches: an inference scale that is forgotten on attaching, or takes nonsense."""
    plain = predict(inputs.text_BLC)
    variant = build(cls)
    variant.audio_scale = 0.0
    variant.attach(unet)
    context = variant.condition(inputs).context()
    assert torch.allclose(predict(context), plain, atol=1e-6)
    variant.audio_scale = 1.0
    assert (predict(context) - plain).abs().max() > 1e-4
    for nonsense in (-1.0, float("nan"), float("inf")):
        with pytest.raises(UsageError, match="audio scale"):
            variant.audio_scale = nonsense


@every_variant
def test_the_first_step_reaches_every_parameter_of_the_variant(
    cls: type[AttentionVariant],
    build: Build,
    inputs: ConditioningInputs,
    unet: UNet2DConditionModel,
    predict: Predict,
) -> None:
    """Catches: default gates that open too late for a short stage 1."""
    variant = build(cls).train()
    variant.attach(unet)
    conditioning = variant.condition(inputs)
    loss = predict(conditioning.context()).square().mean()
    for term in variant.auxiliary_losses(inputs, conditioning, stage="stage1").values():
        loss = loss + term
    loss.backward()
    for name, parameter in variant.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().max() > 0, name
