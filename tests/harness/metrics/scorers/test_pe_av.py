"""PE-AV with random weights at a small size, against transformers' own forward of both towers.

The released weights were never at hand here; their pictures are read by timm, for which a small
ViT of transformers stands.
"""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import (
    AutoConfig,
    PeAudioFeatureExtractor,
    PeAudioVideoConfig,
    PeAudioVideoModel,
    PeVideoEncoderConfig,
)
from transformers.configuration_utils import SubConfigSpec

from core.errors import MissingWeightsError, UsageError
from core.foundation.sources import resolve_source
from core.randomness import rng, torch_seeded
from harness.metrics.arms import Arm, GeneratedImage, ScoredClip
from harness.metrics.pictures import read_square
from harness.metrics.score import score_images
from harness.metrics.scorers.pe_av import PeAvScorer
from harness.metrics.scorers.scorers import Scorers
from harness.settings.load import load_profile

CPU = torch.device("cpu")
SIDE = 32
MEAN, STD = [0.5, 0.4, 0.6], [0.5, 0.45, 0.4]
ENCODER = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "head_dim": 16,
}
TEXT = {
    "model_type": "modernbert",
    "vocab_size": 20,
    "hidden_size": 24,
    "intermediate_size": 32,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    **dict.fromkeys(("pad_token_id", "bos_token_id", "cls_token_id"), 0),
    **dict.fromkeys(("eos_token_id", "sep_token_id"), 1),
}
VISION = {
    "model_type": "vit",
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "image_size": SIDE,
    "patch_size": 8,
    "num_labels": 12,
}
DAC = {
    "model_type": "dac",
    "encoder_hidden_size": 8,
    "downsampling_ratios": [4, 8, 10, 12],
    "codebook_dim": 16,
}
WAVES = [rng(k, "pe av").standard_normal(48_000 + 500 * k).astype(np.float32) * 0.1 for k in (0, 1)]


@pytest.fixture(scope="module")
def a_vit_for_timm():
    """transformers takes any settings of the pictures' network for timm's; here for a ViT's."""
    spec = SubConfigSpec(config_class=AutoConfig, model_type="vit", init_kwargs={})
    specs = {**PeVideoEncoderConfig.sub_configs_defaults, "vision_config": spec}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(PeVideoEncoderConfig, "sub_configs_defaults", specs)
        yield


@pytest.fixture(scope="module")
def folder(tmp_path_factory, a_vit_for_timm) -> Path:
    made = tmp_path_factory.mktemp("pe_av")
    config = PeAudioVideoConfig(
        text_config=TEXT,
        audio_video_config={
            **ENCODER,
            "audio_config": {"model_type": "pe_audio_encoder", **ENCODER, "dac_config": DAC},
            "video_config": {"model_type": "pe_video_encoder", **ENCODER, "vision_config": VISION},
        },
    )
    with torch_seeded(0, "pe av"):
        model = PeAudioVideoModel(config)
    with torch.no_grad():  # as they begin, a sound hardly matters
        for weight in model.parameters():
            if weight.ndim > 1:
                weight *= 6
    model.save_pretrained(made)
    video = {"size": {"height": SIDE, "width": SIDE}, "image_mean": MEAN, "image_std": STD}
    audio = {"sampling_rate": 48_000, "hop_length": 3_840}
    parts = {"video_processor": video, "feature_extractor": audio}
    (made / "processor_config.json").write_text(json.dumps(parts))
    return made


@pytest.fixture(scope="module")
def pictures(tmp_path_factory) -> list[Path]:
    made = tmp_path_factory.mktemp("pictures")
    paths = []
    for k in range(2):
        pixels = rng(k, "pe av picture").integers(0, 256, (40, 48, 3), dtype=np.uint8)
        paths.append(made / f"{k}.png")
        Image.fromarray(pixels).save(paths[-1])
    return paths


@pytest.fixture(scope="module")
def scorer(folder: Path) -> PeAvScorer:
    return PeAvScorer(resolve_source(str(folder)), device=CPU)


