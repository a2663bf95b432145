"""Checks that refuse a void run and name the cause.

Each stands for a defect that made results of this very task worthless before. The preflight
checks run on real samples before the first step; the others watch the loop.

Shape legend: B batch, C latent channels, H W latent height and width.
"""

import hashlib
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import Tensor, nn

from core.choices import Precision
from core.conditioning.attached import AttachedVariant, predict
from core.conditioning.conditioning import ConditioningInputs
from core.errors import GuardError
from core.randomness import normal
from core.training.precision import autocast, in_float32

# Largest relative difference that float32's rounding of another batch shape explains, with room to
# spare; the defects these checks are for are 100 times larger.
_TOLERANCE = 1e-3
# In half precision: how many times the bare UNet's own rounding error another kernel may differ by.
_ROUNDINGS = 4.0


@dataclass(frozen=True)
class Probe:
    """Real clips and noise on which the checks run, and the bare UNet's answer to them.

    plain_BCHW: in float32. rounding: largest error of the same answer in the run's own arithmetic
    (its `precision` and the type of the frozen weights); 0 where that is float32.
    """

    inputs: ConditioningInputs
    noisy_BCHW: Tensor
    timesteps_B: Tensor
    plain_BCHW: Tensor
    precision: Precision
    rounding: float

    @classmethod
    def take(
        cls,
        unet: Any,
        inputs: ConditioningInputs,
        *,
        latent_shape: Sequence[int],
        precision: Precision = Precision.FLOAT32,
    ) -> Self:
        """Ask the UNet before anything is attached to it."""
        shape = (len(inputs), *latent_shape)
        noisy_BCHW = normal(shape, seed=0, name=("preflight", "latents")).to(unet.device)
        timesteps_B = torch.linspace(50, 950, len(inputs)).long().to(unet.device)
        with torch.no_grad(), in_float32(unet):
            plain_BCHW = predict(unet, noisy_BCHW, timesteps_B, inputs.text_BLC)
        rounding = 0.0
        if precision is not Precision.FLOAT32 or unet.dtype != torch.float32:
            with torch.no_grad(), autocast(precision, device=unet.device):
                rounded_BCHW = predict(unet, noisy_BCHW, timesteps_B, inputs.text_BLC)
            rounding = float((rounded_BCHW.float() - plain_BCHW).abs().max())
        return cls(
            inputs=inputs,
            noisy_BCHW=noisy_BCHW,
            timesteps_B=timesteps_B,
            plain_BCHW=plain_BCHW,
            precision=precision,
            rounding=rounding,
        )


def check_features_differ(inputs: ConditioningInputs) -> None:
    """Raises GuardError where a feature is the same for every clip (audio collapsed)."""
    for feature, values in inputs.audio.items():
        flat = values.flatten(1).double()
        spread = (flat - flat.mean(dim=0)).norm(dim=1).mean()
        if not torch.isfinite(flat).all():
            raise GuardError(f"feature {feature} holds NaN or infinite values")
        if float(spread) <= 1e-4 * float(flat.norm(dim=1).mean()):
            raise GuardError(
                f"feature {feature} is the same for all of {len(inputs)} different clips: the "
                "sound does not reach the variant"
            )


def check_latents_match_pictures(decoded_B3HW: Tensor, *, pictures_B3HW: Tensor) -> None:
    """Raises GuardError where the cached latents are not those of the pictures in [-1, 1].

    decoded_B3HW: what the VAE makes of the latents, in [0, 1]. pictures_B3HW: the files' own
    pixels in [0, 1], read without the code that fed the encoder. Each is judged against what the
    defect would have given, so the quality of the VAE does not matter.
    """

    def error(expected_B3HW: Tensor) -> float:
        return float((decoded_B3HW.double() - expected_B3HW.double()).square().mean())

    own = error(pictures_B3HW)
    if len(pictures_B3HW) > 1 and error(pictures_B3HW.roll(1, dims=0)) < own:
        raise GuardError(
            "the cached latents decode to the pictures of other clips: rows are mixed up between "
            "the files and the cache"
        )
    # A picture that reached the VAE in [0, 1] decodes to the upper half of the range.
    if error(pictures_B3HW / 2 + 0.5) < own:
        raise GuardError(
            "the cached latents decode to washed-out pictures: the images reached the VAE in "
            "[0, 1]; expected [-1, 1]"
        )


