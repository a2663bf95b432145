"""What the first bytes of an audio file say, read before any decoder sees the file.

Only RIFF, FLAC, Ogg and MPEG audio go further, also behind some junk, which players skip:
libsndfile knows many more formats, and its IMA-ADPCM reader has overflowed (CVE-2026-37555), so the
WAV format tag is checked here first. libsndfile also reads a WAV or Ogg cut short without a word;
the two checks below find those.
"""

import struct
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

from core.files import require_regular

_PCM, _FLOAT, _EXTENSIBLE = 0x0001, 0x0003, 0xFFFE
_TAG_NAMES = {
    **{0x0002: "Microsoft ADPCM", 0x0011: "IMA ADPCM", 0x0006: "A-law", 0x0007: "mu-law"},
    **{0x0031: "GSM 6.10", 0x0040: "G.721 ADPCM", 0x0055: "MP3", 0x00FF: "AAC", 0x0161: "WMA"},
}
_STREAMED_BYTES = 0x7FFF0000  # writers to a pipe cannot know the size and put a huge one
_OGG_TAIL_BYTES = 1 << 17  # an Ogg page is at most 65,307 bytes
_OGG_FIRST_PAGE, _OGG_LAST_PAGE = 0x02, 0x04
_MAX_OGG_LINKS = 1000
_JUNK_BYTES = 1 << 16
_MPEG_FRAMES_IN_A_ROW = 3
_KILOBITS_PER_S = {  # by (is MPEG 1, layer)
    (True, 3): (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (True, 2): (32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (False, 3): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (False, 2): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
_MPEG_RATES_HZ = {
    3: (44_100, 48_000, 32_000),
    2: (22_050, 24_000, 16_000),
    0: (11_025, 12_000, 8_000),
}


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
    wav_format: tuple[int, int, int] | None = None
    """Channels, samples a second and bits a sample, as a WAV says them; None where it does not."""
    start: int = 0
    """Bytes of junk before it."""
    links: tuple[int, ...] = ()
    """Where each stream of a chain of Ogg streams starts; empty for a single one."""


def read_audio_header(path: Path) -> AudioHeader:
    """The header of an audio file, whatever its name says. Raises: OSError."""
    require_regular(path)
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(12)
        start = 0
        if not _is_sound(head):
            head += file.read(_JUNK_BYTES)
            found = _start_of_sound(head)
            if found is None:
                return AudioHeader(None, is_without_samples=size == 0)
            start = found
            file.seek(start)
            head = file.read(12)
        return replace(_read_container(file, head[:12], size=size, start=start), start=start)


def _is_sound(magic: bytes) -> bool:
    is_wav = magic[:4] in (b"RIFF", b"RF64") and magic[8:12] == b"WAVE"
    is_mpeg = magic[:3] == b"ID3" or (len(magic) > 1 and magic[0] == 0xFF and magic[1] >= 0xE0)
    return is_wav or is_mpeg or magic[:4] in (b"fLaC", b"OggS")


def _start_of_sound(head: bytes) -> int | None:
    """Where a container or a row of MPEG frames begins; None where none does."""
    starts = [head.find(name) for name in (b"fLaC\0", b"OggS\0\x02")]
    wav = head.find(b"WAVE") - 8
    if wav >= 0 and _is_sound(head[wav : wav + 12]):
        starts.append(wav)
    place = head.find(b"\xff")
    while place >= 0:
        if _is_mpeg_row(head, place):
            starts.append(place)
            break
        place = head.find(b"\xff", place + 1)
    return min((start for start in starts if start >= 0), default=None)


def _is_mpeg_row(head: bytes, place: int) -> bool:
    kind = head[place + 1 : place + 2]
    for _ in range(_MPEG_FRAMES_IN_A_ROW):
        length = _mpeg_frame_bytes(head[place : place + 4])
        if length is None or head[place + 1 : place + 2] != kind:
            return False
        place += length
    return True


def _mpeg_frame_bytes(frame: bytes) -> int | None:
    """Length of a frame of layer II or III, by its header; None for anything else."""
    if len(frame) < 4 or frame[0] != 0xFF or frame[1] < 0xE0:
        return None
    version, layer = frame[1] >> 3 & 3, 4 - (frame[1] >> 1 & 3)
    bits, rate = frame[2] >> 4, frame[2] >> 2 & 3
    if version == 1 or layer not in (2, 3) or not 1 <= bits <= 14 or rate == 3:
        return None
    is_first = version == 3
    kilobits = _KILOBITS_PER_S[is_first, layer][bits - 1]
    words = 72 if layer == 3 and not is_first else 144
    return words * kilobits * 1000 // _MPEG_RATES_HZ[version][rate] + (frame[2] >> 1 & 1)


def _read_container(file: BinaryIO, magic: bytes, *, size: int, start: int) -> AudioHeader:
    if magic[:4] in (b"RIFF", b"RF64"):
        return _read_wav(file, size=size, is_64_bit=magic[:4] == b"RF64")
    if magic[:4] == b"fLaC":
        return AudioHeader("flac")
    if magic[:4] == b"OggS":
        links = _ogg_links(file, start=start)
        is_cut = not _has_last_page(file, size=size)
        return AudioHeader("ogg", is_truncated=is_cut, links=links if len(links) > 1 else ())
    return AudioHeader("mp3")


def _ogg_links(file: BinaryIO, *, start: int) -> tuple[int, ...]:
    """Where the streams start that were glued together: at a first page after one that is none."""
    links: list[int] = []
    was_first = False
    file.seek(start)
    while len(page := file.read(27)) == 27 and page[:4] == b"OggS":
        is_first = bool(page[5] & _OGG_FIRST_PAGE)
        if is_first and not was_first:
            links.append(start)
            if len(links) > _MAX_OGG_LINKS:
                break
        was_first = is_first
        start += 27 + page[26] + sum(file.read(page[26]))
        file.seek(start)
    return tuple(links)


def _read_wav(file: BinaryIO, *, size: int, is_64_bit: bool) -> AudioHeader:
    codec: str | None = None
    wav_format: tuple[int, int, int] | None = None
    while len(head := file.read(8)) == 8:
        name, num_bytes = struct.unpack("<4sI", head)
        start = file.tell()
        if name == b"fmt ":
            fmt = file.read(min(num_bytes, 40))
            codec = _unsupported_codec(fmt)
            if len(fmt) >= 16:
                _, channels, rate, _, _, bits = struct.unpack("<HHIIHH", fmt[:16])
                wav_format = channels, rate, bits
        if name == b"data":
            left = size - start
            is_streamed = is_64_bit or num_bytes >= _STREAMED_BYTES
            return AudioHeader(
                "wav",
                unsupported_codec=codec,
                is_without_samples=num_bytes == 0 or left <= 0,
                is_truncated=num_bytes > left and not is_streamed,
                wav_format=wav_format,
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
