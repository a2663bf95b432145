"""A clip and its sharpest frame, cut out of a real video."""

import io
import json
import shutil

import numpy as np
import pytest
import soundfile
from PIL import Image

from core.data.ingest.video_cut import NUM_FRAMES, cut_pair, sharpness
from core.data.items import Reason
from core.data.media.errors import MediaError


def tone_hz(audio):
    """Rate and loudest frequency of a wav in memory."""
    mono_S, rate = soundfile.read(io.BytesIO(audio))
    spectrum_F = np.abs(np.fft.rfft(mono_S * np.hanning(len(mono_S))))
    return rate, len(mono_S) / rate, np.argmax(spectrum_F) * rate / len(mono_S)


def test_the_sharpest_of_the_spaced_frames_is_taken_and_recorded(video):
    """Catches: the first or middle frame, or a choice that nobody can check afterwards."""
    pair = cut_pair(video, start_s=0.0, window_s=2.7)
    record = pair.provenance
    assert len(record["frame_candidates"]) == NUM_FRAMES
    times = [candidate["time_s"] for candidate in record["frame_candidates"]]
    assert times == sorted(times)
    assert np.diff(times) == pytest.approx(np.full(8, 0.3), abs=0.11)
    assert 1.3 <= record["frame_time_s"] < 1.7
    best = max(record["frame_candidates"], key=lambda candidate: candidate["sharpness"])
    assert (record["frame_time_s"], record["frame_sharpness"]) == (
        best["time_s"],
        best["sharpness"],
    )
    luma_HW = np.asarray(Image.open(io.BytesIO(pair.image)).convert("L"))
    assert luma_HW.shape == (48, 64)
    assert np.ptp(luma_HW[20].astype(int)) > 150  # the stripes, not the ramp
    assert json.loads(json.dumps(record)) == record


def test_the_sound_is_cut_at_the_start_asked_for(tmp_path, write_video):
    """Catches: the first seconds of the video under every start, or a cut at a key frame."""
    path = write_video(tmp_path / "v.mp4", duration_s=4.0, tones_hz=(300.0, 900.0))
    for start_s, expected_hz in ((0.0, 300.0), (2.05, 900.0)):
        pair = cut_pair(path, start_s=start_s, window_s=1.5)
        rate, length_s, found_hz = tone_hz(pair.audio)
        assert rate == 44_100
        assert length_s == pytest.approx(1.5)
        assert found_hz == pytest.approx(expected_hz, abs=3)
    across, _ = soundfile.read(io.BytesIO(cut_pair(path, start_s=1.0, window_s=2.0).audio))
    first, second = across[2000:42_000], across[46_200:86_200]
    for part_S, expected_hz in ((first, 300.0), (second, 900.0)):
        peak = np.argmax(np.abs(np.fft.rfft(part_S))) * 44_100 / len(part_S)
        assert peak == pytest.approx(expected_hz, abs=5)


def test_a_video_shorter_than_the_window_gives_what_it_has(video):
    """Catches: padding, or a refusal of short clips."""
    pair = cut_pair(video, start_s=0.0, window_s=10.0)
    _, length_s, _ = tone_hz(pair.audio)
    assert 2.6 < length_s < 2.9
    assert pair.provenance["clip_duration_s"] == pytest.approx(length_s)


def test_two_cuts_are_equal_byte_by_byte(video):
    """Catches: a choice that depends on threads, so that two machines get two data sets."""
    first, second = (cut_pair(video, start_s=0.0, window_s=2.0) for _ in range(2))
    assert first == second
    assert cut_pair(io.BytesIO(video.read_bytes()), start_s=0.0, window_s=2.0) == first


def test_a_blank_frame_is_taken_only_when_all_are(tmp_path, write_video, monkeypatch):
    """Catches: a faded frame winning by its coding noise."""
    path = write_video(tmp_path / "v.mp4", stripes=(100, 150))
    chosen = []
    for blank_std in (4.0, 60.0, 1e9):  # none, the striped ones, all
        monkeypatch.setattr("core.data.ingest.video_cut._BLANK_STD", blank_std)
        record = cut_pair(path, start_s=0.0, window_s=2.7).provenance
        chosen.append(1.3 <= record["frame_time_s"] < 1.7)
        by_time = {c["time_s"]: c["is_blank"] for c in record["frame_candidates"]}
        assert by_time[record["frame_time_s"]] is (blank_std == 1e9)
    assert chosen == [True, False, True]


def test_a_rotated_video_is_shown_upright(tmp_path, write_video):
    """Catches: telephone videos lying on their side."""
    pair = cut_pair(write_video(tmp_path / "v.mp4", rotation=90), start_s=0.0, window_s=2.7)
    picture_HWC = np.asarray(Image.open(io.BytesIO(pair.image)))
    assert picture_HWC.shape[:2] == (64, 48)


@pytest.mark.parametrize(
    ("options", "reason", "words"),
    [
        ({"has_sound": False}, Reason.MISSING_AUDIO, "no sound"),
        ({"has_picture": False}, Reason.MISSING_IMAGE, "no picture"),
    ],
)
def test_a_video_without_sound_or_picture_is_reported(
    tmp_path, write_video, options, reason, words
):
    """Catches: silence or a black picture made up for what is not there."""
    with pytest.raises(MediaError, match=words) as caught:
        cut_pair(write_video(tmp_path / "v.mp4", **options), start_s=0.0, window_s=1.0)
    assert caught.value.reason is reason


def test_a_start_behind_the_end_is_reported(video):
    """Catches: a clip of no length."""
    with pytest.raises(MediaError) as caught:
        cut_pair(video, start_s=60.0, window_s=1.0)
    assert caught.value.reason in {Reason.EMPTY_AUDIO, Reason.UNDECODABLE_VIDEO}


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"hello",
        b"ffconcat version 1.0\nfile clip.mp4\n",
        b"#EXTM3U\n#EXT-X-TARGETDURATION:3\n#EXTINF:2.7,\nclip.mp4\n#EXT-X-ENDLIST\n",
    ],
)
def test_what_is_no_video_is_reported_and_a_playlist_opens_nothing(tmp_path, video, content):
    """Catches: a playlist renamed to .mp4 that makes the decoder read other files or addresses."""
    shutil.copy(video, tmp_path / "clip.mp4")
    path = tmp_path / "v.mp4"
    path.write_bytes(content)
    with pytest.raises(MediaError, match="cannot be decoded") as caught:
        cut_pair(path, start_s=0.0, window_s=1.0)
    assert caught.value.reason is Reason.UNDECODABLE_VIDEO


def test_a_video_cut_in_half_is_reported(tmp_path, video):
    """Catches: a crash of the demuxer on a download that broke off."""
    path = tmp_path / "half.mp4"
    path.write_bytes(video.read_bytes()[: video.stat().st_size // 2])
    with pytest.raises(MediaError) as caught:
        cut_pair(path, start_s=0.0, window_s=1.0)
    assert caught.value.reason is Reason.UNDECODABLE_VIDEO


def test_sharpness_is_the_variance_of_the_laplacian():
    """Catches: a sign, a border or a scale gone wrong."""
    from scipy.ndimage import laplace

    luma_HW = np.random.default_rng(0).integers(0, 256, (30, 40)).astype(np.uint8)
    expected = laplace(luma_HW.astype(float))[1:-1, 1:-1].var()
    assert sharpness(luma_HW) == pytest.approx(expected, rel=1e-5)
    assert sharpness(np.full((30, 40), 7, np.uint8)) == 0.0
    assert sharpness(np.zeros((1, 5), np.uint8)) == 0.0
