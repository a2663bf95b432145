"""Files that images are generated from."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from core.embedded.corpus.pairs import make_pair


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A picture, a sound of another class, and a mask of the left half."""
    import soundfile

    folder = tmp_path_factory.mktemp("edit")
    Image.fromarray(make_pair("rain", seed=3, namespace="edit", index=0).image).save(
        folder / "picture.png"
    )
    clip = make_pair("fire", seed=3, namespace="edit", index=0).clip
    soundfile.write(folder / "fire.wav", clip, 48_000)
    mask = np.zeros((128, 128), dtype=np.uint8)
    mask[:, :64] = 255
    Image.fromarray(mask).save(folder / "mask.png")
    Image.fromarray(np.zeros((32, 32), dtype=np.uint8)).save(folder / "black.png")
    return {path.stem: path for path in folder.iterdir()}
