"""Image files as every scorer sees them: the decoder and the resizer of the training data."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from core.data.decode import MediaError, decode_image, to_square
from core.errors import DataError


def read_square(path: Path, *, size: int) -> NDArray[np.uint8]:
    """uint8 [size, size, 3]: the centre square of the file, as training sees a picture.

    Raises: DataError when the file is missing or no picture.
    """
    try:
        return to_square(decode_image(path), size=size)
    except MediaError as error:
        raise DataError(
            f"cannot read the image {path} to score or show it ({error}); restore the file, or "
            "delete the run's images and run it again"
        ) from error


def square_batches(
    paths: Sequence[Path], *, size: int, batch_size: int
) -> Iterator[NDArray[np.uint8]]:
    """uint8 [B, size, size, 3] batches of the files, in order."""
    for start in range(0, len(paths), batch_size):
        yield np.stack([read_square(path, size=size) for path in paths[start : start + batch_size]])
