"""EfficientNet-Lite0, with drawn weights, against what the package's own code made."""

import hashlib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from benchmarks.peers.drawn import picture as drawn_picture
from benchmarks.peers.drawn import weight
from core.errors import MismatchError
from core.foundation.sources import resolve_source
from harness.metrics.scorers import picture
from harness.metrics.scorers.picture import EfficientNetLite0, PictureClassifier

STORED = Path("tests") / "data" / "real_networks.npz"
FILE = "efficientnet-lite0-57934424.pth"


def write_weights(folder: Path) -> str:
    """The released file with drawn weights; its SHA-256."""
    state = {
        name: torch.from_numpy(weight(name, tuple(t.shape))) if t.is_floating_point() else t
        for name, t in EfficientNetLite0().state_dict().items()
    }
    folder.mkdir(parents=True, exist_ok=True)
    torch.save(state, folder / FILE)
    return hashlib.sha256((folder / FILE).read_bytes()).hexdigest()


def test_features_equal_those_of_the_package(tmp_path, monkeypatch):
    """Catches: padding on both sides alike, another norm, block or scale of pixels."""
    monkeypatch.setattr(picture, "SHA256", {FILE: write_weights(tmp_path)})
    classifier = PictureClassifier(resolve_source(str(tmp_path)), device=torch.device("cpu"))
    paths = [tmp_path / f"{k}.png" for k in range(2)]
    for k, path in enumerate(paths):
        Image.fromarray(drawn_picture(f"224-{k}", size=224)).save(path)
    theirs = np.load(STORED)["picture_drawn"]
    got = classifier.images(paths)
    assert np.linalg.norm(theirs[0] - theirs[1]) > 1e-3 * np.linalg.norm(theirs[0])
    assert (np.linalg.norm(got - theirs, axis=1) / np.linalg.norm(theirs, axis=1)).max() < 1e-5
    assert len(classifier.classes(paths)) == 2


def test_the_number_of_parameters_is_the_published_one():
    """Catches: a width, kernel or block too many. TensorFlow's table says 4.7 million."""
    assert sum(p.numel() for p in EfficientNetLite0().parameters()) == 4_652_008


def test_another_file_is_refused(tmp_path):
    """Catches: a network of other weights under the classifier's name."""
    write_weights(tmp_path)
    with pytest.raises(MismatchError, match="fetch it again"):
        PictureClassifier(resolve_source(str(tmp_path)), device=torch.device("cpu"))
