"""Inception-v3 of FID: its published size, a second writing of its layers, its weights' hash.

The released weights were never at hand here: the layers are checked with random ones.
"""

import hashlib
import itertools
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from benchmarks.peers.drawn import picture, weight
from core.errors import MismatchError, MissingWeightsError, UsageError
from core.foundation.sources import resolve_source
from core.randomness import rng, torch_seeded
from harness.metrics.arms import REAL, Arm, GeneratedImage, ScoredClip
from harness.metrics.distribution import frechet
from harness.metrics.score import score_images
from harness.metrics.scorers import inception
from harness.metrics.scorers.inception import InceptionScorer, InceptionV3, clean_resized
from harness.metrics.scorers.loading import fill
from harness.metrics.scorers.scorers import Scorers


@pytest.fixture(scope="module")
def model() -> InceptionV3:
    """Random weights that keep the signal, with norms away from mean 0 and variance 1."""
    with torch_seeded(0, "inception"):
        network = InceptionV3()
        for layer in network.modules():
            if isinstance(layer, torch.nn.Conv2d):
                torch.nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
        for name, buffer in network.named_buffers():
            if name.endswith("running_mean"):
                buffer.normal_(0.0, 0.1)
            elif name.endswith("running_var"):
                buffer.uniform_(0.5, 1.5)
    return network.eval()


