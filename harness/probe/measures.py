"""What is measured on an image: what the judge reads, what pixels say, how far it has moved.

Shape legend: I images, D embedding width, A attributes, H W height and width.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from harness.metrics.pictures import read_centre_square
from harness.metrics.scorers.scorers import Scorers

Array = NDArray[np.float64]


class Kind(StrEnum):
    """What a measure is of."""

    ATTRIBUTE = "attribute"  # read off the image by the image judge
    PIXELS = "pixels"  # a function of the pixels
    DISTANCE = "distance"  # from the image of the unaltered sound


@dataclass(frozen=True)
class Measure:
    """One number of an image."""

    name: str
    """As it is written."""
    kind: Kind
    """What it is of."""
    words: str
    """What it is, in a line."""


CHANGE = Measure(
    "change",
    Kind.DISTANCE,
    "cosine distance of the image's embedding from that of the unaltered sound's image at the same "
    "noise; 0 at the reference",
)
PIXEL_MEASURES = (
    Measure("brightness", Kind.PIXELS, "mean luma (Rec. 601), 0 to 1"),
    Measure("colourfulness", Kind.PIXELS, "Hasler and Suesstrunk 2003, of pixels in 0 to 1"),
    Measure("detail", Kind.PIXELS, "mean size of the luma's gradient per pixel"),
)


@dataclass(frozen=True)
class Reading:
    """What was measured on I images."""

    values: dict[str, Array]
    """[I] by measure, without `change`."""
    embeddings_ID: Array
    """Of unit length, for `change`."""


def measures_of(scorers: Scorers) -> tuple[Measure, ...]:
    """The measures that these scorers allow, attributes first and `change` last."""
    judge = scorers.image_judge
    names = () if judge is None else judge.attribute_names
    read = tuple(
        Measure(name, Kind.ATTRIBUTE, f"{name} as the image judge reads it off the image, 0 to 1")
        for name in names
    )
    return (*read, *PIXEL_MEASURES, CHANGE)


def read_images(paths: Sequence[Path], *, scorers: Scorers) -> Reading:
    """Every measure of the files, in order.

    Raises: DataError for a file that cannot be read.
    """
    judge = scorers.image_judge
    values: dict[str, Array] = {}
    if judge is None:
        embeddings_ID = scorers.clip.images(paths)
    else:
        reading = judge.read(paths)
        embeddings_ID = reading.embeddings
        values = {
            name: reading.attributes[:, index] for index, name in enumerate(judge.attribute_names)
        }
    pixels = np.array([of_pixels(read_centre_square(path)) for path in paths])
    values |= {m.name: pixels[:, index] for index, m in enumerate(PIXEL_MEASURES)}
    length_I1 = np.linalg.norm(embeddings_ID, axis=1, keepdims=True)
    return Reading(values, embeddings_ID / np.maximum(length_I1, 1e-12))


def of_pixels(pixels_HWC: NDArray[np.uint8]) -> tuple[float, float, float]:
    """Brightness, colourfulness and detail of an image, in the order of `PIXEL_MEASURES`."""
    red, green, blue = (pixels_HWC[..., c].astype(np.float64) / 255 for c in range(3))
    luma_HW = 0.299 * red + 0.587 * green + 0.114 * blue
    first, second = red - green, 0.5 * (red + green) - blue
    colourfulness = np.hypot(first.std(), second.std()) + 0.3 * np.hypot(
        first.mean(), second.mean()
    )
    down_HW, right_HW = np.gradient(luma_HW)
    return float(luma_HW.mean()), float(colourfulness), float(np.hypot(down_HW, right_HW).mean())
