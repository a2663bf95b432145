"""The baseline's size and gate."""

import torch

from core.conditioning.shapes import FoundationShapes
from variants.baseline import VARIANT


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