def test_the_number_of_parameters_is_the_published_one(model):
    """Catches: a wrong width or kernel anywhere.

    torchvision's Inception-v3 has 23,834,568 parameters without the auxiliary head, Keras's
    23,851,784: one more for each batch-norm channel, of which there are 17,216.
    """
    norms = [m for m in model.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    channels = sum(m.num_features for m in norms)
    trunk = sum(p.numel() for name, p in model.named_parameters() if not name.startswith("fc."))
    assert len(norms) == 94
    assert trunk + 2048 * 1000 + 1000 == 23_834_568
    assert trunk + 2048 * 1000 + 1000 + channels == 23_851_784
    assert tuple(model.fc.weight.shape) == (1008, 2048)


class _Written:
    """The forward pass written out, on a state dict, from torchvision's printed layers with the
    three changes of the FID graph."""

    def __init__(self, state: dict[str, Tensor]) -> None:
        self.state = state

    def conv(self, x: Tensor, name: str, *, stride: int = 1, padding=0) -> Tensor:
        s = self.state
        x = F.conv2d(x, s[f"{name}.conv.weight"], stride=stride, padding=padding)
        x = F.batch_norm(
            x, s[f"{name}.bn.running_mean"], s[f"{name}.bn.running_var"],
            s[f"{name}.bn.weight"], s[f"{name}.bn.bias"], eps=0.001,
        )  # fmt: skip
        return F.relu(x)

    def average(self, x: Tensor) -> Tensor:
        return F.avg_pool2d(x, kernel_size=3, stride=1, padding=1, count_include_pad=False)

    def a(self, x: Tensor, b: str) -> Tensor:
        five = self.conv(self.conv(x, f"{b}.branch5x5_1"), f"{b}.branch5x5_2", padding=2)
        double = self.conv(x, f"{b}.branch3x3dbl_1")
        double = self.conv(double, f"{b}.branch3x3dbl_2", padding=1)
        double = self.conv(double, f"{b}.branch3x3dbl_3", padding=1)
        pool = self.conv(self.average(x), f"{b}.branch_pool")
        return torch.cat([self.conv(x, f"{b}.branch1x1"), five, double, pool], 1)

    def b(self, x: Tensor, b: str) -> Tensor:
        double = self.conv(x, f"{b}.branch3x3dbl_1")
        double = self.conv(double, f"{b}.branch3x3dbl_2", padding=1)
        double = self.conv(double, f"{b}.branch3x3dbl_3", stride=2)
        three = self.conv(x, f"{b}.branch3x3", stride=2)
        return torch.cat([three, double, F.max_pool2d(x, kernel_size=3, stride=2)], 1)

    def c(self, x: Tensor, b: str) -> Tensor:
        seven = self.conv(x, f"{b}.branch7x7_1")
        seven = self.conv(seven, f"{b}.branch7x7_2", padding=(0, 3))
        seven = self.conv(seven, f"{b}.branch7x7_3", padding=(3, 0))
        double = self.conv(x, f"{b}.branch7x7dbl_1")
        for k, padding in ((2, (3, 0)), (3, (0, 3)), (4, (3, 0)), (5, (0, 3))):
            double = self.conv(double, f"{b}.branch7x7dbl_{k}", padding=padding)
        pool = self.conv(self.average(x), f"{b}.branch_pool")
        return torch.cat([self.conv(x, f"{b}.branch1x1"), seven, double, pool], 1)

    def d(self, x: Tensor, b: str) -> Tensor:
        three = self.conv(self.conv(x, f"{b}.branch3x3_1"), f"{b}.branch3x3_2", stride=2)
        seven = self.conv(x, f"{b}.branch7x7x3_1")
        seven = self.conv(seven, f"{b}.branch7x7x3_2", padding=(0, 3))
        seven = self.conv(seven, f"{b}.branch7x7x3_3", padding=(3, 0))
        seven = self.conv(seven, f"{b}.branch7x7x3_4", stride=2)
        return torch.cat([three, seven, F.max_pool2d(x, kernel_size=3, stride=2)], 1)

    def e(self, x: Tensor, b: str, pooled: Tensor) -> Tensor:
        three = self.conv(x, f"{b}.branch3x3_1")
        double = self.conv(self.conv(x, f"{b}.branch3x3dbl_1"), f"{b}.branch3x3dbl_2", padding=1)
        return torch.cat(
            [
                self.conv(x, f"{b}.branch1x1"),
                self.conv(three, f"{b}.branch3x3_2a", padding=(0, 1)),
                self.conv(three, f"{b}.branch3x3_2b", padding=(1, 0)),
                self.conv(double, f"{b}.branch3x3dbl_3a", padding=(0, 1)),
                self.conv(double, f"{b}.branch3x3dbl_3b", padding=(1, 0)),
                self.conv(pooled, f"{b}.branch_pool"),
            ],
            1,
        )

    def features(self, pixels: Tensor) -> Tensor:
        x = self.conv((pixels - 128) / 128, "Conv2d_1a_3x3", stride=2)
        x = self.conv(x, "Conv2d_2a_3x3")
        x = self.conv(x, "Conv2d_2b_3x3", padding=1)
        x = F.max_pool2d(x, kernel_size=3, stride=2)
        x = self.conv(self.conv(x, "Conv2d_3b_1x1"), "Conv2d_4a_3x3")
        x = F.max_pool2d(x, kernel_size=3, stride=2)
        assert x.shape[1:] == (192, 35, 35)
        for name in ("Mixed_5b", "Mixed_5c", "Mixed_5d"):
            x = self.a(x, name)
        assert x.shape[1:] == (288, 35, 35)
        x = self.b(x, "Mixed_6a")
        for name in ("Mixed_6b", "Mixed_6c", "Mixed_6d", "Mixed_6e"):
            x = self.c(x, name)
        assert x.shape[1:] == (768, 17, 17)
        x = self.d(x, "Mixed_7a")
        assert x.shape[1:] == (1280, 8, 8)
        x = self.e(x, "Mixed_7b", self.average(x))
        x = self.e(x, "Mixed_7c", F.max_pool2d(x, kernel_size=3, stride=1, padding=1))
        return F.adaptive_avg_pool2d(x, (1, 1)).flatten(1)


def test_features_equal_a_second_writing_of_the_layers(model):
    """Catches: a branch in another place, a wrong stride, padding, pooling or scaling."""
    # Coarse patches: fine noise averages out, and all pictures would look alike.
    coarse = torch.from_numpy(rng(0, "pixels").uniform(0, 255, (2, 3, 5, 5))).float()
    pixels = F.interpolate(coarse, size=(299, 299))
    with torch.inference_mode():
        got = model(pixels)
        expected = _Written(model.state_dict()).features(pixels)
    assert got.shape == (2, 2048)
    apart = float((expected[0] - expected[1]).abs().mean() / expected.abs().mean())
    assert apart > 0.01, "the features hardly depend on the picture"
    torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-5 * float(expected.abs().mean()))


