"""Clips of one to three sources, and pictures that show each: a pure function of seed and index.

The caption names the loudest source alone, as captions of real clips often do, so that the others
can be known from the sound only. Their order in time is their order from left to right; how far
each is away is its size.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from core.embedded.corpus.canvas import Frame
from core.embedded.corpus.classes import CLASSES, Attributes, caption
from core.embedded.corpus.picture import (
    FLYING,
    HORIZON_PX,
    HUE_DEGREES,
    SUBJECTS,
    between,
    landscape,
)
from core.embedded.corpus.sound import from_afar, hiss_noise, synthesise_clip
from core.randomness import rng

NUM_SOURCES_SHARES = (0.38, 0.42, 0.20)
"""Shares of clips of one, two and three sources: 62 % are mixed, of 2.3 sources on average."""
LOUDNESS = (0.5, 1.0)
"""Range of a source's loudness where it is: -20 to -10 dBFS."""
MIXED_RADIUS_PX = (14.0, 8.0)
"""Radius of a source's subject, near and far."""
_PLACES_PX = {1: (32.0,), 2: (18.0, 46.0), 3: (12.0, 32.0, 52.0)}
_SKY_PX = (24.0, 15.0)


@dataclass(frozen=True)
class Source:
    """One of the sources of a clip."""

    cls: str
    """Class name, one of `CLASSES`."""
    pitch: float
    """As `Attributes.pitch`."""
    onset: float
    """As `Attributes.onset`; sources stand from left to right in this order."""
    loudness: float
    """As `Attributes.intensity`, where the source is; within `LOUDNESS`."""
    distance: float
    """In [0, 1]: 0 is near, loud and large, 1 is 9 dB quieter, duller and small."""


@dataclass(frozen=True)
class Scene:
    """What a clip and its picture share."""

    sources: tuple[Source, ...]
    """One to three, of different classes, by onset."""
    hiss: float
    """As `Attributes.hiss`, of the whole clip."""

    @property
    def labels(self) -> tuple[str, ...]:
        """Classes of the sources, sorted."""
        return tuple(sorted(source.cls for source in self.sources))


@dataclass(frozen=True, kw_only=True)
class Mixture:
    """A clip of several sources and its picture."""

    scene: Scene
    """What they share."""
    shares: tuple[float, ...]
    """Each source's share of the energy that all sources have together, by the scene's order."""
    clip: np.ndarray
    """float32 [144000] in (-1, 1), 48 kHz mono."""
    image: np.ndarray
    """uint8 [64, 64, 3]."""

    @property
    def caption(self) -> str:
        """The caption of the loudest source; it names no other."""
        return caption(self.scene.sources[int(np.argmax(self.shares))].cls)

    @property
    def attributes(self) -> dict[str, float]:
        """The number of sources, the loudness of the clip in dBFS and, of each source by class,
        its share of the mix, its loudness and its distance."""
        level = np.sqrt(np.mean(np.square(self.clip, dtype=np.float64)))
        found = {
            "num_sources": float(len(self.scene.sources)),
            "loudness_dbfs": float(20 * np.log10(level)),
        }
        for source, share in zip(self.scene.sources, self.shares, strict=True):
            found[f"mix.{source.cls}"] = share
            found[f"loudness.{source.cls}"] = source.loudness
            found[f"distance.{source.cls}"] = source.distance
        return found


def draw_scene(*, seed: int, namespace: str, index: int) -> Scene:
    """The scene of a mixture, without the cost of making it."""
    draw = rng(seed, namespace, "mixture", index, "scene")
    num = 1 + int(draw.choice(len(NUM_SOURCES_SHARES), p=NUM_SOURCES_SHARES))
    sources = [
        Source(
            cls=str(cls),
            pitch=float(draw.random()),
            onset=float(draw.random()),
            loudness=between(LOUDNESS, float(draw.random())),
            distance=float(draw.random()),
        )
        for cls in draw.choice(CLASSES, num, replace=False)
    ]
    return Scene(tuple(sorted(sources, key=lambda s: s.onset)), float(draw.random()))


def make_mixture(*, seed: int, namespace: str, index: int) -> Mixture:
    """The whole mixture; other namespaces share no draw with it."""
    scene = draw_scene(seed=seed, namespace=namespace, index=index)
    clip, shares = mix(scene, rng(seed, namespace, "mixture", index, "sound"))
    image = draw_mixture(scene, rng(seed, namespace, "mixture", index, "picture"))
    return Mixture(scene=scene, shares=shares, clip=clip, image=image)


def mix(scene: Scene, draw: np.random.Generator) -> tuple[np.ndarray, tuple[float, ...]]:
    """The clip of a scene, float32 [144000] in (-1, 1), and each source's share of its energy."""
    heard = [
        from_afar(
            synthesise_clip(
                s.cls,
                Attributes(pitch=s.pitch, intensity=s.loudness, hiss=0.0, onset=s.onset),
                draw,
            ),
            s.distance,
        )
        for s in scene.sources
    ]
    energy = [float(np.mean(np.square(part, dtype=np.float64))) for part in heard]
    subjects = np.sum(heard, axis=0)
    level = np.sqrt(np.mean(np.square(subjects, dtype=np.float64)))
    clip = subjects + hiss_noise(scene.hiss, draw) * level
    shares = tuple(part / sum(energy) for part in energy)
    return np.clip(clip, -0.999, 0.999).astype(np.float32), shares


def draw_mixture(
    scene: Scene, draw: np.random.Generator, *, shown: Sequence[str] | None = None
) -> np.ndarray:
    """uint8 [64, 64, 3]: the picture of a scene. shown: classes to draw; None draws all."""
    horizon_px = HORIZON_PX + draw.uniform(-2.0, 2.0)
    canvas = landscape(scene.hiss, horizon_px, draw)
    frames = [
        _frame(source, x_px, horizon_px=horizon_px, draw=draw)
        for source, x_px in zip(scene.sources, _PLACES_PX[len(scene.sources)], strict=True)
    ]
    placed = zip(scene.sources, frames, strict=True)
    # The sea fills the picture's foot, so it lies behind the rest; then from far to near.
    for source, frame in sorted(
        placed, key=lambda pair: (pair[0].cls != "ocean_waves", -pair[0].distance)
    ):
        if shown is None or source.cls in shown:
            SUBJECTS[source.cls](canvas, frame, between(HUE_DEGREES, source.pitch), draw)
    return canvas.finish()


def _frame(source: Source, x_px: float, *, horizon_px: float, draw: np.random.Generator) -> Frame:
    radius_px = between(MIXED_RADIUS_PX, source.distance)
    stands_px = horizon_px + 4.0 - 3.0 * source.distance - radius_px
    y_px = between(_SKY_PX, source.distance) if source.cls in FLYING else stands_px
    return Frame(
        x_px=x_px + draw.uniform(-2.0, 2.0),
        y_px=y_px + draw.uniform(-1.5, 1.5),
        radius_px=radius_px,
        tilt=draw.uniform(-0.06, 0.06),
        stretch=draw.uniform(0.95, 1.05),
    )
