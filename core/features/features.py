"""What the frozen encoders make of a split, computed once and cached.

Shape legend: B batch, C channels or context width, H height, W width, L text tokens, T time,
D feature width, M mel bands.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor

from core.choices import AudioFeature
from core.data.items import Sample
from core.data.splits.split import Part, Split
from core.errors import UsageError
from core.features.crops import crop_key, crop_starts_ms
from core.features.exported import ExportedEmbeddings
from core.features.index import SILENCE, caption_key
from core.features.kinds import Encoders, FeatureKinds
from core.features.locked_media import LockedMedia
from core.features.log_mel import LogMelSettings
from core.features.store import FeatureTable, Progress

_CLAP_FEATURES = frozenset({AudioFeature.CLAP_POOLED, AudioFeature.CLAP_SEQUENCE})


@dataclass(frozen=True)
class SplitFeatures:
    """Every cached feature of a split, float32, read by memory map; rows come in the ids' order."""

    split: Split
    """Whose samples these are."""
    samples: Mapping[str, Sample]
    """Those of the prepared parts, by id; of no other is anything known here."""
    latents: Mapping[bool, FeatureTable]
    """VAE moments by flip; the flipped ones only when they were asked for."""
    captions: FeatureTable
    """Text encoder states by hash of the caption."""
    sounds: Mapping[AudioFeature, FeatureTable]
    """The audio features that were asked for."""
    crop_keys: Mapping[str, tuple[str, ...]]
    """Cache keys of each sound's crops, the clip's start first, by content hash."""
    notices: tuple[str, ...]
    """What was broken in the cache and has been computed again."""
    num_computed: int
    """Rows that were not in the cache."""

    def latent_moments(self, ids: Sequence[str], flipped: Sequence[bool]) -> tuple[Tensor, Tensor]:
        """(mean, std) [B, C, H, W] of the unscaled VAE posterior of each picture, or its mirror.

        Raises: UsageError for an id, or for mirror images, that were not prepared.
        """
        if any(flipped) and True not in self.latents:
            raise UsageError("flipped latents were not prepared; prepare with horizontal_flip=True")
        means, stds = [], []
        for id_, flip in zip(ids, flipped, strict=True):
            table = self.latents[bool(flip)]
            place = self._placed(self._image_places[bool(flip)], [id_])
            means.append(table.rows_at(place, name="mean"))
            stds.append(table.rows_at(place, name="std"))
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
        keys = [caption_key(caption) for caption in captions]
        for caption, key in zip(captions, keys, strict=True):
            if key not in self.captions.places:
                raise UsageError(
                    f"no features of the caption {caption!r}; only the split's captions and the "
                    "empty prompt are prepared, encode others with the foundation"
                )
        return self.captions.rows(keys, name="states")

    def audio(
        self, feature: AudioFeature, ids: Sequence[str], crops: Sequence[int] | None = None
    ) -> Tensor:
        """[B, ...] of one audio feature.

        crops: which crop of each clip, below `num_crops[id]`; None is each clip's start, which is
        what validation and test hear.
        """
        table = self._sound(feature)
        if crops is None:
            places = self._placed(self._sound_places[feature], ids)
            return table.rows_at(places, name=feature.value)
        keys = [
            self.crop_keys[self._sample(id_).audio_sha256][crop]
            for id_, crop in zip(ids, crops, strict=True)
        ]
        return table.rows(keys, name=feature.value)

    @cached_property
    def num_crops(self) -> dict[str, int]:
        """How many crops there are of each training clip; only those with more than one."""
        counts = {
            i: len(self.crop_keys[self._sample(i).audio_sha256])
            for i in self.split.train
            if i in self.samples
        }
        return {id_: count for id_, count in counts.items() if count > 1}

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

    # Straight from an id to its row: by way of the sample, its hash and the hash's place, each
    # read of a large split would miss the processor's caches three times as often.
    @cached_property
    def _image_places(self) -> dict[bool, dict[str, int]]:
        return {
            flip: {id_: table.places[s.image_sha256] for id_, s in self.samples.items()}
            for flip, table in self.latents.items()
        }

    @cached_property
    def _sound_places(self) -> dict[AudioFeature, dict[str, int]]:
        return {
            feature: {
                id_: table.places[self.crop_keys[s.audio_sha256][0]]
                for id_, s in self.samples.items()
            }
            for feature, table in self.sounds.items()
        }

    def _placed(self, places: Mapping[str, int], ids: Sequence[str]) -> list[int]:
        try:
            return [places[id_] for id_ in ids]
        except KeyError as error:
            raise self._unknown(error.args[0]) from None

    def _sample(self, id: str) -> Sample:
        try:
            return self.samples[id]
        except KeyError:
            raise self._unknown(id) from None

    def _unknown(self, id: str) -> UsageError:
        if id in self.split.samples:
            return UsageError(f"sample {id!r} is of a part that was not prepared")
        return UsageError(f"no sample {id!r} in this split")