@pytest.fixture(scope="module")
def released(model, tmp_path_factory) -> Path:
    """A folder with weights under the released name; the counters lack, as in old files."""
    folder = tmp_path_factory.mktemp("inception")
    state = {k: v for k, v in model.state_dict().items() if "num_batches" not in k}
    torch.save(state, folder / inception.FILE_NAME)
    return folder


def test_only_the_released_weights_make_a_fid(released):
    """Catches: a Frechet distance on any other network called fid."""
    assert (len(inception.SHA256), inception.SHA256[:8]) == (64, "6726825d")
    assert inception.SHA256[:8] in inception.FILE_NAME
    with pytest.raises(MismatchError, match="6726825d"):
        InceptionScorer(resolve_source(str(released)), device=torch.device("cpu"))


def test_a_folder_without_the_file_and_a_hub_id_are_refused(tmp_path):
    """Catches: a download, or a traceback of torch.load."""
    with pytest.raises(MissingWeightsError, match="pt_inception"):
        InceptionScorer(resolve_source(str(tmp_path)), device=torch.device("cpu"))
    with pytest.raises(UsageError, match="folder that holds pt_inception"):
        InceptionScorer(resolve_source("some/inception"), device=torch.device("cpu"))


def test_the_scorer_reads_files_into_the_networks_features(model, released, tmp_path, monkeypatch):
    """Catches: weights of other names or shapes, pixels in [0, 1], or channels in another order."""
    content = (released / inception.FILE_NAME).read_bytes()
    monkeypatch.setattr(inception, "SHA256", hashlib.sha256(content).hexdigest())
    scorer = InceptionScorer(resolve_source(str(released)), device=torch.device("cpu"))
    paths = []
    for k in range(3):
        pixels = rng(k, "file").integers(0, 256, (64, 64, 3), dtype=np.uint8)
        paths.append(tmp_path / f"{k}.png")
        Image.fromarray(pixels).save(paths[-1])
    features = scorer.images(paths)
    pixels = torch.from_numpy(np.stack([clean_resized(path) for path in paths]))
    with torch.inference_mode():
        expected = model(pixels.permute(0, 3, 1, 2)).double().numpy()
    np.testing.assert_allclose(features, expected, rtol=1e-4, atol=1e-5 * np.abs(expected).mean())
    assert frechet(features, real_MD=features) == pytest.approx(0.0, abs=1e-6 * (features**2).sum())
    assert len(scorer.fingerprint) == 64


def test_a_run_with_the_weights_gets_a_fid_and_not_a_rank(released, tmp_path, monkeypatch):
    """Catches: a fid on CLIP features, against other pictures, or without its caution and floor."""
    content = (released / inception.FILE_NAME).read_bytes()
    monkeypatch.setattr(inception, "SHA256", hashlib.sha256(content).hexdigest())
    scorers = Scorers.load(clip="embedded:clip", inception=str(released))
    paths = []
    for k in range(8):
        pixels = rng(k, "run").integers(0, 256, (32, 32, 3), dtype=np.uint8)
        paths.append(tmp_path / f"{k}.png")
        Image.fromarray(pixels).save(paths[-1])
    clips = [
        ScoredClip(sample_id=f"c{k}", class_name="rain", caption="rain", image=paths[k])
        for k in range(4)
    ]
    images = [
        GeneratedImage(sample_id=f"c{k}", arm=Arm.AUDIO, draw=0, path=paths[4 + k])
        for k in range(4)
    ]
    scores = score_images(images, clips=clips, scorers=scorers)
    features = scorers.inception.images(paths)
    value = scores.summary["fid"]
    halves = [
        frechet(features[[4 + k for k in half]], real_MD=np.delete(features[:4], half, axis=0))
        for half in itertools.combinations(range(4), 2)
    ]
    assert min(abs(value.value / one - 1) for one in halves) < 1e-6
    assert (value.n, value.is_rankable) == (2, False)
    assert "real-vs-real floor" in value.caution
    assert value.extractor_hash == scorers.fingerprint["inception"]
    assert scores.arms[REAL]["fid"].value > 0
    assert [p.n for p in scores.curves if p.metric == "fid"] == [2, 2]


