"""Sounds to generate from: windows of long files, mixtures, what a phone records."""

import os
from pathlib import Path

import numpy as np
import pytest
import soundfile

from core.errors import DataError, UsageError
from harness.generate.sounds import (
    Sound,
    SoundPart,
    mixture,
    parse_mixture,
    sound_files,
    windows_of,
)

RATE = 48_000


def write_tone(path: Path, *, seconds: float, hz: float = 440.0, level: float = 0.5) -> Path:
    time_S = np.arange(round(seconds * RATE)) / RATE
    soundfile.write(path, level * np.sin(2 * np.pi * hz * time_S), RATE, subtype="FLOAT")
    return path


def rms(sound: Sound) -> float:
    return float(np.sqrt(np.mean(np.square(sound.waveform_S, dtype=np.float64))))


def test_a_long_file_is_cut_into_windows_and_a_short_rest_is_left_out(tmp_path: Path) -> None:
    """Catches: a window that overlaps another, or a scrap of sound taken for a clip."""
    path = write_tone(tmp_path / "long.wav", seconds=2.1)
    sounds, is_longer = windows_of(path, window_s=1.0, most=9)
    assert [s.parts[0].start_s for s in sounds] == [0.0, 1.0]
    assert [len(s.waveform_S) for s in sounds] == [RATE, RATE]
    assert not is_longer
    third, _ = windows_of(write_tone(tmp_path / "b.wav", seconds=2.5), window_s=1.0, most=9)
    assert len(third) == 3
    assert len(third[2].waveform_S) == RATE // 2


def test_more_windows_than_wanted_are_said(tmp_path: Path) -> None:
    """Catches: the rest of a recording dropped without a word."""
    path = write_tone(tmp_path / "long.wav", seconds=3.0)
    sounds, is_longer = windows_of(path, window_s=1.0, most=2)
    assert (len(sounds), is_longer) == (2, True)


def test_a_mixture_is_the_weighted_sum(tmp_path: Path) -> None:
    """Catches: weights that are ignored, normalised away, or applied to the wrong file."""
    low = write_tone(tmp_path / "low.wav", seconds=1.0, hz=100.0, level=0.5)
    high = write_tone(tmp_path / "high.wav", seconds=0.5, hz=1_000.0, level=0.25)
    sound = mixture(parse_mixture(f"{low}:0.4,{high}:0.8"), window_s=1.0)
    time_S = np.arange(RATE) / RATE
    expected = 0.4 * 0.5 * np.sin(2 * np.pi * 100 * time_S)
    expected[: RATE // 2] += 0.8 * 0.25 * np.sin(2 * np.pi * 1_000 * time_S[: RATE // 2])
    np.testing.assert_allclose(sound.waveform_S, expected, atol=1e-6)


def test_a_mixture_above_full_scale_is_turned_down_as_a_whole(tmp_path: Path) -> None:
    """Catches: clipping, which no listener would hear in the files themselves."""
    tone = write_tone(tmp_path / "tone.wav", seconds=1.0, level=0.9)
    sound = mixture(parse_mixture(f"{tone}:1,{tone}:1"), window_s=1.0)
    assert np.abs(sound.waveform_S).max() == pytest.approx(1.0, abs=1e-6)
    assert rms(sound) == pytest.approx(1 / np.sqrt(2), rel=1e-3)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{a}:0.5", "at least two files"),
        ("{a}:0.5,gone.wav:0.5", "gone.wav does not exist"),
        ("{a}:half,{a}:1", "is not a number"),
    ],
)
def test_a_mistake_in_a_mixture_is_a_sentence(tmp_path: Path, text: str, message: str) -> None:
    """Catches: a traceback, or a mixture of something else than was meant."""
    path = write_tone(tmp_path / "a.wav", seconds=0.5)
    with pytest.raises(UsageError, match=message):
        parse_mixture(text.format(a=path))


