"""Clips of the eight classes: each its own timbre, all four attributes audible in each.

Legend: `t` seconds, `n` samples. Everything is float32 at 48 kHz, mono.
"""

from collections.abc import Callable

import numpy as np
from scipy import fft

from core.embedded.corpus.classes import Attributes, require_class

SAMPLE_RATE_HZ = 48_000
DURATION_S = 3.0
NUM_SAMPLES = int(SAMPLE_RATE_HZ * DURATION_S)
LOUDNESS_DBFS = (-30.0, -10.0)
# The subject is cut at 7 kHz and hiss starts at 9 kHz, so that neither masks the other.
SUBJECT_CUTOFF_HZ = 7_000.0
HISS_CUTOFF_HZ = 9_000.0
HISS_DB = (-34.0, -4.0)
ONSET_S = (0.35, 2.65)
FAR_DB = -9.0
FAR_CUTOFF_HZ = (16_000.0, 2_500.0)

_T = np.arange(NUM_SAMPLES, dtype=np.float32) / SAMPLE_RATE_HZ
_FREQUENCY_HZ = fft.rfftfreq(NUM_SAMPLES, 1 / SAMPLE_RATE_HZ).astype(np.float32)


def onset_time_s(onset: float) -> float:
    """Seconds into the clip at which the event peaks."""
    return ONSET_S[0] + (ONSET_S[1] - ONSET_S[0]) * onset


def synthesise_clip(cls: str, attributes: Attributes, rng: np.random.Generator) -> np.ndarray:
    """float32 [144000] in (-1, 1): three seconds of `cls` at 48 kHz.

    Raises: ValueError for an unknown class.
    """
    require_class(cls)
    peak_s = onset_time_s(attributes.onset)
    subject = _unit_rms(_VOICES[cls](attributes.pitch, peak_s, rng))
    # Bounded crest: spiky classes could not reach the loud end otherwise. Cut after that, since
    # it adds overtones.
    subject = _unit_rms(_shape(np.tanh(subject / 2.5), _lowpass(SUBJECT_CUTOFF_HZ)))
    hiss = hiss_noise(attributes.hiss, rng)
    level_db = LOUDNESS_DBFS[0] + (LOUDNESS_DBFS[1] - LOUDNESS_DBFS[0]) * attributes.intensity
    clip = _unit_rms(subject + hiss) * 10 ** (level_db / 20)
    return np.clip(clip, -0.999, 0.999).astype(np.float32)


def hiss_noise(hiss: float, rng: np.random.Generator) -> np.ndarray:
    """float32 [144000]: the noise above 9 kHz next to a subject whose root mean square is 1."""
    level_db = HISS_DB[0] + (HISS_DB[1] - HISS_DB[0]) * hiss
    return _unit_rms(_noise(rng, 1.0 - _lowpass(HISS_CUTOFF_HZ))) * 10 ** (level_db / 20)


def from_afar(clip: np.ndarray, distance: float) -> np.ndarray:
    """float32 [144000]: a clip as heard from `distance` in [0, 1], quieter and duller.

    At 1 it is 9 dB quieter, and a first-order low-pass at 2.5 kHz dulls it as air and ground do.
    """
    cutoff_hz = _scale_hz(*FAR_CUTOFF_HZ, distance)
    dull = 1.0 / np.sqrt(1.0 + (_FREQUENCY_HZ / cutoff_hz) ** 2)
    return _shape(clip, dull * 10 ** (FAR_DB * distance / 20))


# Building blocks


def _unit_rms(x: np.ndarray) -> np.ndarray:
    return (x / np.sqrt(np.mean(np.square(x)) + 1e-12)).astype(np.float32)


def _shape(x: np.ndarray, response: np.ndarray) -> np.ndarray:
    return fft.irfft(fft.rfft(x) * response, n=NUM_SAMPLES).astype(np.float32)


