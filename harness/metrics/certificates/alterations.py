"""What should not change which picture a sound belongs to: gain, crop and resampling.

Shape legend: S samples, H and W rows and columns.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import soxr
from numpy.typing import NDArray
from PIL import Image

from core.data.media.decode_audio import SAMPLE_RATE_HZ

Wave = NDArray[np.float32]
Pixels = NDArray[np.uint8]

_LOW_RATE_HZ = 16_000
_CUT = 0.1


@dataclass(frozen=True)
class SoundAlteration:
    """A change of a sound."""

    words: str
    """What is done."""
    alter: Callable[[Wave], Wave]
    """float32 [S] at 48 kHz to the altered one."""


@dataclass(frozen=True)
class PictureAlteration:
    """A change of a picture."""

    words: str
    """What is done."""
    alter: Callable[[Pixels], Pixels]
    """uint8 [H, W, 3] to the altered one."""


def softer(sound_S: Wave) -> Wave:
    """Half the amplitude."""
    return (sound_S * np.float32(0.5)).astype(np.float32)


def cut_sound(sound_S: Wave) -> Wave:
    """Without its first and last tenth."""
    cut = int(_CUT * len(sound_S))
    return sound_S[cut : len(sound_S) - cut]


def resampled_sound(sound_S: Wave) -> Wave:
    """To 16 kHz and back: without what lies above 8 kHz."""
    low = soxr.resample(sound_S, SAMPLE_RATE_HZ, _LOW_RATE_HZ)
    back_S = np.asarray(soxr.resample(low, _LOW_RATE_HZ, SAMPLE_RATE_HZ), dtype=np.float32)
    return np.pad(back_S[: len(sound_S)], (0, max(0, len(sound_S) - len(back_S))))


def darker(pixels_HW3: Pixels) -> Pixels:
    """Four fifths of every value."""
    return np.round(pixels_HW3 * 0.8).astype(np.uint8)


def cut_picture(pixels_HW3: Pixels) -> Pixels:
    """The middle, nine tenths of each side."""
    rows, columns = (round(side * _CUT / 2) for side in pixels_HW3.shape[:2])
    height, width = pixels_HW3.shape[:2]
    return pixels_HW3[rows : height - rows, columns : width - columns]


def resampled_picture(pixels_HW3: Pixels) -> Pixels:
    """To half of each side and back (Lanczos)."""
    height, width = pixels_HW3.shape[:2]
    small = Image.fromarray(pixels_HW3).resize(
        (max(1, width // 2), max(1, height // 2)), Image.Resampling.LANCZOS
    )
    return np.asarray(small.resize((width, height), Image.Resampling.LANCZOS))


OF_SOUNDS = (
    SoundAlteration("gain: half the amplitude (-6 dB)", softer),
    SoundAlteration("crop: without the first and last tenth", cut_sound),
    SoundAlteration("resampling: to 16 kHz and back", resampled_sound),
)
CROP = PictureAlteration("crop: the middle nine tenths of each side", cut_picture)
OF_PICTURES = (
    PictureAlteration("gain: four fifths of the brightness", darker),
    CROP,
    PictureAlteration("resampling: to half the size and back", resampled_picture),
)