def check_batch_equals_singles(model: AttachedVariant, inputs: ConditioningInputs) -> None:
    """Raises GuardError where a clip's tokens depend on the clips beside it."""
    model.set_training(False)
    # In float32, whatever the run's precision: bfloat16 rounds by more than the tolerance.
    with torch.no_grad(), torch.autocast(model.device.type, enabled=False):
        together = model.variant.condition(inputs).context()
        alone = torch.cat([model.variant.condition(row).context() for row in _rows(inputs)])
    _require_equal(
        together,
        alone,
        "a clip in a batch gets other tokens than the clip alone (largest difference {:.2g}): "
        "something mixes samples, for example a batch statistic",
    )


def check_silent_identity(model: AttachedVariant, probe: Probe) -> None:
    """Raises GuardError where a clip without sound differs from the frozen UNet before training."""

    def silent() -> Tensor:
        drop_B = torch.ones(len(probe.inputs), dtype=torch.bool, device=model.device)
        context_BKC = model.variant.condition(probe.inputs).with_audio_dropped(drop_B).context()
        return model.predict(probe.noisy_BCHW, probe.timesteps_B, context_BKC)

    model.set_training(False)
    message = (
        "with its sound dropped the variant changes the frozen UNet's output by {:.2g}: its "
        "layers are not the identity without audio"
    )
    with torch.no_grad(), in_float32(model.unet):
        _require_equal(silent(), probe.plain_BCHW, message)
    if probe.rounding:
        with torch.no_grad(), autocast(probe.precision, device=model.device):
            _require_rounding(silent(), probe.plain_BCHW, message, probe=probe)


def check_adapter_identity(model: AttachedVariant, probe: Probe) -> None:
    """Raises GuardError where the fresh UNet adapter is not the identity."""

    def without_and_with() -> tuple[Tensor, Tensor]:
        context_BKC = model.variant.condition(probe.inputs).context()
        model.adapter.disable()
        without = model.predict(probe.noisy_BCHW, probe.timesteps_B, context_BKC)
        model.adapter.enable()
        return without, model.predict(probe.noisy_BCHW, probe.timesteps_B, context_BKC)

    model.set_training(False)
    message = "the fresh UNet adapter changes the output by {:.2g}; it must start as the identity"
    with torch.no_grad(), in_float32(model.unet):
        without, with_adapter = without_and_with()
        _require_equal(with_adapter, without, message)
    if probe.rounding:
        with torch.no_grad(), autocast(probe.precision, device=model.device):
            without, with_adapter = without_and_with()
            _require_rounding(with_adapter, without, message, probe=probe)


def check_gradient_reach(unreached: Sequence[str], *, stage: str) -> None:
    """Raises GuardError naming parameters that a stage trains and the loss never reaches."""
    if unreached:
        raise GuardError(
            f"{stage} trains {len(unreached)} parameters that got no gradient, so they are not in "
            f"the graph: {', '.join(unreached[:4])}{' ...' if len(unreached) > 4 else ''}"
        )


def check_finite(losses: Mapping[str, float], grad_norm: float, *, stage: str, step: int) -> None:
    """Raises GuardError on a NaN or infinite loss term or gradient; the step was not applied."""
    wrong = [name for name, value in losses.items() if not math.isfinite(value)]
    if wrong or not math.isfinite(grad_norm):
        named = f" ({', '.join(wrong)})" if wrong and len(losses) > 1 else ""
        raise GuardError(
            f"{stage} step {step}: loss {sum(losses.values())}{named}, gradient norm {grad_norm}; "
            "stopped before the optimiser step, the last checkpoint is good. A lower learning "
            "rate or float32 (--set training.precision=float32) often helps"
        )


def check_loss_scale(scale: float, *, stage: str, step: int) -> None:
    """Raises GuardError where float16 overflows at a loss scale that cannot go lower."""
    if scale < 1:
        raise GuardError(
            f"{stage} step {step}: float16 gradients overflow even at a loss scale of {scale:g}, "
            "so every step is skipped; the last checkpoint is good. Use bfloat16 or float32 "
            "(--set training.precision=float32)"
        )


def check_validation_loss(loss: float, *, stage: str, step: int) -> None:
    """Raises GuardError on a NaN or infinite validation loss: weights cannot be chosen by it."""
    if not math.isfinite(loss):
        raise GuardError(
            f"{stage} step {step}: the validation loss is {loss}, though the training loss was "
            "finite; the last checkpoint is good. A lower learning rate or float32 "
            "(--set training.precision=float32) often helps"
        )


