"""What must hold for each of our branches, at small size on a real UNet."""

from collections.abc import Callable
from dataclasses import replace

import optuna
import pytest
import torch
from diffusers import AutoencoderKL, DDIMScheduler, StableDiffusionPipeline, UNet2DConditionModel
from pydantic import ValidationError
from torch import Tensor

from core.conditioning.conditioning import ConditioningInputs
from core.conditioning.shapes import FoundationShapes
from core.conditioning.stage import ParameterGroup
from core.conditioning.variant import Variant
from core.errors import GuardError, MismatchError, UsageError
from core.randomness import torch_seeded
from variants.baseline import VARIANT as BASELINE
from variants.cutting_edge import VARIANT as CUTTING_EDGE
from variants.sonic import VARIANT as SONIC

Build = Callable[..., Variant]
Predict = Callable[..., Tensor]
every_variant = pytest.mark.parametrize("cls", [BASELINE, SONIC, CUTTING_EDGE])


def row(inputs: ConditioningInputs, index: int) -> ConditioningInputs:
    """One clip of the inputs, as a batch of one."""
    keep = slice(index, index + 1)
    return ConditioningInputs(
        text_BLC=inputs.text_BLC[keep],
        audio={name: feature[keep] for name, feature in inputs.audio.items()},
        class_index_B=inputs.class_index_B[keep],
    )


@every_variant
def test_absent_audio_gives_the_foundation_and_present_audio_does_not(
    cls: type[Variant],
    build: Build,
    inputs: ConditioningInputs,
    unet: UNet2DConditionModel,
    predict: Predict,
) -> None:
    """Catches: a null condition that is not the text-only model; a branch that does not listen."""
    plain = predict(inputs.text_BLC)
    variant = build(cls)
    variant.attach(unet)
    assert torch.equal(predict(inputs.text_BLC), plain)
    conditioning = variant.condition(inputs)
    dropped = conditioning.with_audio_dropped(torch.ones(3, dtype=torch.bool))
    assert torch.allclose(predict(dropped.context()), plain, atol=1e-6)
    moved_B = (predict(conditioning.context()) - plain).abs().amax(dim=(1, 2, 3))
    assert moved_B.min() > 1e-4


@every_variant
def test_batch_equals_its_clips_one_by_one(
    cls: type[Variant],
    build: Build,
    inputs: ConditioningInputs,
    unet: UNet2DConditionModel,
    predict: Predict,
) -> None:
    """Catches: a norm over the batch, or a mean over the wrong axis."""
    variant = build(cls)
    variant.attach(unet)
    together = predict(variant.condition(inputs).context())
    for index in range(3):
        alone = predict(variant.condition(row(inputs, index)).context(), first_row=index)
        assert torch.allclose(alone[0], together[index], atol=1e-5)


@every_variant
def test_different_clips_of_one_caption_give_different_images(
    cls: type[Variant],
    build: Build,
    inputs: ConditioningInputs,
    unet: UNet2DConditionModel,
    predict: Predict,
) -> None:
    """Catches: audio collapsed before it reaches the UNet."""
    variant = build(cls)
    variant.attach(unet)
    shifted = replace(inputs, audio={n: f.roll(1, dims=0) for n, f in inputs.audio.items()})
    right = predict(variant.condition(inputs).context())
    wrong = predict(variant.condition(shifted).context())
    assert (right - wrong).abs().amax(dim=(1, 2, 3)).min() > 1e-5


@every_variant
def test_stage_1_reaches_every_parameter_of_the_variant(
    cls: type[Variant],
    build: Build,
    inputs: ConditioningInputs,
    unet: UNet2DConditionModel,
    predict: Predict,
) -> None:
    """Catches: a module outside the graph, a dead layer, a start from which nothing learns."""
    variant = build(cls).train()
    variant.attach(unet)
    conditioning = variant.condition(inputs)
    loss = predict(conditioning.context()).square().mean()
    for term in variant.auxiliary_losses(inputs, conditioning, stage="stage1").values():
        loss = loss + term
    loss.backward()
    for name, parameter in variant.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name
        assert parameter.grad.abs().max() > 0, name
    assert all(parameter.grad is None for parameter in unet.parameters())


@every_variant
def test_parameter_groups_hold_every_parameter_once(cls: type[Variant], build: Build) -> None:
    """Catches: a parameter no stage trains, or one with two learning rates."""
    variant = build(cls)
    groups = variant.parameter_groups()
    grouped = [id(p) for group in groups.values() for p in group.values()]
    assert sorted(grouped) == sorted(id(p) for p in variant.parameters())
    gates = {id(p) for p in variant.gates().values()}
    assert {id(p) for p in groups[ParameterGroup.GATES].values()} == gates
    assert variant.gates().keys() == variant.gate_values().keys()
    assert len(groups[ParameterGroup.GATES]) >= 1


@every_variant
def test_state_round_trip_restores_the_output(
    cls: type[Variant],
    build: Build,
    shapes: FoundationShapes,
    inputs: ConditioningInputs,
    unet: UNet2DConditionModel,
    predict: Predict,
) -> None:
    """Catches: weights that are trained but not saved."""
    variant = build(cls)
    variant.attach(unet)
    before = predict(variant.condition(inputs).context())
    state = {name: tensor.clone() for name, tensor in variant.state_dict().items()}
    variant.detach()
    with torch_seeded(1, "test", "other"):
        other = cls(variant.config, shapes=shapes).eval()
    other.attach(unet)
    assert not torch.equal(predict(other.condition(inputs).context()), before)
    other.load_state_dict(state, strict=True)
    assert torch.equal(predict(other.condition(inputs).context()), before)