@pytest.mark.parametrize("weights", [(0.0, 0.0), (-1.0, 1.0), (float("nan"), 1.0)])
def test_weights_that_mean_nothing_are_refused(
    tmp_path: Path, weights: tuple[float, float]
) -> None:
    """Catches: silence or NaN handed to an encoder."""
    path = write_tone(tmp_path / "a.wav", seconds=0.5)
    parts = [SoundPart(path=path, sha256="", weight=weight) for weight in weights]
    with pytest.raises(UsageError, match="mixture weights"):
        mixture(parts, window_s=1.0)


def test_what_a_phone_records_is_read_at_its_level(tmp_path: Path) -> None:
    """Catches: m4a refused, its channels added instead of averaged, its rate taken for ours."""
    import av

    path = tmp_path / "memo.m4a"
    time_S = np.arange(RATE * 2 // 3) / (RATE * 2 / 3)  # 32 kHz, 1 s
    tone_CS = np.stack([0.5 * np.sin(2 * np.pi * 440 * time_S)] * 2).astype(np.float32)
    with av.open(str(path), "w", format="mp4") as container:
        stream = container.add_stream("aac", rate=32_000, layout="stereo")
        stream.bit_rate = 128_000
        frame = av.AudioFrame.from_ndarray(tone_CS, format="fltp", layout="stereo")
        frame.sample_rate = 32_000
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            container.mux(packet)
    (sound,), _ = windows_of(path, window_s=3.0, most=1)
    assert len(sound.waveform_S) == pytest.approx(RATE, rel=0.08)  # AAC pads
    assert rms(sound) == pytest.approx(0.5 / np.sqrt(2), rel=0.08)
    spectrum = np.abs(np.fft.rfft(sound.waveform_S[:RATE]))
    assert spectrum.argmax() * RATE / len(sound.waveform_S[:RATE]) == pytest.approx(440, abs=3)


def test_a_folder_is_searched_and_an_empty_one_refused(tmp_path: Path) -> None:
    """Catches: notes and pictures taken for sounds, or nothing generated without a word."""
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "notes.txt").write_text("no sound")
    with pytest.raises(UsageError, match="holds no sound file"):
        sound_files([tmp_path / "in"])
    b, a = (write_tone(tmp_path / "in" / name, seconds=0.3) for name in ("b.wav", "a.wav"))
    assert sound_files([tmp_path / "in"]) == [a, b]
    with pytest.raises(UsageError, match="does not exist"):
        sound_files([tmp_path / "gone.wav"])


def test_a_damaged_or_empty_sound_is_named(tmp_path: Path) -> None:
    """Catches: a traceback of a decoder, or an image of nothing."""
    junk = tmp_path / "junk.m4a"
    junk.write_bytes(b"\0\0\0\x18ftypM4A junk" * 20)
    with pytest.raises(DataError, match=r"junk\.m4a cannot be decoded"):
        windows_of(junk, window_s=1.0, most=1)
    short = write_tone(tmp_path / "short.wav", seconds=0.05)
    with pytest.raises(DataError, match=r"at least 0\.2 s"):
        windows_of(short, window_s=1.0, most=1)


def test_a_pipe_is_not_said_to_be_absent(tmp_path: Path) -> None:
    """Catches: "does not exist" of a pipe that lies there, or a wait for who writes to it."""
    os.mkfifo(tmp_path / "pipe.wav")
    with pytest.raises(UsageError, match=r"pipe\.wav cannot be read: it is a pipe, not a file"):
        sound_files([tmp_path / "pipe.wav"])
    with pytest.raises(UsageError, match=r"pipe\.wav cannot be read: it is a pipe, not a file"):
        parse_mixture(f"{tmp_path / 'pipe.wav'}:1,{tmp_path / 'b.wav'}:1")
    with pytest.raises(UsageError, match=r"b\.wav does not exist"):
        sound_files([tmp_path / "b.wav"])
