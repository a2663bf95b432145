"""Wav2CLIP's audio encoder, from a checkpoint in the released layout with random weights.

The released weights were never at hand here.
"""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812
from transformers import CLIPConfig, CLIPModel

from benchmarks.peers.drawn import sound, weight
from core.errors import MismatchError, MissingWeightsError, UsageError
from core.foundation.convert.wav2clip import convert_wav2clip
from core.foundation.sources import resolve_source
from core.randomness import rng
from harness.metrics.arms import Arm, GeneratedImage, ScoredClip
from harness.metrics.score import score_images
from harness.metrics.scorers.scorers import Scorers
from harness.metrics.scorers.wav2clip import Wav2ClipScorer, log_spectrogram
from harness.settings.load import load_profile

CPU = torch.device("cpu")


def _released_layout() -> dict[str, Tensor]:
    """Names and shapes of torchvision's ResNet-18 with one input channel, and of the MLP."""
    shapes: dict[str, tuple[int, ...]] = {"audio_encoder.conv1.weight": (64, 1, 7, 7)}
    norms = {"audio_encoder.bn1": 64}
    width = 64
    for stage, wide in enumerate((64, 128, 256, 512), start=1):
        for block in range(2):
            name = f"audio_encoder.layer{stage}.{block}"
            shapes[f"{name}.conv1.weight"] = (wide, width, 3, 3)
            shapes[f"{name}.conv2.weight"] = (wide, wide, 3, 3)
            norms |= {f"{name}.bn1": wide, f"{name}.bn2": wide}
            if width != wide:
                shapes[f"{name}.downsample.0.weight"] = (wide, width, 1, 1)
                norms[f"{name}.downsample.1"] = wide
            width = wide
    for name, wide in norms.items():
        for part in ("weight", "bias", "running_mean", "running_var"):
            shapes[f"{name}.{part}"] = (wide,)
    shapes |= {"audio_encoder.fc.weight": (1000, 512), "audio_encoder.fc.bias": (1000,)}
    for place in (0, 3):
        shapes[f"audio_transform.sequential.{place}.weight"] = (512, 512)
        shapes[f"audio_transform.sequential.{place}.bias"] = (512,)
    state = {}
    for name, shape in shapes.items():
        draw = rng(0, "wav2clip", name)
        fan_in = int(np.prod(shape[1:])) if len(shape) > 1 else 16
        values = draw.standard_normal(shape) * np.sqrt(2 / fan_in)
        if "running_var" in name:
            values = draw.uniform(0.5, 1.5, shape)
        elif len(shape) == 1 and name.endswith("weight"):
            values = draw.uniform(0.8, 1.2, shape)
        state[name] = torch.from_numpy(values).float()
    state["audio_encoder.spectrogram.window"] = torch.hann_window(512)
    state["image_encoder.proj"] = torch.zeros(2)
    return state


STATE = _released_layout()
WAVE = rng(0, "wave").standard_normal(48_000).astype(np.float32) * 0.1


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    made = tmp_path_factory.mktemp("wav2clip")
    torch.save({"state_dict": STATE, "epoch": 3}, made / "Wav2CLIP.pt")
    return made


def _written(x: Tensor) -> Tensor:
    """ResNet-18 and the MLP written out on the checkpoint's own names."""

    def norm(x: Tensor, name: str) -> Tensor:
        parts = (STATE[f"{name}.{k}"] for k in ("running_mean", "running_var", "weight", "bias"))
        return F.batch_norm(x, *parts)

    x = F.relu(norm(F.conv2d(x, STATE["audio_encoder.conv1.weight"], stride=2, padding=3),
                    "audio_encoder.bn1"))  # fmt: skip
    x = F.max_pool2d(x, 3, stride=2, padding=1)
    for stage in range(1, 5):
        for block in range(2):
            name = f"audio_encoder.layer{stage}.{block}"
            stride = 2 if stage > 1 and block == 0 else 1
            y = F.conv2d(x, STATE[f"{name}.conv1.weight"], stride=stride, padding=1)
            y = F.relu(norm(y, f"{name}.bn1"))
            y = norm(F.conv2d(y, STATE[f"{name}.conv2.weight"], padding=1), f"{name}.bn2")
            if stride == 2:
                x = F.conv2d(x, STATE[f"{name}.downsample.0.weight"], stride=2)
                x = norm(x, f"{name}.downsample.1")
            x = F.relu(x + y)
    x = x.mean(dim=(2, 3))
    name = "audio_transform.sequential"
    x = F.relu(F.linear(x, STATE[f"{name}.0.weight"], STATE[f"{name}.0.bias"]))
    return F.linear(x, STATE[f"{name}.3.weight"], STATE[f"{name}.3.bias"])


