"""Each guard refuses the defect it is for, put back in, and passes the sound model."""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from core.choices import Precision
from core.conditioning.attached import AttachedVariant
from core.conditioning.conditioning import AudioFeature, ConditioningInputs
from core.conditioning.stage import ParameterGroup, Stage
from core.errors import GuardError
from core.training import guards
from core.training.built import check_built
from core.training.guards import Probe
from core.training.preflight import preflight
from core.training.watch import (
    GradientWatch,
    check_effective_steps,
    check_loss_terms,
)

MakeModel = Callable[[], AttachedVariant]
LATENT_SHAPE = (4, 4, 4)
POOLED = AudioFeature.CLAP_POOLED


@pytest.fixture(params=list(Precision))
def precision(request: pytest.FixtureRequest) -> Precision:
    """The arithmetic of the run and the type of its frozen weights."""
    return Precision(request.param)


@pytest.fixture
def model(make_model: MakeModel, precision: Precision) -> AttachedVariant:
    made = make_model()
    for parameter in made.frozen_parameters().values():
        parameter.data = parameter.data.to(getattr(torch, precision))
    return made


@pytest.fixture
def probe(model: AttachedVariant, inputs: ConditioningInputs, precision: Precision) -> Probe:
    """The bare UNet's answer, taken from under the model of the same test."""
    model.adapter.disable()
    processors = model.unet.attn_processors
    model.variant.detach()
    taken = Probe.take(model.unet, inputs, latent_shape=LATENT_SHAPE, precision=precision)
    model.variant.attach(model.unet)
    model.adapter.enable()
    assert processors.keys() == model.unet.attn_processors.keys()
    return taken


def test_a_sound_model_passes_the_preflight(model: AttachedVariant, probe: Probe) -> None:
    """Catches: a check that refuses everything."""
    names = preflight(model, probe)
    assert names == [
        "features_differ",
        "batch_equals_singles",
        "clips_apart_in_training",
        "silent_identity",
        "adapter_identity",
        "answer_is_the_unets",
    ]


@pytest.mark.parametrize(
    ("parameter", "words"),
    [
        (lambda: nn.LazyLinear(3), "extra.weight has no size yet"),
        (lambda: nn.Parameter(torch.zeros(3, device="meta")), "has no values"),
        (lambda: nn.Parameter(torch.zeros(3, dtype=torch.int64), requires_grad=False), "is int64"),
        (lambda: nn.Parameter(torch.zeros(3, dtype=torch.complex64)), "is complex64"),
        (lambda: nn.Parameter(torch.zeros(3, dtype=torch.float16)), "is float16"),
        (lambda: nn.Parameter(torch.tensor([0.0, float("nan")])), "holds NaN or infinity"),
        (lambda: nn.Parameter(torch.full((3,), float("inf"))), "holds NaN or infinity"),
    ],
)
def test_a_parameter_that_cannot_be_trained_is_named(
    model: AttachedVariant, parameter: Callable[[], Any], words: str
) -> None:
    """Catches: a traceback of the optimiser, or a mixing of clips that is blamed for a NaN."""
    check_built(model.variant)
    model.variant.extra = parameter()
    with pytest.raises(GuardError, match=words):
        check_built(model.variant)


def test_audio_that_is_equal_for_all_clips_is_refused(inputs: ConditioningInputs) -> None:
    """Catches: defect 1, a mean over time instead of channels before the encoder."""
    one = inputs.audio[POOLED][:1].expand(len(inputs), -1)
    noise = 1e-7 * torch.randn(one.shape, generator=torch.Generator().manual_seed(0))
    with pytest.raises(GuardError, match="clap_pooled is the same for all of 4"):
        guards.check_features_differ(replace(inputs, audio={POOLED: one + noise}))


def test_a_feature_with_nan_is_refused(inputs: ConditioningInputs) -> None:
    """Catches: a broken encoder whose NaN compares as different."""
    broken = inputs.audio[POOLED].clone()
    broken[1, 2] = math.nan
    with pytest.raises(GuardError, match="NaN"):
        guards.check_features_differ(replace(inputs, audio={POOLED: broken}))


class _MixesTheBatch(nn.Module):
    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, values: Tensor) -> Tensor:
        mixed: Tensor = self.inner(values)
        return mixed - mixed.mean(dim=0, keepdim=True)


def test_a_variant_that_mixes_the_batch_is_refused(model: AttachedVariant, probe: Probe) -> None:
    """Catches: defect 2, a batch that gives other embeddings than its clips one by one."""
    own = model.variant.audio_tokens
    norm = _MixesTheBatch(nn.Identity())
    model.variant.audio_tokens = lambda inputs: norm(own(inputs))
    with pytest.raises(GuardError, match="something mixes samples"):
        preflight(model, probe)


def test_layers_that_act_without_sound_are_refused(model: AttachedVariant, probe: Probe) -> None:
    """Catches: defect 4, a "zero-init" block that is not the identity."""
    with torch.no_grad():
        model.unet.conv_out.bias.add_(0.1)
    with pytest.raises(GuardError, match="not the identity without audio"):
        guards.check_silent_identity(model, probe)


