"""One clock for sound and picture: which frame is shown when, and where the sound lies."""

import io
from fractions import Fraction

import av
import numpy as np
import pytest
import soundfile
from PIL import Image

from core.data.ingest.ingest import ingest
from core.data.ingest.source import Options
from core.data.ingest.video_cut import NUM_FRAMES, cut_pair
from core.data.items import Reason
from core.data.media.errors import MediaError

RATE_HZ = 16_000
COLOURS = {"red": (250, 0, 0), "green": (0, 250, 0), "blue": (0, 0, 250)}


@pytest.fixture
def write(tmp_path):
    def make(name, frames, *, sounds, codec="pcm_s16le"):
        """A video that shows each colour from its time on, with tones of (start, length) seconds.

        The stripes are finer the later the frame, so that a later one would win if it counted.
        """
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with av.open(str(path), "w") as container:
            video = container.add_stream("mpeg4", rate=25)
            video.width = video.height = 64
            video.pix_fmt = "yuv420p"
            video.codec_context.time_base = Fraction(1, 1000)
            audio = container.add_stream(codec, rate=RATE_HZ, layout="mono")
            packets = []
            for index, (start_s, colour) in enumerate(frames):
                pixels = np.zeros((64, 64, 3), np.uint8)
                pixels[:] = COLOURS[colour]
                pixels[:: max(2, 16 >> index)] = 255
                frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
                frame.pts, frame.time_base = round(start_s * 1000), Fraction(1, 1000)
                packets += video.encode(frame)
            packets += video.encode()
            for start_s, length_s in sounds:
                time_S = np.arange(round(length_s * RATE_HZ)) / RATE_HZ
                tone_S = (0.3 * np.sin(2 * np.pi * 440 * time_S) * 32767).astype(np.int16)
                for first in range(0, len(tone_S), 1024):
                    block = av.AudioFrame.from_ndarray(
                        tone_S[None, first : first + 1024], format="s16", layout="mono"
                    )
                    block.sample_rate, block.time_base = RATE_HZ, Fraction(1, RATE_HZ)
                    block.pts = round(start_s * RATE_HZ) + first
                    packets += audio.encode(block)
            packets += audio.encode()
            for packet in sorted(packets, key=lambda p: float((p.dts or 0) * p.time_base)):
                container.mux(packet)
        return path

    return make


def colour_of(pair):
    red, green, blue = np.asarray(Image.open(io.BytesIO(pair.image)).convert("RGB"))[1, 32]
    return {0: "red", 1: "green", 2: "blue"}[int(np.argmax([red, green, blue]))]


def heard(pair):
    """Seconds from and to which there is sound, and the length of the whole."""
    mono_S, rate = soundfile.read(io.BytesIO(pair.audio))
    loud = np.flatnonzero(np.abs(mono_S) > 0.05)
    return loud[0] / rate, loud[-1] / rate, len(mono_S) / rate


def test_one_still_frame_is_shown_for_the_whole_clip(write):
    """Catches: 'shows no picture' of a video whose only frame is at its start."""
    pair = cut_pair(write("a.mkv", [(0, "red")], sounds=[(0, 10)]), start_s=0.0, window_s=10.0)
    assert colour_of(pair) == "red"
    assert [c["time_s"] for c in pair.provenance["frame_candidates"]] == [0.0]


def test_slides_count_as_long_as_they_are_shown(write):
    """Catches: the first slide never a candidate, and one shown for a moment taken for all."""
    slides = [(0, "green"), (4, "red"), (9.9, "blue")]
    pair = cut_pair(write("a.mkv", slides, sounds=[(0, 10)]), start_s=0.0, window_s=10.0)
    assert [c["time_s"] for c in pair.provenance["frame_candidates"]] == [0.0, 4.0]
    assert colour_of(pair) == "red"


