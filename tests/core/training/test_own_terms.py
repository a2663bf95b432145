"""Defects of a variant's own loss terms: (b), (f) and (g) of the list in test_named_defects.py."""

from collections.abc import Mapping
from dataclasses import replace
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
from core.training.own_terms import pulled_by_own_terms
from tests.core.training.trained import MakeModel


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
