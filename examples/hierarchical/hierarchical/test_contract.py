"""Every promise of a variant, and what is this branch's own, on small models in seconds."""

from typing import ClassVar

import pytest
import torch

from core.conditioning.attached import AttachedVariant
from core.conditioning.conditioning import ConditioningInputs
from core.errors import UsageError
from harness.branches.unet_adapter import adapter_of
from harness.settings.load import load_profile
from harness.testing import VariantContract
from harness.testing.small import SmallFoundation
from hierarchical.config import HierarchicalConfig
from hierarchical.variant import LEVELS, Hierarchical

SMALL = SmallFoundation()


def built(**settings: float) -> tuple[Hierarchical, ConditioningInputs]:
    torch.manual_seed(0)
    config = HierarchicalConfig(**settings)
    variant = Hierarchical(config, shapes=SMALL.shapes(SMALL.unet()))
    return variant, SMALL.inputs(variant.audio_features)


class TestHierarchical(VariantContract):
    """A check that fails says what broke."""

    variant = Hierarchical
    config: ClassVar = {"num_blocks": 2}


def test_the_router_and_all_gates_are_in_the_graph() -> None:
    """Catches: a router or gates that are built and logged, and reach no output."""
    variant, inputs = built()
    variant.audio_tokens(inputs).square().sum().backward()
    parts = {
        **{f"gate {name}": gate for name, gate in variant.gates().items()},
        "slots": variant.router.slots_SV,
        "key": variant.router.to_key.weight,
        "temperature": variant.router.annealing,
    }
    for name, parameter in parts.items():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().max() > 0, name


def test_slots_are_five_three_and_two_and_a_shut_level_is_silent() -> None:
    """Catches: levels of other sizes, or a gate that scales another level's slots."""
    variant, inputs = built()
    whole = variant.slots(inputs)
    assert whole.shape[1] == 10
    for name, rows in zip(LEVELS, ((0, 5), (5, 8), (8, 10)), strict=True):
        shut, _ = built()
        with torch.no_grad():
            shut.gates()[name].fill_(-torch.inf)
        silent = (shut.slots(inputs) == 0).all(dim=-1).all(dim=0)
        assert silent.nonzero().flatten().tolist() == list(range(*rows)), name


def test_a_lower_temperature_makes_a_moment_belong_to_one_slot() -> None:
    """Catches: a temperature that multiplies where it should divide, or that nothing reads."""
    largest = []
    for temperature in (10.0, 1.0, 0.01):
        variant, _ = built(temperature_init=temperature, temperature_final=0.001)
        moments = torch.randn(3, 7, SMALL.context_dim, generator=torch.Generator().manual_seed(1))
        share = variant.router.shares(moments)
        torch.testing.assert_close(share.sum(dim=-1), torch.ones(3, 7))
        largest.append(share.detach().max(dim=-1).values.mean().item())
    assert largest[0] < 0.2 < largest[1] < 0.9 < largest[2]


def test_training_lowers_the_temperature_to_its_final_one_and_no_further() -> None:
    """Catches: an annealing that does not move, overshoots, or moves anything else."""
    variant, inputs = built()
    optimizer = torch.optim.AdamW(variant.parameters(), lr=2e-3, weight_decay=0.0)
    before = variant.from_moment.weight.detach().clone()
    for _ in range(400):
        optimizer.zero_grad()
        sum(
            variant.auxiliary_losses(inputs, variant.condition(inputs), stage="stage1").values()
        ).backward()
        optimizer.step()
    assert variant.router.log_temperature.detach().exp().item() == pytest.approx(0.1, rel=0.1)
    torch.testing.assert_close(variant.from_moment.weight, before)
    assert variant.auxiliary_losses(inputs, variant.condition(inputs), stage="stage3") == {}


def test_lora_of_rank_16_lies_in_the_mid_block_alone() -> None:
    """Catches: LoRA on every block, or of the profile's rank."""
    variant, _ = built()
    model = AttachedVariant(
        variant,
        unet=SMALL.unet(),
        attach_adapter=adapter_of(variant, profile=load_profile("tiny")),
    )
    parameters = model.adapter.named_parameters()
    assert parameters
    assert all(name.startswith("mid_block.") for name in parameters)
    assert {p.shape[0] for name, p in parameters.items() if "lora_A" in name} == {16}


def test_the_audio_is_added_to_the_caption_at_its_weight() -> None:
    """Catches: audio that takes the caption's place, or a factor that is not the setting's."""
    variant, inputs = built(audio_weight=0.7)
    unet = SMALL.unet()
    conditioning = variant.condition(inputs)
    expected = SMALL.predict(unet, inputs.text_BLC + 0.7 * conditioning.audio_BNC)
    variant.attach(unet)
    torch.testing.assert_close(
        SMALL.predict(unet, conditioning.context()), expected, atol=1e-5, rtol=1e-4
    )


def test_heads_that_do_not_divide_the_width_are_a_sentence() -> None:
    """Catches: an assertion of torch's about embed_dim for a setting."""
    with pytest.raises(UsageError, match="num_heads = 7 does not divide"):
        built(num_heads=7)


def test_a_temperature_that_rises_is_refused() -> None:
    """Catches: settings that say the opposite of what annealing means."""
    with pytest.raises(ValueError, match="an annealed temperature falls"):
        HierarchicalConfig(temperature_init=0.1, temperature_final=1.0)
