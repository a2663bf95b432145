"""Image files as every scorer sees them: the decoder and the resizer of the training data."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from core.data.media.decode_image import decode_image, to_square
from core.data.media.errors import MediaError
from core.errors import DataError


def read_square(path: Path, *, size: int) -> NDArray[np.uint8]:
    """uint8 [size, size, 3]: the centre square of the file, as training sees a picture.

    Raises: DataError when the file is missing or no picture.
    """
    return to_square(_decoded(path), size=size)


def read_centre_square(path: Path) -> NDArray[np.uint8]:
    """uint8 [S, S, 3]: the centre square of the file at its own size.

    Raises: DataError when the file is missing or no picture.
    """
    pixels_HWC = _decoded(path)
    return to_square(pixels_HWC, size=min(pixels_HWC.shape[:2]))  # the same size: nothing is lost


def square_batches(
    paths: Sequence[Path], *, size: int, batch_size: int
) -> Iterator[NDArray[np.uint8]]:
    """uint8 [B, size, size, 3] batches of the files, in order."""
    for start in range(0, len(paths), batch_size):
        yield np.stack([read_square(path, size=size) for path in paths[start : start + batch_size]])


def _decoded(path: Path) -> NDArray[np.uint8]:
    try:
        return decode_image(path)
    except MediaError as error:
        raise DataError(
            f"cannot read the image {path} to score or show it ({error}); restore the file, or "
            "delete the run's images and run it again"
        ) from error
