"""One property of a sound changed, everything else kept as far as it can be. float64 inside.

Every alteration returns the sound itself at its reference level. Shape legend: S samples,
F frequencies, T frames.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import signal

from core.data.media.decode_audio import SAMPLE_RATE_HZ
from core.randomness import rng

Wave = NDArray[np.float32]
Array = NDArray[np.float64]

_FFT = 2_048
"""Window of the phase vocoder, 43 ms at 48 kHz; the hop is a quarter of it."""
_DECAY_DB = 60.0
_SEMITONES = 12
_FULL_SCALE = 1.0
_SEED = 0


@dataclass(frozen=True, kw_only=True)
class Property:
    """A property of a sound, its levels, and how it is changed."""

    name: str
    """As it is typed."""
    unit: str
    """Of a level."""
    levels: tuple[float, ...]
    """In rising order; the reference among them."""
    reference: float
    """The level of the sound as it is."""
    words: str
    """How it is changed, with every parameter."""
    alter: Callable[[Wave, float, Wave | None], Wave]
    """(sound [S], level, second sound) to the altered sound."""
    needs_second: bool = False
    """Whether it mixes a second sound in."""
    changes_level: bool = False
    """Whether loudness is what it changes, so that the result may not be turned down."""


def gain(sound_S: Wave, level_db: float, second: Wave | None = None) -> Wave:
    """The sound times 10^(level / 20)."""
    return (sound_S.astype(np.float64) * 10 ** (level_db / 20)).astype(np.float32)


def pitch(sound_S: Wave, semitones: float, second: Wave | None = None) -> Wave:
    """All frequencies times 2^(semitones / 12), at the same length and level.

    Stretched by the phase vocoder, then read faster or slower (soxr HQ).
    """
    if semitones == 0:
        return sound_S
    import soxr

    factor = 2 ** (semitones / _SEMITONES)
    stretched_S = stretched(sound_S.astype(np.float64), factor=factor)
    shifted_S = soxr.resample(stretched_S, SAMPLE_RATE_HZ * factor, SAMPLE_RATE_HZ, quality="HQ")
    return _as_loud(_of_length(shifted_S, len(sound_S)), sound_S)


def tempo(sound_S: Wave, level: float, second: Wave | None = None) -> Wave:
    """As fast times 2^level, at the same pitch, cut to the sound's length.

    A faster sound is repeated from its start to fill the length, so that no silence is added.
    """
    if level == 0:
        return sound_S
    changed_S = stretched(sound_S.astype(np.float64), factor=2.0**-level)
    repeats = -(-len(sound_S) // len(changed_S))
    return _as_loud(np.tile(changed_S, repeats)[: len(sound_S)], sound_S)


def reverberation(sound_S: Wave, decay_s: float, second: Wave | None = None) -> Wave:
    """In a room whose sound falls by 60 dB in `decay_s`, at the same length and level.

    The room's response is the direct sound and, of the same energy, white noise under an
    exponential (Moorer 1979); the noise is the same for every sound.
    """
    if decay_s == 0:
        return sound_S
    time_S = np.arange(round(decay_s * SAMPLE_RATE_HZ)) / SAMPLE_RATE_HZ
    tail_S = rng(_SEED, "reverberation").standard_normal(len(time_S))
    tail_S *= 10 ** (-_DECAY_DB / 20 * time_S / decay_s)
    tail_S /= np.sqrt((tail_S**2).sum())
    wet_S = signal.fftconvolve(sound_S.astype(np.float64), tail_S)[: len(sound_S)]
    return _as_loud(sound_S + wet_S, sound_S)


def noise(sound_S: Wave, level: float, second: Wave | None = None) -> Wave:
    """With white noise of `level` times the sound's root mean square, at the sound's level."""
    if level == 0:
        return sound_S
    added_S = rng(_SEED, "white noise").standard_normal(len(sound_S))
    return _as_loud(sound_S + level * _rms(sound_S) * added_S, sound_S)


def shift(sound_S: Wave, level: float, second: Wave | None = None) -> Wave:
    """Later by `level` times its length; what passes the end comes in at the start."""
    return np.roll(sound_S, round(level * len(sound_S)))


def mix(sound_S: Wave, share: float, second_S: Wave | None = None) -> Wave:
    """(1 - share) of the sound and share of the second one, made as loud, at the sound's level.

    A shorter second sound is repeated to the length of the first. Raises: ValueError without one.
    """
    if second_S is None:
        raise ValueError("a second sound is needed to mix in")
    if share == 0:
        return sound_S
    repeats = -(-len(sound_S) // len(second_S))
    other_S = _as_loud(np.tile(second_S, repeats)[: len(sound_S)], sound_S)
    return _as_loud((1 - share) * sound_S.astype(np.float64) + share * other_S, sound_S)


PROPERTIES: tuple[Property, ...] = (
    Property(
        name="gain",
        unit="dB",
        levels=(-18.0, -12.0, -6.0, 0.0, 6.0),
        reference=0.0,
        words="all samples are multiplied; levels that pass full scale are left out",
        alter=gain,
        changes_level=True,
    ),
    Property(
        name="pitch",
        unit="semitones",
        levels=(-8.0, -4.0, 0.0, 4.0, 8.0),
        reference=0.0,
        words="phase vocoder (window 43 ms, hop 11 ms), then resampling; length and level are kept",
        alter=pitch,
    ),
    Property(
        name="tempo",
        unit="doublings of the speed",
        levels=(-1.0, -0.5, 0.0, 0.5, 1.0),
        reference=0.0,
        words="phase vocoder (window 43 ms, hop 11 ms); cut or repeated to the same length; "
        "pitch and level are kept",
        alter=tempo,
    ),
    Property(
        name="reverberation",
        unit="s to fall by 60 dB",
        levels=(0.0, 0.3, 0.6, 1.2, 2.4),
        reference=0.0,
        words="direct sound and, of the same energy, noise under an exponential; length "
        "and level are kept",
        alter=reverberation,
    ),
    Property(
        name="noise",
        unit="times the sound's RMS",
        levels=(0.0, 0.25, 0.5, 1.0, 2.0),
        reference=0.0,
        words="white noise is added; the level of the sum is that of the sound",
        alter=noise,
    ),
    Property(
        name="shift",
        unit="of the length",
        levels=(-0.1, -0.05, 0.0, 0.05, 0.1),
        reference=0.0,
        words="the sound starts later or earlier; what passes one end comes in at the other",
        alter=shift,
    ),
    Property(
        name="mix",
        unit="share of a second sound",
        levels=(0.0, 0.25, 0.5, 0.75, 1.0),
        reference=0.0,
        words="the second sound is made as loud as the first, and so is the sum",
        alter=mix,
        needs_second=True,
    ),
)


def altered(sound_S: Wave, *, by: Property, level: float, second_S: Wave | None) -> Wave | None:
    """float32 [S]; None where loudness is what changes and samples would pass full scale.

    Of other properties the result is turned down as a whole where its peaks would pass it.
    """
    if level == by.reference:
        return sound_S
    changed_S = by.alter(sound_S, level, second_S)
    peak = float(np.abs(changed_S).max(initial=0.0))
    if peak <= _FULL_SCALE:
        return changed_S
    return None if by.changes_level else (changed_S / peak).astype(np.float32)


def stretched(sound_S: Array, *, factor: float) -> Array:
    """As long times `factor`, at the same pitch: a phase vocoder (Laroche and Dolson 1999).

    Phases of the bins around each spectral peak keep their distance to the peak's ("identity
    phase locking"), without which the sound becomes diffuse.
    """
    hop = _FFT // 4
    window = signal.windows.hann(_FFT, sym=False)
    transform = signal.ShortTimeFFT(window, hop, fs=SAMPLE_RATE_HZ)
    padded_S = np.pad(sound_S, (0, max(0, _FFT - len(sound_S))))
    spectrum_FT = transform.stft(padded_S)
    num_frames = spectrum_FT.shape[1]
    steps = np.arange(0, num_frames - 1, 1 / factor)
    advance_F = 2 * np.pi * hop * np.arange(spectrum_FT.shape[0]) / _FFT
    phase_F = np.angle(spectrum_FT[:, 0])
    out_FT = np.empty((spectrum_FT.shape[0], len(steps)), dtype=np.complex128)
    for index, step in enumerate(steps):
        left = int(step)
        share = step - left
        first_F, next_F = spectrum_FT[:, left], spectrum_FT[:, left + 1]
        size_F = (1 - share) * np.abs(first_F) + share * np.abs(next_F)
        locked_F = _locked(phase_F, size_F=size_F, own_F=np.angle(first_F))
        out_FT[:, index] = size_F * np.exp(1j * locked_F)
        turn_F = np.angle(next_F) - np.angle(first_F) - advance_F
        phase_F = locked_F + advance_F + (turn_F - 2 * np.pi * np.round(turn_F / (2 * np.pi)))
    num_samples = round(len(sound_S) * factor)
    available = transform.hop * (len(steps) - 1) + transform.m_num // 2
    whole_S = np.asarray(transform.istft(out_FT, k1=min(num_samples, max(available, _FFT))).real)
    return _of_length(whole_S, num_samples)


def _locked(phase_F: Array, *, size_F: Array, own_F: Array) -> Array:
    """Phases of every bin from that of the nearest peak, at the distance they had."""
    inner = size_F[1:-1]
    is_peak = (inner >= size_F[:-2]) & (inner > size_F[2:]) & (inner > 0)
    peaks = np.flatnonzero(is_peak) + 1
    if len(peaks) == 0:
        return phase_F
    edges = (peaks[:-1] + peaks[1:]) / 2
    nearest_F = peaks[np.searchsorted(edges, np.arange(len(size_F)))]
    return np.asarray(phase_F[nearest_F] + own_F - own_F[nearest_F])


def _of_length(sound_S: Array, length: int) -> Array:
    """Cut, or silence added at the end; the rounding of a stretch moves it by a few samples."""
    cut_S = sound_S[:length]
    return np.pad(cut_S, (0, length - len(cut_S)))


def _rms(sound_S: NDArray[np.floating]) -> float:
    return float(np.sqrt(np.mean(np.square(sound_S, dtype=np.float64))))


def _as_loud(changed_S: NDArray[np.floating], sound_S: Wave) -> Wave:
    size = _rms(changed_S)
    return (changed_S * (_rms(sound_S) / size if size > 0 else 1.0)).astype(np.float32)
