"""What the first bytes of an audio file say, read before any decoder sees the file.

Only RIFF, FLAC, Ogg and MPEG audio go further: libsndfile knows many more formats, and its
IMA-ADPCM reader has overflowed (CVE-2026-37555), so the WAV format tag is checked here first.
libsndfile also reads a WAV or Ogg cut short without a word; the two checks below find those.
"""

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

_PCM, _FLOAT, _EXTENSIBLE = 0x0001, 0x0003, 0xFFFE
_TAG_NAMES = {0x0002: "Microsoft ADPCM", 0x0011: "IMA ADPCM", 0x0006: "A-law", 0x0007: "mu-law"}
_STREAMED_BYTES = 0x7FFF0000  # writers to a pipe cannot know the size and put a huge one
_OGG_TAIL_BYTES = 1 << 17  # an Ogg page is at most 65,307 bytes
_OGG_LAST_PAGE = 0x04


@dataclass(frozen=True)
class AudioHeader:
    """What the container says of itself."""

    container: str | None
    """`wav`, `flac`, `ogg`, `mp3`, or None for none of these."""
    unsupported_codec: str | None = None
    """Name of a WAV codec we refuse; None when it is PCM or float."""
    is_without_samples: bool = False
    """The container ends before its first sample."""
    is_truncated: bool = False
    """The container promises more bytes than the file has."""


def read_audio_header(path: Path) -> AudioHeader:
    """The header of an audio file, whatever its name says. Raises: OSError."""
    size = path.stat().st_size
    with path.open("rb") as file:
        magic = file.read(12)
        if magic[:4] in (b"RIFF", b"RF64") and magic[8:12] == b"WAVE":
            return _read_wav(file, size=size, is_64_bit=magic[:4] == b"RF64")
        if magic[:4] == b"fLaC":
            return AudioHeader("flac")
        if magic[:4] == b"OggS":
            return AudioHeader("ogg", is_truncated=not _has_last_page(file, size=size))
        if magic[:3] == b"ID3" or (len(magic) > 1 and magic[0] == 0xFF and magic[1] >= 0xE0):
            return AudioHeader("mp3")
    return AudioHeader(None, is_without_samples=size == 0)


def _read_wav(file: BinaryIO, *, size: int, is_64_bit: bool) -> AudioHeader:
    codec: str | None = None
    while len(head := file.read(8)) == 8:
        name, num_bytes = struct.unpack("<4sI", head)
        start = file.tell()
        if name == b"fmt ":
            codec = _unsupported_codec(file.read(min(num_bytes, 40)))
        if name == b"data":
            left = size - start
            is_streamed = is_64_bit or num_bytes >= _STREAMED_BYTES
            return AudioHeader(
                "wav",
                unsupported_codec=codec,
                is_without_samples=num_bytes == 0 or left <= 0,
                is_truncated=num_bytes > left and not is_streamed,
            )
        file.seek(start + num_bytes + num_bytes % 2)
    return AudioHeader("wav", unsupported_codec=codec, is_without_samples=True)


def _unsupported_codec(fmt: bytes) -> str | None:
    if len(fmt) < 16:
        return "an incomplete format chunk"
    tag = int.from_bytes(fmt[:2], "little")
    if tag == _EXTENSIBLE and len(fmt) >= 26:
        tag = int.from_bytes(fmt[24:26], "little")
    return None if tag in (_PCM, _FLOAT) else _TAG_NAMES.get(tag, f"WAV codec 0x{tag:04x}")


def _has_last_page(file: BinaryIO, *, size: int) -> bool:
    file.seek(max(0, size - _OGG_TAIL_BYTES))
    tail = file.read()
    page = tail.rfind(b"OggS")
    if page < 0 or len(tail) < page + 27:
        return False
    num_segments = tail[page + 26]
    table = tail[page + 27 : page + 27 + num_segments]
    is_whole = len(tail) >= page + 27 + num_segments + sum(table)
    return bool(tail[page + 5] & _OGG_LAST_PAGE) and is_whole
