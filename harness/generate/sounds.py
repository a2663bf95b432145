"""Sounds to generate from: files of any kind that can be read, cut into windows, or mixtures.

Shape legend: S samples.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.data.ingest.endings import AUDIO_SUFFIXES
from core.data.ingest.video_cut import require_pyav
from core.data.media.decode_audio import SAMPLE_RATE_HZ, channel_mean, decode_audio, resample
from core.data.media.errors import MediaError
from core.errors import DataError, UsageError
from core.files import file_sha256, why_no_file

PYAV_SUFFIXES = frozenset({".m4a", ".aac", ".mp4", ".mov", ".mkv", ".webm", ".3gp", ".amr", ".wma"})
"""What a phone or a browser records; read by PyAV (extra `video`)."""
_SHORTEST_S = 0.2
_FULL_SCALE = 1.0


@dataclass(frozen=True, kw_only=True)
class SoundPart:
    """One file's share of a sound."""

    path: Path
    """The file, as it was named."""
    sha256: str
    """Of the file's bytes."""
    start_s: float = 0.0
    """Where in the file it begins."""
    weight: float = 1.0
    """What its samples are multiplied by."""


@dataclass(frozen=True)
class Sound:
    """What is generated from: one window of a file, or a mixture."""

    parts: tuple[SoundPart, ...]
    waveform_S: NDArray[np.float32]
    """48 kHz mono, at most one window."""

    @property
    def label(self) -> str:
        """What a person calls it."""
        if len(self.parts) == 1:
            (part,) = self.parts
            return f"{part.path.name} @{part.start_s:g} s" if part.start_s else part.path.name
        return " + ".join(f"{part.weight:g} x {part.path.name}" for part in self.parts)


def sound_files(names: Sequence[Path]) -> list[Path]:
    """The files that are named, with the sounds of the folders that are named, in order.

    Raises:
        UsageError: a path that is not there, a folder without a sound, or nothing named.
    """
    found: list[Path] = []
    for name in names:
        path = name.expanduser()
        if path.is_dir():
            inside = sorted(
                p for p in path.rglob("*") if p.suffix.lower() in AUDIO_SUFFIXES | PYAV_SUFFIXES
            )
            if not inside:
                endings = ", ".join(sorted(AUDIO_SUFFIXES | PYAV_SUFFIXES))
                raise UsageError(f"{name} holds no sound file; sounds end in {endings}")
            found += inside
        elif path.is_file():
            found.append(path)
        else:
            raise UsageError(
                f"{name} {why_no_file(path)}; expected a sound file or a folder of them"
            )
    return found


def windows_of(path: Path, *, window_s: float, most: int) -> tuple[list[Sound], bool]:
    """The sound of a file as whole windows from its start; at most `most` of them.

    A rest shorter than a quarter of the window is left out. Returns whether the file is longer
    than what is returned, too.

    Raises:
        DataError: the file cannot be decoded, or is too short to hold a sound.
    """
    digest = file_sha256(path)
    sounds: list[Sound] = []
    for start_s, waveform_S in _windows(path, window_s=window_s):
        length_s = len(waveform_S) / SAMPLE_RATE_HZ
        if sounds and length_s < window_s / 4:
            break
        if length_s < _SHORTEST_S:
            raise DataError(f"{path}: {length_s:.2f} s of sound; at least {_SHORTEST_S} s needed")
        if len(sounds) == most:
            return sounds, True
        sounds.append(Sound((SoundPart(path=path, sha256=digest, start_s=start_s),), waveform_S))
    return sounds, False


def load_part(part: SoundPart, *, window_s: float) -> NDArray[np.float32]:
    """The window [S] that a part names, before its weight.

    Raises:
        DataError: the file cannot be decoded or ends before the part begins.
    """
    for start_s, waveform_S in _windows(part.path, window_s=window_s, start_s=part.start_s):
        if len(waveform_S) >= _SHORTEST_S * SAMPLE_RATE_HZ:
            return waveform_S
        raise DataError(f"{part.path}: there is no sound at {start_s:g} s")
    raise DataError(f"{part.path}: there is no sound at {part.start_s:g} s")