def test_embeddings_equal_the_network_written_out(folder):
    """Catches: a weight under another layer's name, a missing shortcut, norm or projection."""
    scorer = Wav2ClipScorer(resolve_source(str(folder)), device=CPU)
    waves = [WAVE, WAVE[:24_000] * 3]
    got = scorer.embed(waves)
    assert got.shape == (2, 512)
    with torch.inference_mode():
        expected = torch.cat([_written(log_spectrogram(wave)) for wave in waves])
    assert float(expected.std()) > 0
    np.testing.assert_allclose(got, expected.numpy(), rtol=1e-3, atol=1e-5)


def test_the_spectrogram_is_log_power_at_16_khz_of_mean_zero():
    """Catches: magnitude for power, another rate, window or hop, or a statistic over clips."""
    tone = np.sin(2 * np.pi * 2_000 * np.arange(48_000) / 48_000).astype(np.float32)
    got = log_spectrogram(tone)[0, 0].numpy()
    assert got.shape == (257, 16_000 // 353 + 1)
    # 2 kHz at 16 kHz and 512 points is bin 64.
    assert (got[:, 5:-5].argmax(axis=0) == 64).all()
    assert got.mean() == pytest.approx(0.0, abs=1e-4)
    assert got.std(ddof=1) == pytest.approx(1.0, abs=1e-4)
    quarter = np.arange(16_000)
    at_16k = np.sin(2 * np.pi * 2_000 * quarter / 16_000)
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(512) / 512)
    frame = at_16k[20 * 353 - 256 : 20 * 353 + 256]
    power = np.log(np.abs(np.fft.rfft(frame * window)) ** 2 + 1e-7)
    near = slice(60, 69)  # beyond, the resampler's ripple and rounding differ
    slope = np.polyfit(power[near], got[near, 20], 1)[0]
    np.testing.assert_allclose(
        got[near, 20] - got[64, 20], slope * (power[near] - power[64]), atol=0.05
    )
    loud = log_spectrogram(tone * 0.5)[0, 0].numpy()
    np.testing.assert_allclose(got[60:69], loud[60:69], atol=0.2)


def test_a_converted_checkpoint_gives_the_same(folder, tmp_path):
    """Catches: safetensors read under other names than the checkpoint."""
    save_file(STATE, tmp_path / "model.safetensors")
    first, second = (
        Wav2ClipScorer(resolve_source(str(place)), device=CPU) for place in (folder, tmp_path)
    )
    np.testing.assert_array_equal(first.embed([WAVE]), second.embed([WAVE]))


def test_what_is_not_wav2clip_is_refused(tmp_path):
    """Catches: layers left at random, code run from a pickle, or a hub download."""
    with pytest.raises(UsageError, match="folder"):
        Wav2ClipScorer(resolve_source("some/wav2clip"), device=CPU)
    with pytest.raises(MissingWeightsError, match=r"Wav2CLIP\.pt"):
        Wav2ClipScorer(resolve_source(str(tmp_path)), device=CPU)
    short = {k: v for k, v in STATE.items() if k != "audio_encoder.layer3.1.conv2.weight"}
    torch.save({"state_dict": short}, tmp_path / "Wav2CLIP.pt")
    with pytest.raises(MismatchError, match="absent"):
        Wav2ClipScorer(resolve_source(str(tmp_path)), device=CPU)
    torch.save({"state_dict": {**STATE, "audio_encoder.extra.0": torch.zeros(1)}},
               tmp_path / "Wav2CLIP.pt")  # fmt: skip
    with pytest.raises(MismatchError, match="extra"):
        Wav2ClipScorer(resolve_source(str(tmp_path)), device=CPU)
    torch.save({"state_dict": STATE, "model": nn.Linear(1, 1)}, tmp_path / "Wav2CLIP.pt")
    with pytest.raises(MismatchError, match=r"model\.safetensors"):
        Wav2ClipScorer(resolve_source(str(tmp_path)), device=CPU)


def test_it_needs_clip_vit_b32_beside_it(folder):
    """Catches: sounds compared with images of another space of the same width."""
    with pytest.raises(MismatchError, match="ViT-B/32"):
        Scorers.load(clip="embedded:clip", wav2clip=str(folder))


def test_one_scorer_hears():
    """Catches: two ears whose numbers share a name."""
    with pytest.raises(UsageError, match="only one scorer of sound"):
        load_profile("tiny", overrides=["scorers.wav2clip=some/folder"])
    assert load_profile("sd15", overrides=["scorers.wav2clip=x"]).scorers.wav2clip == "x"


