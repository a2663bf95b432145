"""Pictures to arrays: EXIF orientation applied, 16 bits scaled to 8 (value * 255 / 65535, rounded),
transparency laid on white, everything else by Pillow's own conversion to RGB.

Every refusal has a reason. Shape legend: H height, W width, C colour channels.
"""

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError
from PIL.ImageFile import ImageFile

from core.data.items import Reason
from core.data.media.errors import MediaError
from core.data.media.jpeg_end import with_end_marker
from core.data.media.near_duplicates import picture_hash
from core.files import require_regular

if TYPE_CHECKING:
    from torch import Tensor

MAX_PIXELS = 64_000_000
"""A 64-megapixel RGB picture takes 192 MB, and up to 450 MB while it is converted; nothing larger
is decoded, and of those above 16 megapixels two at a time."""
MIN_SIDE_PX = 16
IMAGE_FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF")
_HASHED_SIDE_PX = 64  # the hash looks at 32 x 32; a jpg is decoded at an eighth to a half for it
_LARGE_PIXELS = 16_000_000
_large_pictures = threading.BoundedSemaphore(2)
_STRIP_PIXELS = 1 << 21


@dataclass(frozen=True)
class ImageFacts:
    """What a whole decode of a picture found."""

    width: int
    """Pixels, as stored."""
    height: int
    """Pixels, as stored."""
    luma_spread: float
    """Standard deviation of the luma, 0 to 128."""
    hash: int | None
    """Perceptual hash of the upright picture; None for a picture of one shade."""
    lacks_end_marker: bool = False
    """A JPEG without its last two bytes, which say that it ends; every pixel is there."""


def inspect_image(path: Path) -> ImageFacts:
    """Facts of a picture after decoding it once, to its end.

    A jpg's whole stream is read, but transformed only at the size that the hash needs.
    Raises: MediaError.
    """
    with ExitStack() as held:
        loaded = _load_image(path, held=held, side=_HASHED_SIDE_PX)
        with _conversion_errors():
            # Turned like `decode_image` does, so that what it would refuse is refused now.
            grey = _to_rgb(ImageOps.exif_transpose(loaded.image)).convert("L")
            del loaded.image
        spread = _spread(grey)
    return ImageFacts(
        width=loaded.width,
        height=loaded.height,
        luma_spread=spread,
        hash=picture_hash(grey) if spread > 0 else None,
        lacks_end_marker=loaded.lacks_end_marker,
    )


def decode_image(path: Path) -> np.ndarray:
    """uint8 [H, W, 3] RGB, upright, by the conversion at the top. Raises: MediaError."""
    with ExitStack() as held:
        image = _load_image(path, held=held).image
        with _conversion_errors():
            return np.asarray(_to_rgb(ImageOps.exif_transpose(image)))


def _spread(grey: Image.Image) -> float:
    """Standard deviation of the grey values, from their counts: no copy of the picture is made."""
    counts = np.array(grey.histogram(), dtype=np.float64)
    values = np.arange(len(counts))
    mean = float(counts @ values / counts.sum())
    return float(np.sqrt(counts @ (values - mean) ** 2 / counts.sum()))


@contextmanager
def _conversion_errors() -> Iterator[None]:
    try:
        yield
    except MemoryError:
        raise
    except Exception as error:  # damaged metadata makes Pillow raise a dozen different kinds
        raise MediaError(
            Reason.UNDECODABLE_IMAGE, f"the picture cannot be converted: {error}"
        ) from None


@dataclass
class _Loaded:
    """A decoded picture in the file's own mode."""

    image: Image.Image
    width: int
    """Pixels, as stored."""
    height: int
    """Pixels, as stored."""
    lacks_end_marker: bool


