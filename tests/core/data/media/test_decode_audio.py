"""Sound files: one conversion, and a reason for each refusal."""

import struct
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr

from core.data.items import Reason
from core.data.media.decode_audio import SAMPLE_RATE_HZ, decode_audio, inspect_audio
from core.data.media.errors import MediaError
from core.data.media.quality import Flag, audio_flags


def tone(rate, *, duration_s=1.0, frequency_hz=440.0, amplitude=0.5):
    return amplitude * np.sin(2 * np.pi * frequency_hz * np.arange(round(duration_s * rate)) / rate)


def reason_of(path):
    with pytest.raises(MediaError) as caught:
        inspect_audio(path)
    assert str(path.parent) not in str(caught.value)
    return caught.value.reason


@pytest.mark.parametrize("rate", [8_000, 44_100, 48_000, 96_000])
def test_every_rate_becomes_the_same_48_khz_tone(tmp_path, rate):
    """Catches: no resampling, a wrong ratio, or a level that changes with the rate."""
    path = tmp_path / "tone.wav"
    soundfile.write(path, tone(rate), rate, subtype="FLOAT")
    got = decode_audio(path, window_s=10.0)
    assert got.dtype == np.float32
    assert len(got) == SAMPLE_RATE_HZ
    inner = slice(4_800, -4_800)  # the resampler's filter rings at both ends
    np.testing.assert_allclose(got[inner], tone(SAMPLE_RATE_HZ)[inner], atol=2e-3)


def test_resampling_is_soxrs_high_quality_of_the_channel_mean(tmp_path):
    """Catches: a cheaper recipe that lets aliases through."""
    noise = 0.1 * np.random.default_rng(0).standard_normal((44_100, 2)).astype(np.float32)
    path = tmp_path / "noise.wav"
    soundfile.write(path, noise, 44_100, subtype="FLOAT")
    expected = soxr.resample(noise.mean(axis=1), 44_100, 48_000, quality="HQ")
    np.testing.assert_array_equal(decode_audio(path, window_s=10.0), expected)


@pytest.mark.parametrize(
    ("name", "options", "tolerance"),
    [
        ("a.wav", {"subtype": "PCM_U8"}, 1e-2),
        ("a.wav", {"subtype": "PCM_16"}, 1e-4),
        ("a.wav", {"subtype": "PCM_24"}, 1e-6),
        ("a.wav", {"subtype": "PCM_32"}, 1e-6),
        ("a.wav", {"subtype": "DOUBLE"}, 1e-6),
        ("a.wav", {"subtype": "PCM_24", "format": "WAVEX"}, 1e-6),
        ("a.wav", {"subtype": "PCM_16", "format": "RF64"}, 1e-4),
        ("a.flac", {"subtype": "PCM_16"}, 1e-4),
        ("a.ogg", {"subtype": "VORBIS"}, 5e-2),
        ("a.opus", {"subtype": "OPUS", "format": "OGG"}, 5e-2),
        ("a.mp3", {"subtype": "MPEG_LAYER_III"}, 5e-2),
    ],
)
def test_every_supported_coding_is_read(tmp_path, name, options, tolerance):
    """Catches: a container or sample format that the header check refuses by mistake."""
    path = tmp_path / name
    soundfile.write(path, tone(48_000), 48_000, **options)
    assert inspect_audio(path).duration_s == pytest.approx(1.0, abs=0.01)
    inner = slice(4_800, 43_200)
    got = decode_audio(path, window_s=10.0)[inner]
    np.testing.assert_allclose(got, tone(48_000)[inner], atol=tolerance)


@pytest.mark.parametrize("num_channels", [1, 2, 6])
def test_channels_are_averaged(tmp_path, num_channels):
    """Catches: taking the first channel, or a sum that clips."""
    channels = np.stack([tone(48_000) * (k + 1) / 6 for k in range(num_channels)], axis=1)
    path = tmp_path / "channels.wav"
    soundfile.write(path, channels, 48_000, subtype="FLOAT")
    got = decode_audio(path, window_s=10.0)
    np.testing.assert_allclose(got, channels.mean(axis=1), atol=1e-6)
    assert inspect_audio(path).num_channels == num_channels


