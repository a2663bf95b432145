"""What the frozen encoders make of a split, computed once and cached.

A row's key is the content hash of its file (or of its caption); the folder it lies in is named by
the preprocessing, the encoder's revision and its dtype. So a changed crop, window or encoder never
meets an old row, and two splits of one folder share all rows. Rows are kept in float32.

Shape legend: B batch, C channels or context width, H height, W width, L text tokens, T time,
D feature width, M mel bands.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
import torch
from torch import Tensor

from core.conditioning.conditioning import AudioFeature
from core.data.decode import SAMPLE_RATE_HZ, resample
from core.data.feature_store import FeatureStore, FeatureTable
from core.data.locked_media import SILENCE, LockedMedia
from core.data.log_mel import LogMelSettings
from core.data.log_mel import log_mel as log_mel_of
from core.data.manifest import Sample
from core.data.split import Split
from core.errors import UsageError

_CONVERSION = 1
"""Raised when `core.data.decode` or `log_mel` changes what it returns: old rows then go unused."""
_IMAGE_BATCH = 16
_AUDIO_BATCH = 8
_CLAP_FEATURES = frozenset({AudioFeature.CLAP_POOLED, AudioFeature.CLAP_SEQUENCE})


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


@dataclass(frozen=True)
class SplitFeatures:
    """Every cached feature of a split, float32, read by memory map; rows come in the ids' order."""

    split: Split
    """Whose samples these are."""
    latents: Mapping[bool, FeatureTable]
    """VAE moments by flip; the flipped ones only when they were asked for."""
    captions: FeatureTable
    """Text encoder states by hash of the caption."""
    sounds: Mapping[AudioFeature, FeatureTable]
    """The audio features that were asked for."""
    notices: tuple[str, ...]
    """What was broken in the cache and has been computed again."""
    num_computed: int
    """Rows that were not in the cache."""

    def latent_moments(self, ids: Sequence[str], flipped: Sequence[bool]) -> tuple[Tensor, Tensor]:
        """(mean, std) [B, C, H, W] of the unscaled VAE posterior of each picture, or its mirror."""
        if any(flipped) and True not in self.latents:
            raise UsageError("flipped latents were not prepared; prepare with horizontal_flip=True")
        means, stds = [], []
        for id_, flip in zip(ids, flipped, strict=True):
            key = [self._sample(id_).image_sha256]
            table = self.latents[bool(flip)]
            means.append(table.rows(key, name="mean"))
            stds.append(table.rows(key, name="std"))
        return torch.cat(means), torch.cat(stds)

    def text(self, ids: Sequence[str]) -> Tensor:
        """[B, L, C] states of the samples' captions."""
        return self.caption_text([self._sample(id_).caption for id_ in ids])

    @property
    def null_text(self) -> Tensor:
        """[L, C] states of the empty prompt."""
        return self.caption_text([""])[0]

    def caption_text(self, captions: Sequence[str]) -> Tensor:
        """[B, L, C] states of captions of the split, or of the empty prompt.

        Raises: UsageError for a caption that was not prepared.
        """
        keys = [_caption_key(caption) for caption in captions]
        for caption, key in zip(captions, keys, strict=True):
            if key not in self.captions.places:
                raise UsageError(
                    f"no features of the caption {caption!r}; only the split's captions and the "
                    "empty prompt are prepared, encode others with the foundation"
                )
        return self.captions.rows(keys, name="states")

    def audio(self, feature: AudioFeature, ids: Sequence[str]) -> Tensor:
        """[B, ...] of one audio feature."""
        keys = [self._sample(id_).audio_sha256 for id_ in ids]
        return self._sound(feature).rows(keys, name=feature.value)

    def silence(self, feature: AudioFeature) -> Tensor:
        """The same feature of digital silence as long as the window; no batch axis."""
        return self._sound(feature).rows([SILENCE], name=feature.value)[0]

    def class_index(self, ids: Sequence[str]) -> Tensor:
        """int64 [B]: place of each sample's class in `split.classes`."""
        number = {name: index for index, name in enumerate(self.split.classes)}
        return torch.tensor([number[self._sample(id_).class_name] for id_ in ids])

    def _sound(self, feature: AudioFeature) -> FeatureTable:
        if feature not in self.sounds:
            prepared = ", ".join(sorted(self.sounds)) or "none"
            raise UsageError(f"{feature.value} was not prepared; prepared: {prepared}")
        return self.sounds[feature]

    def _sample(self, id: str) -> Sample:
        try:
            return self.split.samples[id]
        except KeyError:
            raise UsageError(f"no sample {id!r} in this split") from None


