"""What is wrong with a file of sound, and what to do, in the place of libsndfile's words.

Those name its own insides: "Internal psf_fseek() failed.", "unimplemented format", and of an mp3
without a frame that it does not exist.
"""

import codecs
from pathlib import Path

from core.data.items import Reason
from core.data.media.audio_header import AudioHeader
from core.data.media.errors import MediaError

_AGAIN = "copy or download it again"
CONVERT = "convert it, for example with: ffmpeg -i FILE NEW.wav"
_HEAD_BYTES, _FEW_BYTES = 64, 12
_OTHER_FILES = (
    (0, b"FORM", "an AIFF sound"),
    (0, b".snd", "an AU sound"),
    (0, b"caff", "a CAF sound"),
    (0, b"riff", "a W64 sound"),
    (0, b"#!AMR", "an AMR sound"),
    (0, b"MThd", "MIDI, which is notes and not a recording"),
    (4, b"ftyp", "an MP4 or M4A file"),
    (0, b"\x1aE\xdf\xa3", "a WebM or Matroska file"),
    (0, b"0&\xb2u", "a WMA or WMV file"),
    (0, b"\x89PNG", "a picture"),
    (0, b"\xff\xd8\xff", "a picture"),
    (0, b"GIF8", "a picture"),
    (0, b"PK\x03\x04", "a zip archive"),
    (0, b"\x1f\x8b", "a gzip archive"),
)
_OGG_CODECS = ((b"Speex", "Speex"), (b"\x80theora", "Theora video"), (b"\x7fFLAC", "FLAC in Ogg"))
_MPEG_LAYER = 0x06
"""Bits of an MPEG frame's second byte that AAC leaves at 0."""
_OGG_READ = (b"\x01vorbis", b"OpusHead")


def not_sound(path: Path) -> MediaError:
    """Of a file whose bytes begin as no sound that is read."""
    head = _head(path)
    for place, magic, name in _OTHER_FILES:
        if head[place:].startswith(magic):
            remedy = CONVERT if " sound" in name or "file" in name else _AGAIN
            return MediaError(
                Reason.UNDECODABLE_AUDIO,
                f"the file is {name}, whatever its name says; wav, flac, ogg and mp3 are read; "
                f"{remedy}",
            )
    begin = _first_line(head)
    if begin is not None:
        return MediaError(
            Reason.UNDECODABLE_AUDIO,
            f"the file holds text and no sound (it begins with {begin!r}), as an error page saved "
            f"by a download does; {_AGAIN}",
        )
    return MediaError(
        Reason.UNDECODABLE_AUDIO,
        f"the file's bytes are not wav, flac, ogg or mp3 audio; {_AGAIN}, or {CONVERT}",
    )


def not_opened(path: Path, header: AudioHeader) -> MediaError:
    """Of a file that begins as sound and that libsndfile cannot open."""
    head = _head(path, start=header.start)
    if header.container == "ogg":
        return _ogg(head)
    if header.container == "wav":
        return _wav(path, header)
    if header.container == "mp3":
        if head[:1] == b"\xff" and not head[1] & _MPEG_LAYER:
            return MediaError(
                Reason.UNSUPPORTED_FORMAT,
                f"the file is AAC, whatever its name says; wav, flac, ogg and mp3 are read; "
                f"{CONVERT}",
            )
        what = "no frame of sound can be found in the mp3 file"
    else:
        what = f"the header of the {header.container} file cannot be read"
    return _damaged(what)


def broken_off() -> MediaError:
    """Of a file that libsndfile opens and cannot read to its end."""
    return _damaged("the audio cannot be decoded to its end")


def _first_line(head: bytes) -> str | None:
    """What a person reads of text; None for anything else."""
    if len(head) < _FEW_BYTES:
        return None
    try:
        text = codecs.getincrementaldecoder("utf-8-sig")().decode(
            head
        )  # the last letter may be cut
    except UnicodeDecodeError:
        return None
    lines = text.strip().splitlines()
    is_text = all(letter.isprintable() or letter.isspace() for letter in text)
    return lines[0][:40].strip() if is_text and lines else None


def _ogg(head: bytes) -> MediaError:
    for magic, name in _OGG_CODECS:
        if magic in head:
            return MediaError(
                Reason.UNSUPPORTED_FORMAT,
                f"the ogg file is coded as {name}; Vorbis and Opus are read; {CONVERT}",
            )
    if any(magic in head for magic in _OGG_READ):
        return _damaged("the ogg file's stream cannot be read")
    return _damaged("the ogg file's header names no codec that is known")


def _wav(path: Path, header: AudioHeader) -> MediaError:
    if header.wav_format is None:
        return _damaged("the wav file does not say how its samples are written")
    channels, rate, bits = header.wav_format
    return MediaError(
        Reason.UNDECODABLE_AUDIO,
        f"the wav file's header says {channels:,} channels, {rate:,} samples a second and {bits} "
        f"bits a sample, which cannot be read; {_AGAIN}, or write it with 16 bits a sample",
    )


def _damaged(what: str) -> MediaError:
    return MediaError(Reason.UNDECODABLE_AUDIO, f"{what}: it was cut short or is damaged; {_AGAIN}")


def _head(path: Path, *, start: int = 0) -> bytes:
    with path.open("rb") as file:
        file.seek(start)
        return file.read(_HEAD_BYTES)
