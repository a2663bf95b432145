"""Sonic's projectors, layers and auxiliary losses."""

import math
from collections.abc import Callable

import pytest
import torch
from pydantic import ValidationError

from core.conditioning.conditioning import ConditioningInputs
from core.conditioning.shapes import FoundationShapes
from core.conditioning.variant import Variant
from variants.sonic import VARIANT
from variants.sonic.losses import caption_token_loss, contrastive_loss
from variants.sonic.projectors import four_mlp, matched_mlp

Build = Callable[..., Variant]


def test_matched_control_has_the_parameters_of_the_four() -> None:
    """Catches: a control that wins or loses by its size."""
    sizes = {"hidden_dim": 1024, "num_tokens": 8, "context_dim": 768}
    with torch.device("meta"):
        four = sum(p.numel() for p in four_mlp(512, **sizes).parameters())
        matched = sum(p.numel() for p in matched_mlp(512, **sizes).parameters())
    assert abs(four - matched) / four < 5e-4


def test_each_of_the_four_mlps_gives_its_own_tokens() -> None:
    """Catches: tokens interleaved across the MLPs by a wrong reshape."""
    projector = four_mlp(16, hidden_dim=8, num_tokens=8, context_dim=12)
    clap_BD = torch.randn(2, 16)
    before = projector(clap_BD)
    with torch.no_grad():
        projector.mlps[1][2].bias.add_(torch.randn(24))
    moved_N = (projector(clap_BD) - before).abs().amax(dim=(0, 2)) > 1e-6
    assert moved_N.tolist() == [False, False, True, True, False, False, False, False]


def test_mid_up_layers_leave_the_down_blocks_alone(build: Build, shapes: FoundationShapes) -> None:
    """Catches: a choice of layers that nothing reads."""
    everywhere, mid_up = build(VARIANT), build(VARIANT, layers="mid_up")
    assert everywhere.gates().keys() == {block.path for block in shapes.blocks}
    assert mid_up.gates().keys() == {b.path for b in shapes.blocks if b.section != "down"}
    assert len(mid_up.gates()) < len(everywhere.gates())


def test_token_count_that_four_mlps_cannot_share_is_refused() -> None:
    """Catches: tokens silently dropped by integer division."""
    with pytest.raises(ValidationError, match="multiple of 4"):
        VARIANT.Config(num_tokens=6)


def test_contrastive_loss_of_a_hand_computed_case() -> None:
    """Catches: positives that do not share the mass of their class, or a temperature that divides
    the wrong way."""
    text_BLC = torch.tensor([[[1.0, 0.0]], [[1.0, 0.0]], [[0.0, 1.0]]])
    audio_BNC = torch.tensor([[[2.0, 0.0]], [[0.0, 3.0]], [[0.0, 1.0]]])
    loss = contrastive_loss(
        audio_BNC, text_BLC=text_BLC, class_index_B=torch.tensor([0, 0, 1]), temperature=0.5
    )
    high = math.exp(2.0)
    own = [2 * high / (2 * high + 1), 2 / (2 + high), high / (2 + high)]
    assert loss.item() == pytest.approx(-sum(map(math.log, own)) / 3, rel=1e-5)


def test_contrastive_loss_asks_nothing_of_clips_of_one_class() -> None:
    """Catches: InfoNCE that takes clips with the same caption for negatives of each other."""
    audio_BNC = torch.randn(4, 3, 8, requires_grad=True)
    text_BLC = torch.randn(1, 5, 8).expand(4, -1, -1)
    loss = contrastive_loss(
        audio_BNC,
        text_BLC=text_BLC,
        class_index_B=torch.zeros(4, dtype=torch.int64),
        temperature=0.1,
    )
    loss.backward()
    assert loss.item() == pytest.approx(0.0, abs=1e-6)
    assert audio_BNC.grad.abs().max() < 1e-6


def test_caption_loss_weighs_the_first_token_most() -> None:
    """Catches: weights that fall the wrong way, or do not add up to one."""
    text_BLC = torch.zeros(2, 5, 4)
    ones = torch.ones(2, 3, 4)
    assert caption_token_loss(ones, text_BLC=text_BLC).item() == pytest.approx(1.0)
    first = torch.zeros(2, 3, 4)
    first[:, 0] = 1.0
    assert caption_token_loss(first, text_BLC=text_BLC).item() == pytest.approx(3 / 6)


def test_auxiliary_losses_are_stage_1_only_and_weighted(
    build: Build, inputs: ConditioningInputs
) -> None:
    """Catches: a caption loss that goes on pulling clips together in later stages."""
    variant = build(VARIANT, contrastive_weight=0.5, caption_weight=0.25)
    conditioning = variant.condition(inputs)
    assert variant.auxiliary_losses(inputs, conditioning, stage="stage2") == {}
    losses = variant.auxiliary_losses(inputs, conditioning, stage="stage1")
    doubled = build(VARIANT, contrastive_weight=1.0, caption_weight=0.5)
    twice = doubled.auxiliary_losses(inputs, conditioning, stage="stage1")
    assert losses.keys() == {"contrastive", "caption"}
    assert all(torch.allclose(2 * losses[name], twice[name]) for name in losses)
    without = build(VARIANT, contrastive_weight=0.0, caption_weight=0.0)
    assert without.auxiliary_losses(inputs, conditioning, stage="stage1") == {}


def test_tokens_do_not_depend_on_class_or_caption(build: Build, inputs: ConditioningInputs) -> None:
    """Catches: a class index that leaks from the auxiliary losses into the conditioning."""
    variant = build(VARIANT)
    other = ConditioningInputs(
        text_BLC=inputs.text_BLC + 1, audio=inputs.audio, class_index_B=inputs.class_index_B + 1
    )
    assert torch.equal(variant.audio_tokens(inputs), variant.audio_tokens(other))