def test_level_beyond_full_scale_is_kept(tmp_path):
    """Catches: a hidden normalisation or clipping of float files."""
    path = tmp_path / "loud.wav"
    soundfile.write(path, tone(48_000, amplitude=1.004), 48_000, subtype="FLOAT")
    assert decode_audio(path, window_s=1.0).max() == pytest.approx(1.004, abs=1e-4)
    assert inspect_audio(path).peak == pytest.approx(1.004, abs=1e-4)


def test_only_the_window_is_returned_and_the_whole_is_measured(tmp_path):
    """Catches: decoding more than asked for, or a duration cut to the window."""
    path = tmp_path / "long.wav"
    soundfile.write(path, tone(44_100, duration_s=25.0), 44_100)
    assert len(decode_audio(path, window_s=3.0)) == 3 * SAMPLE_RATE_HZ
    assert inspect_audio(path, window_s=3.0).duration_s == pytest.approx(25.0)


def test_header_only_wav_is_empty(tmp_path):
    """Catches: the 78-byte wavs of an interrupted download passing as sound."""
    path = tmp_path / "empty.wav"
    info = (
        b"LIST" + struct.pack("<I", 26) + b"INFOISFT" + struct.pack("<I", 14) + b"Lavf58.76.100\0"
    )
    fmt = b"fmt " + struct.pack("<IHHIIHH", 16, 1, 1, 48_000, 96_000, 2, 16)
    body = b"WAVE" + fmt + info + b"data" + struct.pack("<I", 0)
    path.write_bytes(b"RIFF" + struct.pack("<I", len(body)) + body)
    assert path.stat().st_size == 78
    assert reason_of(path) is Reason.EMPTY_AUDIO


def test_zero_bytes_are_empty(tmp_path):
    """Catches: a decoder's own error for a file of no bytes."""
    (tmp_path / "none.wav").touch()
    assert reason_of(tmp_path / "none.wav") is Reason.EMPTY_AUDIO


@pytest.mark.parametrize("name", ["a.wav", "a.flac", "a.ogg", "a.opus", "a.mp3"])
def test_a_file_cut_in_half_is_refused(tmp_path, name):
    """Catches: libsndfile reading a shortened wav or ogg without a word."""
    path = tmp_path / name
    format_ = "OGG" if name == "a.opus" else None
    subtype = "OPUS" if name == "a.opus" else None
    noise = 0.1 * np.random.default_rng(0).standard_normal(96_000)
    soundfile.write(path, noise, 48_000, format=format_, subtype=subtype)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    assert reason_of(path) in (Reason.TRUNCATED_AUDIO, Reason.UNDECODABLE_AUDIO)


def test_a_wav_written_to_a_pipe_is_whole(tmp_path):
    """Catches: taking the placeholder size of a streamed wav for truncation."""
    path = tmp_path / "piped.wav"
    soundfile.write(path, tone(48_000), 48_000, subtype="PCM_16")
    content = bytearray(path.read_bytes())
    place = content.index(b"data") + 4
    content[place : place + 4] = b"\xff\xff\xff\xff"
    path.write_bytes(content)
    assert inspect_audio(path).duration_s == pytest.approx(1.0)


@pytest.mark.parametrize("content", [b"<html>not found</html>" * 50, "text".encode("utf-16") * 9])
def test_text_renamed_to_wav_is_undecodable(tmp_path, content):
    """Catches: a downloaded error page that breaks cleaning."""
    (tmp_path / "text.wav").write_bytes(content)
    assert reason_of(tmp_path / "text.wav") is Reason.UNDECODABLE_AUDIO


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_non_finite_samples_are_refused(tmp_path, value):
    """Catches: one NaN late in a clip, beyond the window that is used."""
    samples = tone(48_000, duration_s=12.0)
    samples[-5] = value
    soundfile.write(tmp_path / "nan.wav", samples, 48_000, subtype="FLOAT")
    assert reason_of(tmp_path / "nan.wav") is Reason.NON_FINITE_AUDIO


@pytest.mark.parametrize("value", [0.0, 0.25])
def test_constant_sound_is_refused(tmp_path, value):
    """Catches: digital silence, or a stuck converter's offset."""
    soundfile.write(tmp_path / "flat.wav", np.full(48_000, value), 48_000)
    assert reason_of(tmp_path / "flat.wav") is Reason.SILENT_AUDIO


