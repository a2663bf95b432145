"""Sonic's projectors, layers and auxiliary losses."""

import math
from collections.abc import Callable

import pytest
import torch
from diffusers import UNet2DConditionModel
from pydantic import ValidationError

from core.conditioning.conditioning import ConditioningInputs
from core.conditioning.shapes import FoundationShapes
from core.conditioning.variant import Variant
from core.foundation.architecture import read_architecture
from core.randomness import torch_seeded
from variants.sonic import VARIANT
from variants.sonic.losses import caption_token_loss, contrastive_loss
from variants.sonic.paper import PaperProjector
from variants.sonic.projectors import four_mlp, matched_mlp
from variants.sonic.variant import Projector, SonicConfig

Build = Callable[..., Variant]
Predict = Callable[..., torch.Tensor]


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


def test_mid_up_is_ten_of_sixteen_blocks_at_full_size() -> None:
    """Catches: a section by another name, so that SonicDiffusion's layers are fewer or more."""
    architecture = read_architecture(
        "stable-diffusion-v1-5/stable-diffusion-v1-5", "laion/larger_clap_music_and_speech"
    )
    shapes = architecture.shapes(log_mel=(128, 1024), num_classes=8)
    with torch.device("meta"):
        listening = {
            layers: len(VARIANT(VARIANT.Config(layers=layers), shapes=shapes).gates())
            for layers in ("mid_up", "all")
        }
    assert listening == {"mid_up": 10, "all": 16}


def test_blocks_that_do_not_listen_read_the_text_alone(
    build: Build, inputs: ConditioningInputs, unet: UNet2DConditionModel, predict: Predict
) -> None:
    """Catches: down blocks that take the packed audio tokens for more text, absent ones too."""
    plain = predict(inputs.text_BLC)
    variant = build(VARIANT, layers="mid_up", gate_init=0.0)
    variant.attach(unet)
    assert torch.allclose(predict(variant.condition(inputs).context()), plain, atol=1e-6)
    deaf = [block.path for block in variant.shapes.blocks if block.section == "down"]
    assert deaf
    heard = {path: [] for path in deaf}
    hooks = [
        unet.get_submodule(path).attn2.to_k.register_forward_pre_hook(
            lambda module, args, path=path: heard[path].append(args[0].shape[1])
        )
        for path in deaf
    ]
    predict(variant.condition(inputs).context())
    for hook in hooks:
        hook.remove()
    assert all(lengths == [inputs.text_BLC.shape[1]] for lengths in heard.values())


def test_token_count_that_four_mlps_cannot_share_is_refused() -> None:
    """Catches: tokens silently dropped by integer division."""
    with pytest.raises(ValidationError, match="multiple of 4"):
        VARIANT.Config(num_tokens=6)


# The projector of the paper -----------------------------------------------------------------------


def test_paper_projector_has_the_released_layers_at_the_papers_size() -> None:
    """Catches: a kernel, stride or norm that is not the released network's."""
    with torch.device("meta"):
        projector = PaperProjector(1024, num_tokens=77, context_dim=768)
    convolutions = (1 * 17 + 1) * 77 + 4 * (77 * 17 + 1) * 77
    norms = 2 * 77 * (1024 + 1024 + 3072)
    block = 3 * 768 * 320 + (320 + 1) * 320 + (320 + 1) * 768
    counted = sum(parameter.numel() for parameter in projector.parameters())
    assert counted == convolutions + norms + 4 * block + (768 + 1) * 768 == 6_130_050


@pytest.mark.parametrize(("embedding_dim", "inner"), [(1024, 768), (512, 384), (20, 15)])
def test_paper_projector_takes_an_embedding_of_any_length(embedding_dim: int, inner: int) -> None:
    """Catches: a length that only 1,024 fits; tokens of another count or width."""
    with torch.device("meta"):
        projector = PaperProjector(embedding_dim, num_tokens=77, context_dim=768)
        tokens = projector(torch.empty(2, embedding_dim))
        assert projector.convolutions(torch.empty(2, 1, embedding_dim)).shape == (2, 77, inner)
    assert tokens.shape == (2, 77, 768)


