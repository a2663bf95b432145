"""LPIPS against torchmetrics, with the released heads and a random AlexNet.

The released AlexNet weights were never at hand here.
"""

import hashlib
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torchmetrics.functional.image.lpips as reference
from PIL import Image
from torch import nn

from benchmarks.peers.drawn import picture, weight
from core.errors import MismatchError, MissingWeightsError
from core.foundation.sources import resolve_source
from core.randomness import rng, torch_seeded
from harness.metrics.arms import Arm, GeneratedImage, ScoredClip
from harness.metrics.pictures import read_square
from harness.metrics.score import score_images
from harness.metrics.scorers import lpips
from harness.metrics.scorers.lpips import AlexNetTrunk, LpipsScorer
from harness.metrics.scorers.scorers import Scorers

HEADS = Path(reference.__file__).parent / "lpips_models" / "alex.pth"
BACKBONE = "alexnet-owt-7be5be79.pth"


def _alexnet_features() -> nn.Sequential:
    """torchvision's `alexnet().features`, as its documentation prints it, with random weights."""
    with torch_seeded(0, "alexnet"):
        return nn.Sequential(
            nn.Conv2d(3, 64, kernel_size=11, stride=4, padding=2), nn.ReLU(),
            nn.MaxPool2d(kernel_size=3, stride=2),
            nn.Conv2d(64, 192, kernel_size=5, padding=2), nn.ReLU(),
            nn.MaxPool2d(kernel_size=3, stride=2),
            nn.Conv2d(192, 384, kernel_size=3, padding=1), nn.ReLU(),
            nn.Conv2d(384, 256, kernel_size=3, padding=1), nn.ReLU(),
            nn.Conv2d(256, 256, kernel_size=3, padding=1), nn.ReLU(),
            nn.MaxPool2d(kernel_size=3, stride=2),
        )  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """The released heads beside a random backbone that holds a classifier too."""
    made = tmp_path_factory.mktemp("lpips")
    state = {f"features.{k}": v for k, v in _alexnet_features().state_dict().items()}
    torch.save({**state, "classifier.6.bias": torch.zeros(1000)}, made / BACKBONE)
    shutil.copy(HEADS, made / "alex.pth")
    return made


@pytest.fixture
def scorer(folder, monkeypatch) -> LpipsScorer:
    digest = hashlib.sha256((folder / BACKBONE).read_bytes()).hexdigest()
    monkeypatch.setattr(lpips, "BACKBONE_SHA256", {BACKBONE: digest})
    return LpipsScorer(resolve_source(str(folder)), device=torch.device("cpu"))


@pytest.fixture
def pictures(tmp_path) -> list[Path]:
    paths = []
    for k in range(3):
        pixels = rng(k, "lpips").integers(0, 256, (16, 16, 3), dtype=np.uint8)
        paths.append(tmp_path / f"{k}.png")
        Image.fromarray(pixels).resize((256, 256), Image.Resampling.NEAREST).save(paths[-1])
    return paths


def test_distances_agree_with_torchmetrics(scorer, pictures, monkeypatch):
    """Catches: another layer, scaling, normalisation, head or average than LPIPS has."""
    monkeypatch.setattr(reference, "_get_tv_model_features", lambda *_, **__: _alexnet_features())
    network = reference._LPIPS(net="alex", pretrained=True)
    pixels = [
        torch.from_numpy(read_square(path, size=256).copy()).permute(2, 0, 1)[None].float() / 255
        for path in pictures
    ]
    got = scorer.pairwise(pictures)
    assert got.dtype == np.float64
    for i in range(3):
        for j in range(3):
            with torch.inference_mode():
                expected = float(network(pixels[i], pixels[j], normalize=True))
            assert got[i, j] == pytest.approx(expected, rel=1e-4, abs=1e-7), (i, j)
    assert got[0, 1] > 0


def test_a_picture_is_at_no_distance_from_itself_and_as_far_as_back(scorer, pictures):
    """Catches: rows and columns of two different pictures."""
    got = scorer.pairwise(pictures)
    np.testing.assert_allclose(np.diag(got), 0.0, atol=1e-9)
    np.testing.assert_allclose(got, got.T, rtol=1e-5)


