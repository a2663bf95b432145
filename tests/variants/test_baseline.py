"""The baseline's size and gate."""

import math
from collections.abc import Callable

import pytest
import torch
from diffusers import UNet2DConditionModel
from torch import Tensor

from core.conditioning.conditioning import ConditioningInputs
from core.conditioning.shapes import FoundationShapes
from core.conditioning.variant import Variant
from variants.baseline import VARIANT

Build = Callable[..., Variant]
Predict = Callable[..., Tensor]


def full_size_shapes() -> FoundationShapes:
    """Sizes of Stable Diffusion v1.5 with 512-d CLAP; no block is needed to count the adapter."""
    return FoundationShapes(
        context_dim=768,
        num_text_tokens=77,
        clap_pooled_dim=512,
        clap_sequence=(32, 768),
        log_mel=(128, 1024),
        num_classes=8,
        blocks=(),
    )


def test_adapter_has_the_parameters_of_the_design_and_one_gate() -> None:
    """Catches: a layer left out or another width."""
    with torch.device("meta"):
        variant = VARIANT(VARIANT.Config(), shapes=full_size_shapes())
    assert sum(parameter.numel() for parameter in variant.adapter.parameters()) == 7_885_056
    assert sum(parameter.numel() for parameter in variant.parameters()) == 7_885_056 + 1


def test_gate_starts_where_the_settings_say() -> None:
    """Catches: an initial value taken for the raw parameter behind the sigmoid."""
    variant = VARIANT(VARIANT.Config(gate_init=0.2, hidden_dim=8), shapes=full_size_shapes())
    assert abs(variant.gate_values()["gate"] - 0.2) < 1e-6


def test_gate_at_zero_is_the_text_alone_without_nan(
    build: Build, inputs: ConditioningInputs, unet: UNet2DConditionModel, predict: Predict
) -> None:
    """Catches: a gate on the tokens, whose zero keys still take their share of the softmax."""
    plain = predict(inputs.text_BLC)
    variant = build(VARIANT)
    with torch.no_grad():
        variant.gate.raw.fill_(-math.inf)
    variant.attach(unet)
    assert variant.gate_values() == {"gate": 0.0}
    heard = predict(variant.condition(inputs).context())
    assert torch.allclose(heard, plain, atol=1e-6)
    heard.square().sum().backward()
    assert torch.isfinite(variant.gate.raw.grad)


@pytest.mark.parametrize("gate_init", [0.1, 0.5, 0.9])
def test_gate_is_in_the_graph_and_has_the_gradient_of_finite_differences(
    gate_init: float,
    build: Build,
    inputs: ConditioningInputs,
    unet: UNet2DConditionModel,
) -> None:
    """Catches: a gate that is logged and trained but never multiplies anything."""
    variant = build(VARIANT, gate_init=gate_init)
    context = variant.condition(inputs).context().detach().double()
    variant.double().attach(unet.double())
    noisy = torch.linspace(-4, 4, 3 * 256, dtype=torch.float64).sin().view(3, 4, 8, 8)

    def loss() -> Tensor:
        return unet(noisy, torch.tensor([100, 400, 900]), context).sample.square().sum()

    (gradient,) = torch.autograd.grad(loss(), [variant.gate.raw])
    values = []
    for step in (1e-5, -1e-5):
        with torch.no_grad():
            variant.gate.raw.add_(step)
            values.append(loss().item())
            variant.gate.raw.sub_(step)
    assert abs(gradient.item()) > 1e-6
    assert gradient.item() == pytest.approx((values[0] - values[1]) / 2e-5, rel=1e-3)