def mixture(parts: Sequence[SoundPart], *, window_s: float) -> Sound:
    """The weighted sum of several sounds, scaled down as a whole where it would exceed full scale.

    Raises:
        DataError: a file cannot be decoded.
        UsageError: a weight is negative or not finite, or all are 0.
    """
    weights = [part.weight for part in parts]
    if not all(math.isfinite(w) and w >= 0 for w in weights) or not any(weights):
        raise UsageError(
            f"mixture weights {', '.join(f'{w:g}' for w in weights)}; expected numbers of 0 or "
            "more, one of them above 0"
        )
    waveforms = [load_part(part, window_s=window_s) for part in parts]
    total_S = np.zeros(max(len(waveform) for waveform in waveforms), dtype=np.float64)
    for part, waveform_S in zip(parts, waveforms, strict=True):
        total_S[: len(waveform_S)] += part.weight * waveform_S.astype(np.float64)
    peak = float(np.abs(total_S).max())
    if peak > _FULL_SCALE:
        total_S /= peak
    return Sound(tuple(parts), total_S.astype(np.float32))


def parse_mixture(text: str) -> list[SoundPart]:
    """`a.wav:0.3,b.wav:0.7` as parts; a part without a weight has 1.

    Raises:
        UsageError: a file that is not there, or a weight that is not a number.
    """
    parts = []
    for item in filter(None, (piece.strip() for piece in text.split(","))):
        name, separator, weight = item.rpartition(":")
        if not separator or Path(item).expanduser().is_file():
            name, weight = item, "1"
        path = Path(name).expanduser()
        if not path.is_file():
            raise UsageError(f"--mix {text}: {name} {why_no_file(path)}; expected FILE:WEIGHT,...")
        try:
            value = float(weight)
        except ValueError:
            raise UsageError(f"--mix {text}: the weight {weight!r} is not a number") from None
        parts.append(SoundPart(path=path, sha256=file_sha256(path), weight=value))
    if len(parts) < 2:
        raise UsageError(f"--mix {text}: expected at least two files, like a.wav:0.3,b.wav:0.7")
    return parts


def _windows(
    path: Path, *, window_s: float, start_s: float = 0.0
) -> Iterator[tuple[float, NDArray[np.float32]]]:
    """(start, [S]) of one window after the other, until the file ends."""
    whole_S = _decoded_by_pyav(path) if path.suffix.lower() in PYAV_SUFFIXES else None
    size = round(window_s * SAMPLE_RATE_HZ)
    while True:
        if whole_S is None:
            try:
                waveform_S = decode_audio(path, window_s=window_s, start_s=start_s)
            except MediaError as error:
                raise DataError(f"{path}: {error}") from error
        else:
            first = round(start_s * SAMPLE_RATE_HZ)
            waveform_S = whole_S[first : first + size]
        yield start_s, waveform_S
        if len(waveform_S) < size:
            return
        start_s += window_s


def _decoded_by_pyav(path: Path) -> NDArray[np.float32]:
    """float32 [S], 48 kHz mono, of a container that only PyAV reads."""
    av: Any = require_pyav()
    blocks: list[NDArray[np.float32]] = []
    rate = 0
    try:
        with av.open(str(path), options={"protocol_whitelist": "file"}) as container:
            if not container.streams.audio:
                raise DataError(f"{path} has no sound")
            resampler = av.AudioResampler(format="fltp")
            for frame in container.decode(audio=0):
                for part in resampler.resample(frame):
                    rate = part.sample_rate
                    blocks.append(channel_mean(part.to_ndarray().T))
    except (av.error.FFmpegError, OSError) as error:
        raise DataError(f"{path} cannot be decoded: {error}") from None
    if not blocks:
        raise DataError(f"{path} has no sound")
    mono_S = np.concatenate(blocks)
    if not np.isfinite(mono_S).all():
        raise DataError(f"{path}: the audio holds NaN or infinite samples")
    return resample(mono_S, from_hz=rate, to_hz=SAMPLE_RATE_HZ)