def test_a_faint_recording_is_kept(tmp_path):
    """Catches: a silence rule that throws quiet sound away."""
    soundfile.write(tmp_path / "faint.wav", tone(48_000, amplitude=1e-3), 48_000)
    assert inspect_audio(tmp_path / "faint.wav").peak == pytest.approx(1e-3, rel=0.05)


def test_clipped_sound_is_refused_and_a_full_scale_tone_is_not(tmp_path):
    """Catches: no clipping rule, or one that refuses every loud recording."""
    driven = np.clip(tone(48_000, amplitude=3.0), -1, 1)
    soundfile.write(tmp_path / "clipped.wav", driven, 48_000)
    assert reason_of(tmp_path / "clipped.wav") is Reason.CLIPPED_AUDIO
    soundfile.write(tmp_path / "loud.wav", tone(48_000, amplitude=1.0), 48_000)
    inspect_audio(tmp_path / "loud.wav")


def test_a_blip_is_too_short(tmp_path):
    """Catches: clips of a few milliseconds reaching an encoder."""
    soundfile.write(tmp_path / "blip.wav", tone(48_000, duration_s=0.49), 48_000)
    assert reason_of(tmp_path / "blip.wav") is Reason.SHORT_AUDIO


@pytest.mark.parametrize("subtype", ["IMA_ADPCM", "MS_ADPCM", "ULAW", "GSM610"])
def test_other_wav_codecs_never_reach_the_decoder(tmp_path, subtype, monkeypatch):
    """Catches: opening IMA ADPCM in libsndfile (CVE-2026-37555) before refusing it."""
    rate = 8_000
    path = tmp_path / "codec.wav"
    soundfile.write(path, tone(rate), rate, subtype=subtype)
    monkeypatch.setattr(soundfile, "SoundFile", lambda *_: pytest.fail("the decoder was opened"))
    assert reason_of(path) is Reason.UNSUPPORTED_FORMAT


def test_a_wav_named_raw_is_refused_with_a_reason(tmp_path):
    """Catches: soundfile's demand for a rate when a listed file ends in .raw."""
    soundfile.write(tmp_path / "a.wav", tone(48_000), 48_000)
    (tmp_path / "a.wav").rename(tmp_path / "a.raw")
    assert reason_of(tmp_path / "a.raw") is Reason.UNSUPPORTED_FORMAT


def test_random_bytes_after_a_valid_magic_are_refused(tmp_path):
    """Catches: a header parser that crashes or loops on garbage."""
    generator = np.random.default_rng(0)
    for index, magic in enumerate((b"RIFF\0\0\0\0WAVE", b"fLaC", b"OggS", b"ID3", b"RF64....WAVE")):
        path: Path = tmp_path / f"{index}.wav"
        path.write_bytes(magic + generator.bytes(3_000))
        with pytest.raises(MediaError):
            inspect_audio(path)


def to_pipe(flac):
    """The same FLAC as a writer to a pipe leaves it: 0 samples in all, no checksum."""
    content = bytearray(flac)
    assert content[:4] == b"fLaC"
    content[18 + 3] &= 0xF0  # low bits of byte 13 of STREAMINFO, then 4 bytes of the count
    content[22:26] = bytes(4)
    content[26:42] = bytes(16)
    return bytes(content)


def test_a_flac_written_to_a_pipe_is_whole(tmp_path):
    """Catches: 'psf_fseek failed' for a FLAC that does not know its length."""
    path, noise = tmp_path / "a.flac", 0.1 * np.random.default_rng(0).standard_normal(3 * 44_100)
    soundfile.write(path, noise, 44_100, subtype="PCM_16")
    expected = decode_audio(path, window_s=10.0)
    path.write_bytes(to_pipe(path.read_bytes()))
    assert inspect_audio(path).duration_s == 3.0
    np.testing.assert_array_equal(decode_audio(path, window_s=10.0), expected)
    assert len(decode_audio(path, window_s=1.0, start_s=1.5)) == 48_000
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    assert reason_of(path) is Reason.UNDECODABLE_AUDIO