def _noise(rng: np.random.Generator, response: np.ndarray) -> np.ndarray:
    """White noise through a magnitude response, drawn in the frequency domain (one transform)."""
    draw = rng.standard_normal((2, response.size), dtype=np.float32)
    return fft.irfft((draw[0] + 1j * draw[1]) * response, n=NUM_SAMPLES).astype(np.float32)


def _lowpass(cutoff_hz: float) -> np.ndarray:
    return 1.0 / (1.0 + (_FREQUENCY_HZ / cutoff_hz) ** 16)


def _band(centre_hz: float, octaves: float) -> np.ndarray:
    """Gaussian on a log-frequency axis; `octaves` is its standard deviation."""
    distance = np.log2(np.maximum(_FREQUENCY_HZ, 1.0) / centre_hz) / octaves
    return np.exp(-0.5 * distance**2)


def _scale_hz(low: float, high: float, pitch: float) -> float:
    return low * (high / low) ** pitch


def _swell(peak_s: float, *, rise_s: float, fall_s: float, floor: float) -> np.ndarray:
    """An envelope in [floor, 1] that peaks at `peak_s`."""
    width = np.where(peak_s > _T, rise_s, fall_s)
    return floor + (1 - floor) * np.exp(-0.5 * ((_T - peak_s) / width) ** 2)


def _impulses(rng: np.random.Generator, rate_hz: float) -> np.ndarray:
    """Poisson clicks of random height and sign."""
    count = int(rng.poisson(rate_hz * DURATION_S))
    x = np.zeros(NUM_SAMPLES, dtype=np.float32)
    at = rng.integers(0, NUM_SAMPLES, count)
    x[at] = rng.exponential(1.0, count) * rng.choice([-1.0, 1.0], count)
    return x


def _harmonics(frequency_hz: np.ndarray | float, num: int, tilt: float) -> np.ndarray:
    """A harmonic series with amplitudes k^-tilt along an instantaneous frequency."""
    phase = 2 * np.pi * np.cumsum(np.broadcast_to(frequency_hz, _T.shape), dtype=np.float64)
    phase /= SAMPLE_RATE_HZ
    return sum(
        (np.sin(k * phase).astype(np.float32) * k**-tilt for k in range(1, num + 1)),
        np.zeros(NUM_SAMPLES, dtype=np.float32),
    )


# One voice a class: (pitch, peak_s, rng) -> float32 [n], any level


def _fire(pitch: float, peak_s: float, rng: np.random.Generator) -> np.ndarray:
    centre = _scale_hz(500, 4000, pitch)
    crackle = _unit_rms(_shape(_impulses(rng, rng.uniform(40, 60)), _band(centre, 0.35)))
    flicker = np.interp(_T, np.arange(0, 3.2, 0.1), rng.uniform(0.6, 1.2, 32)).astype(np.float32)
    roar = _unit_rms(_noise(rng, _band(170, 0.5))) * flicker
    return (crackle + 0.35 * roar) * _swell(peak_s, rise_s=0.3, fall_s=0.4, floor=0.22)


def _rain(pitch: float, peak_s: float, rng: np.random.Generator) -> np.ndarray:
    centre = _scale_hz(700, 4500, pitch)
    shower = _unit_rms(_noise(rng, _band(centre, 0.7)))
    drops = _unit_rms(_shape(_impulses(rng, rng.uniform(14, 24)), _band(centre * 0.6, 0.08)))
    return (shower + 0.7 * drops) * _swell(peak_s, rise_s=0.35, fall_s=0.35, floor=0.25)


def _engine(pitch: float, peak_s: float, rng: np.random.Generator) -> np.ndarray:
    fundamental = _scale_hz(55, 280, pitch)
    rev = 1 + 0.05 * _swell(peak_s, rise_s=0.4, fall_s=0.4, floor=0.0)
    rough = 1 + 0.25 * np.interp(_T, np.arange(0, 3.2, 0.04), rng.standard_normal(80))
    tone = _unit_rms(_harmonics(fundamental * rev, 14, rng.uniform(0.7, 0.9)) * rough)
    air = 0.15 * _unit_rms(_noise(rng, _band(900, 0.8)))
    return (tone + air) * _swell(peak_s, rise_s=0.35, fall_s=0.35, floor=0.25)


