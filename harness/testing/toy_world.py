"""A small world in which a metric is tried: clips whose picture, sound and caption agree exactly.

Shape legend: I images, L latent width.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from core.data.items import DataKind
from core.randomness import rng
from harness.metrics.arms import REAL, Arm, ScoredClip
from harness.metrics.batch import Batch, Row
from harness.metrics.feature_cache import FeatureCache
from harness.metrics.scorers.judges import ImageReading
from harness.metrics.scorers.scorers import Scorers

Array = NDArray[np.float64]

NUM_CLASSES, CLIPS_PER_CLASS = 3, 4
_WIDTH = 8  # L: what a picture shows and a sound says
_BLOCK = 4  # pixels of a picture for each number
_ATTRIBUTES = ("pitch", "loudness")
_SOURCES = (*(f"class{k}" for k in range(NUM_CLASSES)), "near", "far")
"""What the first numbers show, each from a half on: the class and, of labelled clips, one more."""


@dataclass(frozen=True)
class ToyImage:
    """An answer to a clip: the picture at `path`, given in `arm` at `draw`."""

    clip: ScoredClip
    path: Path
    draw: int = 0
    arm: str = Arm.AUDIO


@dataclass(frozen=True, kw_only=True)
class ToyWorld:
    """Clips of several classes, and scorers that read their pictures without an error."""

    folder: Path
    clips: tuple[ScoredClip, ...]
    waveforms: Mapping[str, NDArray[np.float32]] = field(repr=False)
    captions: Mapping[str, Array] = field(repr=False)
    kind: DataKind = DataKind.CLASSES

    def batch(
        self,
        images: Iterable[ToyImage],
        *,
        clips: Sequence[ScoredClip] | None = None,
        blind_to: Path | None = None,
    ) -> Batch:
        """These answers beside the clips' real pictures, as a run hands them to a metric.

        blind_to: a picture of which every scorer returns NaN.
        """
        known = self.clips if clips is None else clips
        rows = [
            Row(image.clip.sample_id, str(image.arm), image.draw, image.path) for image in images
        ]
        rows += [Row(c.sample_id, REAL, 0, c.image) for c in known if c.image is not None]
        return Batch(
            rows,
            by_id={clip.sample_id: clip for clip in known},
            scorers=_scorers(self.captions, blind_to),
            cache=FeatureCache(context={}),
            waveform_of=self.waveforms.__getitem__,
            kind=self.kind,
        )

    def answered(self, pictures: Sequence[int], *, num_draws: int = 1) -> list[ToyImage]:
        """Each clip answered by the real picture of another: `pictures` has its number."""
        return [
            ToyImage(clip, cast(Path, self.clips[number].image), draw)
            for draw in range(num_draws)
            for clip, number in zip(self.clips, pictures, strict=True)
        ]

    def noise(self, *, num_draws: int = 1) -> list[ToyImage]:
        """Each clip answered by a picture of its own that shows nothing."""
        images = []
        for draw in range(num_draws):
            for clip in self.clips:
                path = self.folder / f"noise-{clip.sample_id}-{draw}.png"
                latent_L = rng(0, "contract of a metric", clip.sample_id, draw).random(_WIDTH)
                _write(path, _rounded(latent_L))
                images.append(ToyImage(clip, path, draw))
        return images


@contextmanager
def toy_world(kind: DataKind = DataKind.CLASSES) -> Iterator[ToyWorld]:
    """The world, its pictures in a folder that is gone afterwards.

    kind: with labels a clip has its class and one label more, which its caption does not name.
    """
    draw = rng(0, "contract of a metric")
    centres_KL = (
        0.15 + 0.7 * np.eye(_WIDTH)[:NUM_CLASSES] + 0.05 * draw.random((NUM_CLASSES, _WIDTH))
    )
    clips, waveforms = [], {}
    with TemporaryDirectory() as temporary:
        folder = Path(temporary)
        for number in range(NUM_CLASSES * CLIPS_PER_CLASS):
            # Neighbours are of different classes, so that no class is a run of places.
            name, sample_id = f"class{number % NUM_CLASSES}", f"clip{number:02}"
            centre_L = centres_KL[number % NUM_CLASSES]
            latent_L = _rounded(np.clip(centre_L + 0.12 * draw.uniform(-1, 1, _WIDTH), 0, 1))
            labels: tuple[str, ...] = ()
            if kind is DataKind.LABELS:
                further = NUM_CLASSES + number % 2
                latent_L[further] = _rounded(np.array(0.9))
                labels = tuple(sorted((name, _SOURCES[further])))
            path = folder / f"{sample_id}.png"
            _write(path, latent_L)
            waveforms[sample_id] = (latent_L - 0.5).astype(np.float32)
            attributes = dict(zip(_ATTRIBUTES, latent_L[: len(_ATTRIBUTES)].tolist(), strict=True))
            caption = f"a sound of {name}"
            clips.append(
                ScoredClip(
                    sample_id=sample_id,
                    class_name=name,
                    caption=caption,
                    image=path,
                    attributes=attributes,
                    labels=labels,
                )
            )
        captions = {f"a sound of class{k}": row - 0.5 for k, row in enumerate(centres_KL)}
        yield ToyWorld(
            folder=folder, clips=tuple(clips), waveforms=waveforms, captions=captions, kind=kind
        )


def _rounded(latent_L: Array) -> Array:
    return np.round(latent_L * 255) / 255


def _write(path: Path, latent_L: Array) -> None:
    blocks = np.repeat(np.round(latent_L * 255).astype(np.uint8), _BLOCK)
    Image.fromarray(np.repeat(blocks[None], _BLOCK, axis=0)).convert("RGB").save(path)


@dataclass(frozen=True)
class _Eye:
    """Reads what a picture shows."""

    blind_to: Path | None
    name: str = "toy"
    fingerprint: str = "toy"
    attribute_names: tuple[str, ...] = _ATTRIBUTES
    captions: Mapping[str, Array] = field(default_factory=dict)

    def images(self, paths: Sequence[Path]) -> Array:
        return np.stack([self._latent(path) - 0.5 for path in paths])

    def texts(self, texts: Sequence[str]) -> Array:
        return np.stack([self.captions[text] for text in texts])

    def read(self, paths: Sequence[Path]) -> ImageReading:
        seen_IL = self.images(paths)
        attributes = seen_IL[:, : len(_ATTRIBUTES)] + 0.5
        return ImageReading(embeddings=seen_IL, attributes=attributes, features=seen_IL)

    def embed(self, waveforms: Iterable[NDArray[np.float32]]) -> Array:
        return np.stack([np.asarray(waveform, dtype=np.float64) for waveform in waveforms])

    def pairwise(self, paths: Sequence[Path]) -> Array:
        seen_IL = self.images(paths)
        distance_II: Array = np.abs(seen_IL[:, None] - seen_IL[None]).mean(axis=2)
        return distance_II

    def _latent(self, path: Path) -> Array:
        if path == self.blind_to:
            return np.full(_WIDTH, np.nan)
        with Image.open(path) as picture:
            row: Array = np.asarray(picture.convert("L"), dtype=np.float64)[_BLOCK // 2]
        return row[_BLOCK // 2 :: _BLOCK] / 255


def _scorers(captions: Mapping[str, Array], blind_to: Path | None) -> Scorers:
    eye: Any = _Eye(blind_to, captions=captions)
    of_sources: Any = _SourceEye(eye)
    return Scorers(
        clip=eye,
        image_judge=eye,
        audio_judge=eye,
        source_judge=of_sources,
        inception=eye,
        dinov2=eye,
        lpips=eye,
        sound=eye,
        picture=eye,
    )


@dataclass(frozen=True)
class _SourceEye:
    """Reads which sources a picture shows."""

    eye: _Eye
    name: str = "toy"
    fingerprint: str = "toy"
    source_names: tuple[str, ...] = _SOURCES

    def read(self, paths: Sequence[Path]) -> Array:
        return self.eye.images(paths)[:, : len(_SOURCES)] + 0.5