def test_each_block_of_the_paper_reads_the_one_before_it() -> None:
    """Catches: the released loop, in which all blocks read the same and three are dead."""
    with torch_seeded(0, "test", "paper"):
        projector = PaperProjector(20, num_tokens=6, context_dim=12)
        clap_BD = torch.randn(2, 20)
    projector(clap_BD).square().sum().backward()
    for name, parameter in projector.blocks.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().max() > 0, name
    x_BNV = projector.convolutions(clap_BD[:, None])
    for block in projector.blocks:
        query, key, value = (
            layer(x_BNV).view(2, 6, 8, 40).transpose(1, 2)
            for layer in (block.to_q, block.to_k, block.to_v)
        )
        heard = (query @ key.mT / math.sqrt(40)).softmax(-1) @ value
        x_BNV = x_BNV + block.feed_forward(heard.transpose(1, 2).reshape(2, 6, 320))
    assert torch.allclose(projector(clap_BD), projector.out(x_BNV), atol=1e-5)


def test_paper_projector_gives_a_token_for_each_of_the_captions(
    build: Build, inputs: ConditioningInputs
) -> None:
    """Catches: 77 written into a branch whose caption has another length."""
    variant = build(VARIANT, projector="paper", hidden_dim=None)
    assert variant.audio_tokens(inputs).shape == inputs.text_BLC.shape


@pytest.mark.parametrize("setting", [{"num_tokens": 8}, {"hidden_dim": 64}])
def test_paper_projector_refuses_settings_it_does_not_read(setting: dict[str, int]) -> None:
    """Catches: a sweep over a key that changes nothing."""
    with pytest.raises(ValidationError, match="is not read by projector paper"):
        VARIANT.Config(projector="paper", **setting)
    unset = dict.fromkeys(setting, "none")
    assert VARIANT.Config(projector="paper", **unset) == VARIANT.Config(projector="paper")


@pytest.mark.parametrize("projector", ["four_mlp", "paper", "matched_mlp"])
def test_every_projector_tells_clips_apart_and_learns(
    projector: str, build: Build, inputs: ConditioningInputs
) -> None:
    """Catches: a projector whose norms flatten the embedding, or with a layer outside the graph."""
    hidden_dim = None if projector == "paper" else 32
    variant = build(VARIANT, projector=projector, hidden_dim=hidden_dim)
    tokens_BNC = variant.audio_tokens(inputs)
    assert (tokens_BNC[0] - tokens_BNC[1]).abs().max() > 1e-3
    (tokens_BNC * torch.randn_like(tokens_BNC)).sum().backward()
    for name, parameter in variant.projector.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().max() > 0, name


@pytest.mark.parametrize("gate_init", [0.0, 0.1])
def test_a_shut_gate_is_what_makes_a_fresh_variant_the_identity(
    gate_init: float, build: Build
) -> None:
    """Catches: a promise of identity that does not follow the setting."""
    assert build(VARIANT, gate_init=gate_init).is_identity_at_init is (gate_init == 0)


# Losses -------------------------------------------------------------------------------------------


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


def test_settings_in_effect_say_what_an_unset_one_stands_for() -> None:
    """Catches: a first trial of a sweep that is not the branch as it is, or numbers that nothing
    reads."""
    config = SonicConfig(num_tokens=16)
    assert config.in_effect() == {**config.model_dump(mode="json"), "hidden_dim": 1024}
    assert SonicConfig().in_effect()["num_tokens"] == 8
    paper = SonicConfig(projector=Projector.PAPER).in_effect()
    assert (paper["num_tokens"], paper["hidden_dim"], paper["projector"]) == (None, None, "paper")
