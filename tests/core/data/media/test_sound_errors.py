"""What is said of a sound that cannot be read: what it is, and what to do, in a user's words."""

import re

import numpy as np
import pytest
import soundfile

from core.data.items import Reason
from core.data.media.decode_audio import inspect_audio
from core.data.media.errors import MediaError

NOISE = 0.1 * np.random.default_rng(0).standard_normal(96_000)


def written(path, *, format_=None, subtype=None):
    soundfile.write(path, NOISE, 48_000, format=format_, subtype=subtype)
    return path.read_bytes()


def wav_with(tmp_path, *, place, value):
    """A WAV in whose format chunk the two bytes at `place` say `value`."""
    content = bytearray(written(tmp_path / "sound.wav"))
    start = content.index(b"fmt ") + 8 + place
    content[start : start + 2] = value.to_bytes(2, "little")
    return bytes(content)


SPOILT = {
    "empty.wav": (lambda p: b"", "0 bytes", "download it again"),
    "header.wav": (lambda p: written(p / "s.wav")[:40], "not one sample", "download it again"),
    "page.wav": (
        lambda p: b"<!DOCTYPE html>\n<p>" * 9,
        "text and no sound .*<!DOCTYPE",
        "download",
    ),
    "short.mp3": (lambda p: written(p / "s.mp3")[:100], "no frame of sound", "download it again"),
    "tags.mp3": (lambda p: b"ID3\3\0\0\0\0\0\x21" + bytes(500), "no frame of sound", "download"),
    "aac.mp3": (lambda p: b"\xff\xf1\x50\x80\x20\x1f\xfc\x21" * 99, "is AAC", "convert it"),
    "short.flac": (lambda p: written(p / "s.flac")[:30], "header of the flac", "download it again"),
    "half.flac": (lambda p: written(p / "s.flac")[:50_000], "to its end", "download it again"),
    "seek.flac": (lambda p: written(p / "s.flac")[:42], "to its end", "download it again"),
    "speex.ogg": (
        lambda p: written(p / "s.ogg").replace(b"\1vorbis", b"Speex  "),
        "coded as Speex",
        "convert it",
    ),
    "none.ogg": (
        lambda p: written(p / "s.ogg").replace(b"\1vorbis", b"\1nobody"),
        "no codec that is known",
        "download it again",
    ),
    "mulaw.wav": (lambda p: written(p / "s.wav", subtype="ULAW"), "coded as mu-law", "convert it"),
    "gsm.wav": (lambda p: written(p / "s.wav", subtype="GSM610"), "coded as GSM", "convert it"),
    "aiff.wav": (lambda p: written(p / "s.wav", format_="AIFF"), "is an AIFF sound", "convert it"),
    "picture.wav": (
        lambda p: b"\x89PNG\r\n\x1a\n" + bytes(99),
        "is a picture",
        "download it again",
    ),
    "phone.wav": (lambda p: b"\0\0\0\x20ftypM4A " + bytes(99), "MP4 or M4A file", "convert it"),
    "no_format.wav": (
        lambda p: written(p / "s.wav").replace(b"fmt ", b"xxxx"),
        "how its samples are written",
        "download it again",
    ),
    "bits.wav": (lambda p: wav_with(p, place=14, value=64), "64 bits a sample", "with 16 bits"),
    "channels.wav": (lambda p: wav_with(p, place=2, value=0), "says 0 channels", "download"),
}


@pytest.mark.parametrize("name", SPOILT)
def test_what_is_wrong_and_what_to_do_is_said_without_libsndfiles_words(tmp_path, name):
    """Catches: an mp3 that is there said not to exist, "unimplemented format" of a header that was
    cut off, "psf_fseek() failed", and refusals that name no remedy."""
    make, problem, remedy = SPOILT[name]
    (tmp_path / name).write_bytes(make(tmp_path))
    with pytest.raises(MediaError) as caught:
        inspect_audio(tmp_path / name)
    message = str(caught.value)
    assert re.search(problem, message), message
    assert remedy in message
    for word in ("psf", "SF_INFO", "unimplemented", "does not exist", "sync", "malformed", "chunk"):
        assert word not in message
    is_codec = name in {"aac.mp3", "speex.ogg", "mulaw.wav", "gsm.wav"}
    assert (caught.value.reason is Reason.UNSUPPORTED_FORMAT) == is_codec