def test_agreement_without_judges_is_clips_with_wav2clip(folder, tmp_path):
    """Catches: the conditioner as the ear, or values that hide which pair they rest on."""
    clip = Scorers.load(clip="embedded:clip").clip
    width = clip.texts(["a"]).shape[1]
    ear = Wav2ClipScorer(resolve_source(str(folder)), device=CPU)

    class Narrow:
        """The same ear with as many features as the shipped CLIP, to stand beside it."""

        name, fingerprint = "ear", ear.fingerprint

        def embed(self, waveforms):
            return ear.embed(waveforms)[:, :width]

    scorers = Scorers(clip=clip, wav2clip=Narrow())
    paths, waves = [], {}
    for k in range(3):
        pixels = rng(k, "ais").integers(0, 256, (32, 32, 3), dtype=np.uint8)
        paths.append(tmp_path / f"{k}.png")
        Image.fromarray(pixels).save(paths[-1])
        waves[f"c{k}"] = WAVE[: 16_000 + 8_000 * k]
    clips = [
        ScoredClip(sample_id=f"c{k}", class_name="rain", caption="rain", image=paths[k])
        for k in range(3)
    ]
    images = [
        GeneratedImage(sample_id=f"c{k}", arm=Arm.AUDIO, draw=0, path=paths[k]) for k in range(3)
    ]
    scores = score_images(images, clips=clips, scorers=scorers, waveform_of=waves.__getitem__)
    seen = clip.images(paths)
    heard = ear.embed(waves.values())[:, :width]
    cosine = [
        x @ y / np.linalg.norm(x) / np.linalg.norm(y) for x, y in zip(seen, heard, strict=True)
    ]
    value = scores.summary["ais_cos"]
    assert value.value == pytest.approx(np.mean(cosine), abs=1e-6)
    assert value.extractor == "embedded:clip+ear"
    assert scores.summary["listening_rank"].value is not None
    assert scores.summary["attribute_error"].reason == "this profile has no image judge"


def test_vit_b32_is_reported_by_its_shape(tmp_path, monkeypatch):
    """Catches: a check that no model passes."""
    scorer = Scorers.load(clip="embedded:clip").clip
    assert not scorer.is_vit_b32
    config = CLIPConfig(vision_config={"patch_size": 32, "hidden_size": 768}, projection_dim=512)
    monkeypatch.setattr(type(scorer._model), "config", config, raising=False)
    monkeypatch.setattr(scorer._model, "config", config)
    assert scorer.is_vit_b32
    assert isinstance(scorer._model, CLIPModel)


def test_a_lightning_checkpoint_converts_without_running_what_it_holds(folder, tmp_path):
    """Catches: the released training state refused for its objects, or its code run."""
    ran = tmp_path / "ran"

    class Schedule:
        def __reduce__(self):
            return (exec, (f"open({str(ran)!r}, 'w')",))

    content = {"state_dict": STATE, "lr_schedulers": [Schedule()], "epoch": 3}
    torch.save(content, tmp_path / "Wav2CLIP.pt")
    found = convert_wav2clip(tmp_path / "Wav2CLIP.pt", folder=tmp_path / "converted")
    assert not ran.exists()
    assert found.left_out == ("image_encoder.proj",)
    first, second = (
        Wav2ClipScorer(resolve_source(str(place)), device=CPU) for place in (folder, found.folder)
    )
    np.testing.assert_array_equal(first.embed([WAVE]), second.embed([WAVE]))
    torch.save({"state_dict": {"x": torch.zeros(1)}}, tmp_path / "other.pt")
    with pytest.raises(MismatchError, match="not a Wav2CLIP checkpoint"):
        convert_wav2clip(tmp_path / "other.pt", folder=tmp_path / "other")


def test_embeddings_equal_those_of_the_package(tmp_path):
    """Catches: another spectrogram, normalisation or layer than `wav2clip` 0.1.0 has."""
    state = {name: torch.from_numpy(weight(name, tuple(t.shape))) for name, t in STATE.items()}
    torch.save(state, tmp_path / "Wav2CLIP.pt")
    scorer = Wav2ClipScorer(resolve_source(str(tmp_path)), device=CPU)
    theirs = np.load("tests/data/peers/theirs.npz")["wav2clip"]
    got = scorer.embed(sound(f"48k-{k}", duration_s=10, rate_hz=48_000) for k in range(2))
    assert np.linalg.norm(theirs[0] - theirs[1]) > 1e-3 * np.linalg.norm(theirs[0])
    assert (np.linalg.norm(got - theirs, axis=1) / np.linalg.norm(theirs, axis=1)).max() < 1e-5
