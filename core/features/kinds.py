"""How each kind of feature is computed, and under which settings and keys it is cached.

A row's key is the content hash of its file (with the start of the crop, where that is not 0) or
of its caption; the folder it lies in is named by the preprocessing, the encoder's revision and its
dtype. So a changed crop, window or encoder never meets an old row, and two splits of one folder
share all rows. Rows are kept in float32.

Shape legend: B batch, C channels or context width, H height, W width, L text tokens, T time,
D feature width, M mel bands, S samples.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
import torch
from torch import Tensor

from core.choices import AudioFeature
from core.data.media.decode_audio import SAMPLE_RATE_HZ, resample
from core.features.index import caption_key
from core.features.locked_media import LockedMedia
from core.features.log_mel import LogMelSettings
from core.features.log_mel import log_mel as log_mel_of
from core.features.store import FeatureStore, FeatureTable, Progress

_CONVERSION = 2
"""Raised when a decoder or `log_mel` changes what it returns; old rows go unused."""
_IMAGE_BATCH = 16
_AUDIO_BATCH = 8


class AudioEncoding(Protocol):
    """What an audio encoder returns."""

    @property
    def pooled_BD(self) -> Tensor: ...
    @property
    def sequence_BTD(self) -> Tensor: ...


class Encoders(Protocol):
    """The part of a foundation that features are made with."""

    @property
    def image_size(self) -> int: ...
    @property
    def dtype(self) -> torch.dtype: ...
    def encode_images(self, images_B3HW: Tensor, /) -> tuple[Tensor, Tensor]: ...
    def encode_text(self, captions: Sequence[str], /) -> Tensor: ...
    def encode_audio(self, waveforms: Sequence[np.ndarray], /) -> AudioEncoding: ...
    def revision(self, part: Literal["vae", "text_encoder", "clap"], /) -> str: ...


@dataclass(frozen=True, kw_only=True)
class FeatureKinds:
    """Fills the cache with one kind of feature at a time.

    Every method returns the rows of `keys`, computing those the cache lacks. Raises: MismatchError
    when a media file is not the one that was locked; GuardError when an encoder returns NaN;
    NoSpaceError.
    """

    foundation: Encoders
    """The frozen encoders."""
    media: LockedMedia
    """The files, by content hash."""
    cache_dir: Path
    """Parent of every kind's folder."""
    late: frozenset[str] = frozenset()
    """Keys that are computed last: see `FeatureStore.late`."""

    def latents(self, keys: Sequence[str], *, flip: bool, progress: Progress) -> FeatureTable:
        """`mean` and `std` [C, H, W] of the VAE's posterior of each picture, or of its mirror."""
        size = self.foundation.image_size

        @torch.no_grad()
        def compute(part: Sequence[str]) -> Mapping[str, Tensor]:
            images = [self.media.image(key, size=size, flip=flip) for key in part]
            mean_BCHW, std_BCHW = self.foundation.encode_images(torch.stack(images))
            return {"mean": mean_BCHW, "std": std_BCHW}

        encoder = self.foundation.revision("vae")
        store = self._store("latents", encoder=encoder, size=size, flip=flip)
        return store.fill(keys, compute=compute, progress=progress)

    def captions(self, captions: Sequence[str], *, progress: Progress) -> FeatureTable:
        """`states` [L, C] of the text encoder, by `caption_key`."""
        by_key = {caption_key(caption): caption for caption in captions}
        store = self._store("text", encoder=self.foundation.revision("text_encoder"))
        return store.fill(
            list(by_key),
            compute=lambda part: {
                "states": self.foundation.encode_text([by_key[key] for key in part])
            },
            progress=progress,
        )

    def clap(self, keys: Sequence[str], *, progress: Progress) -> FeatureTable:
        """`clap_pooled` [D] and `clap_sequence` [T, D] of each sound."""

        @torch.no_grad()
        def compute(part: Sequence[str]) -> Mapping[str, Tensor]:
            encoding = self.foundation.encode_audio([self.media.waveform(key) for key in part])
            return {
                AudioFeature.CLAP_POOLED.value: encoding.pooled_BD,
                AudioFeature.CLAP_SEQUENCE.value: encoding.sequence_BTD,
            }

        store = self._store(
            "clap",
            batch_size=_AUDIO_BATCH,
            encoder=self.foundation.revision("clap"),
            window_s=float(self.media.window_s),
        )
        return store.fill(keys, compute=compute, progress=progress)

    def log_mel(
        self, keys: Sequence[str], *, settings: LogMelSettings, progress: Progress
    ) -> FeatureTable:
        """`log_mel` [M, T] of each sound."""

        def one(key: str) -> Tensor:
            waveform_S = resample(
                self.media.waveform(key), from_hz=SAMPLE_RATE_HZ, to_hz=settings.sample_rate_hz
            )
            return log_mel_of(torch.from_numpy(waveform_S)[None], settings=settings)

        store = self._store(
            "log_mel", window_s=float(self.media.window_s), log_mel=settings.model_dump()
        )
        return store.fill(
            keys,
            # Clip by clip: padding a short clip's sound would turn absent frames into silent ones.
            compute=lambda part: {
                AudioFeature.LOG_MEL.value: torch.cat([one(key) for key in part])
            },
            progress=progress,
        )

    def _store(self, kind: str, *, batch_size: int = _IMAGE_BATCH, **settings: Any) -> FeatureStore:
        settings.update(conversion=_CONVERSION, dtype=str(self.foundation.dtype))
        return FeatureStore(
            cache_dir=self.cache_dir,
            kind=kind,
            settings=settings,
            batch_size=batch_size,
            describe=self.media.describe,
            late=self.late,
        )
