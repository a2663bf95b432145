"""Sounds to arrays: any rate and number of channels -> mean of the channels -> 48 kHz (soxr HQ) ->
the first `window_s` seconds, float32, level kept.

Every refusal has a reason. Shape legend: S samples, C channels.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
import soxr

from core.data.items import Reason
from core.data.media.audio_header import read_audio_header
from core.data.media.errors import MediaError
from core.data.media.near_duplicates import sound_fingerprint
from core.data.media.sound_errors import CONVERT, broken_off, not_opened, not_sound
from core.data.media.sound_file import UNKNOWN_FRAMES, Chain, Slice, Sound

SAMPLE_RATE_HZ = 48_000
DEFAULT_WINDOW_S = 10.0
"""Clip length of VGGSound and of CLAP's own window."""
MIN_DURATION_S = 0.5
SUBTYPES = frozenset(
    {"PCM_S8", "PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE", "VORBIS", "OPUS"}
    | {"MPEG_LAYER_I", "MPEG_LAYER_II", "MPEG_LAYER_III"}
)
_SILENT_RANGE = 2.0**-14
"""Two steps of 16-bit sound: what dither makes of digital silence."""
_FULL_SCALE = 0.999
_MAX_CLIPPED_SHARE = 0.1
"""A full-scale sine spends 3 % of its time above 0.999; one driven 10 dB too hard spends 80 %."""
_SILENCE_DBFS = -200.0
"""Stands for the minus infinity of digital silence: tables and JSON hold finite numbers."""
_MAX_FLOAT_PEAK = 16.0
"""24 dB above full scale; a float file beyond it holds whole numbers, up to 32,768 or more."""
_MIN_RATE_HZ, _MAX_CHANNELS = 1_000, 64
_MAX_SAMPLES_PER_S = 64 * 192_000
"""Over all channels: ten seconds then take 490 MB."""
_MIN_MP3_SHARE = 0.98  # the length an MP3 header promises is only approximate
_BLOCK_S = 10


@dataclass(frozen=True)
class AudioFacts:
    """What a whole decode of a clip found."""

    duration_s: float
    """Length of the whole file."""
    sample_rate_hz: int
    """Rate of the file."""
    num_channels: int
    """Channels of the file."""
    peak: float
    """Largest absolute sample of the channel mean inside the window; 1 is full scale."""
    rms: float
    """Root mean square of the same."""
    clipped_share: float
    """Share of the window's samples, over all channels, at full scale."""
    fingerprint: bytes | None
    """What a re-coded copy has in common; None for a clip that has nothing to be told by."""
    cancelled_db: float = 0.0
    """How much quieter the mean of the channels is than they are; large when out of phase."""

    @property
    def peak_dbfs(self) -> float:
        """Decibels of the peak, at least -200; 0 is full scale."""
        return _dbfs(self.peak)

    @property
    def rms_dbfs(self) -> float:
        """Decibels of the root mean square, at least -200; 0 is full scale."""
        return _dbfs(self.rms)


