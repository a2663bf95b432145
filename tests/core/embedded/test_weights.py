"""The shipped weights: whole, small, loadable as the real classes, and good enough to use."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL, DDIMScheduler, StableDiffusionPipeline, UNet2DConditionModel
from transformers import (
    ClapModel,
    ClapProcessor,
    CLIPModel,
    CLIPTextModel,
    CLIPTokenizer,
)

from core.embedded import WEIGHTS
from core.embedded.corpus.classes import CLASSES, caption
from core.embedded.corpus.mixtures import make_mixture
from core.embedded.corpus.pairs import Pair, make_pair
from core.embedded.corpus.sound import SAMPLE_RATE_HZ
from core.embedded.recipes import clap, clip, mamba
from core.embedded.recipes.contrast import zero_shot_accuracy
from core.embedded.recipes.diffusion import paint
from core.embedded.recipes.judges import judge_batches, judge_images
from core.embedded.recipes.plan import Plan
from core.embedded.recipes.sources import found_sources
from core.embedded.recipes.vae import decode, encode, measure_vae
from core.foundation.judge import Judge, prepare_sounds
from core.foundation.source_judge import SourceJudge
from tests.core.foundation.mamba.loaded import load_encoder

LOCAL = {"local_files_only": True}
NUM_EACH = 6


@pytest.fixture(scope="module")
def pairs() -> list[Pair]:
    """A few pairs that trained nothing, classes in turn."""
    return [
        make_pair(cls, seed=0, namespace="shipped", index=k)
        for k in range(NUM_EACH)
        for cls in CLASSES
    ]


@pytest.fixture(scope="module")
def class_N(pairs: list[Pair]) -> np.ndarray:
    """int64 [N]: the pairs' classes."""
    return np.array([CLASSES.index(pair.cls) for pair in pairs])


@pytest.fixture(scope="module")
def images(pairs: list[Pair]) -> np.ndarray:
    """uint8 [N, 64, 64, 3]."""
    return np.stack([pair.image for pair in pairs])


@pytest.fixture(scope="module")
def pipeline() -> StableDiffusionPipeline:
    """The painter, loaded as a user would."""
    return StableDiffusionPipeline.from_pretrained(
        WEIGHTS / "stable_diffusion", safety_checker=None, **LOCAL
    )


@pytest.fixture(scope="module")
def image_judge() -> Judge:
    """The shipped image judge."""
    return Judge.from_pretrained(WEIGHTS / "image_judge", **LOCAL).eval()


def test_files_are_those_of_the_record() -> None:
    """Catches: a file changed, added or lost since the build that the record describes."""
    record = json.loads((WEIGHTS / "PROVENANCE.json").read_text())
    found = {
        path.relative_to(WEIGHTS).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(WEIGHTS.rglob("*"))
        if path.is_file() and path.parent != WEIGHTS
    }
    assert record["sha256"] == found


def test_no_file_names_the_machine_it_was_made_on() -> None:
    """Catches: a folder of the build left in a configuration, which would also move its hash."""
    for path in WEIGHTS.rglob("*.json"):
        assert "_name_or_path" not in path.read_text(), path


def test_everything_shipped_is_under_40_megabytes() -> None:
    """Catches: a repository that grows by a model nobody meant to enlarge."""
    assert sum(path.stat().st_size for path in WEIGHTS.rglob("*") if path.is_file()) < 40e6


def test_the_painter_is_of_the_real_classes(pipeline: StableDiffusionPipeline) -> None:
    """Catches: stand-ins that would let code pass here and fail on the full-size model."""
    assert isinstance(pipeline.vae, AutoencoderKL)
    assert isinstance(pipeline.unet, UNet2DConditionModel)
    assert isinstance(pipeline.text_encoder, CLIPTextModel)
    assert isinstance(pipeline.tokenizer, CLIPTokenizer)
    assert isinstance(pipeline.scheduler, DDIMScheduler)
    config = pipeline.scheduler.config
    assert (config.beta_start, config.beta_end) == (0.00085, 0.012)
    assert config.beta_schedule == "scaled_linear"
    assert config.prediction_type == "epsilon"
    assert (config.steps_offset, config.clip_sample) == (1, False)
    assert pipeline.text_encoder.config.hidden_size == pipeline.unet.config.cross_attention_dim


def test_the_pipeline_paints_through_its_own_call(pipeline: StableDiffusionPipeline) -> None:
    """Catches: a folder that loads but cannot be called."""
    pipeline.set_progress_bar_config(disable=True)
    drawn = pipeline("A scene with fire sound", num_inference_steps=2, output_type="np").images
    assert drawn.shape == (1, 64, 64, 3)


def test_reconstructions_keep_detail_hue_and_class(
    images: np.ndarray,
    class_N: np.ndarray,
    pipeline: StableDiffusionPipeline,
    image_judge: Judge,
) -> None:
    """Catches: an autoencoder that blurs subjects or paints grey."""
    quality = measure_vae(pipeline.vae, images)
    assert quality.psnr_db > 26.5
    assert quality.chroma_psnr_db > 29.0
    soft = decode(pipeline.vae, encode(pipeline.vae, images))
    named = judge_images(image_judge, soft).class_logits.argmax(dim=1).numpy()
    assert np.mean(named == class_N) > 0.9


def test_the_scaling_factor_makes_latents_of_unit_deviation(
    images: np.ndarray, pipeline: StableDiffusionPipeline
) -> None:
    """Catches: Stable Diffusion's 0.18215 left on an autoencoder it was not measured on."""
    latents = encode(pipeline.vae, images) * pipeline.vae.config.scaling_factor
    assert float(latents.std()) == pytest.approx(1.0, abs=0.1)


