"""What one branch generates for sounds, from noise that depends on nothing but its number.

Shape legend: B batch, C latent channels, H W height and width, S samples, L text tokens.
"""

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from core.conditioning.conditioning import AudioFeature, Conditioning, ConditioningInputs
from core.data.media.decode_audio import SAMPLE_RATE_HZ, resample
from core.errors import DataError, UsageError
from core.features.log_mel import log_mel
from core.sampling.sampler import Guidance, build_solver, initial_noise, sample_latents
from harness.generate.trained import TrainedBranch

_NOISE = "generate"
"""Names the first noise, which depends on nothing but the draw: sounds and branches pair."""


class HowSampled(Protocol):
    """What decides an image next to the branch, the sound and the caption."""

    @property
    def draw(self) -> int:
        """Which noise."""

    @property
    def noise_seed(self) -> int:
        """Seed of all noises."""

    @property
    def audio_scale(self) -> float:
        """Of the run's own audio guidance; 0 ignores the sound."""

    @property
    def text_guidance(self) -> float:
        """Classifier-free guidance of the caption."""

    @property
    def steps(self) -> int:
        """Sampling steps."""


class Answer:
    """One branch conditioned on sounds: encoded once, sampled often.

    waveforms: 48 kHz mono, each at most one window. An image is the same to the bit again only
    where the same sounds are given together, since batches round otherwise.

    Raises:
        UsageError: the branch does not condition on sound, or on embeddings that cannot be
            computed here.
    """

    def __init__(
        self, branch: TrainedBranch, waveforms: Sequence[NDArray[np.float32]], *, text: str
    ) -> None:
        self._branch = branch
        self._num_sounds = len(waveforms)
        torch.set_num_threads(branch.profile.training.num_threads)
        self.conditioning = _conditioning(branch, waveforms, text=text)
        self.null_text_LC = branch.foundation.encode_text([""])[0]

    def noise(self, how: HowSampled) -> Tensor:
        """First noise [B, C, H, W], the same for every sound."""
        return initial_noise(
            [_NOISE] * self._num_sounds,
            draws=[how.draw] * self._num_sounds,
            seed=how.noise_seed,
            latent_shape=self._branch.foundation.latent_shape,
        )

    def guidance(self, how: HowSampled) -> Guidance:
        """Weights of caption and sound."""
        audio = self._branch.profile.sampling.audio_guidance * how.audio_scale
        return Guidance(text=how.text_guidance, audio=audio)

    def images(self, how: HowSampled) -> NDArray[np.uint8]:
        """uint8 [B, H, W, 3], one for each sound.

        Raises: DataError for an image of NaN.
        """
        branch = self._branch
        latents_BCHW = sample_latents(
            branch.model,
            conditioning=self.conditioning,
            null_text_LC=self.null_text_LC,
            noise_BCHW=self.noise(how),
            solver=build_solver(
                branch.profile.sampling.sampler, noise_scheduler=branch.foundation.noise_scheduler
            ),
            steps=how.steps,
            guidance=self.guidance(how),
            precision=branch.profile.training.precision,
        )
        return pixels(branch, latents_BCHW)


def pixels(branch: TrainedBranch, latents_BCHW: Tensor) -> NDArray[np.uint8]:
    """uint8 [B, H, W, 3] of these latents.

    Raises: DataError for an image of NaN.
    """
    images_B3HW = branch.foundation.decode_latents(latents_BCHW)
    if not bool(torch.isfinite(images_B3HW).all()):
        raise DataError(f"{branch.record.run_id} gave an image of NaN; its weights are void")
    rounded_B3HW = (images_B3HW * 255).round().to(torch.uint8)
    return rounded_B3HW.permute(0, 2, 3, 1).contiguous().numpy()


@torch.no_grad()
def _conditioning(
    branch: TrainedBranch, waveforms: Sequence[NDArray[np.float32]], *, text: str
) -> Conditioning:
    variant, foundation, device = branch.model.variant, branch.foundation, branch.model.device
    require_sound(branch)
    audio: dict[AudioFeature, Any] = {}
    for feature in sorted(variant.audio_features):
        if feature is AudioFeature.LOG_MEL:
            settings = branch.profile.data.log_mel
            rate = settings.sample_rate_hz
            at_rate = [resample(w, from_hz=SAMPLE_RATE_HZ, to_hz=rate) for w in waveforms]
            mels = [log_mel(torch.from_numpy(w_S)[None], settings=settings) for w_S in at_rate]
            audio[feature] = torch.cat(mels)
            continue
        encoding = foundation.encode_audio(list(waveforms))
        is_pooled = feature is AudioFeature.CLAP_POOLED
        audio[feature] = encoding.pooled_BD if is_pooled else encoding.sequence_BTD
    inputs = ConditioningInputs(
        text_BLC=foundation.encode_text([text] * len(waveforms)),
        audio=audio,
        class_index_B=torch.zeros(len(waveforms), dtype=torch.long),
    )
    branch.model.set_training(False)
    return variant.condition(inputs.to(device))


def require_sound(branch: TrainedBranch) -> None:
    """Return if the branch conditions on sound, by features that are computed here.

    Raises: UsageError.
    """
    variant, name = branch.model.variant, branch.record.identity.variant
    if not variant.audio_features:
        raise UsageError(
            f"variant '{name}' does not condition on sound, so it cannot generate from one; choose "
            "a run of another variant"
        )
    if variant.reads_class:
        raise UsageError(
            f"variant '{name}' conditions on the class of a clip, which a sound alone does not "
            "have; choose a run of another variant"
        )
    for feature in sorted(variant.audio_features):
        if feature is AudioFeature.MSCLAP_POOLED or (
            f"exported.{feature.value}" in branch.record.identity.models
        ):
            raise UsageError(
                f"{branch.record.run_id} reads {feature.value} of an encoder that runs in an "
                "environment of its own (harness features); it cannot be computed here"
            )