def test_embeddings_are_those_of_the_whole_models_forward(scorer, folder, pictures):
    """Catches: a tower without its head, another normalisation, padding or axis of frames."""
    model = PeAudioVideoModel.from_pretrained(folder).eval().requires_grad_(False)
    model.audio_video_logit_scale.fill_(2.0)
    extractor = PeAudioFeatureExtractor(sampling_rate=48_000, hop_length=3_840)
    seen, heard = scorer.images(pictures), scorer.embed(WAVES)
    for row, (path, wave) in enumerate(zip(pictures, WAVES, strict=True)):
        pixels = read_square(path, size=SIDE).astype(np.float32) / 255
        frame = (pixels - np.float32(MEAN)) / np.float32(STD)
        sound = extractor(wave, sampling_rate=48_000, return_tensors="pt")
        assert sound["input_values"].shape[-1] % 3_840 == 0
        with torch.inference_mode():
            whole = model(
                pixel_values_videos=torch.from_numpy(frame).permute(2, 0, 1)[None, None],
                input_values=sound["input_values"],
            )
        np.testing.assert_allclose(seen[row], whole.video_embeds[0].numpy(), rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(heard[row], whole.audio_embeds[0].numpy(), rtol=1e-4, atol=1e-5)
        assert 2 * seen[row] @ heard[row] == pytest.approx(
            float(whole.logits_audio_video), abs=1e-4
        )
    assert np.abs(heard[0] - heard[1]).max() > 1e-3


def test_it_is_the_one_that_hears_and_ranks_by_the_inner_product(folder, pictures):
    """Catches: CLIP as the half that sees, cosines where the model was trained on products."""
    scorers = Scorers.load(clip="embedded:clip", pe_av=str(folder))
    waves = dict(zip(("c0", "c1"), WAVES, strict=True))
    clips = [
        ScoredClip(sample_id=f"c{k}", class_name="rain", caption="rain", image=pictures[k])
        for k in range(2)
    ]
    images = [
        GeneratedImage(sample_id=f"c{k}", arm=Arm.AUDIO, draw=0, path=pictures[k]) for k in range(2)
    ]
    scores = score_images(images, clips=clips, scorers=scorers, waveform_of=waves.__getitem__)
    assert scorers.pe_av is not None
    seen, heard = scorers.pe_av.images(pictures), scorers.pe_av.embed(WAVES)
    product = seen @ heard.T
    wins = np.mean([product[0, 0] > product[0, 1], product[1, 1] > product[1, 0]])
    rank = scores.summary["listening_rank"]
    assert rank.value == wins
    assert (rank.extractor, rank.extractor_hash) == (str(folder), scorers.pe_av.fingerprint)
    unit = [rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in (seen, heard)]
    cosine = np.mean(np.diag(unit[0] @ unit[1].T))
    assert scores.summary["ais_cos"].value == pytest.approx(cosine, abs=1e-6)


def test_building_it_prints_nothing_on_standard_output(folder, capsys):
    """Catches: a library's remark in front of the JSON object that a script asked for."""
    PeAvScorer(resolve_source(str(folder)), device=CPU)
    assert capsys.readouterr().out == ""


def test_what_is_not_whole_is_refused(folder, tmp_path):
    """Catches: weights left at random, a frame's size that is guessed, two ears at once."""
    for path in folder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / "processor_config.json").unlink()
    with pytest.raises(MissingWeightsError, match="processor_config"):
        PeAvScorer(resolve_source(str(tmp_path)), device=CPU)
    with pytest.raises(UsageError, match="only one scorer of sound"):
        load_profile("sd15", overrides=["scorers.pe_av=a", "scorers.wav2clip=b"])
    with_it = load_profile("sd15", overrides=["scorers.pe_av=a"])
    assert with_it.scorers.hears
    assert with_it.deciding.metric == "listening_rank"


def test_its_pictures_need_timm_and_that_is_said(folder, tmp_path):
    """Catches: a traceback of an import, where a package has to be installed."""
    for path in folder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    config = json.loads((tmp_path / "config.json").read_text())
    config["audio_video_config"]["video_config"]["vision_config"] = {
        "model_type": "timm_wrapper",
        "architecture": "vit_pe_core_large_patch14_336",
    }
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(MissingWeightsError, match="pip install timm"):
        PeAvScorer(resolve_source(str(tmp_path)), device=CPU)