def prepare_features(
    split: Split,
    *,
    foundation: Encoders,
    audio_features: frozenset[AudioFeature],
    log_mel: LogMelSettings,
    window_s: float,
    horizontal_flip: bool,
    cache_dir: Path,
    parts: Sequence[Part] = tuple(Part),
    audio_crops: int = 1,
    exported: Mapping[AudioFeature, ExportedEmbeddings] | None = None,
    progress: Callable[[int, int, int], None] | None = None,
) -> SplitFeatures:
    """Features of the samples of `parts`; only rows that the cache lacks are computed.

    No file of another part is opened.

    window_s: seconds of each clip that the encoders hear at once.
    horizontal_flip: also prepare the moments of each picture's mirror image.
    audio_crops: most windows of a training clip longer than one; see `crop_starts_ms`.
    exported: pooled embeddings of other encoders, which hear the start of a clip, whatever crop is
        drawn. They are not computed, only looked up.
    `progress(done, total, encoded)` counts rows; encoded: those done that were not in the cache.
    Raises: see `FeatureKinds`; UsageError for an exported feature that is not given; DataError
    when a sound of the split was not exported.
    """
    samples = split.samples_of(parts)
    media = LockedMedia(samples, root=split.root, window_s=window_s)
    images = sorted({sample.image_sha256 for sample in samples.values()})
    captions = ["", *sorted({sample.caption for sample in samples.values()})]
    crop_keys = _crop_keys(split, samples=samples, window_s=window_s, num_crops=audio_crops)
    sounds = [*(key for _, keys in sorted(crop_keys.items()) for key in keys), SILENCE]
    late = _only_of_test(split, samples=samples, crop_keys=crop_keys)
    kinds = FeatureKinds(foundation=foundation, media=media, cache_dir=cache_dir, late=late)
    flips = (False, True) if horizontal_flip else (False,)
    exported = exported or {}
    if AudioFeature.MSCLAP_POOLED in audio_features - exported.keys():
        raise UsageError(
            "this variant conditions on Microsoft's CLAP, which runs in its own virtual "
            "environment; make its embeddings with `harness features --encoder msclap` and set "
            "their folder as foundation.exported.msclap_pooled"
        )
    uses_clap = bool((audio_features - exported.keys()) & _CLAP_FEATURES)
    uses_mel = AudioFeature.LOG_MEL in audio_features
    total = len(images) * len(flips) + len(captions) + len(sounds) * (uses_clap + uses_mel)
    advance = _counter(total, progress)
    latents = {flip: kinds.latents(images, flip=flip, progress=advance) for flip in flips}
    text_table = kinds.captions(captions, progress=advance)
    tables: dict[AudioFeature, FeatureTable] = {}
    if uses_clap:
        table = kinds.clap(sounds, progress=advance)
        tables.update(dict.fromkeys(_CLAP_FEATURES & audio_features, table))
    for feature in sorted(audio_features & exported.keys()):
        tables[feature] = _exported_table(exported[feature], crop_keys, feature=feature)
    if uses_mel:
        tables[AudioFeature.LOG_MEL] = kinds.log_mel(sounds, settings=log_mel, progress=advance)
    distinct = [*latents.values(), text_table, *{id(t): t for t in tables.values()}.values()]
    return SplitFeatures(
        split=split,
        samples=samples,
        latents=latents,
        captions=text_table,
        sounds=tables,
        crop_keys=crop_keys,
        notices=tuple(notice for table in distinct for notice in table.notices),
        num_computed=sum(table.num_computed for table in distinct),
    )


def _crop_keys(
    split: Split, *, samples: Mapping[str, Sample], window_s: float, num_crops: int
) -> dict[str, tuple[str, ...]]:
    """Only what trains has more than its start: validation and test hear one fixed crop."""
    sounds = {sample.audio_sha256 for sample in samples.values()}
    keys: dict[str, tuple[str, ...]] = {sound: (sound,) for sound in sounds}
    for id_ in split.train:
        if id_ not in samples:
            continue
        sample = samples[id_]
        starts = crop_starts_ms(sample.duration_s, window_s=window_s, num_crops=num_crops)
        keys[sample.audio_sha256] = tuple(crop_key(sample.audio_sha256, ms) for ms in starts)
    return keys


def _only_of_test(
    split: Split, *, samples: Mapping[str, Sample], crop_keys: Mapping[str, Sequence[str]]
) -> frozenset[str]:
    """Keys of the test part alone. In batches of their own, they leave no trace in the roundings
    of the others, which a run that never opens the test clips computes without them."""
    others = split.samples_of([Part.TRAIN, Part.VAL])

    def keys(of: Iterable[Sample]) -> set[str]:
        return {
            key
            for s in of
            for key in (s.image_sha256, caption_key(s.caption), *crop_keys.get(s.audio_sha256, ()))
        }

    return frozenset(keys(samples.values()) - keys(others.values()) - {caption_key("")})


def _exported_table(
    embeddings: ExportedEmbeddings, crop_keys: Mapping[str, Sequence[str]], *, feature: AudioFeature
) -> FeatureTable:
    """Every crop of a sound has the sound's one embedding."""
    table = embeddings.table([*crop_keys, SILENCE], name=feature.value)
    places = {key: table.places[sound] for sound, keys in crop_keys.items() for key in keys}
    return replace(table, places={**table.places, **places})


def _counter(total: int, progress: Callable[[int, int, int], None] | None) -> Progress:
    if progress is None:
        return None
    done = encoded = 0

    def advance(count: int, is_encoded: bool) -> None:
        nonlocal done, encoded
        done += count
        encoded += count if is_encoded else 0
        progress(done, total, encoded)

    return advance
