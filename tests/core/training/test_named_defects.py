"""Defects seen in real training code for this task, each put into a branch and refused by name.

Of the others, (c) and (k) are in test_void_training.py, (i) in tests/core/features, (j) in
tests/harness/metrics, and (h) is what every reader of media refuses.
"""

from collections.abc import Callable, Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from core.conditioning.attached import AttachedVariant
from core.conditioning.conditioning import Conditioning, ConditioningInputs
from core.conditioning.goals import Goal, Pull
from core.conditioning.stage import ParameterGroup
from core.errors import GuardError
from core.sampling.sampler import Sampler, build_solver
from core.training.answer import check_answer_is_the_unets
from core.training.apart import check_clips_apart_in_training
from core.training.batches import Batches
from core.training.checkpoints import CheckpointFolder
from core.training.guards import Probe
from core.training.loop import train
from core.training.objective import TrainingData, per_sample_mse
from core.training.own_terms import pulled_by_own_terms
from core.training.plan import TrainingPlan
from core.training.preflight import preflight

MakeModel = Callable[[], AttachedVariant]
MakePlan = Callable[..., TrainingPlan]
LATENT_SHAPE = (4, 4, 4)


@pytest.fixture
def model(make_model: MakeModel) -> AttachedVariant:
    return make_model()


@pytest.fixture
def probe(make_model: MakeModel, inputs: ConditioningInputs) -> Probe:
    bare = make_model()
    bare.detach()
    return Probe.take(bare.unet, inputs, latent_shape=LATENT_SHAPE)


@pytest.fixture
def trained(
    data: TrainingData, make_plan: MakePlan, scheduler: Any, tmp_path: Path
) -> Callable[..., Any]:
    """Train a model through stage 1 alone, as long as it takes to be judged."""

    def run(model: AttachedVariant, *, steps: int = 9, accumulation: int = 2) -> Any:
        return train(
            model,
            data=data,
            plan=make_plan(steps=(steps, 0, 0), accumulation=accumulation),
            scheduler=scheduler,
            latent_shape=LATENT_SHAPE,
            seed=3,
            checkpoints=CheckpointFolder(tmp_path),
        )

    return run


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


# (b) the loss is independent of what is trained ------------------------------------------


def with_head(model: AttachedVariant, *, declared: bool, term: str = "shrink") -> nn.Linear:
    """Give the variant a layer that its own loss term alone reads."""
    variant = model.variant
    variant.head = nn.Linear(32, 2)

    def own(inputs: ConditioningInputs, given: Conditioning, *, stage: str) -> Mapping[str, Tensor]:
        assert given.audio_BNC is not None
        return {term: 0.1 * variant.head(given.audio_BNC.mean(dim=1)).square().mean()}

    object.__setattr__(variant, "auxiliary_losses", own)
    object.__setattr__(variant, "has_auxiliary_losses", lambda stage: True)
    if declared:
        names = frozenset({"head.weight", "head.bias"})
        object.__setattr__(variant, "loss_only_parameters", lambda: names)
    return variant.head


@pytest.mark.parametrize("accumulation", [1, 2])
@pytest.mark.parametrize("steps", [5, 9])
def test_b_a_module_that_its_own_term_alone_trains_is_refused(
    model: AttachedVariant, trained: Any, accumulation: int, steps: int
) -> None:
    """Catches: a gradient by the variant's own loss taken for being in the graph of the image."""
    with_head(model, declared=False)
    with pytest.raises(GuardError, match=r"own terms alone.*: variant\.head\.bias, variant\.head"):
        trained(model, steps=steps, accumulation=accumulation)


def test_b_a_head_that_is_declared_is_named_instead(
    model: AttachedVariant, make_model: MakeModel, trained: Any
) -> None:
    """Catches: a contrastive head refused, or trained without a word in the record."""
    with_head(model, declared=True)
    result = trained(model)
    assert result.stages[0].loss_only == ("variant.head.bias", "variant.head.weight")
    assert "own_terms" in result.guards_passed