def test_the_trunk_has_alexnets_number_of_parameters():
    """Catches: a wrong width: AlexNet's 61,100,840 less the classifier's 58,631,144."""
    number = sum(p.numel() for p in AlexNetTrunk().parameters())
    assert number == 61_100_840 - 58_631_144


def test_a_runs_diversity_is_lpips_of_its_draws(scorer, pictures):
    """Catches: distances between clips, or the mean over too many pairs."""
    loaded = Scorers.load(clip="embedded:clip")
    clips = [
        ScoredClip(sample_id="a", class_name="rain", caption="rain"),
        ScoredClip(sample_id="b", class_name="rain", caption="rain"),
    ]
    images = [
        GeneratedImage(sample_id="a", arm=Arm.AUDIO, draw=0, path=pictures[0]),
        GeneratedImage(sample_id="a", arm=Arm.AUDIO, draw=1, path=pictures[1]),
        GeneratedImage(sample_id="a", arm=Arm.AUDIO, draw=2, path=pictures[2]),
        GeneratedImage(sample_id="b", arm=Arm.AUDIO, draw=0, path=pictures[2]),
        GeneratedImage(sample_id="b", arm=Arm.AUDIO, draw=1, path=pictures[0]),
    ]
    scores = score_images(images, clips=clips, scorers=replace(loaded, lpips=scorer))
    apart = scorer.pairwise(pictures)
    of_a = (apart[0, 1] + apart[0, 2] + apart[1, 2]) / 3
    value = scores.summary["lpips_diversity"]
    assert value.value == pytest.approx((of_a + apart[0, 2]) / 2, rel=1e-5)
    assert (value.n, value.extractor_hash) == (2, scorer.fingerprint)
    assert scores.summary["judge_diversity"].reason == "this profile has no image judge"


def test_only_the_released_files_are_lpips(folder, tmp_path, monkeypatch):
    """Catches: a distance on other weights under the name of LPIPS."""
    with pytest.raises(MismatchError, match="7be5be79"):
        LpipsScorer(resolve_source(str(folder)), device=torch.device("cpu"))
    copy = shutil.copytree(folder, tmp_path / "copy")
    digest = hashlib.sha256((copy / BACKBONE).read_bytes()).hexdigest()
    monkeypatch.setattr(lpips, "BACKBONE_SHA256", {BACKBONE: digest})
    heads = torch.load(copy / "alex.pth", map_location="cpu", weights_only=True)
    torch.save({k: v + 1e-3 for k, v in heads.items()}, copy / "alex.pth")
    with pytest.raises(MismatchError, match="df73285e"):
        LpipsScorer(resolve_source(str(copy)), device=torch.device("cpu"))
    (copy / "alex.pth").unlink()
    with pytest.raises(MissingWeightsError, match="linear heads"):
        LpipsScorer(resolve_source(str(copy)), device=torch.device("cpu"))


def test_distances_equal_those_of_the_package(tmp_path, monkeypatch):
    """Catches: another layer, scale or head than `lpips` 0.1.4 has."""
    trunk = AlexNetTrunk().state_dict()
    drawn = {name: torch.from_numpy(weight(name, tuple(t.shape))) for name, t in trunk.items()}
    torch.save(drawn, tmp_path / BACKBONE)
    shutil.copy(HEADS, tmp_path / "alex.pth")
    digest = hashlib.sha256((tmp_path / BACKBONE).read_bytes()).hexdigest()
    monkeypatch.setattr(lpips, "BACKBONE_SHA256", {BACKBONE: digest})
    paths = [tmp_path / f"{k}.png" for k in range(6)]
    for k, path in enumerate(paths):
        Image.fromarray(picture(f"256-{k}", size=256)).save(path)
    scorer = LpipsScorer(resolve_source(str(tmp_path)), device=torch.device("cpu"))
    theirs = np.load("tests/data/peers/theirs.npz")["lpips"]
    assert theirs[np.triu_indices(6, k=1)].min() > 1e-3
    np.testing.assert_allclose(scorer.pairwise(paths), theirs, rtol=1e-5, atol=1e-8)
