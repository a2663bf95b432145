"""Image files as every scorer sees them: one decoder and one resizer for all images."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from core.errors import DataError


def read_rgb(path: Path) -> Image.Image:
    """The picture in 8-bit RGB. Raises: DataError when the file is missing or no picture."""
    try:
        with Image.open(path) as image:
            return image.convert("RGB")
    except (OSError, UnidentifiedImageError, Image.DecompressionBombError) as error:
        raise DataError(
            f"cannot read the image {path} to score it ({error}); delete the run's samples and "
            "run it again, or restore the file"
        ) from error


def fitted(image: Image.Image, *, height: int, width: int) -> Image.Image:
    """The largest centred part of the wanted shape, resized to it by PIL's antialiased bicubic.

    A picture that already has the size is left as it is.
    """
    if image.size == (width, height):
        return image
    scale = min(image.width / width, image.height / height)
    cut_w, cut_h = width * scale, height * scale
    left, top = (image.width - cut_w) / 2, (image.height - cut_h) / 2
    return image.resize(
        (width, height),
        resample=Image.Resampling.BICUBIC,
        box=(left, top, left + cut_w, top + cut_h),
    )


def batches(
    paths: Sequence[Path], *, height: int, width: int, batch_size: int
) -> Iterator[NDArray[np.uint8]]:
    """uint8 [B, height, width, 3] batches of the files, in order."""
    for start in range(0, len(paths), batch_size):
        images = [
            fitted(read_rgb(path), height=height, width=width)
            for path in paths[start : start + batch_size]
        ]
        yield np.stack([np.asarray(image, dtype=np.uint8) for image in images])
