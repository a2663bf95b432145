"""Items to hear and to see inside the page: small, few, and only what can be decoded."""

import io
from collections.abc import Callable, Iterable
from pathlib import Path

import soundfile
from PIL import Image

from core.data.items import Item
from core.data.media.decode_audio import SAMPLE_RATE_HZ, decode_audio, resample
from core.data.media.decode_image import decode_image
from core.data.media.errors import MediaError
from harness.report.page.content import Example
from harness.report.page.media import MediaStore
from harness.wording.plain_text import plain

_SOUND_S = 4.0
_SOUND_HZ = 24_000
_PICTURE_PX = 240
_PICTURE_QUALITY = 72


class ExampleMaker:
    """Makes examples until their media fill `max_bytes`; then they come without media."""

    def __init__(self, root: Path, *, media: MediaStore, max_bytes: int) -> None:
        self._root = root
        self._media = media
        self._left = max_bytes

    def of(
        self, items: Iterable[Item], *, most: int, sentence: Callable[[Item], str]
    ) -> tuple[Example, ...]:
        """The first `most` items, each with what is said of it."""
        chosen = [item for item, _ in zip(items, range(most), strict=False)]
        return tuple(self._example(item, sentence=sentence(item)) for item in chosen)

    def _example(self, item: Item, *, sentence: str) -> Example:
        paths = [path for path in (item.audio_path, item.image_path) if path]
        return Example(
            name=plain(item.id),
            sentence=plain(sentence),
            class_name=plain(", ".join(item.names)),
            sound=self._sound(item.audio_path),
            picture=self._picture(item.image_path),
            files=", ".join(plain(path) for path in paths),
        )

    def _sound(self, path: str | None) -> str | None:
        if path is None:
            return None
        try:
            mono_S = decode_audio(self._root / path, window_s=_SOUND_S)
        except (MediaError, OSError):
            return None
        if len(mono_S) == 0:
            return None
        buffer = io.BytesIO()
        small_S = resample(mono_S, from_hz=SAMPLE_RATE_HZ, to_hz=_SOUND_HZ)
        soundfile.write(buffer, small_S.clip(-1, 1), _SOUND_HZ, format="MP3")
        return self._kept(buffer.getvalue(), suffix="mp3")

    def _picture(self, path: str | None) -> str | None:
        if path is None:
            return None
        try:
            image = Image.fromarray(decode_image(self._root / path))
        except (MediaError, OSError):
            return None
        image.thumbnail((_PICTURE_PX, _PICTURE_PX))
        buffer = io.BytesIO()
        image.save(buffer, "JPEG", quality=_PICTURE_QUALITY)
        return self._kept(buffer.getvalue(), suffix="jpg")

    def _kept(self, content: bytes, *, suffix: str) -> str | None:
        key = self._media.add(content, suffix=suffix)
        size = len(self._media.url(key))
        if size > self._left:
            return None
        self._left -= size
        return key
