"""A clip and one of its frames, cut out of a video by PyAV (extra `video`).

Sound and picture share one clock, that of the container: where the sound starts late or has a gap,
silence stands in its place. The sound is the mean of the channels at the stream's own rate, 16-bit
WAV. The frame is the sharpest of those shown at the middles of `NUM_FRAMES` equal parts of the
sound (a frame is shown until the next comes, and may have begun before the clip): the one with the
largest variance of the Laplacian of its luma (Pech-Pacheco et al. 2000), among those that are not
blank.
Frames of one video differ in focus and motion blur, not in resolution, so the raw variance ranks
them; between videos it means nothing. Time, sharpness and all candidates are recorded.

Shape legend: S samples, C channels, H height, W width.
"""

import io
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import soundfile
from PIL import Image

from core.data.ingest.made_media import MadePair
from core.data.items import Reason
from core.data.media.decode_image import MAX_PIXELS
from core.data.media.errors import MediaError
from core.errors import UsageError

NUM_FRAMES = 9
"""One about every second of a ten-second clip."""
_BLANK_STD = 4.0
"""Luma (0 to 255) of a black or faded frame deviates less than coding noise does."""
_JPEG_QUALITY = 95
_SAME_TIME_S = 1e-3
_MIN_GAP_S = 0.05
"""Time stamps of a container jitter by a few milliseconds; a longer jump is a gap in the sound."""
_MIN_ASPECT = 0.25  # of one pixel; a file that claims stranger ones is not believed
# Only plain containers, only this file: a playlist named .mp4 must not open files or addresses.
_OPEN_OPTIONS = {
    "protocol_whitelist": "file",
    "format_whitelist": "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi",
}


def require_pyav() -> Any:
    """The module `av`. Raises: UsageError with the command that installs it."""
    try:
        import av
    except ImportError:
        raise UsageError(
            "reading videos needs PyAV, which is not installed; install the extra: "
            "pip install 'branch-harness[video]'"
        ) from None
    return av


def cut_pair(video: Path | BinaryIO, *, start_s: float, window_s: float) -> MadePair:
    """The `window_s` seconds from `start_s` (less where the video ends) and their sharpest frame.

    Raises: MediaError for a video without sound or picture there, or that cannot be decoded.
    """
    av = require_pyav()
    try:
        mono_S, rate, num_channels, silence_s = _sound(
            av, video, start_s=start_s, window_s=window_s
        )
        length_s = min(window_s, len(mono_S) / rate)
        pixels_HWC, frame = _sharpest(
            av, video, start_s=start_s, from_s=silence_s, until_s=length_s
        )
    except (av.error.FFmpegError, ValueError) as error:
        raise MediaError(
            Reason.UNDECODABLE_VIDEO, f"the video cannot be decoded: {error}"
        ) from None
    audio, image = io.BytesIO(), io.BytesIO()
    soundfile.write(audio, mono_S.clip(-1, 1), rate, format="WAV", subtype="PCM_16")
    Image.fromarray(pixels_HWC).save(image, "JPEG", quality=_JPEG_QUALITY, subsampling=0)
    provenance = {
        "clip_start_s": start_s,
        "clip_duration_s": round(len(mono_S) / rate, 6),
        "sample_rate_hz": rate,
        "num_channels": num_channels,
        "silence_before_s": round(silence_s, 6),
        "rule": "largest variance of the Laplacian",
        **frame,
    }
    return MadePair(
        audio=audio.getvalue(),
        audio_suffix=".wav",
        image=image.getvalue(),
        image_suffix=".jpg",
        provenance=provenance,
    )


def duration_s(video: Path) -> float | None:
    """Length of a video as its header says; None where it does not say. Raises: MediaError."""
    av = require_pyav()
    try:
        with _opened(av, video) as container:
            return None if container.duration is None else container.duration / 1e6
    except (av.error.FFmpegError, ValueError) as error:
        raise MediaError(
            Reason.UNDECODABLE_VIDEO, f"the video cannot be decoded: {error}"
        ) from None


@contextmanager
def _opened(av: Any, video: Path | BinaryIO) -> Iterator[Any]:
    if not isinstance(video, Path):
        video.seek(0)
    source = str(video.resolve()) if isinstance(video, Path) else video
    with av.open(source, options=dict(_OPEN_OPTIONS), metadata_errors="replace") as container:
        yield container


def _seek(container: Any, start_s: float) -> float:
    """Go to the last key frame before `start_s` of the clip; the container's time of that."""
    origin_s = (container.start_time or 0) / 1e6
    if start_s > 0:
        container.seek(round((origin_s + start_s) * 1e6))
    return origin_s + start_s


