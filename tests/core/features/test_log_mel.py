"""Log-mel spectrograms against an independent implementation."""

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from core.features.log_mel import LogMelSettings, log_mel


def sound(duration_s=2.0, rate=16_000):
    """A chirp in noise: something in every band."""
    generator = np.random.default_rng(0)
    t = np.arange(round(duration_s * rate)) / rate
    chirp = 0.4 * np.sin(2 * np.pi * (100 * t + 1_500 * t**2))
    return (chirp + 0.01 * generator.standard_normal(len(t)) + 0.05).astype(np.float32)


@pytest.mark.filterwarnings("ignore:At least one mel filter has all zero values")
def test_ast_feature_extractor_agrees():
    """Catches: another window, mel scale, pre-emphasis, floor, padding or normalisation."""
    from transformers import ASTFeatureExtractor

    reference = ASTFeatureExtractor()(sound(), sampling_rate=16_000, return_tensors="pt")
    settings = LogMelSettings(mean=-4.2677393, std=2 * 4.5689974)
    got = log_mel(torch.from_numpy(sound())[None], settings=settings)
    assert got.shape == (1, 128, 1024)
    torch.testing.assert_close(
        got, reference.input_values.transpose(1, 2).float(), atol=2e-3, rtol=0
    )


def test_other_settings_agree_with_the_numpy_spectrogram():
    """Catches: a value that is fixed where the settings should rule."""
    from transformers.audio_utils import mel_filter_bank, spectrogram, window_function

    settings = LogMelSettings(
        sample_rate_hz=8_000, num_mels=40, num_frames=150, window_s=0.032, hop_s=0.016,
        f_min_hz=50, f_max_hz=3_500, mean=1.0, std=2.0,
    )  # fmt: skip
    filters = mel_filter_bank(
        num_frequency_bins=129, num_mel_filters=40, min_frequency=50, max_frequency=3_500,
        sampling_rate=8_000, norm=None, mel_scale="kaldi", triangularize_in_mel_space=True,
    )  # fmt: skip
    waveform = sound(rate=8_000)
    reference = spectrogram(
        waveform, window_function(256, "hann", periodic=False), frame_length=256, hop_length=128,
        fft_length=256, power=2.0, center=False, preemphasis=0.97, mel_filters=filters,
        log_mel="log", mel_floor=1.192092955078125e-07, remove_dc_offset=True,
    )  # fmt: skip
    got = log_mel(torch.from_numpy(waveform)[None], settings=settings)[0].numpy()
    num_frames = reference.shape[1]
    np.testing.assert_allclose(got[:, :num_frames], (reference - 1) / 2, atol=2e-3)
    np.testing.assert_allclose(got[:, num_frames:], -0.5)


def test_missing_frames_are_zero_before_normalising():
    """Catches: padding with silence, which SSAMBA's weights have never seen."""
    got = log_mel(torch.from_numpy(sound())[None], settings=LogMelSettings())
    num_frames = 1 + (32_000 - 400) // 160
    padding = torch.tensor(4.268 / 4.569)
    torch.testing.assert_close(got[..., num_frames:], padding.expand(1, 128, 1024 - num_frames))
    assert got[..., num_frames - 1].var() > 0.01


def test_further_frames_are_cropped():
    """Catches: a sequence longer than the encoder's positions."""
    waveform = torch.from_numpy(sound())[None]
    short = log_mel(waveform, settings=LogMelSettings(num_frames=50))
    assert short.shape == (1, 128, 50)
    torch.testing.assert_close(short, log_mel(waveform, settings=LogMelSettings())[..., :50])


def test_silence_and_a_sound_shorter_than_a_frame_are_finite():
    """Catches: the logarithm of zero, and a crash without a whole frame."""
    for num_samples in (1, 16_000):
        got = log_mel(torch.zeros(2, num_samples), settings=LogMelSettings())
        assert got.shape == (2, 128, 1024)
        assert got.isfinite().all()
        assert got[0, 0, 0].item() == pytest.approx((np.log(2.0**-23) + 4.268) / 4.569, abs=1e-4)


def test_impossible_settings_are_refused():
    """Catches: bands above the Nyquist frequency, and a misspelt key."""
    with pytest.raises(ValidationError, match="f_min < f_max <= rate / 2"):
        LogMelSettings(sample_rate_hz=8_000)
    with pytest.raises(ValidationError, match="num_mel"):
        LogMelSettings(num_mel=64)
