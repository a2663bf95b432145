"""Small real media files, written where a test wants them."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from PIL import Image

from core.data.items import Item, Status
from core.data.manifest import Manifest


@pytest.fixture
def write_wav() -> Callable[..., Path]:
    def write(
        path: Path, *, seed: int = 0, duration_s: float = 1.0, rate: int = 48_000, **options: Any
    ) -> Path:
        """A quiet noise of its own for every seed."""
        path.parent.mkdir(parents=True, exist_ok=True)
        noise = np.random.default_rng(seed).standard_normal(round(duration_s * rate))
        soundfile.write(path, (0.1 * noise).clip(-1, 1), rate, **options)
        return path

    return write


@pytest.fixture
def write_png() -> Callable[..., Path]:
    def write(path: Path, *, seed: int = 0, size: tuple[int, int] = (40, 32)) -> Path:
        """A noise picture (width, height) of its own for every seed; the suffix decides how."""
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), np.uint8)
        Image.fromarray(pixels).save(path)
        return path

    return write


@pytest.fixture
def write_listed(
    tmp_path: Path, write_wav: Callable[..., Path], write_png: Callable[..., Path]
) -> Callable[..., Path]:
    def write(counts: Mapping[str, int], *, folder: str = "media") -> Path:
        """A folder of `counts` pairs a class with a metadata.json; no two files are equal."""
        root = tmp_path / folder
        rows = []
        for class_name, count in counts.items():
            for index in range(count):
                id_ = f"{class_name}{index}"
                write_wav(root / f"audio/{id_}.wav", seed=len(rows))
                write_png(root / f"frames/{id_}.png", seed=len(rows))
                rows.append(listed_row(id_, class_name=class_name))
        (root / "metadata.json").write_text(json.dumps(rows))
        return root

    return write


def listed_row(id_: str, *, class_name: str) -> dict[str, Any]:
    return {
        "video_id": id_,
        "audio_path": f"audio/{id_}.wav",
        "image_path": f"frames/{id_}.png",
        "class": class_name,
        "text": f"A scene with {class_name} sound",
    }


@pytest.fixture
def row() -> Callable[..., dict[str, Any]]:
    return listed_row


@pytest.fixture
def manifest_of() -> Callable[..., Manifest]:
    def make(
        counts: Mapping[str, int], *, group_size: int = 1, root: Path = Path("/media")
    ) -> Manifest:
        """A manifest without files: `group_size` clips of each source."""
        items = tuple(
            Item(
                id=f"{class_name}{index:03}",
                status=Status.INCLUDED,
                class_name=class_name,
                caption=f"A scene with {class_name} sound",
                source=f"{class_name}-video{index // group_size:03}",
                audio_path=f"audio/{class_name}{index}.wav",
                image_path=f"frames/{class_name}{index}.png",
                audio_sha256=f"audio of {class_name}{index}",
                image_sha256=f"image of {class_name}{index}",
                duration_s=10.0,
            )
            for class_name, count in counts.items()
            for index in range(count)
        )
        return Manifest(root=root, items=items, num_input=len(items))

    return make
