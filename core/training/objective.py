"""The diffusion objective on named draws, for training and for fixed validation.

Shape legend: B batch, C latent channels, H W latent height and width.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from core.conditioning.conditioning import AudioFeature, ConditioningInputs
from core.randomness import Name, normal, rng

DIFFUSION = "diffusion"
"""Name of the loss term that is not the variant's own."""


def to_device(tensor: Tensor, device: torch.device) -> Tensor:
    """The tensor on a device; to a GPU by way of pinned memory, so that nobody waits for it."""
    if device.type == "cuda" and tensor.device.type == "cpu":
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)


class Features(Protocol):
    """Cached features of the split's samples, by sample id."""

    @property
    def null_text(self) -> Tensor:
        """Empty prompt [L, C]."""

    def latent_moments(self, ids: Sequence[str], flipped: Sequence[bool]) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation [B, C, H, W] of the unscaled VAE posterior."""

    def text(self, ids: Sequence[str]) -> Tensor:
        """Caption embeddings [B, L, C]."""

    def audio(
        self, feature: AudioFeature, ids: Sequence[str], crops: Sequence[int] | None = None
    ) -> Tensor:
        """One audio feature, batch first; of each clip's start, or of the crops that are named."""

    def class_index(self, ids: Sequence[str]) -> Tensor:
        """Class of each sample, int64 [B]."""


@dataclass(frozen=True)
class TrainingData:
    """What the loop trains and validates on.

    class_weight: loss weight by sample id; its mean over the training samples is 1.
    scaling_factor: the VAE's. horizontal_flip: mirror half of the training samples.
    num_crops: of the training clips that have more than one.
    """

    features: Features
    train_ids: tuple[str, ...]
    validation_ids: tuple[str, ...]
    class_weight: Mapping[str, float]
    audio_features: frozenset[AudioFeature]
    scaling_factor: float
    horizontal_flip: bool
    num_crops: Mapping[str, int] = field(default_factory=dict)

    def inputs(
        self, ids: Sequence[str], *, crop_draws: Sequence[float] | None = None
    ) -> ConditioningInputs:
        """What a variant may condition on, for these samples.

        crop_draws: a number in [0, 1) a sample, which picks one of its crops; None is its start.
        """
        crops = None
        if crop_draws is not None and self.num_crops:
            crops = [
                int(draw * self.num_crops.get(id_, 1))
                for id_, draw in zip(ids, crop_draws, strict=True)
            ]
        return ConditioningInputs(
            text_BLC=self.features.text(ids),
            audio={f: self.features.audio(f, ids, crops) for f in sorted(self.audio_features)},
            class_index_B=self.features.class_index(ids),
        )


@dataclass(frozen=True)
class NoisedBatch:
    """B latents with noise added, and what the UNet should predict from them."""

    noisy_BCHW: Tensor
    timesteps_B: Tensor
    target_BCHW: Tensor


@dataclass(frozen=True)
class StepDraws:
    """Every random number of one optimiser step, for all its slots at once.

    Drawn for the whole step, so that cutting it into other micro-batches changes nothing.
    """

    timesteps: np.ndarray
    noise: Tensor
    latent_noise: Tensor
    flipped: np.ndarray
    drop_text: np.ndarray
    drop_audio: np.ndarray
    crops: np.ndarray


def draw_step(
    *,
    seed: int,
    stage: str,
    step: int,
    slots: int,
    latent_shape: Sequence[int],
    num_timesteps: int,
    text_dropout: float,
    audio_dropout: float,
    horizontal_flip: bool,
) -> StepDraws:
    """The draws of `step` in `stage`: a pure function of seed, stage and step."""

    def named(purpose: str) -> tuple[Name, ...]:
        return (purpose, stage, step)

    shape = (slots, *latent_shape)
    dropout = rng(seed, *named("condition_dropout")).random((slots, 2))
    return StepDraws(
        timesteps=rng(seed, *named("timestep")).integers(0, num_timesteps, size=slots),
        noise=normal(shape, seed=seed, name=named("noise")),
        latent_noise=normal(shape, seed=seed, name=named("latent")),
        flipped=(rng(seed, *named("flip")).random(slots) < 0.5) & horizontal_flip,
        drop_text=dropout[:, 0] < text_dropout,
        drop_audio=dropout[:, 1] < audio_dropout,
        crops=rng(seed, *named("crop")).random(slots),
    )


def add_noise(
    scheduler: Any, latents_BCHW: Tensor, *, noise_BCHW: Tensor, timesteps_B: Tensor
) -> NoisedBatch:
    """Latents at their timesteps, with the scheduler's own prediction target.

    Raises:
        ValueError: the scheduler predicts neither eps nor v.
    """
    kind = scheduler.config.prediction_type
    if kind == "epsilon":
        target_BCHW = noise_BCHW
    elif kind == "v_prediction":
        target_BCHW = scheduler.get_velocity(latents_BCHW, noise_BCHW, timesteps_B)
    else:
        raise ValueError(f"scheduler predicts '{kind}'; expected epsilon or v_prediction")
    return NoisedBatch(
        noisy_BCHW=scheduler.add_noise(latents_BCHW, noise_BCHW, timesteps_B),
        timesteps_B=timesteps_B,
        target_BCHW=target_BCHW,
    )


def sample_latents(
    data: TrainingData, ids: Sequence[str], flipped: Sequence[bool], eps: Tensor
) -> Tensor:
    """Scaled latents [B, C, H, W] drawn from the cached posterior with noise `eps`."""
    mean_BCHW, std_BCHW = data.features.latent_moments(ids, flipped)
    return (mean_BCHW + std_BCHW * to_device(eps, mean_BCHW.device)) * data.scaling_factor


def per_sample_mse(prediction_BCHW: Tensor, target_BCHW: Tensor) -> Tensor:
    """Mean squared error of each sample [B], in float32."""
    return (prediction_BCHW.float() - target_BCHW.float()).square().mean(dim=(1, 2, 3))


def validation_draws(
    ids: Sequence[str], *, draw: int, draws: int, num_timesteps: int, latent_shape: Sequence[int]
) -> tuple[Tensor, Tensor]:
    """(timesteps [B], noise [B, C, H, W]) that are the same for every seed, step and branch.

    Timesteps are the midpoints of `draws` equal parts of the schedule, so that the loss is an
    even sample of it.
    """
    timestep = int((draw + 0.5) / draws * num_timesteps)
    noise = [normal(latent_shape, seed=0, name=("validation", sample, draw)) for sample in ids]
    return torch.full((len(ids),), timestep, dtype=torch.int64), torch.stack(noise)