def prepare_features(
    split: Split,
    *,
    foundation: Encoders,
    audio_features: frozenset[AudioFeature],
    log_mel: LogMelSettings,
    window_s: float,
    horizontal_flip: bool,
    cache_dir: Path,
    progress: Callable[[int, int], None] | None = None,
) -> SplitFeatures:
    """Features of all samples of `split`; only rows that the cache lacks are computed.

    window_s: seconds from the start of each clip that the encoders hear.
    horizontal_flip: also prepare the moments of each picture's mirror image.
    `progress(done, total)` counts rows, those found in the cache included.
    Raises: MismatchError when a media file is not the one that was locked; GuardError when an
    encoder returns NaN; NoSpaceError.
    """
    loader = LockedMedia(split, window_s=window_s)
    images = sorted({sample.image_sha256 for sample in split.samples.values()})
    sounds = [*sorted({sample.audio_sha256 for sample in split.samples.values()}), SILENCE]
    captions = ["", *sorted({sample.caption for sample in split.samples.values()})]
    flips = (False, True) if horizontal_flip else (False,)
    uses_clap = bool(audio_features & _CLAP_FEATURES)
    uses_mel = AudioFeature.LOG_MEL in audio_features
    total = len(images) * len(flips) + len(captions) + len(sounds) * (uses_clap + uses_mel)
    advance = _counter(total, progress)

    def store(kind: str, *, batch_size: int = _IMAGE_BATCH, **settings: Any) -> FeatureStore:
        settings.update(conversion=_CONVERSION, dtype=str(foundation.dtype))
        return FeatureStore(cache_dir, kind, settings, batch_size, loader.describe)

    latents: dict[bool, FeatureTable] = {}
    for flip in flips:
        size = foundation.image_size
        latents[flip] = store(
            "latents", encoder=foundation.revision("vae"), size=size, flip=flip
        ).fill(images, compute=_latents(foundation, loader, flip=flip), progress=advance)
    by_key = {_caption_key(caption): caption for caption in captions}
    text_table = store("text", encoder=foundation.revision("text_encoder")).fill(
        list(by_key),
        compute=lambda keys: {"states": foundation.encode_text([by_key[key] for key in keys])},
        progress=advance,
    )
    tables: dict[AudioFeature, FeatureTable] = {}
    if uses_clap:
        table = store(
            "clap",
            batch_size=_AUDIO_BATCH,
            encoder=foundation.revision("clap"),
            window_s=float(window_s),
        ).fill(sounds, compute=_clap(foundation, loader), progress=advance)
        tables.update(dict.fromkeys(_CLAP_FEATURES & audio_features, table))
    if uses_mel:
        tables[AudioFeature.LOG_MEL] = store(
            "log_mel", window_s=float(window_s), log_mel=log_mel.model_dump()
        ).fill(sounds, compute=_log_mels(loader, log_mel), progress=advance)
    distinct = [*latents.values(), text_table, *{id(t): t for t in tables.values()}.values()]
    return SplitFeatures(
        split=split,
        latents=latents,
        captions=text_table,
        sounds=tables,
        notices=tuple(notice for table in distinct for notice in table.notices),
        num_computed=sum(table.num_computed for table in distinct),
    )


def collapsed_features(
    features: SplitFeatures, ids: Sequence[str], *, min_spread: float = 1e-3
) -> tuple[AudioFeature, ...]:
    """The prepared audio features that say the same of every clip, as a mute encoder's do.

    The spread is the root mean square distance from the mean row over the root mean square of the
    rows; below `min_spread` there is nothing to learn from. Fewer than two different sounds cannot
    collapse.
    """
    if len({features.split.samples[id_].audio_sha256 for id_ in ids}) < 2:
        return ()
    return tuple(
        feature
        for feature in sorted(features.sounds)
        if _spread(features.audio(feature, ids)) <= min_spread
    )


def _spread(rows: Tensor) -> float:
    rows = rows.double().flatten(1)
    scale = rows.square().mean().sqrt()
    return float((rows - rows.mean(dim=0)).square().mean().sqrt() / scale) if scale > 0 else 0.0


def _latents(foundation: Encoders, loader: LockedMedia, *, flip: bool) -> Any:
    @torch.no_grad()
    def compute(keys: Sequence[str]) -> Mapping[str, Tensor]:
        images = [loader.image(key, size=foundation.image_size, flip=flip) for key in keys]
        mean_BCHW, std_BCHW = foundation.encode_images(torch.stack(images))
        return {"mean": mean_BCHW, "std": std_BCHW}

    return compute


def _clap(foundation: Encoders, loader: LockedMedia) -> Any:
    @torch.no_grad()
    def compute(keys: Sequence[str]) -> Mapping[str, Tensor]:
        encoding = foundation.encode_audio([loader.waveform(key) for key in keys])
        return {
            AudioFeature.CLAP_POOLED.value: encoding.pooled_BD,
            AudioFeature.CLAP_SEQUENCE.value: encoding.sequence_BTD,
        }

    return compute


def _log_mels(loader: LockedMedia, settings: LogMelSettings) -> Any:
    def compute(keys: Sequence[str]) -> Mapping[str, Tensor]:
        # Clip by clip: padding a short clip's sound would turn absent frames into silent ones.
        return {AudioFeature.LOG_MEL.value: torch.cat([one(key) for key in keys])}

    def one(key: str) -> Tensor:
        waveform_S = resample(
            loader.waveform(key), from_hz=SAMPLE_RATE_HZ, to_hz=settings.sample_rate_hz
        )
        return log_mel_of(torch.from_numpy(waveform_S)[None], settings=settings)

    return compute


def _caption_key(caption: str) -> str:
    return hashlib.sha256(caption.encode()).hexdigest()


def _counter(
    total: int, progress: Callable[[int, int], None] | None
) -> Callable[[int], None] | None:
    if progress is None:
        return None
    done = 0

    def advance(count: int) -> None:
        nonlocal done
        done += count
        progress(done, total)

    return advance
