"""A generated image with everything that made it, written into the PNG itself."""

import json
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError
from PIL.PngImagePlugin import PngInfo
from pydantic import BaseModel, ConfigDict, ValidationError

from core.errors import DataError
from core.files import write_atomic

KEY = "branch-harness"
"""Keyword of the PNG text chunk that holds the parameters, as JSON."""


class RecordedPart(BaseModel):
    """A file's share of the sound; see `harness.generate.sounds.SoundPart`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    path: str
    sha256: str
    start_s: float = 0.0
    weight: float = 1.0


class Parameters(BaseModel):
    """What one image is a function of."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    run_id: str
    """The trained branch."""
    weights_sha256: str
    """Of its weights file."""
    sound: tuple[RecordedPart, ...]
    """What it was conditioned on."""
    text: str
    """The caption; empty for none."""
    draw: int
    """Which noise."""
    noise_seed: int
    """Seed of all noises."""
    audio_scale: float
    """Of the run's own audio guidance; 0 ignores the sound."""
    text_guidance: float
    """Classifier-free guidance of the caption."""
    steps: int
    """Sampling steps."""


def write_image(path: Path, pixels_HWC: np.ndarray, *, parameters: Parameters) -> None:
    """Write uint8 [H, W, 3] with its parameters. Raises: NoSpaceError."""
    info = PngInfo()
    info.add_itxt(KEY, parameters.model_dump_json())
    write_atomic(path, content=png_bytes(pixels_HWC, info=info))


def png_bytes(pixels_HWC: np.ndarray, *, info: PngInfo | None = None) -> bytes:
    """A PNG file of uint8 [H, W, 3]."""
    content = BytesIO()
    Image.fromarray(pixels_HWC).save(content, format="PNG", pnginfo=info)
    return content.getvalue()


def read_image(path: Path) -> tuple[np.ndarray, Parameters]:
    """Pixels and parameters of an image that `write_image` wrote.

    Raises:
        DataError: the file is not such an image.
    """
    try:
        with Image.open(path, formats=["PNG"]) as image:
            image.load()
            text = getattr(image, "text", {}).get(KEY)
            pixels_HWC = np.asarray(image.convert("RGB"))
    except (OSError, UnidentifiedImageError, ValueError, Image.DecompressionBombError) as error:
        raise DataError(f"{path} cannot be read as a PNG: {error}") from None
    if text is None:
        raise DataError(f"{path} holds no parameters; it is not an image from harness generate")
    try:
        return pixels_HWC, Parameters.model_validate(json.loads(text))
    except (ValueError, RecursionError, ValidationError) as error:
        first = str(error).splitlines()[0]
        raise DataError(f"{path}: its parameters cannot be read: {first}") from None