def test_the_painter_paints_the_class_it_is_told(
    pipeline: StableDiffusionPipeline, image_judge: Judge
) -> None:
    """Catches: a painter whose pictures no judge can name."""
    told = np.repeat(np.arange(len(CLASSES)), 4)
    painted = paint(pipeline, [caption(CLASSES[k]) for k in told], seed=5, num_steps=12)
    named = judge_images(image_judge, painted).class_logits.argmax(dim=1).numpy()
    assert np.mean(named == told) > 0.75


def test_judges_name_and_measure_originals(
    pairs: list[Pair],
    images: np.ndarray,
    class_N: np.ndarray,
    image_judge: Judge,
) -> None:
    """Catches: a judge whose verdicts are noise."""
    audio_judge = Judge.from_pretrained(WEIGHTS / "audio_judge", **LOCAL).eval()
    waves = prepare_sounds(np.stack([pair.clip for pair in pairs]), audio_judge.config)
    truth = np.stack([pair.attributes.as_array() for pair in pairs])
    for answer in (judge_images(image_judge, images), judge_batches(audio_judge, waves)):
        assert np.mean(answer.class_logits.argmax(dim=1).numpy() == class_N) > 0.93
        assert np.abs(answer.attributes.numpy() - truth).mean() < 0.1


def test_judges_tell_a_pair_from_strangers_of_its_class(
    pairs: list[Pair], images: np.ndarray, image_judge: Judge
) -> None:
    """Catches: agreement that rests on the class alone, which the caption already tells."""
    audio_judge = Judge.from_pretrained(WEIGHTS / "audio_judge", **LOCAL).eval()
    waves = prepare_sounds(np.stack([pair.clip for pair in pairs]), audio_judge.config)
    seen = judge_images(image_judge, images).embedding
    heard = judge_batches(audio_judge, waves).embedding
    own = (seen * heard).sum(dim=1)
    # Classes take turns, so a shift by a whole turn meets another pair of the same class.
    strangers = (seen * heard.roll(len(CLASSES), 0)).sum(dim=1)
    assert float((own > strangers).float().mean()) > 0.9


def test_the_judge_of_sources_finds_each_and_no_other() -> None:
    """Catches: a recall that rests on a judge who sees one subject, or one everywhere."""
    judge = SourceJudge.from_pretrained(WEIGHTS / "source_judge", **LOCAL).eval()
    assert tuple(judge.config.class_names) == CLASSES
    made = [make_mixture(seed=0, namespace="shipped", index=k) for k in range(80)]
    is_shown_NK = np.array([[cls in mixture.scene.labels for cls in CLASSES] for mixture in made])
    found_NK = found_sources(judge, np.stack([mixture.image for mixture in made]))
    assert found_NK[is_shown_NK].mean() > 0.97
    assert found_NK[~is_shown_NK].mean() < 0.02


@torch.no_grad()
def test_clap_names_clips_through_its_own_processor(
    pairs: list[Pair],
    class_N: np.ndarray,
) -> None:
    """Catches: an extractor whose settings differ from those in training."""
    model = ClapModel.from_pretrained(WEIGHTS / "clap", **LOCAL).eval()
    processor = ClapProcessor.from_pretrained(WEIGHTS / "clap", **LOCAL)
    extractor = processor.feature_extractor
    assert (extractor.frequency_min, extractor.sampling_rate) == (50, SAMPLE_RATE_HZ)
    assert (extractor.truncation, extractor.padding) == ("rand_trunc", "repeatpad")
    features = extractor(
        [pair.clip for pair in pairs], sampling_rate=SAMPLE_RATE_HZ, return_tensors="pt"
    )
    vectors = clap.audio_vectors(model, features["input_features"])
    captions = clap.text_vectors(model, processor.tokenizer, [caption(cls) for cls in CLASSES])
    assert vectors.shape[1] == 512
    assert zero_shot_accuracy(captions, vectors, class_N) > 0.85


@torch.no_grad()
def test_clip_names_pictures_of_the_eight_classes(
    images: np.ndarray,
    class_N: np.ndarray,
) -> None:
    """Catches: a scorer that cannot tell the classes apart."""
    model = CLIPModel.from_pretrained(WEIGHTS / "clip", **LOCAL).eval()
    tokenizer = CLIPTokenizer.from_pretrained(WEIGHTS / "clip", **LOCAL)
    processor = clip.new_processor().from_pretrained(WEIGHTS / "clip", **LOCAL)
    pixels = processor(list(images), return_tensors="pt")["pixel_values"]
    torch.testing.assert_close(pixels, clip.prepare(images, processor), atol=1e-5, rtol=0)
    captions = clip.text_vectors(model, tokenizer, [caption(cls) for cls in CLASSES])
    assert zero_shot_accuracy(captions, clip.image_vectors(model, pixels), class_N) > 0.85


def test_the_mamba_encoder_tells_what_an_untrained_one_hides(tmp_path: Path) -> None:
    """Catches: weights of another architecture, spectrogram or layout than the recipe's."""
    encoder = load_encoder(WEIGHTS / "mamba_encoder")
    assert encoder.config == mamba.config()
    quality = mamba.measure_mamba(Plan(out=tmp_path, cache=tmp_path, scale=0.1), encoder)
    untrained = quality.untrained_pooled_attribute_mae
    for name, error in quality.pooled_attribute_mae.items():
        assert error < untrained[name], name
    assert quality.pooled_attribute_mae["onset"] < 0.8 * untrained["onset"]
