"""Trains the two judges side by side, on samples that no conditioner has seen.

Legend: B batch, N samples, h and w latent cells.
"""

from dataclasses import dataclass

import numpy as np
import torch
from diffusers import AutoencoderKL
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from core.embedded.corpus.classes import ATTRIBUTES, CLASSES
from core.embedded.recipes import vae as autoencoder
from core.embedded.recipes.library import Autoencoder
from core.embedded.recipes.loop import Recipe, train
from core.embedded.recipes.plan import Plan
from core.embedded.recipes.samples import Samples, image_samples, sound_samples
from core.foundation.judge import Judge, JudgeConfig, Judgement, prepare_images, prepare_sounds
from core.randomness import rng, torch_seeded

NUM_TRAIN, NUM_HELD_OUT = 8_000, 800
STEPS = 1_500
ATTRIBUTE_WEIGHT, AGREEMENT_WEIGHT = 10.0, 0.5
# Cosines are sharpened by this before the softmax; fixed, so that agreement keeps its meaning.
TEMPERATURE = 0.07
NUM_FRAMES = 94


def recipe(plan: Plan) -> Recipe:
    """Trained on one core in about a quarter of an hour."""
    return Recipe(
        steps=plan.steps(STEPS),
        batch_size=48,
        learning_rate=1.5e-3,
        weight_decay=0.05,
        ema_decay=0.995,
    )


def image_config() -> JudgeConfig:
    """Pictures of 64 px."""
    return JudgeConfig(
        modality="image",
        class_names=list(CLASSES),
        attribute_names=list(ATTRIBUTES),
        num_channels=3,
        input_size=[64, 64],
        input_mean=0.45,
        input_std=0.28,
        widths=[16, 32, 64, 96],
    )


def audio_config() -> JudgeConfig:
    """Three seconds of log-mel, 64 bands."""
    return JudgeConfig(
        modality="audio",
        class_names=list(CLASSES),
        attribute_names=list(ATTRIBUTES),
        num_channels=1,
        input_size=[64, NUM_FRAMES],
        input_mean=-45.0,
        input_std=18.0,
        widths=[16, 32, 64, 96],
    )


def train_judges(plan: Plan) -> tuple[Judge, Judge, float]:
    """The image judge, the audio judge, and seconds taken; needs the autoencoder built."""
    vae: Autoencoder = AutoencoderKL.from_pretrained(
        plan.require("stable_diffusion", part="vae") / "vae", local_files_only=True
    ).eval()
    images = image_samples(plan, "judges", plan.count(NUM_TRAIN))
    soft = autoencoder.decode(vae, autoencoder.encode(vae, images.values))
    sounds = heard(plan, "judges", plan.count(NUM_TRAIN))
    with torch_seeded(plan.seed, "judges", "init"):
        image_judge, audio_judge = Judge(image_config()), Judge(audio_config())
    settings = recipe(plan)
    per_class = [np.flatnonzero(images.classes == k) for k in range(len(CLASSES))]

    def loss_at(step: int) -> Tensor:
        draw = rng(plan.seed, "judges", "batch", step)
        # Every second batch is of one class, so that agreement must rest on the attributes.
        pool = per_class[draw.integers(len(CLASSES))] if step % 2 else np.arange(len(images))
        chosen = draw.choice(pool, settings.batch_size, replace=len(pool) < settings.batch_size)
        is_soft = draw.random(len(chosen)) < 0.5
        seen = np.where(is_soft[:, None, None, None], soft[chosen], images.values[chosen])
        pixels_BCHW = spoil(prepare_images(seen, image_judge.config), draw)
        mel_BCHW = torch.from_numpy(sounds.values[chosen].astype(np.float32))
        classes_B = torch.from_numpy(images.classes[chosen])
        attributes_BA = torch.from_numpy(images.attributes[chosen])
        seen_as, heard_as = image_judge(pixels_BCHW), audio_judge(mel_BCHW)
        return (
            answers_loss(seen_as, classes_B, attributes_BA)
            + answers_loss(heard_as, classes_B, attributes_BA)
            + AGREEMENT_WEIGHT * agreement_loss(seen_as.embedding, heard_as.embedding)
        )

    seconds = train([image_judge, audio_judge], loss_at, settings, name="judges")
    return image_judge, audio_judge, seconds


def heard(plan: Plan, namespace: str, count: int) -> Samples:
    """Clips as the audio judge's log-mel, float16 [N, 1, mel, frames]."""
    config = audio_config()

    def listen(clip: np.ndarray) -> np.ndarray:
        return prepare_sounds(clip[None], config)[0].numpy().astype(np.float16)

    return sound_samples(plan, namespace, count, kind="judge-mel", listen=listen)


def answers_loss(judgement: Judgement, classes_B: Tensor, attributes_BA: Tensor) -> Tensor:
    """Cross entropy of the class and squared error of the attributes."""
    error = F.mse_loss(judgement.attributes, attributes_BA)
    named = F.cross_entropy(judgement.class_logits, classes_B, label_smoothing=0.02)
    return named + ATTRIBUTE_WEIGHT * error