def _siren(pitch: float, peak_s: float, rng: np.random.Generator) -> np.ndarray:
    centre = _scale_hz(380, 1900, pitch)
    rate, start = rng.uniform(1.1, 1.6), rng.uniform(0, 2 * np.pi)
    sweep = centre * 2 ** (0.33 * np.sin(2 * np.pi * rate * _T + start))
    tone = _harmonics(sweep, 3, 1.6)
    return tone * _swell(peak_s, rise_s=0.4, fall_s=0.4, floor=0.22)


def _thunder(pitch: float, peak_s: float, rng: np.random.Generator) -> np.ndarray:
    centre = _scale_hz(60, 420, pitch)
    grumble = np.interp(_T, np.arange(0, 3.3, 0.15), rng.uniform(0.4, 1.3, 22)).astype(np.float32)
    rumble = _unit_rms(_noise(rng, _band(centre, 0.45))) * grumble
    crack = _unit_rms(_noise(rng, _band(centre * 6, 0.8)))
    crack = crack * _swell(peak_s, rise_s=0.02, fall_s=0.12, floor=0.0)
    body = _swell(peak_s + 0.05, rise_s=0.1, fall_s=0.6, floor=0.15)
    return rumble * body + 0.8 * crack


def _helicopter(pitch: float, peak_s: float, rng: np.random.Generator) -> np.ndarray:
    centre = _scale_hz(110, 800, pitch)
    rate = rng.uniform(10, 13)
    phase = (rate * _T + rng.random()) % 1.0
    chop = np.exp(-phase * 7).astype(np.float32)
    thud = _unit_rms(_noise(rng, _band(centre, 0.4))) * chop
    whine = 0.06 * _harmonics(centre * 5.5, 2, 1.0)
    return (_unit_rms(thud) + whine) * _swell(peak_s, rise_s=0.4, fall_s=0.4, floor=0.22)


def _dog_barking(pitch: float, peak_s: float, rng: np.random.Generator) -> np.ndarray:
    fundamental = _scale_hz(230, 1100, pitch)
    gap = rng.uniform(0.36, 0.46)
    envelope = np.zeros(NUM_SAMPLES, dtype=np.float32)
    glide = np.zeros(NUM_SAMPLES, dtype=np.float32)
    for k in range(-8, 9):
        at = peak_s + k * gap + (rng.normal(0, 0.02) if k else 0.0)
        height = 0.25 + 0.75 * np.exp(-0.5 * ((at - peak_s) / 0.35) ** 2)
        since = _T - at
        bark = np.exp(np.where(since < 0, -(since**2) / 0.0004, -since / 0.07))
        envelope += height * bark.astype(np.float32)
        glide = np.maximum(glide, bark.astype(np.float32))
    voice = _unit_rms(_harmonics(fundamental * (0.8 + 0.35 * glide), 8, 0.8))
    breath = 0.25 * _unit_rms(_noise(rng, _band(fundamental * 2.5, 0.5)))
    return (voice + breath) * envelope


def _ocean_waves(pitch: float, peak_s: float, rng: np.random.Generator) -> np.ndarray:
    centre = _scale_hz(250, 1900, pitch)
    rising = _swell(peak_s, rise_s=0.7, fall_s=0.5, floor=0.1)
    wash = _unit_rms(_noise(rng, _band(centre, 0.55)))
    foam = _unit_rms(_noise(rng, _band(centre * 3, 0.4)))
    deep = 0.3 * _unit_rms(_noise(rng, _band(90, 0.4)))
    return (wash + deep) * rising + 0.5 * foam * rising**3


_VOICES: dict[str, Callable[[float, float, np.random.Generator], np.ndarray]] = {
    "fire": _fire,
    "rain": _rain,
    "engine": _engine,
    "siren": _siren,
    "thunder": _thunder,
    "helicopter": _helicopter,
    "dog_barking": _dog_barking,
    "ocean_waves": _ocean_waves,
}
