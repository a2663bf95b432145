"""Pictures and sounds of a report: inside the page, or beside it where they are too many."""

import base64
import hashlib
import re
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from core.data.media.decode_audio import decode_audio
from core.files import write_atomic
from harness.metrics.pictures import read_square

MEDIA_FOLDER = "media"
AUDIO_TYPE = "audio/mpeg"
_LARGEST_PX = 256  # what a sheet shows; the run's folder keeps the whole image
_AUDIO_HZ = 48_000
_OWN_NAME = re.compile(r"[0-9a-f]{16}\.(png|webp|mp3|jpg)")
_TYPES = {"png": "image/png", "webp": "image/webp", "mp3": AUDIO_TYPE, "jpg": "image/jpeg"}


@dataclass
class MediaStore:
    """Each file once, by content; `url` says how a page reaches it."""

    is_embedded: bool = True
    """Whether files are written into the page."""
    _files: dict[str, bytes] = field(default_factory=dict)

    @property
    def has_files(self) -> bool:
        """Whether anything was added."""
        return bool(self._files)

    @property
    def embedded_bytes(self) -> int:
        """Least size of a page that holds all files, each once, in base64."""
        return sum(4 * len(content) // 3 for content in self._files.values())

    def add(self, content: bytes, *, suffix: str) -> str:
        """Keep a file and return its key."""
        key = f"{hashlib.sha256(content).hexdigest()[:16]}.{suffix}"
        self._files[key] = content
        return key

    def url(self, key: str | None) -> str:
        """A data URI, or the path relative to the page."""
        if key is None:
            return ""
        if not self.is_embedded:
            return f"{MEDIA_FOLDER}/{key}"
        kind = _TYPES[key.rsplit(".", 1)[1]]
        return f"data:{kind};base64,{base64.b64encode(self._files[key]).decode('ascii')}"

    def save(self, folder: Path) -> None:
        """Write the files beside a page in `folder`, and drop those of an earlier report.

        Raises:
            NoSpaceError: the disk is full.
        """
        target = folder / MEDIA_FOLDER
        kept = set() if self.is_embedded else set(self._files)
        if target.is_dir():
            for path in target.iterdir():
                if path.name not in kept and _OWN_NAME.fullmatch(path.name):
                    path.unlink()
            if not kept and not any(target.iterdir()):
                target.rmdir()
        for key in sorted(kept):
            write_atomic(target / key, content=self._files[key])


def picture(path: Path) -> tuple[bytes, str]:
    """An image file as the scorers see it, at most 256 px a side, and its suffix.

    A small PNG goes in as it is; anything else is squared by the scorers' resizer.

    Raises:
        DataError: it is missing or no picture.
    """
    content = path.read_bytes() if path.is_file() else b""
    if path.suffix.lower() == ".png":
        try:
            with Image.open(BytesIO(content)) as image:
                is_small = image.width == image.height <= _LARGEST_PX and image.format == "PNG"
                image.verify()
        except (OSError, SyntaxError, ValueError):
            is_small = False
        if is_small:
            return content, "png"
    pixels = read_square(path, size=_LARGEST_PX)
    buffer = BytesIO()
    Image.fromarray(pixels).save(buffer, format="WEBP", quality=90, method=4)
    return buffer.getvalue(), "webp"


def sound(path: Path, *, window_s: float) -> tuple[bytes, NDArray[np.float32]]:
    """The part of a clip that is heard, as mono MP3 (every browser plays it), and its samples.

    Raises:
        MediaError: it cannot be decoded.
    """
    import soundfile

    samples = decode_audio(path, window_s=window_s)
    buffer = BytesIO()
    soundfile.write(
        buffer, samples, _AUDIO_HZ, format="MP3", subtype="MPEG_LAYER_III", compression_level=0.4
    )
    return buffer.getvalue(), samples
