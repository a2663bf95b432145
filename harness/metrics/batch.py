"""All images of a run with the real ones, each embedded once by each scorer.

Shape legend: I images, D feature width.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from harness.metrics.arms import REAL, ScoredClip
from harness.metrics.feature_cache import FeatureCache
from harness.metrics.registry import Extractor
from harness.metrics.scorers.scorers import ImageReading, Scorers

Array = NDArray[np.float64]
Arrays = dict[str, Array]


@dataclass(frozen=True)
class Row:
    """One image file to score, generated or real."""

    sample_id: str
    arm: str
    draw: int
    path: Path


class Batch:
    """All images of a run with the real ones.

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
    ) -> None:
        self.rows = rows
        self.clips = list(by_id.values())
        self.column = {sample_id: index for index, sample_id in enumerate(by_id)}
        self.own = [self.column[row.sample_id] for row in rows]
        self.scorers = scorers
        self.cache = cache
        self._features: dict[Extractor, Array] = {}
        self.features_ID = self.features(Extractor.CLIP)
        judge = scorers.image_judge
        self.reading: ImageReading | None = None
        if judge is not None:
            read = judge.read  # bound here: the judge is known not to be None
            arrays = self._embedded("pictures judged", judge.fingerprint, lambda p: vars(read(p)))
            self.reading = ImageReading(**arrays)

    def features(self, extractor: Extractor) -> Array:
        """[I, D] features of all rows. The extractor's scorer must be there."""
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

    def _embedded(
        self, what: str, fingerprint: str, embed: Callable[[list[Path]], Mapping[str, Array]]
    ) -> Arrays:
        whole: Arrays = {}
        for arm, draw in dict.fromkeys((row.arm, row.draw) for row in self.rows):
            places = self.places(arm, draw=draw)
            paths = [self.rows[i].path for i in places]
            if arm == REAL:
                ids = [self.rows[i].sample_id for i in places]
                found = _cached(self.cache, what, ids, paths, fingerprint, embed)
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
    """[I, D] features of other real pictures of the split, by id, through the cache."""
    scorer = scorers.pictures(extractor)
    if scorer is None:
        raise ValueError(f"no {extractor.value} scorer was loaded")
    images = scorer.images
    arrays = _cached(
        cache,
        f"pictures {extractor.value}",
        list(pictures),
        list(pictures.values()),
        scorer.fingerprint,
        lambda paths: {"features": images(paths)},
    )
    return arrays["features"]


def _cached(
    cache: FeatureCache,
    what: str,
    ids: Sequence[str],
    paths: Sequence[Path],
    fingerprint: str,
    embed: Callable[[list[Path]], Mapping[str, Array]],
) -> Arrays:
    return cache.arrays(what, ids=ids, fingerprint=fingerprint, compute=lambda: embed(list(paths)))
