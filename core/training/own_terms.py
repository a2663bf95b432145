"""Checks on the terms that a variant adds to the loss: what they alone train, and where they pull.

Each reads a few batches again and changes nothing.
"""

import math
from collections.abc import Iterable, Mapping
from itertools import chain

import torch
from torch import Tensor, nn

from core.conditioning.conditioning import ConditioningInputs
from core.conditioning.goals import Pull
from core.conditioning.variant import Variant
from core.errors import GuardError
from core.randomness import torch_seeded
from core.training.apart import buffers_kept
from core.training.batches import StepBatch
from core.training.objective import per_sample_mse
from core.training.step import TrainingStep

# Below this cosine two gradients have nothing to do with each other.
_LEAST_COSINE = 1e-3
# Rounding steps that a sum over tokens may leave of a gradient that is 0.
_ROUNDINGS = 8


def check_own_terms(step: TrainingStep, batches: Iterable[StepBatch]) -> tuple[str, ...]:
    """Names of parameters that the variant's own terms alone train, as it says.

    batches: as many as it takes until the diffusion loss has reached all; a layer that a hard
        choice leaves out of one may be in use in the next.

    Raises:
        GuardError: a parameter has a gradient by those terms and none by the diffusion loss, so it
            is not in the graph of the tokens; or a term pulls against its goal.
    """
    batches = iter(batches)
    first = next(batches)
    with buffers_kept(step.model):
        step.model.set_training(True)
        declared = {f"variant.{n}" for n in step.model.variant.loss_only_parameters()}
        trained = dict(zip(step.watch.names, step.parameters, strict=True))
        with torch_seeded(step.seed, "own_terms", step.stage.name), step.autocast():
            missing = pulled_by_own_terms(
                step.model.variant, first.inputs, stage=step.stage.name, trained=trained
            )
        for batch in chain([first], batches):
            if not missing - declared:
                break
            missing -= _reached(step, batch, trained=trained)
    undeclared = sorted(missing - declared)
    if undeclared:
        raise GuardError(
            f"{step.stage.name}: {len(undeclared)} parameters get a gradient from the variant's "
            f"own terms alone and none from the diffusion loss: {', '.join(undeclared[:4])}"
            f"{' ...' if len(undeclared) > 4 else ''}. They are not in the graph of the tokens, "
            "so what they learn reaches no image. Use them in the tokens; a head that only a loss "
            "needs is named by the variant's loss_only_parameters()"
        )
    return tuple(sorted(missing & declared))


def pulled_by_own_terms(
    variant: Variant,
    inputs: ConditioningInputs,
    *,
    stage: str,
    trained: Mapping[str, nn.Parameter],
) -> set[str]:
    """Names of parameters that the variant's own terms give a gradient.

    Raises: GuardError where a term pulls against its goal, or does not state one and has to.
    """
    conditioning = variant.condition(inputs)
    terms = variant.auxiliary_losses(inputs, conditioning, stage=stage)
    goals = variant.goals(inputs, conditioning, stage=stage)
    gradients = {name: gradients_of(term, trained) for name, term in terms.items()}
    unknown = sorted(goals.keys() - terms.keys())
    if unknown:
        raise GuardError(
            f"{stage}: the variant states a goal for {', '.join(unknown)}, which is not a term of "
            f"its loss; its terms: {', '.join(terms) or 'none'}"
        )
    for name in terms:
        if name in goals:
            goal = goals[name]
            quantity = gradients_of(goal.quantity, trained)
            _require_pull(gradients[name], quantity, pull=goal.pull, term_name=name)
        elif "entropy" in name.lower():
            raise GuardError(
                f"{stage}: the term {name} names an entropy and the variant does not say whether "
                "it is to raise or to lower it; the sign of such a term is easily wrong and "
                "nothing else would show it. State it in the variant's goals()"
            )
    return {parameter for found in gradients.values() for parameter in _felt(found)}


def gradients_of(value: Tensor, trained: Mapping[str, nn.Parameter]) -> dict[str, Tensor | None]:
    """Gradient of each parameter by name, None outside the graph; leaves `.grad` alone."""
    if not value.requires_grad:
        return dict.fromkeys(trained)
    found = torch.autograd.grad(value, list(trained.values()), retain_graph=True, allow_unused=True)
    return dict(zip(trained, found, strict=True))


def _not_zero(gradients: Mapping[str, Tensor | None]) -> set[str]:
    return {name for name, g in gradients.items() if g is not None and bool(g.any())}


def _felt(gradients: Mapping[str, Tensor | None]) -> set[str]:
    """Those whose gradient is more than rounding beside the whole: a bias before a softmax, which
    its sum takes out, has one of rounding alone, in one loss and not in another."""
    device = next((g.device.type for g in gradients.values() if g is not None), "cpu")
    is_narrow = torch.is_autocast_enabled(device)
    dtype = torch.get_autocast_dtype(device) if is_narrow else torch.float32
    least = _ROUNDINGS * torch.finfo(dtype).eps * _length(gradients)
    return {n for n, g in gradients.items() if g is not None and float(g.double().norm()) > least}


def _require_pull(
    term: Mapping[str, Tensor | None],
    quantity: Mapping[str, Tensor | None],
    *,
    pull: Pull,
    term_name: str,
) -> None:
    """Raises GuardError where a step down the term's gradient moves the quantity the wrong way."""
    pairs = [(g, quantity[name]) for name, g in term.items()]
    product = sum(
        float((t.double() * q.double()).sum()) for t, q in pairs if t is not None and q is not None
    )
    length = _length(term) * _length(quantity)
    # At its optimum a quantity has no gradient, and a term of weight 0 none either.
    if length == 0 or abs(product) < _LEAST_COSINE * length:
        return
    if (product > 0) is (pull is Pull.RAISE):
        raise GuardError(
            f"the loss's term {term_name} is to {pull.value} its quantity, says the variant, but "
            f"a step down its gradient does the contrary (cosine of the two gradients "
            f"{product / length:+.2f}): the sign of the term is wrong"
        )


def _length(gradients: Mapping[str, Tensor | None]) -> float:
    squares = [float(g.double().square().sum()) for g in gradients.values() if g is not None]
    return math.sqrt(math.fsum(squares))


def _reached(
    step: TrainingStep, batch: StepBatch, *, trained: Mapping[str, nn.Parameter]
) -> set[str]:
    """Names of parameters that the diffusion loss gives a gradient, with nothing dropped."""
    found: set[str] = set()
    for number in range(step.plan.accumulation):
        micro = batch.micro(number, size=step.plan.micro_batch)
        with torch_seeded(step.seed, "own_terms", step.stage.name), step.autocast():
            context_BKC = step.model.variant.condition(micro.inputs).context()
            prediction = step.model.predict(
                micro.noised.noisy_BCHW, micro.noised.timesteps_B, context_BKC
            )
        loss = per_sample_mse(prediction, micro.noised.target_BCHW).mean()
        scaled = loss if step.scaler is None else step.scaler.scaled(loss)
        found |= _not_zero(gradients_of(scaled, trained))
    return found