def test_a_fresh_adapter_that_acts_is_refused(model: AttachedVariant, probe: Probe) -> None:
    """Catches: defect 4 in LoRA, both of whose matrices were drawn at random."""
    with torch.no_grad():
        for name, parameter in model.adapter.named_parameters().items():
            if "lora_B" in name:
                parameter.add_(0.5)
    with pytest.raises(GuardError, match="must start as the identity"):
        guards.check_adapter_identity(model, probe)


def test_the_adapter_check_leaves_the_adapter_on(model: AttachedVariant, probe: Probe) -> None:
    """Catches: a check that disables what it checked, so that stage 2 trains nothing."""
    guards.check_adapter_identity(model, probe)
    with torch.no_grad():
        for parameter in model.adapter.named_parameters().values():
            parameter.add_(0.5)
    with pytest.raises(GuardError):
        guards.check_silent_identity(model, probe)


def test_the_checks_leave_every_weight_as_it_was(model: AttachedVariant, probe: Probe) -> None:
    """Catches: frozen weights that stay in float32, or come back rounded, after the checks."""
    frozen = model.frozen_parameters()
    before, kinds = guards.parameters_hash(frozen), {n: p.dtype for n, p in frozen.items()}
    preflight(model, probe)
    assert guards.parameters_hash(frozen) == before
    assert {n: p.dtype for n, p in frozen.items()} == kinds


def test_layers_that_act_in_half_precision_alone_are_refused(
    make_model: MakeModel, inputs: ConditioningInputs
) -> None:
    """Catches: a check that looks at float32 alone, where a cast in the branch does no harm."""
    model = make_model()
    model.unet.to(torch.bfloat16)
    model.adapter.disable()
    model.variant.detach()
    taken = Probe.take(model.unet, inputs, latent_shape=LATENT_SHAPE, precision=Precision.BFLOAT16)
    model.variant.attach(model.unet)
    model.adapter.enable()
    guards.check_silent_identity(model, taken)
    model.unet.conv_out.register_forward_hook(
        lambda module, args, out: out if out.dtype == torch.float32 else out + 0.5
    )
    with pytest.raises(GuardError, match=r"in bfloat16.*though not in float32"):
        guards.check_silent_identity(model, taken)


def watched(gradients: dict[str, Tensor | None], *, steps: int = 1) -> GradientWatch:
    """A watch that has seen these gradients in each of some steps."""
    watch = GradientWatch(list(gradients), device=torch.device("cpu"))
    parameters = []
    for gradient in gradients.values():
        parameter = nn.Parameter(torch.zeros(2))
        parameter.grad = gradient
        parameters.append(parameter)
    for _ in range(steps):
        watch.note(parameters, is_finite=torch.tensor(True))
    return watch


def test_parameters_outside_the_graph_are_named() -> None:
    """Catches: defect 3, a gate that is built and never used, its gradient None or all zeros."""
    watch = watched({"used": torch.ones(2), "unused": None, "zeros": torch.zeros(2)}, steps=4)
    with pytest.raises(GuardError, match=r"stage1 trains 2 parameters.*unused, zeros"):
        guards.check_gradient_reach(watch.unreached(steps_done=4), stage="stage1")
    guards.check_gradient_reach(watched({"used": torch.ones(2)}).unreached(steps_done=1), stage="s")


def test_a_zero_gradient_is_judged_after_enough_steps_and_a_missing_one_at_once() -> None:
    """Catches: LoRA's A refused in a run of one step, since B is still 0."""
    watch = watched({"lora_A": torch.zeros(2), "unused": None})
    assert watch.unreached(steps_done=1) == ["unused"]
    assert watch.unreached(steps_done=4) == ["lora_A", "unused"]


def test_gradients_far_below_eps_are_named_with_the_stage_and_its_warm_up() -> None:
    """Catches: an encoder that keeps still for hours under eps and is refused at the end."""
    watch = watched({"tiny": torch.full((2,), 1e-11), "sound": torch.ones(2)}, steps=3)
    stage = Stage("stage1", 3000, 1e-4, 1e-3, 0.01, 100, (ParameterGroup.AUDIO,))
    with pytest.raises(GuardError, match=r"stage1 \(3,000 steps, 100 of them warm-up\).*: tiny\."):
        check_effective_steps(watch.too_small(eps=1e-8), eps=1e-8, stage=stage)
    check_effective_steps(watch.too_small(eps=1e-15), eps=1e-15, stage=stage)


def test_a_gradient_that_still_grows_is_not_judged() -> None:
    """Catches: LoRA's A refused while B, and with it A's gradient, rises from 0 in the warm-up."""
    watch = GradientWatch(["lora_A"], device=torch.device("cpu"))
    parameter = nn.Parameter(torch.zeros(2))
    for size in (0.0, 1e-11, 2e-11):
        parameter.grad = torch.full((2,), size)
        watch.note([parameter], is_finite=torch.tensor(True))
    assert watch.too_small(eps=1e-8) == {}
    watch.note([parameter], is_finite=torch.tensor(True))
    assert set(watch.too_small(eps=1e-8)) == {"lora_A"}