def _sound(
    av: Any, video: Path | BinaryIO, *, start_s: float, window_s: float
) -> tuple[np.ndarray, int, int, float]:
    """float32 [S] channel mean on the clip's clock, its rate in Hz, the number of channels, and
    the seconds before the first sample of sound, which are silent."""
    with _opened(av, video) as container:
        if not container.streams.audio:
            raise MediaError(Reason.MISSING_AUDIO, "the video has no sound")
        stream = container.streams.audio[0]
        rate, num_channels = stream.codec_context.sample_rate, stream.codec_context.channels
        wanted = round(window_s * rate)
        begin_s = _seek(container, start_s)
        resampler = av.AudioResampler(format="fltp", layout=stream.layout, rate=rate)
        blocks: list[np.ndarray] = []
        place = 0  # of the next sample on the clip's clock
        num_silent: int | None = None
        is_late = False
        for frame in container.decode(stream):
            is_first = frame.pts is not None and num_silent is None and not blocks
            if frame.time is not None:
                at = round((frame.time - begin_s) * rate)
                if at >= wanted:
                    is_late = True
                    break
                if is_first and at < 0:
                    place = at
                elif at - place > (0 if is_first else _MIN_GAP_S * rate):
                    blocks.append(np.zeros(at - max(place, 0), np.float32))
                    place = at
            for plain in resampler.resample(frame):
                block_S = plain.to_ndarray().mean(axis=0, dtype=np.float32)
                dropped = min(max(0, -place), len(block_S))
                place += len(block_S)
                if dropped < len(block_S):
                    if num_silent is None:
                        num_silent = place - len(block_S) + dropped
                    blocks.append(block_S[dropped:])
            if place >= wanted:
                break
    if num_silent is None:
        where = f"begins after the clip's end at {start_s + window_s:g} s"
        if not is_late:
            where = f"ends before the clip's start at {start_s:g} s"
        raise MediaError(Reason.EMPTY_AUDIO, f"the video's sound {where}")
    return np.concatenate(blocks)[:wanted], rate, num_channels, num_silent / rate


def _sharpest(
    av: Any, video: Path | BinaryIO, *, start_s: float, from_s: float, until_s: float
) -> tuple[np.ndarray, Mapping[str, Any]]:
    """uint8 [H, W, 3] of the chosen frame, and what was chosen among what.

    from_s, until_s: part of the clip whose frames are looked at, from the clip's start.
    """
    with _opened(av, video) as container:
        if not container.streams.video:
            raise MediaError(Reason.MISSING_IMAGE, "the video has no picture")
        stream = container.streams.video[0]
        width, height = stream.codec_context.width, stream.codec_context.height
        if width * height > MAX_PIXELS:
            raise MediaError(
                Reason.HUGE_IMAGE,
                f"the video is {width} x {height}; at most {MAX_PIXELS:,} pixels are decoded",
            )
        stream.thread_type = "AUTO"
        begin_s = _seek(container, start_s)
        candidates: list[dict[str, Any]] = []
        best: tuple[tuple[bool, float], int, np.ndarray] | None = None
        for frame, time_s in _shown(
            container.decode(stream), begin_s=begin_s, from_s=from_s, until_s=until_s
        ):
            luma_HW = frame.reformat(format="gray").to_ndarray()
            value = sharpness(luma_HW)
            is_blank = bool(luma_HW.std() < _BLANK_STD)
            candidates.append(
                {"time_s": round(time_s, 4), "sharpness": round(value, 4), "is_blank": is_blank}
            )
            if best is None or (not is_blank, value) > best[0]:
                best = (not is_blank, value), len(candidates) - 1, _upright_rgb(frame, stream)
    if best is None:
        raise MediaError(
            Reason.MISSING_IMAGE,
            f"the video shows no picture from {start_s + from_s:g} s to {start_s + until_s:g} s",
        )
    chosen = candidates[best[1]]
    record = {
        "frame_time_s": chosen["time_s"],
        "frame_sharpness": chosen["sharpness"],
        "frame_candidates": candidates,
    }
    return best[2], record


def _shown(
    frames: Iterable[Any], *, begin_s: float, from_s: float, until_s: float
) -> Iterator[tuple[Any, float]]:
    """The frames that a player shows at the middles of equal parts, each once, with their times.

    A frame is shown from its own time until the next one's, the last one until the end. Where the
    picture begins later than all of these moments, but within the clip, its first frame.
    """
    part_s = (until_s - from_s) / NUM_FRAMES
    wanted = [from_s + (k + 0.5) * part_s for k in range(NUM_FRAMES)]
    shown: tuple[Any, float] | None = None
    for frame in frames:
        if frame.time is None:
            continue
        time_s = frame.time - begin_s
        is_over = [moment for moment in wanted if moment < time_s - _SAME_TIME_S]
        if is_over and shown is not None:
            yield shown
        if shown is None and len(is_over) == len(wanted):
            if time_s < until_s:
                yield frame, time_s
            return
        wanted = wanted[len(is_over) :]
        if not wanted:
            return
        shown = frame, time_s
    if shown is not None:
        yield shown


def sharpness(luma_HW: np.ndarray) -> float:
    """Variance of the four-neighbour Laplacian over the inner pixels; larger is sharper."""
    x_HW = luma_HW.astype(np.float32)
    inner_HW = x_HW[1:-1, 1:-1]
    if inner_HW.size == 0:
        return 0.0
    around_HW = x_HW[:-2, 1:-1] + x_HW[2:, 1:-1] + x_HW[1:-1, :-2] + x_HW[1:-1, 2:]
    return float((around_HW - 4 * inner_HW).var(dtype=np.float64))


def _upright_rgb(frame: Any, stream: Any) -> np.ndarray:
    """uint8 [H, W, 3] as a player shows it: square pixels, rotated as the file says."""
    image = Image.fromarray(frame.to_ndarray(format="rgb24"))
    aspect = stream.sample_aspect_ratio
    if aspect and aspect != 1 and _MIN_ASPECT <= aspect <= 1 / _MIN_ASPECT:
        image = image.resize((max(1, round(image.width * float(aspect))), image.height))
    if frame.rotation % 360:
        image = image.rotate(frame.rotation, expand=True)
    return np.asarray(image)
