"""Every promise of a variant, and what is this branch's own, on small models in seconds."""

import pytest
import torch

from core.conditioning.conditioning import AudioFeature, ConditioningInputs
from harness.testing import SmallFoundation, VariantContract
from ip_adapter import VARIANT
from ip_adapter.config import IpAdapterConfig

SMALL = SmallFoundation()


class TestIpAdapter(VariantContract):
    """A check that fails says what broke."""

    variant = VARIANT


def built(**settings):
    torch.manual_seed(0)
    variant = VARIANT(IpAdapterConfig(**settings), shapes=SMALL.shapes(SMALL.unet())).eval()
    return variant, SMALL.inputs(variant.audio_features)


@torch.no_grad()
def test_sound_adds_in_proportion_to_the_scale_at_one_block() -> None:
    """Catches: audio inside the text's softmax, a gate, or a scale that is squashed."""
    variant, inputs = built()
    unet = SMALL.unet()
    path, processor = next(iter(variant.processors().items()))
    attn = unet.get_submodule(path).attn2
    hidden = torch.randn(4, 9, variant.shapes.blocks[0].width)
    context = variant.condition(inputs).context()
    processor.plain = attn.processor
    outputs = []
    for scale in (0.0, 1.0, 2.0):
        processor.scale = scale
        outputs.append(processor(attn, hidden, context))
    text = attn.processor(attn, hidden, inputs.text_BLC)
    torch.testing.assert_close(outputs[0], text)
    torch.testing.assert_close(
        outputs[2] - outputs[0], 2 * (outputs[1] - outputs[0]), atol=1e-5, rtol=1e-4
    )
    assert float((outputs[1] - outputs[0]).abs().max()) > 1e-3


@torch.no_grad()
def test_a_moment_keeps_its_place() -> None:
    """Catches: tokens that do not tell an early sound from a late one."""
    variant, inputs = built()
    sequence = inputs.audio[AudioFeature.CLAP_SEQUENCE]
    late = ConditioningInputs(
        text_BLC=inputs.text_BLC,
        audio={AudioFeature.CLAP_SEQUENCE: sequence.flip(1)},
        class_index_B=inputs.class_index_B,
    )
    unet = SMALL.unet()
    variant.attach(unet)
    early = SMALL.predict(unet, variant.condition(inputs).context())
    moved = (early - SMALL.predict(unet, variant.condition(late).context())).abs().max()
    assert float(moved) > 1e-5  # the sum over moments in another order moves it by 1e-7


@torch.no_grad()
def test_values_that_start_at_zero_leave_a_fresh_branch_the_plain_unet() -> None:
    """Catches: a setting that says identity and is not, or keys that start at 0 as well."""
    variant, inputs = built(is_zero_at_start=True)
    assert variant.is_identity_at_init
    unet = SMALL.unet()
    plain = SMALL.predict(unet, inputs.text_BLC)
    variant.attach(unet)
    torch.testing.assert_close(SMALL.predict(unet, variant.condition(inputs).context()), plain)
    assert all(bool(layer.audio_k.weight.any()) for layer in variant.layers)


@pytest.mark.parametrize("is_zero", [False, True])
def test_the_unet_is_left_as_it_is(is_zero: bool) -> None:
    """Catches: LoRA by default, where the recipe trains keys, values and projection alone."""
    variant, _ = built(is_zero_at_start=is_zero)
    assert variant.unet_adapter.value == "none"
    trained = {name.split(".")[0] for name, _ in variant.named_parameters()}
    assert trained == {"project", "position_TC", "layers"}
