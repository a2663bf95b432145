"""All images of a run with the real ones, each embedded once by each scorer.

Shape legend: I images, R reference clips, D feature width.
"""

from collections.abc import Callable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from core.data.items import DataKind
from harness.metrics.arms import REAL, ScoredClip, common_captions, headline_of
from harness.metrics.extractor import Extractor
from harness.metrics.feature_cache import FeatureCache
from harness.metrics.per_clip import unit_rows
from harness.metrics.scorers.judges import ImageReading
from harness.metrics.scorers.scorers import Scorers

Array = NDArray[np.float64]
Arrays = dict[str, Array]
WaveformOf = Callable[[str], NDArray[np.float32]]


@dataclass(frozen=True)
class FloorPicture:
    """A real picture of no test clip."""

    class_name: str
    """Class of its clip."""
    path: Path
    """The picture."""


@dataclass(frozen=True)
class Row:
    """One image file to score, generated or real."""

    sample_id: str
    arm: str
    draw: int
    path: Path


class Batch:
    """All images of a run with the real ones: what a metric computes from.

    rows: every image with its clip, arm and draw. clips: the test clips; own: the place among them
    of each row's clip. captions: each class's or label's caption, none of captions alone. floor:
    other real pictures, by id, for the real-vs-real floor and the Frechet distances; without them
    the test clips are halved.
    waveform_of: the sound of a clip by id; None where no sounds were given.

    Each arm and draw is embedded by itself: equal images of two arms, in the same places, get
    equal features. Real pictures come through the cache.
    """

    def __init__(
        self,
        rows: Sequence[Row],
        *,
        by_id: Mapping[str, ScoredClip],
        scorers: Scorers,
        cache: FeatureCache,
        captions: Mapping[str, str] | None = None,
        floor: Mapping[str, FloorPicture] | None = None,
        waveform_of: WaveformOf | None = None,
        kind: DataKind = DataKind.CLASSES,
    ) -> None:
        self.rows = rows
        self.clips = list(by_id.values())
        self.column = {sample_id: index for index, sample_id in enumerate(by_id)}
        self.own = [self.column[row.sample_id] for row in rows]
        self.scorers = scorers
        self.cache = cache
        self.kind = kind
        self.captions = dict(captions or common_captions(self.clips, kind=kind))
        self.floor = dict(floor or {})
        self._waveform_of = waveform_of
        self._features: dict[Extractor, Array] = {}
        self.features_ID = self.features(Extractor.CLIP)
        judge = scorers.image_judge
        self.reading: ImageReading | None = None
        if judge is not None:
            read = judge.read  # bound here: the judge is known not to be None
            arrays = self._embedded("pictures judged", judge.fingerprint, lambda p: vars(read(p)))
            self.reading = ImageReading(**arrays)

    @property
    def arms(self) -> list[str]:
        """Arms that have images, `real` among them."""
        return list(dict.fromkeys(row.arm for row in self.rows))

    @property
    def headline_arm(self) -> str:
        """The arm that a run's own numbers come from."""
        return headline_of(self.arms)

    @property
    def num_draws(self) -> int:
        """Most images of a clip that an arm has."""
        return max(len(self.draws(arm)) for arm in self.arms)

    @cached_property
    def texts(self) -> dict[str, Array]:
        """[D] CLIP features of every caption of an image or a class."""
        own = [self.clips[column].caption for column in self.own]
        texts = list(dict.fromkeys([*own, *self.captions.values()]))
        return dict(zip(texts, self.scorers.clip.texts(texts), strict=True))

    @cached_property
    def sound_similarity_IR(self) -> Array | None:
        """[I, R] how well each clip's sound fits each image; None without sounds or a scorer.

        The cosine in the space of the pair of judges, or of Wav2CLIP and CLIP; the inner product
        in that of PE-AV.
        """
        agreement, embeddings = self.scorers.agreement, self._seen_and_heard
        if agreement is None or embeddings is None:
            return None
        return agreement.similarity(*embeddings)

    @cached_property
    def sound_cosine_IR(self) -> Array | None:
        """[I, R] cosine of each image with each clip's sound; None without sounds or a scorer."""
        if self._seen_and_heard is None:
            return None
        seen_ID, heard_RD = self._seen_and_heard
        cosine_IR: Array = unit_rows(seen_ID) @ unit_rows(heard_RD).T
        return cosine_IR

    @cached_property
    def effects_RD(self) -> Array | None:
        """[R, 512] of each clip's sound by the sound-effects encoder; None without it or sounds."""
        ear, sound = self.scorers.sound, self._waveform_of
        if ear is None or sound is None:
            return None
        ids = [clip.sample_id for clip in self.clips]
        embed = ear.embed
        return self.cache.arrays(
            "sounds effects",
            ids=ids,
            fingerprint=ear.fingerprint,
            compute=lambda: {"embeddings": embed(sound(sample_id) for sample_id in ids)},
        )["embeddings"]

    @cached_property
    def _seen_and_heard(self) -> tuple[Array, Array] | None:
        """([I, D] images, [R, D] sounds) in one space."""
        scorers, agreement = self.scorers, self.scorers.agreement
        if agreement is None or self._waveform_of is None:
            return None
        seen_ID = self.features_ID  # of CLIP, in whose space Wav2CLIP hears
        if scorers.has_judges and self.reading is not None:
            seen_ID = self.reading.embeddings
        elif scorers.wav2clip is None:
            see = agreement.see
            seen_ID = self._embedded(
                "pictures pe_av", agreement.hearer, lambda paths: {"features": see(paths)}
            )["features"]
        ids = [clip.sample_id for clip in self.clips]
        embed, sound = agreement.hear, self._waveform_of
        sounds_RD = self.cache.arrays(
            "sounds judged",
            ids=ids,
            fingerprint=agreement.hearer,
            compute=lambda: {"embeddings": embed(sound(sample_id) for sample_id in ids)},
        )["embeddings"]
        return seen_ID, sounds_RD

    @cached_property
    def sources_IK(self) -> Array:
        """[I, K] probability that each image shows each source, by the judge of sources.

        Raises: ValueError without that judge.
        """
        judge = self.scorers.source_judge
        if judge is None:
            raise ValueError("sources are found by their judge; none was loaded")
        read = judge.read
        return self._embedded(
            "sources judged", judge.fingerprint, lambda paths: {"sources": read(paths)}
        )["sources"]

    def features(self, extractor: Extractor) -> Array:
        """[I, D] features of all rows. Raises: ValueError without the extractor's scorer."""
        if extractor not in self._features:
            scorer = self.scorers.pictures(extractor)
            if scorer is None:
                raise ValueError(f"no {extractor.value} scorer was loaded")
            images = scorer.images
            arrays = self._embedded(
                f"pictures {extractor.value}",
                scorer.fingerprint,
                lambda paths: {"features": images(paths)},
            )
            self._features[extractor] = arrays["features"]
        return self._features[extractor]

    def places(self, arm: str, *, draw: int) -> list[int]:
        """Rows of one arm and draw."""
        return [i for i, row in enumerate(self.rows) if (row.arm, row.draw) == (arm, draw)]

    def draws(self, arm: str) -> list[int]:
        """Draws of one arm, ascending."""
        return sorted({row.draw for row in self.rows if row.arm == arm})

    def showing(
        self, places: Sequence[int], *, images: Sequence[int], sign: float = 1.0
    ) -> "Batch":
        """The rows at `places`, each answered by the image of the row beside it in `images`.

        Nothing is embedded again: what was computed of this batch's images is handed on, times
        `sign`. With -1 they are images of which every scorer says the contrary.
        """

        def shown(array: Array) -> Array:
            return sign * array[list(images)]

        view = copy(self)
        view.rows = [
            replace(self.rows[place], path=self.rows[image].path)
            for place, image in zip(places, images, strict=True)
        ]
        view.own = [self.own[place] for place in places]
        view._features = {name: shown(found) for name, found in self._features.items()}
        view.features_ID = shown(self.features_ID)
        if self.reading is not None:
            arrays = {name: shown(array) for name, array in vars(self.reading).items()}
            view.reading = ImageReading(**arrays)
        for name in ("sound_similarity_IR", "sound_cosine_IR", "sources_IK"):
            found = self.__dict__.get(name)
            if found is not None:
                view.__dict__[name] = shown(found)
        both = self.__dict__.get("_seen_and_heard")
        if both is not None:
            view.__dict__["_seen_and_heard"] = (shown(both[0]), both[1])
        return view

    def _embedded(
        self, what: str, fingerprint: str, embed: Callable[[list[Path]], Mapping[str, Array]]
    ) -> Arrays:
        whole: Arrays = {}
        for arm, draw in dict.fromkeys((row.arm, row.draw) for row in self.rows):
            places = self.places(arm, draw=draw)
            paths = [self.rows[i].path for i in places]
            if arm == REAL:
                ids = [self.rows[i].sample_id for i in places]
                found = self.cache.arrays(
                    what,
                    ids=ids,
                    fingerprint=fingerprint,
                    compute=partial(embed, paths),
                )
            else:
                found = dict(embed(paths))
            for name, part in found.items():
                if name not in whole:
                    whole[name] = np.empty((len(self.rows), part.shape[1]))
                whole[name][places] = part
        return whole


def picture_features(
    pictures: Mapping[str, Path], *, scorers: Scorers, extractor: Extractor, cache: FeatureCache
) -> Array:
    """[I, D] features of other real pictures of the split, by id, through the cache.

    Raises: ValueError without the extractor's scorer.
    """
    scorer = scorers.pictures(extractor)
    if scorer is None:
        raise ValueError(f"no {extractor.value} scorer was loaded")
    images = scorer.images
    arrays = cache.arrays(
        f"pictures {extractor.value}",
        ids=list(pictures),
        fingerprint=scorer.fingerprint,
        compute=lambda: {"features": images(list(pictures.values()))},
    )
    return arrays["features"]