def test_weights_of_another_shape_or_name_are_refused(model):
    """Catches: torchvision's own Inception-v3, of 1,000 classes and other poolings, let in."""
    state = dict(model.state_dict())
    other = {**state, "fc.weight": torch.zeros(1000, 2048)}
    with pytest.raises(MismatchError, match=r"fc\.weight.*\(1000, 2048\)"):
        fill(model, other, part="Inception-v3")
    with pytest.raises(MismatchError, match="AuxLogits"):
        fill(model, {**state, "AuxLogits.fc.bias": torch.zeros(1000)}, part="Inception-v3")
    del state["Mixed_5b.branch1x1.conv.weight"]
    with pytest.raises(MismatchError, match=r"Mixed_5b.*absent"):
        fill(model, state, part="Inception-v3")


def test_the_resizer_is_clean_fids(tmp_path):
    """Catches: 8-bit rounding, another filter, a stretch instead of the centre, or an overshoot.

    The reference is the antialiased cubic (a = -0.5) as a matrix, in float64.
    """
    pixels = np.zeros((40, 60, 3), dtype=np.uint8)
    pixels[:, :, 0] = np.arange(60) * 4
    pixels[10:20, 20:40, 1] = 255
    pixels[..., 2] = rng(0, "blue").integers(0, 256, (40, 60))
    Image.fromarray(pixels).save(tmp_path / "wide.png")
    got = clean_resized(tmp_path / "wide.png")
    matrix = _cubic_matrix(40, inception.SIZE)
    centre = pixels[:, 10:50].astype(np.float64)
    expected = np.einsum("yh,hwc,xw->yxc", matrix, centre, matrix, optimize=True).clip(0, 255)
    assert got.shape == (299, 299, 3)
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, expected, atol=1e-3)


def _cubic_matrix(size_in: int, size_out: int) -> np.ndarray:
    ratio = size_in / size_out
    widened = max(ratio, 1.0)
    centres = (np.arange(size_out) + 0.5) * ratio
    t = np.abs((np.arange(size_in) + 0.5)[None] - centres[:, None]) / widened
    near, far = 1.5 * t**3 - 2.5 * t**2 + 1, -0.5 * t**3 + 2.5 * t**2 - 4 * t + 2
    weights = np.where(t < 1, near, np.where(t < 2, far, 0.0))
    return weights / weights.sum(axis=1, keepdims=True)


def test_features_equal_those_of_torch_fidelity(tmp_path, monkeypatch):
    """Catches: another layer, pooling or input scale than `torch-fidelity` 0.4.0 has."""
    state = {
        name: torch.from_numpy(weight(name, tuple(tensor.shape)))
        for name, tensor in InceptionV3().state_dict().items()
        if tensor.is_floating_point()
    }
    file = tmp_path / inception.FILE_NAME
    torch.save(state, file)
    monkeypatch.setattr(inception, "SHA256", hashlib.sha256(file.read_bytes()).hexdigest())
    paths = [tmp_path / f"{k}.png" for k in range(2)]
    for k, path in enumerate(paths):
        Image.fromarray(picture(f"299-{k}", size=299)).save(path)
    got = InceptionScorer(resolve_source(str(tmp_path)), device=torch.device("cpu")).images(paths)
    theirs = np.load("tests/data/peers/theirs.npz")["inception"]
    assert np.linalg.norm(theirs[0] - theirs[1]) > 1e-3 * np.linalg.norm(theirs[0])
    assert (np.linalg.norm(got - theirs, axis=1) / np.linalg.norm(theirs, axis=1)).max() < 1e-5
