"""Real videos and shards, small enough to write in a test."""

import io
import tarfile
from collections.abc import Callable, Iterable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

FPS = 10
RATE_HZ = 44_100


@pytest.fixture(scope="session")
def write_video() -> Callable[..., Path]:
    def write(
        path: Path,
        *,
        duration_s: float = 2.7,
        sharp_s: tuple[float, float] = (1.3, 1.7),
        stripes: tuple[int, int] = (20, 230),
        tones_hz: tuple[float, ...] = (440.0,),
        has_picture: bool = True,
        has_sound: bool = True,
        rotation: int = 0,
    ) -> Path:
        """MPEG-4 and AAC at 64 x 48: smooth frames, fine stripes within `sharp_s`; the tones in
        turn, equally long."""
        path.parent.mkdir(parents=True, exist_ok=True)
        with av.open(str(path), "w") as container:
            if has_picture:
                video = container.add_stream("mpeg4", rate=FPS, bit_rate=2_000_000)
                video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
                if rotation:
                    video.set_display_rotation(rotation)
            if has_sound:
                audio = container.add_stream("aac", rate=RATE_HZ, layout="stereo")
            if has_picture:
                for index in range(round(duration_s * FPS)):
                    is_sharp = sharp_s[0] <= index / FPS < sharp_s[1]
                    picture_HWC = _picture(stripes if is_sharp else None)
                    frame = av.VideoFrame.from_ndarray(picture_HWC, format="rgb24")
                    frame.pts, frame.time_base = index, Fraction(1, FPS)
                    container.mux(video.encode(frame))
                container.mux(video.encode())
            if has_sound:
                mono_S = _sound(duration_s, tones_hz=tones_hz)
                for start in range(0, len(mono_S), 1024):
                    block_CS = np.stack([mono_S[start : start + 1024]] * 2).astype(np.float32)
                    sound = av.AudioFrame.from_ndarray(block_CS, format="fltp", layout="stereo")
                    sound.sample_rate, sound.pts = RATE_HZ, start
                    sound.time_base = Fraction(1, RATE_HZ)
                    container.mux(audio.encode(sound))
                container.mux(audio.encode())
        return path

    return write


def _picture(stripes: tuple[int, int] | None) -> np.ndarray:
    columns_W = np.arange(64)
    low, high = stripes or (0, 0)
    row_W = np.where(columns_W // 2 % 2, high, low) if stripes else columns_W * 4
    picture_HWC = np.repeat(np.repeat(row_W[None, :, None], 48, axis=0), 3, axis=2).astype(np.uint8)
    picture_HWC[:8] = 255  # a bar at the top shows which way is up
    return picture_HWC


def _sound(duration_s: float, *, tones_hz: tuple[float, ...]) -> np.ndarray:
    time_S = np.arange(round(duration_s * RATE_HZ)) / RATE_HZ
    index_S = np.minimum((time_S / duration_s * len(tones_hz)).astype(int), len(tones_hz) - 1)
    return 0.4 * np.sin(2 * np.pi * np.array(tones_hz)[index_S] * time_S)


@pytest.fixture(scope="session")
def video(tmp_path_factory: pytest.TempPathFactory, write_video: Callable[..., Path]) -> Path:
    return write_video(tmp_path_factory.mktemp("video") / "clip.mp4")


@pytest.fixture
def write_shard() -> Callable[..., Path]:
    def write(path: Path, members: Iterable[tuple[str | tarfile.TarInfo, bytes]]) -> Path:
        """A tar of `members` in this order; a TarInfo goes in as it is."""
        path.parent.mkdir(parents=True, exist_ok=True)
        mode = "w:gz" if path.name.endswith("gz") else "w"
        with tarfile.open(path, mode) as archive:  # type: ignore[call-overload]
            for member, content in members:
                info = tarfile.TarInfo(member) if isinstance(member, str) else member
                if isinstance(member, str):
                    info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
        return path

    return write


@pytest.fixture
def media_bytes(
    tmp_path: Path, write_wav: Callable[..., Path], write_png: Callable[..., Path]
) -> Callable[[int], tuple[bytes, bytes]]:
    def make(seed: int) -> tuple[bytes, bytes]:
        """A wav and a png."""
        audio = write_wav(tmp_path / "bytes/a.wav", seed=seed).read_bytes()
        return audio, write_png(tmp_path / "bytes/a.png", seed=seed).read_bytes()

    return make


@pytest.fixture
def pair(write_wav, write_png):
    made = iter(range(10_000))

    def write(stem_of_sound, stem_of_picture=None):
        seed = next(made)
        sound, picture = stem_of_sound, stem_of_picture or stem_of_sound
        write_wav(sound.with_name(f"{sound.name}.wav"), seed=seed)
        write_png(picture.with_name(f"{picture.name}.png"), seed=seed)

    return write