def inspect_audio(path: Path, *, window_s: float = DEFAULT_WINDOW_S) -> AudioFacts:
    """Facts of a clip after decoding it once to its end, in bounded memory.

    Silence and clipping are judged over the first `window_s` seconds, the part that is used.
    Raises: MediaError.
    """
    num_frames, window = 0, []
    with _open_audio(path) as file:
        left = round(window_s * file.samplerate)
        for block_SC in _blocks(file):
            # Either extreme of samples with a NaN is a NaN; no copy of the block is made.
            if not (math.isfinite(block_SC.min()) and math.isfinite(block_SC.max())):
                raise MediaError(Reason.NON_FINITE_AUDIO, "the audio holds NaN or infinite samples")
            num_frames += len(block_SC)
            if left > 0:
                window.append(block_SC[:left])
                left -= len(block_SC)
        rate, promised, is_mp3 = file.samplerate, file.frames, file.format == "MP3"
        promised = 0 if promised == UNKNOWN_FRAMES else promised
    if num_frames < promised * (_MIN_MP3_SHARE if is_mp3 else 1.0):
        raise MediaError(
            Reason.TRUNCATED_AUDIO,
            f"the audio ends after {num_frames} of {promised} samples: it was cut short; copy or "
            "download it again",
        )
    if num_frames < MIN_DURATION_S * rate:
        raise MediaError(
            Reason.SHORT_AUDIO,
            f"the audio lasts {num_frames / rate:.2f} s; at least {MIN_DURATION_S} s are needed",
        )
    window_SC = np.concatenate(window) if len(window) > 1 else window[0]
    mono_S = channel_mean(window_SC)
    low, high = float(mono_S.min()), float(mono_S.max())
    if high - low <= _SILENT_RANGE and float(np.ptp(window_SC, axis=0).max()) > _SILENT_RANGE * 4:
        raise MediaError(
            Reason.OUT_OF_PHASE_AUDIO,
            "the channels cancel each other: one is the other inverted, so their mean, which is "
            "used, is silent; keep one channel, or invert one",
        )
    if high - low <= _SILENT_RANGE:
        raise MediaError(
            Reason.SILENT_AUDIO, f"the first {window_s:g} s of the audio hold one constant value"
        )
    loudest = max(-float(window_SC.min()), float(window_SC.max()))
    if loudest > _MAX_FLOAT_PEAK:
        raise MediaError(
            Reason.OUT_OF_RANGE_AUDIO,
            f"the samples reach {loudest:,.0f} where 1 is full scale: whole numbers written as "
            "floating point; divide them by the largest value of their kind, such as 32,768",
        )
    is_loud = loudest >= _FULL_SCALE
    clipped = float((np.abs(window_SC) >= _FULL_SCALE).mean()) if is_loud else 0.0
    if clipped > _MAX_CLIPPED_SHARE:
        raise MediaError(
            Reason.CLIPPED_AUDIO,
            f"{clipped:.0%} of the samples are at full scale; the recording is clipped",
        )
    rms = float(np.sqrt(np.dot(mono_S, mono_S) / len(mono_S)))
    return AudioFacts(
        duration_s=num_frames / rate,
        sample_rate_hz=rate,
        num_channels=window_SC.shape[1],
        peak=max(-low, high),
        rms=rms,
        clipped_share=clipped,
        fingerprint=sound_fingerprint(mono_S, rate_hz=rate),
        cancelled_db=_cancelled_db(window_SC, rms=rms),
    )


def _cancelled_db(window_SC: np.ndarray, *, rms: float) -> float:
    """Level of the channels above that of their mean; 3 dB for two that have nothing in common."""
    if window_SC.shape[1] == 1:
        return 0.0
    of_channels = max(float(np.dot(x, x) / len(x)) for x in window_SC.T)
    return max(0.0, _dbfs(of_channels**0.5) - _dbfs(rms))


def channel_mean(block_SC: np.ndarray) -> np.ndarray:
    """float32 [S]; a view of the only channel where there is one."""
    return block_SC[:, 0] if block_SC.shape[1] == 1 else block_SC.mean(axis=1)


def _dbfs(value: float) -> float:
    return max(20 * math.log10(value), _SILENCE_DBFS) if value > 0 else _SILENCE_DBFS


def decode_audio(path: Path, *, window_s: float, start_s: float = 0.0) -> np.ndarray:
    """float32 [S], 48 kHz mono: `window_s` seconds from `start_s`, shorter where the clip ends.

    The level is kept, so a float file may exceed 1. Raises: MediaError.
    """
    with _open_audio(path) as file:
        num_skipped = round(start_s * file.samplerate)
        num_wanted = round(window_s * file.samplerate)
        blocks, num_read = [], 0
        # Read through, not sought: a seek in an mp3 lands near the sample, not on it.
        for block_SC in _blocks(file, num_frames=num_skipped + num_wanted):
            blocks.append(channel_mean(block_SC[max(0, num_skipped - num_read) :]))
            num_read += len(block_SC)
        rate = file.samplerate
    mono_S = blocks[0] if len(blocks) == 1 else np.concatenate([np.zeros(0, np.float32), *blocks])
    # Either extreme of samples with a NaN is a NaN.
    if len(mono_S) and not (math.isfinite(mono_S.min()) and math.isfinite(mono_S.max())):
        raise MediaError(Reason.NON_FINITE_AUDIO, "the audio holds NaN or infinite samples")
    resampled_S = resample(mono_S, from_hz=rate, to_hz=SAMPLE_RATE_HZ)
    return resampled_S[: round(window_s * SAMPLE_RATE_HZ)]