def agreement_loss(image_BD: Tensor, audio_BD: Tensor) -> Tensor:
    """InfoNCE in both directions (van den Oord et al. 2018); row k belongs with row k."""
    logits_BB = image_BD @ audio_BD.T / TEMPERATURE
    own = torch.arange(len(logits_BB))
    return 0.5 * (F.cross_entropy(logits_BB, own) + F.cross_entropy(logits_BB.T, own))


def spoil(pixels_BCHW: Tensor, draw: np.random.Generator) -> Tensor:
    """What generated pictures suffer from: blur, grain, and a little wrong contrast."""
    x = pixels_BCHW
    if draw.random() < 0.4:
        sigma = draw.uniform(0.4, 1.2)
        taps = torch.exp(-0.5 * (torch.arange(-2.0, 3.0) / sigma) ** 2)
        taps = taps / taps.sum()
        kernel = (taps[:, None] * taps).expand(3, 1, 5, 5)
        x = F.conv2d(F.pad(x, (2, 2, 2, 2), mode="replicate"), kernel, groups=3)
    if draw.random() < 0.4:
        noise = draw.standard_normal(tuple(x.shape), dtype=np.float32)
        x = x + torch.from_numpy(noise) * draw.uniform(0.01, 0.06)
    if draw.random() < 0.3:
        x = 0.5 + (x - 0.5) * draw.uniform(0.9, 1.08)
    return x.clamp(0.0, 1.0)


@dataclass(frozen=True)
class JudgeQuality:
    """Answers on held-out pairs."""

    image_class_accuracy: float
    """Share of pictures named right."""
    reconstruction_class_accuracy: float
    """The same after a pass through the autoencoder."""
    audio_class_accuracy: float
    """Share of clips named right."""
    image_attribute_mae: dict[str, float]
    """Mean absolute error by attribute, of pictures."""
    reconstruction_attribute_mae: dict[str, float]
    """The same after a pass through the autoencoder."""
    audio_attribute_mae: dict[str, float]
    """Mean absolute error by attribute, of clips."""
    own_cosine: float
    """Mean cosine of a picture with its own clip."""
    same_class_cosine: float
    """Mean cosine of a picture with other clips of its class."""
    same_class_rank_top1: float
    """Share of pictures whose own clip is the nearest among 16 of its class."""


def measure_judges(
    plan: Plan, image_judge: Judge, audio_judge: Judge, vae: Autoencoder
) -> JudgeQuality:
    """Quality on a namespace that trained nothing."""
    count = plan.count(NUM_HELD_OUT)
    images, sounds = image_samples(plan, "held-out", count), heard(plan, "held-out", count)
    soft = autoencoder.decode(vae, autoencoder.encode(vae, images.values))
    seen = judge_images(image_judge, images.values)
    seen_soft = judge_images(image_judge, soft)
    listened = judge_batches(audio_judge, torch.from_numpy(sounds.values.astype(np.float32)))
    own, other, top1 = _agreement(seen.embedding, listened.embedding, images.classes)
    return JudgeQuality(
        image_class_accuracy=_accuracy(seen, images.classes),
        reconstruction_class_accuracy=_accuracy(seen_soft, images.classes),
        audio_class_accuracy=_accuracy(listened, images.classes),
        image_attribute_mae=_mae(seen, images.attributes),
        reconstruction_attribute_mae=_mae(seen_soft, images.attributes),
        audio_attribute_mae=_mae(listened, images.attributes),
        own_cosine=own,
        same_class_cosine=other,
        same_class_rank_top1=top1,
    )


def judge_images(judge: Judge, images_NHWC: np.ndarray) -> Judgement:
    """A judge's answers on uint8 pictures, in batches."""
    return judge_batches(judge, prepare_images(images_NHWC, judge.config))


@torch.no_grad()
def judge_batches(judge: nn.Module, pixels_NCHW: Tensor, *, batch_size: int = 128) -> Judgement:
    """A judge's answers on any number of prepared inputs."""
    parts = [judge(part) for part in pixels_NCHW.split(batch_size)]
    return Judgement(
        class_logits=torch.cat([part.class_logits for part in parts]),
        attributes=torch.cat([part.attributes for part in parts]),
        embedding=torch.cat([part.embedding for part in parts]),
        features=torch.cat([part.features for part in parts]),
    )


def _accuracy(judgement: Judgement, class_N: np.ndarray) -> float:
    return float((judgement.class_logits.argmax(dim=1).numpy() == class_N).mean())


def _mae(judgement: Judgement, attributes_NA: np.ndarray) -> dict[str, float]:
    error_A = np.abs(judgement.attributes.numpy() - attributes_NA).mean(axis=0)
    return dict(zip(ATTRIBUTES, map(float, error_A), strict=True))


def _agreement(
    image_ND: Tensor, audio_ND: Tensor, class_N: np.ndarray
) -> tuple[float, float, float]:
    cosine_NN = (image_ND @ audio_ND.T).numpy()
    own = np.diag(cosine_NN)
    same = (class_N[:, None] == class_N) & ~np.eye(len(class_N), dtype=bool)
    wins = []
    for k in range(len(class_N)):
        others = np.flatnonzero(same[k])[:15]
        wins.append(bool((own[k] > cosine_NN[k, others]).all()))
    return float(own.mean()), float(cosine_NN[same].mean()), float(np.mean(wins))
