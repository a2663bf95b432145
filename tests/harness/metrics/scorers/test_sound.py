"""The sound-effects encoder, with drawn weights, against what the package's own code made."""

import hashlib
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks.peers.drawn import sound as drawn_sound
from benchmarks.peers.drawn import weight
from core.errors import MismatchError
from core.foundation.sources import resolve_source
from harness.metrics.scorers import sound
from harness.metrics.scorers.sound import SoundNet, SoundScorer, blocks

STORED = Path("tests") / "data" / "real_networks.npz"


def write_weights(folder: Path) -> str:
    """A checkpoint as the package ships it, of drawn weights; its SHA-256."""
    shapes = {f"embedding_net.{k}": v for k, v in SoundNet().state_dict().items()}
    state = {
        name: torch.from_numpy(weight(name, tuple(t.shape))) if t.is_floating_point() else t
        for name, t in shapes.items()
    }
    libraries = {"one": (np.int64(0), 78)}
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "checkpoint.pth"
    torch.save(({**state, "fc.0.0.bias": torch.zeros(256)}, libraries), path)
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_embeddings_equal_those_of_the_package(tmp_path, monkeypatch):
    """Catches: another spectrogram, scale, block, layer or pooling than `aisfx` 0.1.2 has."""
    monkeypatch.setattr(sound, "SHA256", {"checkpoint.pth": write_weights(tmp_path)})
    scorer = SoundScorer(resolve_source(str(tmp_path)), device=torch.device("cpu"))
    waves = [
        drawn_sound(f"48k-{k}", duration_s=length, rate_hz=48_000)
        for k, length in enumerate((10, 10, 1.5))  # the last is shorter than a block
    ]
    theirs = np.load(STORED)["sound_drawn"]
    got = scorer.embed(waves)
    assert np.linalg.norm(theirs[0] - theirs[1]) > 1e-3 * np.linalg.norm(theirs[0])
    assert (np.linalg.norm(got - theirs, axis=1) / np.linalg.norm(theirs, axis=1)).max() < 1e-5


def test_silence_has_an_embedding_and_level_does_not_matter(tmp_path, monkeypatch):
    """Catches: a division by a peak of 0; an encoder that hears gain."""
    wave = drawn_sound("level", duration_s=3, rate_hz=48_000)
    assert torch.isfinite(blocks(np.zeros(48_000, np.float32))).all()
    torch.testing.assert_close(blocks(wave), blocks(wave / 8), rtol=1e-4, atol=1e-5)


def test_another_checkpoint_is_refused(tmp_path):
    """Catches: a network of other weights under the encoder's name."""
    write_weights(tmp_path)
    with pytest.raises(MismatchError, match="fetch it again"):
        SoundScorer(resolve_source(str(tmp_path)), device=torch.device("cpu"))
