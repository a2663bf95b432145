"""Judges: small networks that name a picture's or clip's class and attributes, and tell whether
the two belong together. They score; they never condition.

Legend: B batch, C channels, H and W image rows and columns (mel bands and frames for sound),
N samples of a waveform, A attributes, D embedding width, F feature width.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812
from transformers import PretrainedConfig, PreTrainedModel

from core.data.media.mel import mel_filters as mel_filters


class JudgeConfig(PretrainedConfig):
    """What a judge hears or sees, and what it answers."""

    model_type = "judge"

    def __init__(
        self,
        modality: str = "image",
        class_names: list[str] | None = None,
        attribute_names: list[str] | None = None,
        num_channels: int = 3,
        input_size: list[int] | None = None,
        input_mean: float = 0.0,
        input_std: float = 1.0,
        widths: list[int] | None = None,
        feature_dim: int = 192,
        embedding_dim: int = 64,
        sample_rate_hz: int = 48_000,
        num_mel_bins: int = 64,
        fft_size: int = 2_048,
        hop_length: int = 1_536,
        lowest_hz: float = 40.0,
        highest_hz: float = 20_000.0,
        **kwargs: Any,
    ) -> None:
        """`input_mean` and `input_std` normalise pixels in [0, 1] or log-mel decibels; the last
        six fields set the log-mel and matter to sound alone."""
        self.modality = modality
        self.class_names = list(class_names or [])
        self.attribute_names = list(attribute_names or [])
        self.num_channels = num_channels
        self.input_size = list(input_size or [64, 64])
        self.input_mean = input_mean
        self.input_std = input_std
        self.widths = list(widths or [32, 64, 96, 128])
        self.feature_dim = feature_dim
        self.embedding_dim = embedding_dim
        self.sample_rate_hz = sample_rate_hz
        self.num_mel_bins = num_mel_bins
        self.fft_size = fft_size
        self.hop_length = hop_length
        self.lowest_hz = lowest_hz
        self.highest_hz = highest_hz
        super().__init__(**kwargs)


class LooksAt(Protocol):
    """The settings of a network that looks at pictures."""

    input_size: list[int]
    """Height and width in pixels."""


@dataclass
class Judgement:
    """A judge's answers for a batch."""

    class_logits: Tensor
    """float [B, classes], in the order of `config.class_names`."""
    attributes: Tensor
    """float [B, A] in [0, 1], in the order of `config.attribute_names`."""
    embedding: Tensor
    """float [B, D] of unit length; a picture's and its clip's have a high cosine."""
    features: Tensor
    """float [B, F]: what the heads read; for distances between sets."""


class Judge(PreTrainedModel):
    """A convolutional network over pictures or log-mel spectrograms."""

    config: JudgeConfig
    config_class = JudgeConfig
    main_input_name = "pixels_BCHW"

    def __init__(self, config: JudgeConfig) -> None:
        super().__init__(config)
        self.trunk = convolutions(config.widths, num_channels=config.num_channels)
        # Flattened, not averaged over places: position and time are among the answers.
        cells = num_cells(config.input_size, num_halvings=len(config.widths))
        self.neck = nn.Sequential(
            nn.Linear(config.widths[-1] * cells, config.feature_dim), nn.SiLU()
        )
        self.class_head = nn.Linear(config.feature_dim, len(config.class_names))
        self.attribute_head = nn.Linear(config.feature_dim, len(config.attribute_names))
        self.embedding_head = nn.Linear(config.feature_dim, config.embedding_dim)
        self.post_init()  # type: ignore[no-untyped-call]  # transformers does not say its type

    def _init_weights(self, module: nn.Module) -> None:
        """Leave torch's own initialisation."""

    def forward(self, pixels_BCHW: Tensor) -> Judgement:
        """Judge a batch of `prepare_images` or `prepare_sounds`."""
        normal_BCHW = (pixels_BCHW - self.config.input_mean) / self.config.input_std
        features_BF = self.neck(self.trunk(normal_BCHW).flatten(1))
        return Judgement(
            class_logits=self.class_head(features_BF),
            attributes=torch.sigmoid(self.attribute_head(features_BF)),
            embedding=F.normalize(self.embedding_head(features_BF), dim=-1),
            features=features_BF,
        )


def convolutions(widths: Sequence[int], *, num_channels: int) -> nn.Sequential:
    """[B, num_channels, H, W] to [B, widths[-1], h, w], halved once for each width."""
    layers: list[nn.Module] = []
    width_in = num_channels
    for width in widths:
        layers += [
            nn.Conv2d(width_in, width, 3, padding=1),
            nn.GroupNorm(8, width),
            nn.SiLU(),
            nn.Conv2d(width, width, 3, stride=2, padding=1),
            nn.GroupNorm(8, width),
            nn.SiLU(),
        ]
        width_in = width
    return nn.Sequential(*layers)


def num_cells(input_size: Sequence[int], *, num_halvings: int) -> int:
    """h times w: the places that `convolutions` leaves of an input of this size."""
    sides = list(input_size)
    for _ in range(num_halvings):
        sides = [(side + 1) // 2 for side in sides]
    return math.prod(sides)


def prepare_images(images_BHWC: np.ndarray, config: LooksAt) -> Tensor:
    """float32 [B, 3, H, W] in [0, 1] from uint8 [B, h, w, 3], resized to the judge's size.

    Raises: ValueError when the array is not a batch of 8-bit RGB pictures.
    """
    if images_BHWC.dtype != np.uint8 or images_BHWC.ndim != 4 or images_BHWC.shape[3] != 3:
        raise ValueError(
            f"got {images_BHWC.dtype} {images_BHWC.shape}; expected uint8 [B, height, width, 3]"
        )
    pixels = torch.from_numpy(images_BHWC).permute(0, 3, 1, 2).float() / 255.0
    size = tuple(config.input_size)
    if pixels.shape[2:] != size:
        pixels = F.interpolate(pixels, size=size, mode="bilinear", antialias=True)
    return pixels.contiguous()


def prepare_sounds(waveforms_BN: np.ndarray, config: JudgeConfig) -> Tensor:
    """float32 [B, 1, mel, frames] in decibels from waveforms at `config.sample_rate_hz`.

    Longer clips are cut at the end, shorter ones padded with silence. Loudness is kept.
    Raises: ValueError when the array is not [B, N].
    """
    if waveforms_BN.ndim != 2:
        raise ValueError(f"got shape {waveforms_BN.shape}; expected [B, samples]")
    x_BN = torch.from_numpy(np.ascontiguousarray(waveforms_BN, dtype=np.float32))
    frames = config.input_size[1]
    wanted = frames * config.hop_length
    x_BN = F.pad(x_BN[:, :wanted], (0, max(0, wanted - x_BN.shape[1])))
    window = torch.hann_window(config.fft_size)
    spectrum = torch.stft(
        x_BN, config.fft_size, config.hop_length, window=window, center=True, return_complex=True
    )
    power_BKT = spectrum[..., :frames].abs().square() / window.square().sum()
    filters_MK = torch.from_numpy(
        mel_filters(
            config.num_mel_bins,
            fft_size=config.fft_size,
            sample_rate_hz=config.sample_rate_hz,
            lowest_hz=config.lowest_hz,
            highest_hz=config.highest_hz,
        )
    )
    return 10.0 * torch.log10(filters_MK @ power_BKT + 1e-8)[:, None]