def test_a_step_that_is_not_finite_is_not_watched() -> None:
    """Catches: an overflow taken for a large gradient."""
    watch = GradientWatch(["weight"], device=torch.device("cpu"))
    parameter = nn.Parameter(torch.zeros(2))
    parameter.grad = torch.full((2,), math.inf)
    watch.note([parameter], is_finite=torch.tensor(False))
    assert watch.reached() == set()


def test_a_loss_term_that_is_always_zero_is_named() -> None:
    """Catches: InfoNCE over one sample a step, which is exactly 0, so that sonic trains without."""
    stage = Stage("stage1", 3000, 1e-4, 1e-3, 0.01, 100, (ParameterGroup.AUDIO,))
    check_loss_terms({"diffusion": 1.0, "contrastive": 0.1}, stage=stage, batch_size=4)
    with pytest.raises(GuardError, match="term contrastive was exactly 0 in each of the first 8"):
        check_loss_terms({"diffusion": 1.0, "contrastive": 0.0}, stage=stage, batch_size=1)


@pytest.mark.parametrize(
    ("loss", "norm"), [(math.nan, 1.0), (math.inf, 1.0), (1.0, math.nan), (1.0, math.inf)]
)
def test_a_loss_or_gradient_that_is_not_finite_is_refused(loss: float, norm: float) -> None:
    """Catches: NaN stepped into the weights."""
    with pytest.raises(GuardError, match="stage2 step 7"):
        guards.check_finite({"diffusion": loss}, norm, stage="stage2", step=7)
    guards.check_finite({"diffusion": 1.0}, 1.0, stage="stage2", step=7)


def test_a_loss_term_that_is_not_finite_is_named() -> None:
    """Catches: a sum that tells of NaN and not of where it comes from."""
    with pytest.raises(GuardError, match=r"loss nan \(contrastive\)"):
        guards.check_finite({"diffusion": 1.0, "contrastive": math.nan}, 1.0, stage="s", step=0)


def test_a_parameter_that_never_moved_is_named() -> None:
    """Catches: defect 5, a run that goes on with what bfloat16 masters swallowed."""
    with pytest.raises(GuardError, match="1 parameters did not move in all of stage1: still"):
        guards.check_moved(["still"], stage="stage1")
    guards.check_moved([], stage="stage1")


def test_a_frozen_parameter_that_moved_by_one_bit_is_noticed(model: AttachedVariant) -> None:
    """Catches: defect 6, a foundation that trains along."""
    before = guards.parameters_hash(model.frozen_parameters())
    guards.check_frozen_unchanged(before, guards.parameters_hash(model.frozen_parameters()))
    weight = next(iter(model.frozen_parameters().values()))
    with torch.no_grad():
        weight.view(-1)[0] = torch.nextafter(weight.view(-1)[0], torch.tensor(9.0).to(weight))
    with pytest.raises(GuardError, match="frozen parameter changed"):
        guards.check_frozen_unchanged(before, guards.parameters_hash(model.frozen_parameters()))


@pytest.mark.parametrize("name", ["text", "audio"])
def test_guidance_by_a_condition_that_was_never_dropped_is_refused(name: str) -> None:
    """Catches: defect 11, guidance without condition dropout in training."""
    sound: dict[str, Any] = {
        "text_guidance": 5.0,
        "audio_guidance": 2.0,
        "text_dropout": 0.1,
        "audio_dropout": 0.1,
    }
    guards.check_guidance_was_trained(**sound)
    with pytest.raises(GuardError, match=rf"training\.{name}_dropout is 0"):
        guards.check_guidance_was_trained(**{**sound, f"{name}_dropout": 0.0})
    guards.check_guidance_was_trained(**{**sound, f"{name}_dropout": 0.0, f"{name}_guidance": 1.0})


def test_class_weights_that_rescale_the_loss_are_refused() -> None:
    """Catches: defect 16, weights whose mean over the samples is not 1."""
    guards.check_class_weights([0.5, 1.5, 1.0])
    with pytest.raises(GuardError, match=r"average 1\.3"):
        guards.check_class_weights([1.0, 1.6])


def pictures(count: int) -> Tensor:
    return torch.rand((count, 3, 8, 8), generator=torch.Generator().manual_seed(5))


def test_images_that_reached_the_vae_in_0_1_are_refused() -> None:
    """Catches: defect 7. No range check can: [0, 1] lies inside [-1, 1]."""
    seen_BCHW = pictures(4)
    blurred = torch.nn.functional.avg_pool2d(seen_BCHW, 3, stride=1, padding=1)
    guards.check_latents_match_pictures(blurred, pictures_B3HW=seen_BCHW)
    with pytest.raises(GuardError, match=r"in \[0, 1\]"):
        guards.check_latents_match_pictures(blurred / 2 + 0.5, pictures_B3HW=seen_BCHW)


def test_latents_of_other_clips_are_refused() -> None:
    """Catches: rows of the cache given to the wrong clips."""
    seen_BCHW = pictures(4)
    with pytest.raises(GuardError, match="other clips"):
        guards.check_latents_match_pictures(seen_BCHW.roll(1, dims=0), pictures_B3HW=seen_BCHW)
