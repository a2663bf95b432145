"""Trains the judge of mixtures: which of the eight sources a picture shows, each by itself.

Legend: N samples, K classes.
"""

from dataclasses import dataclass

import numpy as np
import torch
from diffusers import AutoencoderKL
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from core.embedded.corpus.classes import CLASSES
from core.embedded.corpus.mixtures import draw_mixture, draw_scene
from core.embedded.recipes import vae as autoencoder
from core.embedded.recipes.judges import spoil
from core.embedded.recipes.library import Autoencoder
from core.embedded.recipes.loop import Recipe, train
from core.embedded.recipes.plan import Plan
from core.embedded.recipes.samples import image_samples, write_whole
from core.foundation.judge import prepare_images
from core.foundation.source_judge import SourceJudge, SourceJudgeConfig
from core.randomness import rng, torch_seeded

NUM_TRAIN, NUM_HELD_OUT = 12_000, 1_200
STEPS = 2_000
SINGLE_SHARE = 1 / 3
"""Share of training pictures from the corpus of single sources, which shows them large."""
PARTIAL_SHARE = 0.25
"""Share of mixtures of which only some sources are drawn, or none: what a variant that misses
one generates."""
FOUND = 0.5
"""Probability from which on a source counts as found."""


def recipe(plan: Plan) -> Recipe:
    """Trained on one core in about five minutes."""
    return Recipe(
        steps=plan.steps(STEPS),
        batch_size=48,
        learning_rate=1.5e-3,
        weight_decay=0.05,
        ema_decay=0.995,
    )


def new_judge(seed: int) -> SourceJudge:
    """An untrained judge."""
    with torch_seeded(seed, "sources", "init"):
        return SourceJudge(SourceJudgeConfig(class_names=list(CLASSES)))


@dataclass(frozen=True)
class Shown:
    """N pictures and the sources that each shows."""

    images: np.ndarray
    """uint8 [N, 64, 64, 3]."""
    is_shown: np.ndarray
    """float32 [N, K], 1 for each source in the picture."""


def mixture_pictures(plan: Plan, namespace: str, count: int, *, partial_share: float) -> Shown:
    """Pictures of mixtures; of a share of them only some of the sources, or none, are drawn."""
    scope = f"foundation/{namespace}"
    path = plan.cache / f"mixture-{namespace}-{plan.seed}-{count}-{partial_share}.npy"
    scenes = [draw_scene(seed=plan.seed, namespace=scope, index=k) for k in range(count)]
    shown: list[tuple[str, ...]] = []
    for k, scene in enumerate(scenes):
        draw = rng(plan.seed, scope, "mixture", k, "shown")
        is_partial = draw.random() < partial_share
        kept = draw.random(len(scene.labels)) < (0.5 if is_partial else 1.0)
        shown.append(tuple(name for name, keep in zip(scene.labels, kept, strict=True) if keep))
    if not path.is_file():
        drawn = [
            draw_mixture(scene, rng(plan.seed, scope, "mixture", k, "picture"), shown=names)
            for k, (scene, names) in enumerate(zip(scenes, shown, strict=True))
        ]
        write_whole(path, np.stack(drawn))
    is_shown_NK = np.array([[cls in names for cls in CLASSES] for names in shown], np.float32)
    return Shown(np.load(path), is_shown_NK)


def _training_pictures(plan: Plan) -> Shown:
    count = plan.count(NUM_TRAIN)
    num_single = round(count * SINGLE_SHARE)
    single = image_samples(plan, "sources", num_single)
    mixed = mixture_pictures(plan, "sources", count - num_single, partial_share=PARTIAL_SHARE)
    is_single_NK = np.eye(len(CLASSES), dtype=np.float32)[single.classes]
    return Shown(
        np.concatenate([single.values, mixed.images]),
        np.concatenate([is_single_NK, mixed.is_shown]),
    )


def train_source_judge(plan: Plan) -> tuple[SourceJudge, float]:
    """The judge, and seconds taken; needs the autoencoder built."""
    vae = _vae(plan)
    shown = _training_pictures(plan)
    soft = autoencoder.decode(vae, autoencoder.encode(vae, shown.images))
    judge = new_judge(plan.seed)
    settings = recipe(plan)

    def loss_at(step: int) -> Tensor:
        draw = rng(plan.seed, "sources", "batch", step)
        chosen = draw.integers(0, len(shown.images), settings.batch_size)
        is_soft = draw.random(len(chosen)) < 0.5
        seen = np.where(is_soft[:, None, None, None], soft[chosen], shown.images[chosen])
        pixels_BCHW = spoil(prepare_images(seen, judge.config), draw)
        return F.binary_cross_entropy_with_logits(
            judge(pixels_BCHW), torch.from_numpy(shown.is_shown[chosen])
        )

    seconds = train([judge], loss_at, settings, name="sources")
    return judge, seconds


@dataclass(frozen=True)
class SourceQuality:
    """Answers on held-out pictures of mixtures."""

    recall: dict[str, float]
    """Of the pictures that show a source, the share in which it is found."""
    false_alarms: dict[str, float]
    """Of the pictures that do not show it, the share in which it is found all the same."""
    reconstruction_recall: dict[str, float]
    """As `recall`, after a pass through the autoencoder."""
    reconstruction_false_alarms: dict[str, float]
    """As `false_alarms`, after a pass through the autoencoder."""
    recall_by_num_sources: dict[str, float]
    """Recall over pictures of one, two and three sources."""


def measure_source_judge(plan: Plan, judge: SourceJudge) -> SourceQuality:
    """Quality on a namespace that trained nothing."""
    held_out = mixture_pictures(plan, "held-out", plan.count(NUM_HELD_OUT), partial_share=0.0)
    vae = _vae(plan)
    soft = autoencoder.decode(vae, autoencoder.encode(vae, held_out.images))
    is_shown_NK = held_out.is_shown > 0
    found_NK, found_soft_NK = (found_sources(judge, part) for part in (held_out.images, soft))
    num_N = is_shown_NK.sum(axis=1)
    return SourceQuality(
        recall=_shares(found_NK, among_NK=is_shown_NK),
        false_alarms=_shares(found_NK, among_NK=~is_shown_NK),
        reconstruction_recall=_shares(found_soft_NK, among_NK=is_shown_NK),
        reconstruction_false_alarms=_shares(found_soft_NK, among_NK=~is_shown_NK),
        recall_by_num_sources={
            str(num): float(found_NK[num_N == num][is_shown_NK[num_N == num]].mean())
            for num in sorted(set(num_N.tolist()))
        },
    )


def found_sources(judge: SourceJudge, images_NHWC: np.ndarray) -> np.ndarray:
    """bool [N, K]: the sources that the judge finds in uint8 pictures."""
    pixels = prepare_images(images_NHWC, judge.config)
    probabilities = torch.cat([judge.probabilities(part) for part in pixels.split(128)])
    return (probabilities >= FOUND).numpy()


def _shares(found_NK: np.ndarray, *, among_NK: np.ndarray) -> dict[str, float]:
    share_K = (found_NK & among_NK).sum(axis=0) / np.maximum(among_NK.sum(axis=0), 1)
    return dict(zip(CLASSES, map(float, share_K), strict=True))


def _vae(plan: Plan) -> Autoencoder:
    vae: Autoencoder = AutoencoderKL.from_pretrained(
        plan.require("stable_diffusion", part="vae") / "vae", local_files_only=True
    ).eval()
    return vae
