"""Defects seen in real training code for this task, each put into a branch and refused by name.

(b), (f) and (g) are in test_own_terms.py, (i) is in test_loudness.py. Of the others, (c) and (k)
are in test_void_training.py, (j) in tests/harness/metrics, and (h) is what every reader of media
refuses.
"""

from collections.abc import Callable
from dataclasses import fields, replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from core.conditioning.attached import AttachedVariant
from core.conditioning.conditioning import Conditioning, ConditioningInputs
from core.errors import GuardError
from core.sampling.sampler import Sampler, build_solver
from core.training.answer import check_answer_is_the_unets
from core.training.apart import check_clips_apart_in_training
from core.training.batches import Batches
from core.training.guards import Probe
from core.training.objective import TrainingData, per_sample_mse
from core.training.plan import TrainingPlan
from core.training.preflight import preflight
from tests.core.training.trained import LATENT_SHAPE, MakeModel


@pytest.fixture
def probe(make_model: MakeModel, inputs: ConditioningInputs) -> Probe:
    bare = make_model()
    bare.detach()
    return Probe.take(bare.unet, inputs, latent_shape=LATENT_SHAPE)


# (a) the loss hardly depends on the prediction -------------------------------------------


def test_a_the_variant_is_given_nothing_of_the_target(
    model: AttachedVariant, trained: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Catches: noise, latents or target within reach of what conditions, so that they leak."""
    made, given = Batches.at, model.variant.condition
    hidden: list[Tensor] = []
    seen: list[Tensor] = []

    def noted(self: Batches, step: int) -> Any:
        batch = made(self, step)
        hidden.extend([batch.noised.noisy_BCHW, batch.noised.target_BCHW])
        return batch

    def condition(inputs: ConditioningInputs) -> Conditioning:
        assert {field.name for field in fields(inputs)} == {"text_BLC", "audio", "class_index_B"}
        seen.extend([inputs.text_BLC, inputs.class_index_B, *inputs.audio.values()])
        return given(inputs)

    monkeypatch.setattr(Batches, "at", noted)
    object.__setattr__(model.variant, "condition", condition)
    trained(model)
    assert hidden
    assert seen
    storages = {tensor.untyped_storage().data_ptr() for tensor in hidden}
    assert not storages & {tensor.untyped_storage().data_ptr() for tensor in seen}
    shapes = {tuple(tensor.shape[1:]) for tensor in hidden}
    assert not shapes & {tuple(tensor.shape[1:]) for tensor in seen}


def test_a_the_loss_is_that_of_the_prediction_alone() -> None:
    """Catches: a target mixed into the prediction before the error is taken."""
    predicted = torch.randn(3, *LATENT_SHAPE, requires_grad=True)
    target = torch.randn(3, *LATENT_SHAPE)
    loss_B = per_sample_mse(predicted, target)
    assert torch.allclose(loss_B, ((predicted - target) ** 2).flatten(1).mean(dim=1))
    (slope,) = torch.autograd.grad(loss_B.sum(), predicted)
    assert torch.allclose(slope, 2 * (predicted - target) / target[0].numel())


@pytest.mark.parametrize("place", ["unet", "conv_out", "forward"])
def test_a_a_prediction_that_is_not_the_unets_is_refused(
    model: AttachedVariant, probe: Probe, place: str
) -> None:
    """Catches: an answer put in place of the UNet's, of which the loss then says nothing."""
    check_answer_is_the_unets(model, probe)
    if place == "conv_out":
        model.unet.conv_out.register_forward_hook(lambda m, args, out: out + 0.01)
    elif place == "unet":
        model.unet.register_forward_hook(
            lambda m, args, out: replace(out, sample=args[0] + 0.01 * out.sample)
        )
    else:
        own = model.unet.forward
        model.unet.forward = lambda *args, **words: replace(
            own(*args, **words), sample=torch.zeros_like(args[0])
        )
    with pytest.raises(GuardError, match="not what the UNet's last layer made"):
        check_answer_is_the_unets(model, probe)


# (d) a noise schedule of one's own -------------------------------------------------------


def test_d_training_noises_by_the_scheduler_that_sampling_denoises_by(
    data: TrainingData, plan: TrainingPlan, scheduler: Any
) -> None:
    """Catches: betas, a scaling or an order of one's own between training and sampling."""
    batches = Batches(
        data,
        plan=plan,
        stage_index=0,
        scheduler=scheduler,
        latent_shape=LATENT_SHAPE,
        seed=3,
        device=torch.device("cpu"),
    )
    noised = batches.at(0).noised
    kept_B111 = scheduler.alphas_cumprod[noised.timesteps_B].sqrt()[:, None, None, None]
    added_B111 = (1 - scheduler.alphas_cumprod[noised.timesteps_B]).sqrt()[:, None, None, None]
    clean_BCHW = (noised.noisy_BCHW - added_B111 * noised.target_BCHW) / kept_B111
    drawn_BCHW = torch.cat([data.features.latent_moments([i], [False])[0] for i in data.train_ids])
    nearest = torch.cdist(clean_BCHW.flatten(1), drawn_BCHW.flatten(1)).min(dim=1).values
    # The posterior of these features has a spread of .1 in each of 64 numbers.
    assert float(nearest.max()) < 1.5
    for kind in Sampler:
        solver = build_solver(kind, noise_scheduler=scheduler)
        assert torch.equal(solver.alphas_cumprod, scheduler.alphas_cumprod)


@pytest.mark.parametrize("place", ["latents", "timesteps"])
def test_d_noise_of_the_variants_own_is_refused(
    model: AttachedVariant, probe: Probe, place: str
) -> None:
    """Catches: a schedule that the sampler does not know, hidden in a hook of the branch."""
    if place == "latents":
        model.unet.conv_in.register_forward_pre_hook(lambda m, args: (0.9 * args[0],))
    else:
        model.unet.time_proj.register_forward_pre_hook(lambda m, args: (args[0] // 2,))
    with pytest.raises(GuardError, match=f"gets other {place} than the training step made"):
        check_answer_is_the_unets(model, probe)


def test_d_noise_added_in_training_alone_is_refused(model: AttachedVariant, probe: Probe) -> None:
    """Catches: a check in eval mode, where the branch adds none."""
    variant = model.variant
    model.unet.conv_in.register_forward_pre_hook(
        lambda m, args: (args[0] + 0.1,) if variant.training else None
    )
    with pytest.raises(GuardError, match="gets other latents"):
        preflight(model, probe)


# (e) tokens that depend on the neighbours ------------------------------------------------


def in_training_alone(model: AttachedVariant, mixed: Callable[[Tensor], Tensor]) -> None:
    own = model.variant.audio_tokens

    def tokens(inputs: ConditioningInputs) -> Tensor:
        found = own(inputs)
        assert found is not None
        return mixed(found) if model.variant.training else found

    object.__setattr__(model.variant, "audio_tokens", tokens)


@pytest.mark.parametrize(
    "mixed",
    [
        lambda t: t / t.norm(dim=(1, 2)).mean(),
        lambda t: t - t.mean(dim=0),
        lambda t: t.roll(1, dims=0),
        lambda t: t.roll(-1, dims=0),
        lambda t: t + 1e-2 * t.flip(0),
    ],
    ids=["norm", "mean", "rolled", "rolled back", "a little of another"],
)
def test_e_tokens_that_mix_clips_in_training_alone_are_refused(
    model: AttachedVariant, probe: Probe, mixed: Callable[[Tensor], Tensor]
) -> None:
    """Catches: a batch statistic that evaluation, where the other check looks, does not have."""
    check_clips_apart_in_training(model, probe)
    in_training_alone(model, mixed)
    with pytest.raises(GuardError, match="in training mode a clip's tokens change"):
        preflight(model, probe)


def test_e_batch_norm_is_refused_and_its_statistics_stay(
    model: AttachedVariant, probe: Probe
) -> None:
    """Catches: BatchNorm, and a check that moves its running mean."""
    norm = model.variant.norm_of_batch = nn.BatchNorm1d(2)
    in_training_alone(model, lambda tokens: norm(tokens))
    with pytest.raises(GuardError, match="BatchNorm"):
        check_clips_apart_in_training(model, probe)
    assert not bool(norm.running_mean.any())
    assert int(norm.num_batches_tracked) == 0


def test_e_layers_in_the_unet_that_mix_clips_in_training_are_refused(
    model: AttachedVariant, probe: Probe
) -> None:
    """Catches: the same behind the tokens, where nobody looks."""
    block = model.unet.mid_block
    variant = model.variant
    block.register_forward_hook(
        lambda m, args, out: out + 0.1 * out.mean(dim=0) if variant.training else None
    )
    with pytest.raises(GuardError, match="a clip's prediction change"):
        check_clips_apart_in_training(model, probe)


def test_e_noise_and_dropout_in_training_are_no_defect(
    model: AttachedVariant, probe: Probe
) -> None:
    """Catches: an alarm over what draws for each clip by itself."""
    in_training_alone(model, lambda t: nn.functional.dropout(t + 0.1 * torch.randn_like(t), 0.5))
    check_clips_apart_in_training(model, probe)
