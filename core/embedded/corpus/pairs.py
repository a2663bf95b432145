"""One pair by name: a pure function of the seed, a namespace, the class and an index."""

from dataclasses import dataclass

import numpy as np

from core.embedded.corpus.classes import Attributes
from core.embedded.corpus.picture import draw_image
from core.embedded.corpus.sound import synthesise_clip
from core.randomness import rng


@dataclass(frozen=True)
class Pair:
    """A clip and its picture."""

    cls: str
    """Class name, one of `CLASSES`."""
    attributes: Attributes
    """What the two share beyond the class."""
    clip: np.ndarray
    """float32 [144000] in (-1, 1), 48 kHz mono."""
    image: np.ndarray
    """uint8 [64, 64, 3]."""


def pair_attributes(cls: str, *, seed: int, namespace: str, index: int) -> Attributes:
    """The attributes of a pair, without the cost of making it."""
    return Attributes.draw(rng(seed, namespace, cls, index, "attributes"))


def pair_image(cls: str, *, seed: int, namespace: str, index: int) -> np.ndarray:
    """uint8 [64, 64, 3]: the picture of a pair alone."""
    attributes = pair_attributes(cls, seed=seed, namespace=namespace, index=index)
    return draw_image(cls, attributes, rng(seed, namespace, cls, index, "picture"))


def pair_clip(cls: str, *, seed: int, namespace: str, index: int) -> np.ndarray:
    """float32 [144000]: the sound of a pair alone."""
    attributes = pair_attributes(cls, seed=seed, namespace=namespace, index=index)
    return synthesise_clip(cls, attributes, rng(seed, namespace, cls, index, "sound"))


def make_pair(cls: str, *, seed: int, namespace: str, index: int) -> Pair:
    """The whole pair; other namespaces share no draw with it."""
    return Pair(
        cls=cls,
        attributes=pair_attributes(cls, seed=seed, namespace=namespace, index=index),
        clip=pair_clip(cls, seed=seed, namespace=namespace, index=index),
        image=pair_image(cls, seed=seed, namespace=namespace, index=index),
    )
