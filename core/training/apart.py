"""A check that a clip is trained by itself: no other clip of its batch reaches it.

Shape legend: B clips, K context tokens, C context width.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from core.conditioning.attached import AttachedVariant
from core.conditioning.conditioning import ConditioningInputs
from core.errors import GuardError
from core.randomness import torch_seeded
from core.training.guards import Probe
from core.training.precision import in_float32

# Relative; the batch has one shape throughout, so that rounding hardly differs.
_TOLERANCE = 1e-4


def check_clips_apart_in_training(model: AttachedVariant, probe: Probe) -> None:
    """Raises GuardError where a clip's tokens or answer change with the clips next to it.

    In training mode, where a batch statistic acts that evaluation does not have. Each half of the
    batch is exchanged for clips of the other, from the same random numbers: dropout and noise of a
    variant's own stay as they are, so that they raise no alarm. Nothing of the model is changed.
    """
    num_clips = len(probe.inputs)
    first, rest = list(range(num_clips // 2)), list(range(num_clips // 2, num_clips))
    if not first:
        return
    with buffers_kept(model), torch.no_grad(), in_float32(model.unet):
        model.set_training(True)
        try:
            context, answer = _trained_on(model, probe, probe.inputs)
            for kept, order in (
                (first, first + (first * num_clips)[: len(rest)]),
                (rest, rest[: len(first)] + rest),
            ):
                inputs = _rows(probe.inputs, order)
                context_too, answer_too = _trained_on(model, probe, inputs)
                _require_equal(context[kept], context_too[kept], what="tokens")
                _require_equal(answer[kept], answer_too[kept], what="prediction")
        finally:
            model.set_training(False)


@contextmanager
def buffers_kept(model: AttachedVariant) -> Iterator[None]:
    """Put the buffers of variant and adapter back as they were, such as a running mean."""
    kept = [(b, b.detach().clone()) for m in (model.variant, model.unet) for b in m.buffers()]
    try:
        yield
    finally:
        with torch.no_grad():
            for buffer, before in kept:
                buffer.copy_(before)


def _trained_on(
    model: AttachedVariant, probe: Probe, inputs: ConditioningInputs
) -> tuple[Tensor, Tensor]:
    with torch_seeded(0, "preflight", "apart"):
        context_BKC = model.variant.condition(inputs).context()
        return context_BKC, model.predict(probe.noisy_BCHW, probe.timesteps_B, context_BKC)


def _rows(inputs: ConditioningInputs, order: list[int]) -> ConditioningInputs:
    return ConditioningInputs(
        text_BLC=inputs.text_BLC[order],
        audio={feature: values[order] for feature, values in inputs.audio.items()},
        class_index_B=inputs.class_index_B[order],
    )


def _require_equal(got: Tensor, expected: Tensor, *, what: str) -> None:
    difference = float((got.float() - expected.float()).abs().max())
    if not difference <= _TOLERANCE * max(1.0, float(expected.float().abs().max())):
        raise GuardError(
            f"in training mode a clip's {what} change with the clips next to it in the batch "
            f"(largest difference {difference:.2g}): something mixes samples, for example a norm "
            "over the batch's mean (BatchNorm), or shuffled rows. Normalise each clip by itself "
            "(LayerNorm)"
        )