@pytest.mark.parametrize("subtype", ["VORBIS", "OPUS"])
def test_a_chain_of_ogg_streams_is_read_to_its_end(tmp_path, subtype):
    """Catches: a radio recording of several streams of which the first alone is heard."""
    path, parts = tmp_path / "a.ogg", []
    for seconds, frequency_hz in ((1.0, 440), (1.5, 880)):
        soundfile.write(
            path,
            tone(48_000, duration_s=seconds, frequency_hz=frequency_hz),
            48_000,
            format="OGG",
            subtype=subtype,
        )
        parts.append(path.read_bytes())
    path.write_bytes(b"".join(parts))
    assert inspect_audio(path).duration_s == pytest.approx(2.5, abs=0.02)
    later = decode_audio(path, window_s=1.0, start_s=1.2)
    assert np.argmax(np.abs(np.fft.rfft(later))) == pytest.approx(880, abs=2)
    path.write_bytes(b"".join(parts)[:-200])
    assert reason_of(path) is Reason.TRUNCATED_AUDIO


def test_a_chain_of_unlike_streams_is_named(tmp_path):
    """Catches: a second stream at another rate heard at a wrong pitch."""
    path, parts = tmp_path / "a.ogg", []
    for rate in (48_000, 16_000):
        soundfile.write(path, tone(rate), rate, format="OGG", subtype="VORBIS")
        parts.append(path.read_bytes())
    path.write_bytes(b"".join(parts))
    assert reason_of(path) is Reason.UNSUPPORTED_FORMAT


@pytest.mark.parametrize("name", ["a.mp3", "a.wav", "a.flac", "a.ogg"])
@pytest.mark.parametrize("junk", [b"\0" * 4096, b"HTTP/1.1 200 OK\r\n\r\n"])
def test_junk_before_the_sound_is_skipped(tmp_path, name, junk):
    """Catches: a download with a header or padding in front that every player plays."""
    path = tmp_path / name
    soundfile.write(path, tone(44_100, duration_s=2.0), 44_100)
    expected = decode_audio(path, window_s=10.0)
    path.write_bytes(junk + path.read_bytes())
    np.testing.assert_array_equal(decode_audio(path, window_s=10.0), expected)
    assert inspect_audio(path).duration_s == pytest.approx(2.0, abs=0.06)


def test_channels_that_cancel_are_named_and_not_called_silent(tmp_path):
    """Catches: 'one constant value' for stereo whose second channel is turned over."""
    path, mono = tmp_path / "a.wav", tone(48_000)
    soundfile.write(path, np.stack([mono, -mono], axis=1), 48_000, subtype="FLOAT")
    assert reason_of(path) is Reason.OUT_OF_PHASE_AUDIO
    other = tone(48_000, frequency_hz=500)
    soundfile.write(path, np.stack([mono, -mono + 0.05 * other], axis=1), 48_000, subtype="FLOAT")
    assert Flag.OUT_OF_PHASE in audio_flags(inspect_audio(path))
    soundfile.write(path, np.stack([mono, other], axis=1), 48_000, subtype="FLOAT")
    assert audio_flags(inspect_audio(path)) == ()


def test_whole_numbers_in_a_float_file_are_named(tmp_path):
    """Catches: a recording scaled to 32768 called clipped, or heard 90 dB too loud."""
    path = tmp_path / "a.wav"
    soundfile.write(path, tone(48_000) * 32_768, 48_000, subtype="FLOAT")
    assert reason_of(path) is Reason.OUT_OF_RANGE_AUDIO
    soundfile.write(path, tone(48_000) * 3, 48_000, subtype="FLOAT")
    assert reason_of(path) is Reason.CLIPPED_AUDIO


@pytest.mark.parametrize(("rate", "channels"), [(1, 1), (999, 1), (2**31 - 1, 1), (48_000, 100)])
def test_a_rate_or_a_number_of_channels_that_no_sound_has_is_named(tmp_path, rate, channels):
    """Catches: a division by zero at 1 Hz, or gigabytes for a block of 1,000 channels."""
    path = tmp_path / "a.wav"
    soundfile.write(path, np.zeros((2000, channels)), 48_000, subtype="PCM_16")
    content = bytearray(path.read_bytes())
    place = content.index(b"fmt ") + 12
    content[place : place + 4] = struct.pack("<I", rate)
    path.write_bytes(bytes(content))
    assert reason_of(path) is Reason.UNSUPPORTED_FORMAT