@every_variant
def test_replaced_parameters_are_the_ones_the_unet_reads(
    cls: type[Variant],
    build: Build,
    inputs: ConditioningInputs,
    unet: UNet2DConditionModel,
    predict: Predict,
) -> None:
    """Catches: a processor that keeps a tensor which loading or moving has replaced."""
    variant = build(cls)
    variant.attach(unet)
    zeros = {name: torch.zeros_like(tensor) for name, tensor in variant.state_dict().items()}
    variant.load_state_dict(zeros, assign=True)
    conditioning = variant.condition(inputs)
    predict(replace(conditioning, audio_BNC=conditioning.audio_BNC + 1).context()).sum().backward()
    assert all(gate.grad is not None for gate in variant.gates().values())


@every_variant
def test_attaching_changes_no_key_and_detaching_restores_the_unet(
    cls: type[Variant],
    build: Build,
    inputs: ConditioningInputs,
    unet: UNet2DConditionModel,
    predict: Predict,
) -> None:
    """Catches: modules registered in the UNet; a branch that lingers into the next run."""
    plain, keys = predict(inputs.text_BLC), list(unet.state_dict())
    variant = build(cls)
    variant.detach()
    variant.attach(unet)
    assert list(unet.state_dict()) == keys
    assert not any(name.startswith("unet") for name in variant.state_dict())
    with pytest.raises(GuardError, match="attached already"):
        variant.attach(unet)
    with pytest.raises(GuardError, match="already listens"):
        build(cls).attach(unet)
    variant.detach()
    assert torch.equal(predict(inputs.text_BLC), plain)
    assert not any(m._forward_pre_hooks or m._forward_hooks for m in unet.modules())
    variant.attach(unet)


@every_variant
def test_unet_with_other_blocks_is_refused(
    cls: type[Variant], shapes: FoundationShapes, build: Build, unet: UNet2DConditionModel
) -> None:
    """Catches: layers that end up in other blocks than they were built for."""
    settings = build(cls).config
    other = cls(settings, shapes=replace(shapes, blocks=shapes.blocks[:-1]))
    with pytest.raises(MismatchError, match="other transformer blocks"):
        other.attach(unet)


@every_variant
def test_audio_scale_of_zero_is_text_only_and_survives_attaching(
    cls: type[Variant],
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
def test_plain_diffusers_pipeline_paints_with_the_packed_context(
    cls: type[Variant], build: Build, inputs: ConditioningInputs, unet: UNet2DConditionModel
) -> None:
    """Catches: a branch that works in our own loop only."""
    vae = AutoencoderKL(block_out_channels=(32,), norm_num_groups=8)
    pipeline = StableDiffusionPipeline(
        vae=vae,
        text_encoder=None,
        tokenizer=None,
        unet=unet,
        scheduler=DDIMScheduler(steps_offset=1, clip_sample=False),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipeline.set_progress_bar_config(disable=True)
    noise_BCHW = torch.randn(3, 4, 8, 8, generator=torch.Generator().manual_seed(5))

    def paint(context: Tensor, null_context: Tensor) -> Tensor:
        return pipeline(
            prompt_embeds=context,
            negative_prompt_embeds=null_context,
            latents=noise_BCHW,
            num_inference_steps=2,
            guidance_scale=3.0,
            output_type="latent",
        ).images

    null_text = torch.zeros_like(inputs.text_BLC)
    plain = paint(inputs.text_BLC, null_text)
    variant = build(cls)
    variant.attach(unet)
    heard = variant.condition(inputs)
    everywhere = torch.ones(3, dtype=torch.bool)
    silent = heard.with_audio_dropped(everywhere)
    null = silent.with_text_dropped(everywhere, null_text_LC=null_text[0])
    assert torch.allclose(paint(silent.context(), null.context()), plain, atol=1e-5)
    assert not torch.allclose(paint(heard.context(), null.context()), plain, atol=1e-3)


@every_variant
def test_search_space_yields_settings_the_variant_can_be_built_from(
    cls: type[Variant], build: Build
) -> None:
    """Catches: a search over keys nothing reads, or values out of bounds."""
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    for _ in range(5):
        settings = cls.search_space(study.ask())
        assert settings
        assert settings.keys() <= cls.Config.model_fields.keys()
        build(cls, **settings)


@every_variant
def test_settings_describe_every_field_and_refuse_unknown_keys(cls: type[Variant]) -> None:
    """Catches: an undocumented setting; a misspelt key that nothing reads."""
    assert all(field.description for field in cls.Config.model_fields.values())
    assert cls.summary
    assert "\n" not in cls.summary
    with pytest.raises(ValidationError, match="gate_initt"):
        cls.Config(gate_initt=0.2)


@every_variant
def test_variant_is_built_on_the_meta_device(cls: type[Variant], build: Build) -> None:
    """Catches: a constructor that needs weights or values to count its parameters."""
    real = build(cls)
    with torch.device("meta"):
        counted = build(cls)
    assert all(parameter.is_meta for parameter in counted.parameters())
    assert {n: p.shape for n, p in counted.named_parameters()} == {
        n: p.shape for n, p in real.named_parameters()
    }