def _load_image(path: Path, *, held: ExitStack, side: int | None = None) -> _Loaded:
    """The decoded picture, and its stored size, checked from the header.

    held: takes the place of a large picture, of which two at a time are in work: one on each of 32
    cores would ask for 14 GB.
    side: pixels that each side has to keep; jpgs are then decoded as grey at a half to an eighth
    where that suffices.
    """
    try:
        require_regular(path)
    except OSError as error:
        raise MediaError(
            Reason.UNREADABLE, f"the picture cannot be read: {error.strerror}"
        ) from None
    try:
        with path.open("rb") as file:
            opened = Image.open(file, formats=IMAGE_FORMATS)
            size = opened.size
            _check_size(*size)
            if size[0] * size[1] > _LARGE_PIXELS:
                held.enter_context(_large_pictures)
            image, lacks_end_marker = _whole(opened, side=side)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise MediaError(
            Reason.HUGE_IMAGE, f"the picture has more than {MAX_PIXELS:,} pixels"
        ) from None
    except (MediaError, MemoryError):
        raise
    except UnidentifiedImageError:
        raise MediaError(
            Reason.UNDECODABLE_IMAGE,
            f"the file's bytes are not a picture of a known format ({', '.join(IMAGE_FORMATS)})",
        ) from None
    except PermissionError as error:
        raise MediaError(
            Reason.UNREADABLE, f"the picture cannot be read: {error.strerror}"
        ) from None
    except Exception as error:  # a damaged file makes Pillow raise a dozen different kinds
        problem = f"the picture cannot be decoded: {error}"
        if "truncated" in str(error).lower():
            problem = "the picture's file was cut short; copy or download it again"
        raise MediaError(Reason.UNDECODABLE_IMAGE, problem) from None
    if image.mode == "F":
        raise MediaError(
            Reason.UNSUPPORTED_FORMAT,
            "the picture has floating-point pixels; 8 or 16 bits are read",
        )
    return _Loaded(image, *size, lacks_end_marker=lacks_end_marker)


def _whole(image: ImageFile, *, side: int | None) -> tuple[Image.Image, bool]:
    """The picture with its pixels, and whether an end marker had to be put behind them."""
    file = image.fp
    if side is not None:
        image.draft("L", (side, side))
    try:
        image.load()
        return image, False
    except OSError:
        if image.format != "JPEG" or file is None or file.closed:
            raise
        file.seek(0)
        content = with_end_marker(file.read())
        if content is None:
            raise
    image = Image.open(BytesIO(content), formats=("JPEG",))
    if side is not None:
        image.draft("L", (side, side))
    image.load()
    return image, True


def _check_size(width: int, height: int) -> None:
    if width * height > MAX_PIXELS:
        raise MediaError(
            Reason.HUGE_IMAGE,
            f"the picture is {width} x {height}; at most {MAX_PIXELS:,} pixels are decoded",
        )
    if min(width, height) < MIN_SIDE_PX:
        raise MediaError(
            Reason.SMALL_IMAGE,
            f"the picture is {width} x {height}; each side needs at least {MIN_SIDE_PX} pixels",
        )


def _to_rgb(image: Image.Image) -> Image.Image:
    is_plain = not image.mode.startswith("I") and not image.has_transparency_data
    if is_plain:
        return image.convert("RGB")
    width, height = image.size
    num_rows = max(1, _STRIP_PIXELS // max(1, width))
    if num_rows >= height:
        return _strip_to_rgb(image)
    whole = Image.new("RGB", (width, height))
    for top in range(0, height, num_rows):
        strip = image.crop((0, top, width, min(height, top + num_rows)))
        whole.paste(_strip_to_rgb(strip), (0, top))
    return whole


def _strip_to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):  # 16-bit grey; 32-bit "I" is what some formats widen it to
        values = np.asarray(image).astype(np.float64)
        grey = np.rint(np.clip(values, 0, 65535) * (255 / 65535)).astype(np.uint8)
        return Image.fromarray(grey).convert("RGB")
    layer = image.convert("RGBA")
    white = Image.new("RGBA", layer.size, (255, 255, 255, 255))
    return Image.alpha_composite(white, layer).convert("RGB")


def to_square(pixels_HWC: np.ndarray, *, size: int) -> np.ndarray:
    """uint8 [size, size, 3]: the centre square, resized by LANCZOS."""
    height, width = pixels_HWC.shape[:2]
    side = min(height, width)
    left, top = (width - side) // 2, (height - side) // 2
    square = Image.fromarray(pixels_HWC[top : top + side, left : left + side])
    return np.asarray(square.resize((size, size), Image.Resampling.LANCZOS))


def to_vae_input(pixels_HWC: np.ndarray) -> "Tensor":
    """float32 [3, H, W] in [-1, 1], the range of the VAE, from uint8 [H, W, 3]."""
    import torch  # seconds, which reading a folder of media does not need

    return torch.from_numpy(np.array(pixels_HWC)).permute(2, 0, 1).float() / 127.5 - 1.0
