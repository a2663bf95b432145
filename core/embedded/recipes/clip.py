"""CLIP: pictures and captions in one space. A scorer; nothing is conditioned on it.

Legend: B batch, C channels, H and W pixels, D projection width.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import CLIPConfig, CLIPModel, CLIPTextConfig, CLIPTokenizer, CLIPVisionConfig
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

from core.embedded.corpus.classes import CLASSES, caption
from core.embedded.recipes.bpe import MAX_LENGTH, clip_tokenizer
from core.embedded.recipes.contrast import contrastive_loss, draw_captions, zero_shot_accuracy
from core.embedded.recipes.judges import spoil
from core.embedded.recipes.loop import Recipe, train
from core.embedded.recipes.plan import Plan
from core.embedded.recipes.samples import image_samples
from core.embedded.recipes.words import SEEN
from core.randomness import rng, torch_seeded

NUM_TRAIN, NUM_HELD_OUT = 12_000, 400
STEPS = 1_800
WIDTH = 128


def recipe(plan: Plan) -> Recipe:
    """Trained on one core in about a quarter of an hour."""
    return Recipe(
        steps=plan.steps(STEPS),
        batch_size=48,
        learning_rate=1e-3,
        weight_decay=0.05,
        ema_decay=0.997,
        warmup_share=0.1,
    )


def new_processor() -> CLIPImageProcessorPil:
    """Pictures to 64 px with CLIP's own mean and deviation; needs PIL and numpy only."""
    return CLIPImageProcessorPil(size={"shortest_edge": 64}, crop_size={"height": 64, "width": 64})


def new_clip(tokenizer: CLIPTokenizer, seed: int) -> CLIPModel:
    """A vision transformer over 8 px patches and a small text tower."""
    tower: dict[str, Any] = {
        "hidden_size": WIDTH,
        "intermediate_size": 4 * WIDTH,
        "num_attention_heads": 4,
        "projection_dim": WIDTH,
    }
    vision = CLIPVisionConfig(image_size=64, patch_size=8, num_hidden_layers=3, **tower)
    text = CLIPTextConfig(
        vocab_size=len(tokenizer),
        num_hidden_layers=2,
        max_position_embeddings=MAX_LENGTH,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        **tower,
    )
    with torch_seeded(seed, "clip", "init"):
        return CLIPModel(
            CLIPConfig(
                text_config=text.to_dict(), vision_config=vision.to_dict(), projection_dim=WIDTH
            )
        )


def prepare(images_BHWC: np.ndarray, processor: CLIPImageProcessorPil) -> Tensor:
    """float32 [B, 3, 64, 64]: what the processor makes of 64 px pictures, without its loop."""
    mean, std = (
        torch.tensor(x)[:, None, None] for x in (processor.image_mean, processor.image_std)
    )
    pixels = torch.from_numpy(images_BHWC).permute(0, 3, 1, 2).float() / 255.0
    return (pixels - mean) / std


def text_vectors(model: CLIPModel, tokenizer: CLIPTokenizer, texts: list[str]) -> Tensor:
    """[B, D] projections of captions."""
    tokens = tokenizer(texts, padding=True, return_tensors="pt")
    hidden = model.text_model(
        input_ids=tokens.input_ids, attention_mask=tokens.attention_mask
    ).pooler_output
    return model.text_projection(hidden)


def image_vectors(model: CLIPModel, pixels_BCHW: Tensor) -> Tensor:
    """[B, D] projections of pictures."""
    return model.visual_projection(model.vision_model(pixel_values=pixels_BCHW).pooler_output)


def train_clip(plan: Plan) -> tuple[CLIPModel, CLIPTokenizer, CLIPImageProcessorPil, float]:
    """The model, its tokenizer and processor, and the seconds that training took."""
    tokenizer, processor = clip_tokenizer(), new_processor()
    samples = image_samples(plan, "clip", plan.count(NUM_TRAIN))
    codes = SEEN.codes(samples.classes, samples.attributes)
    model = new_clip(tokenizer, plan.seed)
    mean, std = (
        torch.tensor(x)[:, None, None] for x in (processor.image_mean, processor.image_std)
    )
    settings = recipe(plan)

    def loss_at(step: int) -> Tensor:
        draw = rng(plan.seed, "clip", "batch", step)
        chosen = draw.integers(0, len(samples), settings.batch_size)
        texts, true_MN = draw_captions(codes[chosen], SEEN, draw)
        pixels = torch.from_numpy(samples.values[chosen]).permute(0, 3, 1, 2).float() / 255.0
        pixels = (spoil(pixels, draw) - mean) / std
        return contrastive_loss(
            text_vectors(model, tokenizer, texts),
            image_vectors(model, pixels),
            model.logit_scale,
            true_MN,
        )

    seconds = train([model], loss_at, settings, name="clip")
    return model, tokenizer, processor, seconds


@dataclass(frozen=True)
class ClipQuality:
    """What the vectors of held-out pictures tell."""

    zero_shot_accuracy: float
    """Share of pictures nearest to their own class's caption, of eight."""
    attribute_word_accuracy: dict[str, float]
    """Share nearest to the right attribute word, the class being given; by attribute."""
    own_class_cosine: float
    """Mean cosine of a picture with its class's caption."""
    other_class_cosine: float
    """Mean cosine with the other captions."""


@torch.no_grad()
def measure_clip(
    plan: Plan, model: CLIPModel, tokenizer: CLIPTokenizer, processor: CLIPImageProcessorPil
) -> ClipQuality:
    """Quality on a namespace that trained nothing."""
    samples = image_samples(plan, "held-out", plan.count(NUM_HELD_OUT))
    vectors = torch.cat(
        [image_vectors(model, part) for part in prepare(samples.values, processor).split(100)]
    )
    captions = text_vectors(model, tokenizer, [caption(cls) for cls in CLASSES])
    unit = torch.nn.functional.normalize
    cosine = (unit(vectors, dim=-1) @ unit(captions, dim=-1).T).numpy()
    own = np.arange(len(CLASSES)) == samples.classes[:, None]
    return ClipQuality(
        zero_shot_accuracy=zero_shot_accuracy(captions, vectors, samples.classes),
        attribute_word_accuracy=_word_accuracy(
            model,
            tokenizer=tokenizer,
            vectors_ND=vectors,
            class_N=samples.classes,
            attributes_NA=samples.attributes,
        ),
        own_class_cosine=float(cosine[own].mean()),
        other_class_cosine=float(cosine[~own].mean()),
    )


def _word_accuracy(
    model: CLIPModel,
    tokenizer: CLIPTokenizer,
    vectors_ND: Tensor,
    class_N: np.ndarray,
    attributes_NA: np.ndarray,
) -> dict[str, float]:
    codes_NK = SEEN.codes(class_N, attributes_NA)
    shares = {}
    for k, (name, words) in enumerate(
        zip(("pitch", "intensity", "hiss", "onset"), SEEN.levels, strict=True)
    ):
        texts = [f"{caption(cls)}, {word}" for cls in CLASSES for word in words]
        text = torch.nn.functional.normalize(text_vectors(model, tokenizer, texts), dim=-1)
        by_class = text.reshape(len(CLASSES), len(words), -1)[torch.from_numpy(class_N)]
        nearest = (by_class @ vectors_ND[:, :, None])[..., 0].argmax(dim=1).numpy()
        shares[name] = float((nearest == codes_NK[:, 1 + k]).mean())
    return shares
