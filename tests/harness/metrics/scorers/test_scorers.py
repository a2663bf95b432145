"""Loading, fingerprints and refusals of scorers; CLIP features against transformers' own path."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import (
    CLIPConfig,
    CLIPModel,
    CLIPTextConfig,
    CLIPVisionConfig,
    Dinov2Config,
    Dinov2Model,
)
from transformers import PreTrainedTokenizerFast as FastTokenizer

from core.errors import DataError, GuardError, MismatchError, MissingWeightsError, UsageError
from core.foundation.judge import Judge, JudgeConfig
from core.foundation.sources import resolve_source
from core.randomness import rng, torch_seeded
from harness.metrics.extractor import Extractor
from harness.metrics.pictures import read_square
from harness.metrics.scorers.provenance import refuse_conditioners
from harness.metrics.scorers.scorers import DinoScorer, Scorers

WORDS = ["<pad>", "<start>", "<end>", "a", "scene", "with", "rain", "fire", "sound"]
MEAN, STD = [0.48, 0.46, 0.41], [0.27, 0.26, 0.28]


def _write_clip(folder: Path) -> None:
    text = CLIPTextConfig(
        vocab_size=len(WORDS), hidden_size=16, intermediate_size=32, num_hidden_layers=1,
        num_attention_heads=2, max_position_embeddings=12, projection_dim=8,
        bos_token_id=1, eos_token_id=2, pad_token_id=0,
    )  # fmt: skip
    vision = CLIPVisionConfig(
        hidden_size=16, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2,
        image_size=32, patch_size=8, projection_dim=8,
    )  # fmt: skip
    with torch_seeded(0, "clip"):
        config = CLIPConfig(
            text_config=text.to_dict(), vision_config=vision.to_dict(), projection_dim=8
        )
        CLIPModel(config).save_pretrained(folder)
    tokenizer = Tokenizer(
        models.WordLevel({word: i for i, word in enumerate(WORDS)}, unk_token="<pad>")
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<start> $A <end>", special_tokens=[("<start>", 1), ("<end>", 2)]
    )
    FastTokenizer(
        tokenizer_object=tokenizer, pad_token="<pad>", eos_token="<end>", bos_token="<start>"
    ).save_pretrained(folder)
    (folder / "preprocessor_config.json").write_text(
        json.dumps({"image_mean": MEAN, "image_std": STD})
    )


def _write_judge(folder: Path, *, modality: str, embedding_dim: int = 4) -> None:
    config = JudgeConfig(
        modality=modality, class_names=["fire", "rain"], attribute_names=["pitch", "onset"],
        num_channels=3 if modality == "image" else 1, input_size=[16, 16], widths=[8, 8],
        num_mel_bins=16, feature_dim=8, embedding_dim=embedding_dim,
    )  # fmt: skip
    with torch_seeded(0, modality):
        Judge(config).save_pretrained(folder)


@pytest.fixture(scope="module")
def models_folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("scorers")
    _write_clip(folder / "clip")
    _write_judge(folder / "image", modality="image")
    _write_judge(folder / "audio", modality="audio")
    return folder


@pytest.fixture(scope="module")
def scorers(models_folder) -> Scorers:
    return Scorers.load(
        clip=str(models_folder / "clip"),
        image_judge=str(models_folder / "image"),
        audio_judge=str(models_folder / "audio"),
    )


@pytest.fixture
def pictures(tmp_path) -> list[Path]:
    paths = []
    for index, size in enumerate([(32, 32), (32, 32), (50, 40)]):
        pixels = rng(index, "picture").integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
        paths.append(tmp_path / f"{index}.png")
        Image.fromarray(pixels).save(paths[-1])
    return paths


def test_clip_features_equal_those_of_the_models_own_forward(scorers, models_folder, pictures):
    """Catches: a missing projection, wrong normalisation or another pooled token."""
    model = CLIPModel.from_pretrained(models_folder / "clip").eval()
    pixels = [(np.asarray(Image.open(path)) / 255.0 - MEAN) / STD for path in pictures[:2]]
    ids = torch.tensor([[1, 3, 4, 5, 6, 8, 2], [1, 3, 4, 5, 7, 8, 2]])
    with torch.no_grad():
        output = model(
            input_ids=ids,
            pixel_values=torch.tensor(np.stack(pixels), dtype=torch.float32).permute(0, 3, 1, 2),
        )
    cosine = (output.logits_per_image / model.logit_scale.exp()).detach().numpy()
    images = scorers.clip.images(pictures[:2])
    texts = scorers.clip.texts(["a scene with rain sound", "a scene with fire sound"])
    images /= np.linalg.norm(images, axis=1, keepdims=True)
    texts /= np.linalg.norm(texts, axis=1, keepdims=True)
    np.testing.assert_allclose(images @ texts.T, cosine, atol=1e-5)


def test_a_score_does_not_depend_on_the_images_beside_it(scorers, pictures):
    """Catches: batch statistics, or files and features falling out of step."""
    together = scorers.clip.images(pictures)
    alone = np.concatenate([scorers.clip.images([path]) for path in pictures])
    np.testing.assert_allclose(together, alone, atol=1e-5)
    reading = scorers.image_judge.read(pictures[::-1])
    np.testing.assert_allclose(
        reading.attributes[::-1], scorers.image_judge.read(pictures).attributes, atol=1e-5
    )


def test_a_wide_picture_is_cut_to_its_middle(tmp_path):
    """Catches: stretching a photograph, or cropping its left edge."""
    pixels = np.zeros((40, 80, 3), dtype=np.uint8)
    pixels[:, 20:60] = 255
    Image.fromarray(pixels).save(tmp_path / "wide.png")
    assert (read_square(tmp_path / "wide.png", size=16) == 255).all()


def test_the_fingerprint_names_the_files_and_changes_with_the_weights(
    scorers, models_folder, tmp_path
):
    """Catches: scores of two scorers compared as one."""
    copy = shutil.copytree(models_folder / "image", tmp_path / "image")
    loaded = Scorers.load(clip=str(models_folder / "clip"), image_judge=str(copy))
    assert loaded.fingerprint["image_judge"] == scorers.fingerprint["image_judge"]
    weights = load_file(copy / "model.safetensors")
    weights["class_head.bias"] += 1e-3
    save_file(weights, copy / "model.safetensors", metadata={"format": "pt"})
    changed = Scorers.load(clip=str(models_folder / "clip"), image_judge=str(copy))
    assert changed.fingerprint["image_judge"] != scorers.fingerprint["image_judge"]
    assert changed.fingerprint["clip"] == scorers.fingerprint["clip"]


def test_an_extractor_is_absent_unless_both_judges_are_loaded(scorers, models_folder):
    """Catches: an audio-image score from one half of the pair."""
    alone = Scorers.load(clip=str(models_folder / "clip"), image_judge=str(models_folder / "image"))
    assert alone.extractor(Extractor.JOINT) is None
    names, hashes = scorers.extractor(Extractor.JOINT)
    assert names.count("+") == hashes.count("+") == 1


def test_a_scorer_that_conditions_is_refused_under_any_name(models_folder, tmp_path):
    """Catches: a branch judged by the model it was trained to please."""
    clip = str(models_folder / "clip")
    with pytest.raises(GuardError, match="is the conditioner"):
        Scorers.load(clip=clip, conditioners=[clip])
    renamed = tmp_path / "foundation" / "hears"
    renamed.mkdir(parents=True)
    shutil.copy(models_folder / "clip" / "model.safetensors", renamed / "weights.safetensors")
    with pytest.raises(GuardError, match="clip scorer"):
        Scorers.load(clip=clip, conditioners=[str(tmp_path / "foundation")])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_a_scorer_that_shares_a_part_with_a_conditioner_is_refused(tmp_path, dtype):
    """Catches: CLIP ViT-L/14 as the scorer of Stable Diffusion, whose text encoder is its half."""
    weights = load_file(resolve_source("embedded:clip").location + "/model.safetensors")
    part = {
        name.replace("text_model.", "model.text."): tensor.to(dtype).contiguous()
        for name, tensor in weights.items()
        if name.startswith("text_model.") and tensor.is_floating_point()
    }
    assert part
    save_file(part, tmp_path / "text_encoder.safetensors")
    with pytest.raises(GuardError, match=r"shares weights \(text_model\."):
        Scorers.load(clip="embedded:clip", conditioners=[str(tmp_path)])
    moved = {name: tensor + 1e-2 for name, tensor in part.items()}
    save_file(moved, tmp_path / "text_encoder.safetensors")
    assert Scorers.load(clip="embedded:clip", conditioners=[str(tmp_path)])


def test_fresh_layers_that_are_all_zero_are_no_shared_weights(tmp_path):
    """Catches: two models refused because both hold a layer of zeros."""
    zeros = torch.zeros(128, 128)
    for name in ("scorer", "conditioner"):
        (tmp_path / name).mkdir()
        own = {"gate": zeros, "own": torch.full((2,), float(len(name)))}
        save_file(own, tmp_path / name / "model.safetensors")
    sources = [resolve_source(str(tmp_path / name)) for name in ("scorer", "conditioner")]
    refuse_conditioners({"clip": sources[0]}, conditioners=sources[1:])


def test_a_conditioner_of_the_same_size_with_other_weights_is_no_scorer(models_folder, tmp_path):
    """Catches: a refusal by file size alone, as of two models of one architecture."""
    other = shutil.copytree(models_folder / "clip", tmp_path / "other")
    weights = load_file(other / "model.safetensors")
    save_file(
        {name: tensor + 1 for name, tensor in weights.items()},
        other / "model.safetensors",
        metadata={"format": "pt"},
    )
    assert Scorers.load(clip=str(models_folder / "clip"), conditioners=[str(other)])


def test_weights_that_do_not_fit_stop_the_run(models_folder, tmp_path):
    """Catches: from_pretrained filling a missing layer with random numbers."""
    broken = shutil.copytree(models_folder / "image", tmp_path / "broken")
    weights = load_file(broken / "model.safetensors")
    del weights["attribute_head.weight"]
    save_file(weights, broken / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(MismatchError, match="attribute_head"):
        Scorers.load(clip=str(models_folder / "clip"), image_judge=str(broken))


def test_a_folder_without_weights_or_preprocessor_is_named(models_folder, tmp_path):
    """Catches: a traceback, or pixels normalised by a guess."""
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(MissingWeightsError, match="empty"):
        Scorers.load(clip=str(empty))
    without = shutil.copytree(models_folder / "clip", tmp_path / "without")
    (without / "preprocessor_config.json").unlink()
    with pytest.raises(MissingWeightsError, match="preprocessor"):
        Scorers.load(clip=str(without))


@pytest.mark.parametrize("text", ["[]", '{"vision_config": 3}'])
def test_a_damaged_config_is_named(models_folder, tmp_path, text):
    """Catches: a traceback of the library's where a config is JSON, and not a model's."""
    shutil.copytree(models_folder / "clip", tmp_path / "clip")
    (tmp_path / "clip" / "config.json").write_text(text)
    with pytest.raises(MissingWeightsError, match="cannot load the"):
        Scorers.load(clip=str(tmp_path / "clip"))


def test_judges_of_the_wrong_kind_or_of_two_spaces_are_refused(models_folder, tmp_path):
    """Catches: similarities between unrelated embeddings."""
    clip, image = str(models_folder / "clip"), str(models_folder / "image")
    with pytest.raises(UsageError, match="judge of audio"):
        Scorers.load(clip=clip, image_judge=image, audio_judge=image)
    _write_judge(tmp_path / "wide", modality="audio", embedding_dim=6)
    with pytest.raises(MismatchError, match="6"):
        Scorers.load(clip=clip, image_judge=image, audio_judge=str(tmp_path / "wide"))


def test_dinov2_features_are_the_class_token_after_the_last_norm(tmp_path):
    """Catches: the mean of the patches, a missing norm, or pixels normalised as for CLIP."""
    folder = tmp_path / "dino"
    config = Dinov2Config(
        hidden_size=16, num_hidden_layers=2, num_attention_heads=2, mlp_ratio=2, image_size=224,
        patch_size=56,
    )  # fmt: skip
    with torch_seeded(0, "dino"):
        Dinov2Model(config).save_pretrained(folder)
    with pytest.raises(MissingWeightsError, match="preprocessor"):
        DinoScorer(resolve_source(str(folder)), device=torch.device("cpu"))
    (folder / "preprocessor_config.json").write_text(
        json.dumps({"image_mean": MEAN, "image_std": STD})
    )
    scorer = DinoScorer(resolve_source(str(folder)), device=torch.device("cpu"))
    pixels = rng(0, "dino").integers(0, 256, (224, 224, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "one.png")
    normal = torch.from_numpy((pixels / 255.0 - MEAN) / STD).permute(2, 0, 1)[None].float()
    model = Dinov2Model.from_pretrained(folder).eval()
    with torch.no_grad():
        hidden = model.encoder(model.embeddings(normal)).last_hidden_state
        expected = model.layernorm(hidden)[0, 0].double().numpy()
    np.testing.assert_allclose(scorer.images([tmp_path / "one.png"])[0], expected, atol=1e-5)


def test_a_conditioner_kept_as_pth_is_no_scorer(models_folder, tmp_path):
    """Catches: the guard passing by weights that are kept as .pth."""
    (tmp_path / "inception").mkdir()
    shutil.copy(models_folder / "clip" / "model.safetensors", tmp_path / "inception" / "w.pth")
    with pytest.raises(GuardError, match="inception scorer"):
        Scorers.load(
            clip=str(models_folder / "image"),
            inception=str(tmp_path / "inception"),
            conditioners=[str(models_folder / "clip")],
        )


def test_a_broken_image_is_named(scorers, pictures):
    """Catches: a run scored without the images that could not be read."""
    pictures[1].write_bytes(pictures[1].read_bytes()[:100])
    with pytest.raises(DataError, match=r"1\.png"):
        scorers.clip.images(pictures)
    with pytest.raises(DataError, match=r"missing\.png"):
        scorers.clip.images([pictures[0].with_name("missing.png")])