def resample(mono_S: np.ndarray, *, from_hz: int, to_hz: int) -> np.ndarray:
    """float32 [S] at `to_hz`, by soxr's HQ recipe; the input itself when the rates agree."""
    if from_hz == to_hz:
        return mono_S.astype(np.float32, copy=False)
    return soxr.resample(mono_S.astype(np.float32, copy=False), from_hz, to_hz, quality="HQ")


def _open_audio(path: Path) -> "soundfile.SoundFile | Chain":
    try:
        header = read_audio_header(path)
    except OSError as error:
        raise MediaError(Reason.UNREADABLE, f"the audio cannot be read: {error.strerror}") from None
    if header.is_without_samples:
        raise MediaError(
            Reason.EMPTY_AUDIO,
            f"the audio file has {path.stat().st_size} bytes and not one sample of sound; "
            "copy or download it again",
        )
    if header.container is None:
        raise not_sound(path)
    if header.unsupported_codec:
        raise MediaError(
            Reason.UNSUPPORTED_FORMAT,
            f"the audio is coded as {header.unsupported_codec}; wav files of PCM or float samples "
            f"are read; {CONVERT}",
        )
    if header.is_truncated:
        raise MediaError(
            Reason.TRUNCATED_AUDIO,
            "the audio file is shorter than its header says: it was cut short; copy or download "
            "it again",
        )
    file: soundfile.SoundFile | Chain
    size = path.stat().st_size
    try:
        if header.links:
            file = Chain(path, starts=header.links, size=size)
        else:
            file = Sound(Slice(path, start=header.start, end=size) if header.start else path)
    except ValueError as error:
        raise MediaError(Reason.UNSUPPORTED_FORMAT, str(error)) from None
    except soundfile.LibsndfileError:
        raise not_opened(path, header) from None
    except TypeError:  # soundfile takes a name in .raw for headerless sound
        raise MediaError(
            Reason.UNSUPPORTED_FORMAT, "the file is named as raw audio; give it its true ending"
        ) from None
    if file.subtype not in SUBTYPES:
        file.close()
        raise MediaError(
            Reason.UNSUPPORTED_FORMAT,
            f"the audio is coded as {file.subtype}, which is not read; {CONVERT}",
        )
    num_channels, rate = file.channels, file.samplerate
    is_countable = num_channels <= _MAX_CHANNELS and num_channels * rate <= _MAX_SAMPLES_PER_S
    if rate < _MIN_RATE_HZ or not is_countable:
        file.close()
        raise MediaError(
            Reason.UNSUPPORTED_FORMAT,
            f"the file says {rate:,} samples a second on {num_channels} channels; at least "
            f"{_MIN_RATE_HZ:,} on at most {_MAX_CHANNELS} channels are read, "
            f"{_MAX_SAMPLES_PER_S:,} in all",
        )
    if file.frames == 0:
        file.close()
        raise MediaError(
            Reason.EMPTY_AUDIO,
            "the audio file has a header and no samples; copy or download it again",
        )
    return file


def _read(file: "soundfile.SoundFile | Chain", num_frames: int) -> np.ndarray:
    """float32 [S, C], 1 is full scale."""
    if file.subtype == "PCM_16":
        # The same numbers as libsndfile's own conversion, at a third of the time.
        raw_SC = file.read(num_frames, dtype="int16", always_2d=True)
        return np.multiply(raw_SC, np.float32(2.0**-15), dtype=np.float32)
    return file.read(num_frames, dtype="float32", always_2d=True)


def _blocks(
    file: "soundfile.SoundFile | Chain", *, num_frames: int | None = None
) -> Iterator[np.ndarray]:
    """float32 [S, C] blocks to the end of the file, or of its first `num_frames` samples."""
    left = num_frames if num_frames is not None else file.frames
    while left > 0:
        wanted = min(left, _BLOCK_S * file.samplerate)
        try:
            block_SC = _read(file, wanted)
        except soundfile.LibsndfileError:
            raise broken_off() from None
        if len(block_SC):
            yield block_SC
        if len(block_SC) < wanted:
            return
        left -= wanted
