"""The corpus as a folder such as a user has: wavs, frames, metadata.json, and some spoilt files."""

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path

import numpy as np
import soundfile
from PIL import Image

from core.embedded.corpus.classes import caption
from core.embedded.corpus.mixtures import make_mixture
from core.embedded.corpus.pairs import make_pair
from core.embedded.corpus.sound import SAMPLE_RATE_HZ
from core.randomness import rng

NAMESPACE = "corpus"
MIXTURES_NAMESPACE = "mixtures"
_ALPHABET = np.array(list("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"))
_JPEG_SHARE = 0.25
NUM_HEADER_ONLY = 3
# What an interrupted ffmpeg leaves: RIFF, fmt (16-bit mono 48 kHz), its own tag, no samples.
_HEADER_ONLY_WAV = (
    b"RIFF\x46\x00\x00\x00WAVEfmt \x10\x00\x00\x00\x01\x00\x01\x00\x80\xbb\x00\x00\x00w\x01\x00"
    b"\x02\x00\x10\x00LIST\x1a\x00\x00\x00INFOISFT\x0e\x00\x00\x00Lavf58.76.100\x00"
    b"data\x00\x00\x00\x00"
)


def fill(
    folder: Path,
    *,
    seed: int,
    counts: Mapping[str, int],
    spoilt: bool,
    progress: Callable[[int, int], None] | None,
) -> None:
    """Write the pairs, the spoilt files and metadata.json into an empty folder."""
    _make_folders(folder)
    total = sum(counts.values())
    rows = []
    for cls, count in counts.items():
        for index in range(count):
            rows.append(_write_pair(folder, cls, seed=seed, index=index))
            if progress:
                progress(len(rows), total)
    if spoilt and counts:
        rows += _spoil(folder, next(iter(counts)), seed=seed, first=max(counts.values()))
    _write_rows(folder, rows)


def fill_mixtures(
    folder: Path, *, seed: int, count: int, progress: Callable[[int, int], None] | None
) -> None:
    """Write `count` mixtures and metadata.json, whose rows have labels, into an empty folder."""
    _make_folders(folder)
    rows: list[dict[str, object]] = []
    for index in range(count):
        mixture = make_mixture(seed=seed, namespace=MIXTURES_NAMESPACE, index=index)
        draw = rng(seed, MIXTURES_NAMESPACE, index, "file")
        media = _write_media(folder, mixture.clip, mixture.image, draw=draw)
        rows.append(
            {
                **media,
                "labels": list(mixture.scene.labels),
                "text": mixture.caption,
                "attributes": _rounded(mixture.attributes),
            }
        )
        if progress:
            progress(len(rows), count)
    _write_rows(folder, rows)


def _make_folders(folder: Path) -> None:
    (folder / "audio").mkdir()
    (folder / "frames").mkdir()


def _write_rows(folder: Path, rows: list[dict[str, object]]) -> None:
    rows.sort(key=lambda row: str(row["video_id"]))
    (folder / "metadata.json").write_text(json.dumps(rows, indent=2) + "\n")


def _rounded(attributes: Mapping[str, float]) -> dict[str, float]:
    return {key: round(value, 6) for key, value in attributes.items()}


def _write_pair(folder: Path, cls: str, *, seed: int, index: int) -> dict[str, object]:
    pair = make_pair(cls, seed=seed, namespace=NAMESPACE, index=index)
    draw = rng(seed, NAMESPACE, cls, index, "file")
    return {
        **_write_media(folder, pair.clip, pair.image, draw=draw),
        "class": cls,
        "text": caption(cls),
        "attributes": _rounded(asdict(pair.attributes)),
    }


def _write_media(
    folder: Path, clip: np.ndarray, image: np.ndarray, *, draw: np.random.Generator
) -> dict[str, object]:
    """Write a sound and a picture; returns the fields of a row that name them."""
    video_id = "".join(draw.choice(_ALPHABET, 11))
    is_jpeg = draw.random() < _JPEG_SHARE
    audio_path = f"audio/{video_id}.wav"
    image_path = f"frames/{video_id}.{'jpg' if is_jpeg else 'png'}"
    soundfile.write(folder / audio_path, clip, SAMPLE_RATE_HZ, subtype="PCM_16")
    # PNG takes no notice of the two JPEG settings.
    Image.fromarray(image).save(folder / image_path, quality=95, subsampling=0)
    return {"video_id": video_id, "audio_path": audio_path, "image_path": image_path}


def _spoil(folder: Path, cls: str, *, seed: int, first: int) -> list[dict[str, object]]:
    """Damage further pairs of `cls`, numbered from `first`; returns the rows that stay listed."""
    rows = [_write_pair(folder, cls, seed=seed, index=first + k) for k in range(7)]
    audio = [folder / str(row["audio_path"]) for row in rows]
    image = [folder / str(row["image_path"]) for row in rows]
    for k in range(NUM_HEADER_ONLY):
        audio[k].write_bytes(_HEADER_ONLY_WAV)
    image[3].write_bytes(image[3].read_bytes()[: image[3].stat().st_size // 2])
    image[4].unlink()
    audio[5].unlink()
    cut = audio[6].read_bytes()
    audio[6].with_suffix(".wav.part").write_bytes(cut[: len(cut) // 3])
    audio[6].unlink()
    image[6].unlink()
    return rows[:4]