def test_b_looking_at_own_terms_changes_no_weight(
    make_model: MakeModel, trained: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Catches: a check that draws, steps or leaves gradients, so that guarded numbers differ."""
    from core.training import stage_loop

    found = []
    for is_looked_at in (True, False):
        if not is_looked_at:
            monkeypatch.setattr(stage_loop, "check_own_terms", lambda *args: ())
        model = make_model()
        torch.manual_seed(0)
        with_head(model, declared=True)
        with torch.no_grad():
            for parameter in model.variant.head.parameters():
                parameter.fill_(0.1)
        for path in sorted(tmp_path.rglob("*"), reverse=True):
            path.unlink() if path.is_file() else path.rmdir()
        trained(model)
        found.append(model.state_dict())
    assert all(torch.equal(found[0][name], found[1][name]) for name in found[0])


def test_b_a_bias_that_a_softmax_takes_out_is_no_defect(
    model: AttachedVariant, inputs: ConditioningInputs, trained: Any
) -> None:
    """Catches: attentive pooling refused, since the bias of its scores gets a gradient of rounding
    by one loss and none by another."""
    variant = model.variant
    variant.score = nn.Linear(32, 1)

    def own(inputs: ConditioningInputs, given: Conditioning, *, stage: str) -> Mapping[str, Tensor]:
        tokens_BNC = given.context()
        share_BN1 = variant.score(torch.tanh(tokens_BNC)).softmax(dim=1)
        return {"pooled": (share_BN1 * tokens_BNC).sum(dim=1).square().mean()}

    pooled = own(inputs, variant.condition(inputs), stage="stage1")["pooled"]
    (bias,) = torch.autograd.grad(pooled, variant.score.bias)
    assert bias.item() != 0  # nothing but rounding
    object.__setattr__(variant, "auxiliary_losses", own)
    object.__setattr__(variant, "has_auxiliary_losses", lambda stage: True)
    names = frozenset({"score.weight"})
    object.__setattr__(variant, "loss_only_parameters", lambda: names)
    assert trained(model).stages[0].loss_only == ("variant.score.weight",)


def test_b_a_layer_that_the_first_batch_leaves_out_is_no_defect(
    model: AttachedVariant, trained: Any
) -> None:
    """Catches: hard routing refused, since no clip of one batch went through one of its layers."""
    variant, condition = model.variant, model.variant.condition
    variant.now_and_then = nn.Parameter(torch.ones(()))
    calls = [0]

    def routed(inputs: ConditioningInputs) -> Conditioning:
        found = condition(inputs)
        calls[0] += variant.training
        assert found.audio_BNC is not None
        if calls[0] % 7 == 3:
            return replace(found, audio_BNC=found.audio_BNC * variant.now_and_then)
        return found

    def own(inputs: ConditioningInputs, given: Conditioning, *, stage: str) -> Mapping[str, Tensor]:
        return {"decay": 0.01 * variant.now_and_then.square()}

    object.__setattr__(variant, "condition", routed)
    object.__setattr__(variant, "auxiliary_losses", own)
    object.__setattr__(variant, "has_auxiliary_losses", lambda stage: True)
    assert trained(model).stages[0].loss_only == ()


def test_b_a_gradient_of_rounding_alone_is_no_defect(
    model: AttachedVariant, inputs: ConditioningInputs
) -> None:
    """Catches: a bias in front of a softmax refused, whose gradient is 0 but for rounding."""
    variant = model.variant
    variant.score = nn.Linear(32, 1)

    def own(inputs: ConditioningInputs, given: Conditioning, *, stage: str) -> Mapping[str, Tensor]:
        assert given.audio_BNC is not None
        share = variant.score(given.audio_BNC).softmax(dim=1)
        rounding = 1e-9 * variant.score.bias.sum()
        return {"length": (share * given.audio_BNC).square().mean() + rounding}

    object.__setattr__(variant, "auxiliary_losses", own)
    trained = model.train_only([ParameterGroup.AUDIO])
    moved = pulled_by_own_terms(variant, inputs, stage="stage1", trained=trained)
    assert "variant.score.weight" in moved
    assert "variant.score.bias" not in moved


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
    with pytest.raises(GuardError, match=f"gets other {place} than were made for it"):
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


# (f) an entropy term with the wrong sign -------------------------------------------------


def with_router(model: AttachedVariant, *, sign: float, pull: Pull | None) -> None:
    """Scale the tokens by a router whose entropy is a term of the loss."""
    variant, condition = model.variant, model.variant.condition
    variant.route = nn.Parameter(torch.tensor([0.5, -0.5]))

    def routed(inputs: ConditioningInputs) -> Conditioning:
        found = condition(inputs)
        assert found.audio_BNC is not None
        share = variant.route.softmax(dim=0)
        return replace(found, audio_BNC=found.audio_BNC * share[None, :, None])

    def entropy() -> Tensor:
        share = variant.route.softmax(dim=0)
        return -(share * share.log()).sum()

    def own(inputs: ConditioningInputs, given: Conditioning, *, stage: str) -> Mapping[str, Tensor]:
        return {"router_entropy": sign * 0.1 * entropy()}

    def goals(inputs: ConditioningInputs, given: Conditioning, *, stage: str) -> Mapping[str, Goal]:
        return {} if pull is None else {"router_entropy": Goal(entropy(), pull)}

    object.__setattr__(variant, "condition", routed)
    object.__setattr__(variant, "auxiliary_losses", own)
    object.__setattr__(variant, "has_auxiliary_losses", lambda stage: True)
    object.__setattr__(variant, "goals", goals)


@pytest.mark.parametrize(("sign", "pull"), [(1.0, Pull.RAISE), (-1.0, Pull.LOWER)])
def test_f_a_term_that_pulls_against_its_goal_is_refused(
    model: AttachedVariant, trained: Any, sign: float, pull: Pull
) -> None:
    """Catches: a router that collapses since the term that should spread it has the wrong sign."""
    with_router(model, sign=sign, pull=pull)
    with pytest.raises(GuardError, match=rf"router_entropy is to {pull}.*the sign .* is wrong"):
        trained(model)


@pytest.mark.parametrize(("sign", "pull"), [(-1.0, Pull.RAISE), (1.0, Pull.LOWER)])
def test_f_a_term_that_pulls_to_its_goal_passes(
    model: AttachedVariant, trained: Any, sign: float, pull: Pull
) -> None:
    """Catches: the check turned round."""
    with_router(model, sign=sign, pull=pull)
    assert trained(model).stages[0].loss_only == ()


def test_f_an_entropy_term_without_a_goal_is_refused(model: AttachedVariant, trained: Any) -> None:
    """Catches: the sign left to chance."""
    with_router(model, sign=1.0, pull=None)
    with pytest.raises(GuardError, match="does not say whether it is to raise or to lower"):
        trained(model)


def test_f_a_goal_for_no_term_is_refused(model: AttachedVariant, trained: Any) -> None:
    """Catches: a goal under a misspelt name, which is never checked."""
    with_router(model, sign=-1.0, pull=Pull.RAISE)
    own = model.variant.goals
    object.__setattr__(
        model.variant, "goals", lambda *a, **w: {"entropy": own(*a, **w)["router_entropy"]}
    )
    with pytest.raises(GuardError, match="a goal for entropy, which is not a term"):
        trained(model)


# (g) built, and not in the graph of the tokens -------------------------------------------


def test_g_a_router_that_a_balancing_term_alone_reads_is_refused(
    model: AttachedVariant, trained: Any
) -> None:
    """Catches: a router that learns to balance itself and routes nothing."""
    variant = model.variant
    variant.router = nn.Linear(16, 3)

    def own(inputs: ConditioningInputs, given: Conditioning, *, stage: str) -> Mapping[str, Tensor]:
        (sound,) = inputs.audio.values()
        return {"balance": variant.router(sound).softmax(-1).mean(0).square().sum()}

    object.__setattr__(variant, "auxiliary_losses", own)
    object.__setattr__(variant, "has_auxiliary_losses", lambda stage: True)
    with pytest.raises(GuardError, match=r"own terms alone.*variant\.router\.bias"):
        trained(model)