def test_the_frame_of_a_listed_clip_is_the_one_shown_then(write):
    """Catches: seconds 20 to 30 of a slide show described by the slide of second 35."""
    slides = [(0, "red"), (12, "green"), (35, "blue")]
    path = write("media/AAAAAAAAAAA.mkv", slides, sounds=[(0, 40)])
    listed = path.parent.parent / "vgg.csv"
    listed.write_text("AAAAAAAAAAA,20,cat,train\n")
    out = path.parent.parent / "set"
    manifest = ingest([listed], out, options=Options(media=path.parent)).manifest
    (item,) = manifest.candidates
    assert item.provenance["frame_time_s"] == -8.0
    picture = np.asarray(Image.open(manifest.root / item.image_path))
    assert np.argmax(picture[1, 32]) == 1


def test_a_picture_that_ends_early_stays(write):
    """Catches: 'no picture' for sound that outlasts the picture."""
    frames = [(k / 25, "red") for k in range(10)]
    pair = cut_pair(write("a.mkv", frames, sounds=[(0, 10)]), start_s=0.0, window_s=10.0)
    assert colour_of(pair) == "red"
    assert pair.provenance["frame_time_s"] == pytest.approx(0.36)


def test_sound_that_starts_late_lies_where_it_was(write):
    """Catches: the sound of seconds 3 to 10 glued to the start, under frames of 0 to 7."""
    frames = [(0, "red"), (3, "green"), (7, "blue")]
    pair = cut_pair(write("a.mkv", frames, sounds=[(3, 7)]), start_s=0.0, window_s=10.0)
    assert heard(pair) == pytest.approx((3.0, 10.0, 10.0), abs=0.01)
    times = [c["time_s"] for c in pair.provenance["frame_candidates"]]
    assert times == [3.0, 7.0]
    assert pair.provenance["silence_before_s"] == pytest.approx(3.0, abs=0.001)


def test_sound_from_beyond_the_clip_is_not_taken(write):
    """Catches: ten seconds of sound for seconds 20 to 30 of which five lie behind second 30."""
    frames = [(k, "red") for k in range(40)]
    path = write("a.mkv", frames, sounds=[(25, 15)])
    assert heard(cut_pair(path, start_s=20.0, window_s=10.0)) == pytest.approx(
        (5, 10, 10), abs=0.01
    )
    with pytest.raises(MediaError, match="begins after the clip's end at 20 s") as caught:
        cut_pair(path, start_s=10.0, window_s=10.0)
    assert caught.value.reason is Reason.EMPTY_AUDIO


def test_a_gap_in_the_sound_stays_a_gap(write):
    """Catches: what comes after a pause heard seconds too early."""
    path = write("a.mkv", [(0, "red")], sounds=[(0, 1), (4, 1)])
    mono_S, rate = soundfile.read(io.BytesIO(cut_pair(path, start_s=0.0, window_s=10.0).audio))
    level = [float(np.abs(mono_S[k * rate : (k + 1) * rate]).max()) for k in range(5)]
    assert [value > 0.05 for value in level] == [True, False, False, False, True]


def test_a_picture_that_begins_within_the_clip_counts_from_there(write):
    """Catches: moments before the first frame that take a frame from after them."""
    frames = [(6, "red"), (8, "green"), (12, "blue")]
    path = write("a.mkv", frames, sounds=[(0, 14)])
    pair = cut_pair(path, start_s=0.0, window_s=10.0)
    assert [c["time_s"] for c in pair.provenance["frame_candidates"]] == [6.0, 8.0]
    assert NUM_FRAMES == 9
    with pytest.raises(MediaError, match="shows no picture from 0 s to 5 s"):
        cut_pair(path, start_s=0.0, window_s=5.0)


def test_a_video_whose_clock_starts_late_is_read_from_its_own_start(write):
    """Catches: a recording whose time stamps begin at an hour taken for silence."""
    frames = [(100, "red"), (103, "green")]
    pair = cut_pair(write("a.mkv", frames, sounds=[(100, 6)]), start_s=0.0, window_s=10.0)
    assert heard(pair) == pytest.approx((0, 6, 6), abs=0.03)
    assert [c["time_s"] for c in pair.provenance["frame_candidates"]] == [0.0, 3.0]
