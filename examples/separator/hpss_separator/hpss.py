"""Harmonic, percussive and residual parts of a clip, by median filters of its spectrogram.

Fitzgerald 2010, *Harmonic/percussive separation using median filtering* (the two filters), and
Driedger, Mueller and Disch 2014, *Extending harmonic-percussive separation of audio signals* (the
residual, of what is clearly neither). No weights, nothing learned.

Shape legend: S samples, F frequencies, T frames, P sources.
"""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage, signal

SOURCES = ("harmonic", "percussive", "residual")
_WINDOW, _HOP = 2048, 512
"""At 48 kHz: 43 ms, 11 ms."""
_MEDIAN = 17
"""Frames along time, and frequencies along frequency."""
_MARGIN = 2.0
"""How many times the other filter's answer makes a bin clearly the one's; 1 leaves no residual."""


def separate(waveform_S: NDArray[np.float32]) -> NDArray[np.float32]:
    """[3, S] in the order of `SOURCES`; they add up to the clip."""
    if len(waveform_S) < _WINDOW:  # too short to tell the three apart
        return np.stack([waveform_S, *[np.zeros_like(waveform_S)] * 2])
    _, _, spectrum_FT = signal.stft(waveform_S, nperseg=_WINDOW, noverlap=_WINDOW - _HOP)
    magnitude_FT = np.abs(spectrum_FT)
    ringing_FT = ndimage.median_filter(magnitude_FT, size=(1, _MEDIAN))
    striking_FT = ndimage.median_filter(magnitude_FT, size=(_MEDIAN, 1))
    harmonic_S = _sound(spectrum_FT * (ringing_FT > _MARGIN * striking_FT), len(waveform_S))
    percussive_S = _sound(spectrum_FT * (striking_FT >= _MARGIN * ringing_FT), len(waveform_S))
    residual_S = waveform_S - harmonic_S - percussive_S
    return np.stack([harmonic_S, percussive_S, residual_S]).astype(np.float32)


def _sound(spectrum_FT: NDArray[np.complex128], num_samples: int) -> NDArray[np.float64]:
    _, sound = signal.istft(spectrum_FT, nperseg=_WINDOW, noverlap=_WINDOW - _HOP)
    return np.pad(sound, (0, max(0, num_samples - len(sound))))[:num_samples]