def check_moved(stuck: Sequence[str], *, stage: str) -> None:
    """Raises GuardError naming parameters that a whole stage of training left bit-equal."""
    if stuck:
        raise GuardError(
            f"{len(stuck)} parameters did not move in all of {stage}: {', '.join(stuck[:4])}"
            f"{' ...' if len(stuck) > 4 else ''}; they are dead, or updates vanish in rounding"
        )


def check_loss_has_gradient(diffusion: Tensor, *, stage: str) -> None:
    """Raises GuardError where the diffusion loss depends on nothing that is trained.

    Reads how it was computed and waits for nothing.
    """
    if not diffusion.requires_grad:
        raise GuardError(
            f"{stage}: the diffusion loss depends on no parameter that this stage trains, so the "
            "images cannot change, whatever the variant's own terms do. The tokens are detached "
            "or cut off from the UNet's context, or the stage trains nothing that is in use"
        )


def tensor_hashes(tensors: Mapping[str, Tensor]) -> dict[str, str]:
    """SHA-256 over the bytes of each tensor."""
    return {
        name: hashlib.sha256(
            tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()
        ).hexdigest()
        for name, tensor in tensors.items()
    }


def check_validation_changed_nothing(
    before: Mapping[str, str], after: Mapping[str, str], *, stage: str
) -> None:
    """Raises GuardError naming what of the model validating changed, by `tensor_hashes`."""
    changed = [name for name in before if before[name] != after.get(name)]
    if changed:
        raise GuardError(
            f"{stage}: validating changed {', '.join(changed[:4])}"
            f"{' ...' if len(changed) > 4 else ''}: the weights then depend on how often the "
            "run validates, and on the validation clips. Update averages and statistics only "
            "in training mode (self.training)"
        )


def check_guidance_was_trained(
    *, text_guidance: float, audio_guidance: float, text_dropout: float, audio_dropout: float
) -> None:
    """Raises GuardError where sampling guides by a condition that training never dropped."""
    for name, guidance, dropout in (
        ("text", text_guidance, text_dropout),
        ("audio", audio_guidance, audio_dropout),
    ):
        if guidance > 1 and dropout == 0:
            raise GuardError(
                f"sampling.{name}_guidance is {guidance} but training.{name}_dropout is 0: the "
                f"model never saw an input without {name}, so guidance by it means nothing"
            )


def check_class_weights(weights: Sequence[float]) -> None:
    """Raises GuardError where the mean weight over the training samples is not 1."""
    mean = sum(weights) / len(weights)
    if abs(mean - 1) > 1e-6:
        raise GuardError(
            f"class weights average {mean:.6f} over the training samples, not 1: they would "
            "rescale the loss, and the learning rate with it"
        )


def parameters_hash(parameters: Mapping[str, nn.Parameter]) -> str:
    """SHA-256 over the bytes of every parameter, in the order given."""
    digest = hashlib.sha256()
    for name, found in tensor_hashes(parameters).items():
        digest.update(f"{name} {found}".encode())
    return digest.hexdigest()


def check_frozen_unchanged(before: str, after: str) -> None:
    """Raises GuardError where the hash of the frozen parameters changed."""
    if before != after:
        raise GuardError(
            "a frozen parameter changed during training; the run does not measure what the variant "
            "says it trains"
        )


def _require_equal(got: Tensor, expected: Tensor, message: str) -> None:
    difference = float((got.float() - expected.float()).abs().max())
    if not difference <= _TOLERANCE * max(1.0, float(expected.float().abs().max())):
        raise GuardError(message.format(difference))


def _require_rounding(got: Tensor, expected: Tensor, message: str, *, probe: Probe) -> None:
    """The same in the run's own arithmetic, where the bare UNet's error says what rounding does."""
    difference = float((got.float() - expected.float()).abs().max())
    if not difference <= _ROUNDINGS * probe.rounding:
        raise GuardError(
            f"{message.format(difference)} in {probe.precision}, where rounding explains "
            f"{probe.rounding:.2g}, though not in float32"
        )


def _rows(inputs: ConditioningInputs) -> Iterable[ConditioningInputs]:
    for row in range(len(inputs)):
        one = slice(row, row + 1)
        yield ConditioningInputs(
            text_BLC=inputs.text_BLC[one],
            audio={feature: values[one] for feature, values in inputs.audio.items()},
            class_index_B=inputs.class_index_B[one],
        )
