"""How well the painter paints: does the judge name its pictures, do words move them."""

from dataclasses import dataclass

import numpy as np
import torch

from core.embedded.corpus.classes import ATTRIBUTES, CLASSES, caption
from core.embedded.recipes.diffusion import paint
from core.embedded.recipes.judges import judge_images
from core.embedded.recipes.library import Pipeline
from core.embedded.recipes.plan import Plan
from core.embedded.recipes.words import SEEN
from core.foundation.judge import Judge

NUM_PER_CLASS = 32
NUM_STEPS, GUIDANCE_SCALE = 20, 3.0


@dataclass(frozen=True)
class DiffusionQuality:
    """Pictures painted in 20 DDIM steps with guidance 3, judged."""

    class_accuracy: float
    """Share of pictures from class-only captions that the judge names right."""
    class_accuracy_by_class: dict[str, float]
    """The same by class."""
    word_class_accuracy: float
    """The same from captions that name all four attributes."""
    attribute_correlation: dict[str, float]
    """Pearson's, between the attribute named and the attribute judged."""
    attribute_mae: dict[str, float]
    """Error of the judged attribute against the middle of the level named."""


def measure_diffusion(plan: Plan, pipeline: Pipeline, judge: Judge) -> DiffusionQuality:
    """Quality with fixed noise; no training sample is involved."""
    count = plan.count(NUM_PER_CLASS, least=2)
    class_N = np.repeat(np.arange(len(CLASSES)), count)
    plain = [caption(CLASSES[k]) for k in class_N]
    named = _named_right(judge_images(judge, _paint(plan, pipeline, plain)).class_logits, class_N)
    # Golden-ratio steps through the levels: every word meets every class, without a draw.
    grid = (np.arange(len(class_N))[:, None] * np.array([0.618, 0.414, 0.732, 0.236])) % 1.0
    codes = SEEN.codes(class_N, grid)
    judgement = judge_images(judge, _paint(plan, pipeline, [SEEN.text(code) for code in codes]))
    middles = np.stack(
        [(codes[:, 1 + k] + 0.5) / len(words) for k, words in enumerate(SEEN.levels)], axis=1
    )
    judged = judgement.attributes.double().numpy()
    by_class = named.reshape(len(CLASSES), count).mean(axis=1)
    return DiffusionQuality(
        class_accuracy=float(named.mean()),
        class_accuracy_by_class=dict(zip(CLASSES, map(float, by_class), strict=True)),
        word_class_accuracy=float(_named_right(judgement.class_logits, class_N).mean()),
        attribute_correlation={
            name: float(np.corrcoef(middles[:, k], judged[:, k])[0, 1])
            for k, name in enumerate(ATTRIBUTES)
        },
        attribute_mae={
            name: float(np.abs(middles[:, k] - judged[:, k]).mean())
            for k, name in enumerate(ATTRIBUTES)
        },
    )


def _paint(plan: Plan, pipeline: Pipeline, texts: list[str]) -> np.ndarray:
    return paint(
        pipeline, texts, seed=plan.seed, num_steps=NUM_STEPS, guidance_scale=GUIDANCE_SCALE
    )


def _named_right(class_logits: torch.Tensor, class_N: np.ndarray) -> np.ndarray:
    return class_logits.argmax(dim=1).numpy() == class_N
