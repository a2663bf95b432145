"""CLAP: clips and captions in one space, of transformers' own class with HTSAT for ears.

Legend: B batch, N samples, T frames, M mel bands, D projection width.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from transformers import (
    ClapAudioConfig,
    ClapConfig,
    ClapFeatureExtractor,
    ClapModel,
    ClapProcessor,
    ClapTextConfig,
    RobertaTokenizer,
)

from core.embedded.corpus.classes import ATTRIBUTES, CLASSES, caption
from core.embedded.corpus.sound import DURATION_S, SAMPLE_RATE_HZ
from core.embedded.recipes.bpe import MAX_LENGTH, roberta_tokenizer
from core.embedded.recipes.contrast import (
    contrastive_loss,
    draw_captions,
    ridge_error,
    zero_shot_accuracy,
)
from core.embedded.recipes.loop import Recipe, train
from core.embedded.recipes.plan import Plan
from core.embedded.recipes.samples import Samples, sound_samples
from core.embedded.recipes.words import HEARD
from core.randomness import rng, torch_seeded

NUM_TRAIN, NUM_HELD_OUT = 6_000, 800
STEPS = 1_500
NUM_MEL_BINS = 32


def recipe(plan: Plan) -> Recipe:
    """Trained on one core in about ten minutes."""
    return Recipe(
        steps=plan.steps(STEPS),
        batch_size=48,
        learning_rate=1e-3,
        weight_decay=0.05,
        ema_decay=0.995,
        warmup_share=0.1,
    )


def new_processor() -> ClapProcessor:
    """Keeps loudness; 126 frames of 32 bands; frequency_min and padding as LAION trained with."""
    extractor = ClapFeatureExtractor(
        feature_size=NUM_MEL_BINS,
        sampling_rate=SAMPLE_RATE_HZ,
        hop_length=1_152,
        max_length_s=int(DURATION_S),
        fft_window_size=2_048,
        frequency_min=50,
        frequency_max=20_000,
        truncation="rand_trunc",
        padding="repeatpad",
    )
    return ClapProcessor(feature_extractor=extractor, tokenizer=roberta_tokenizer())


def new_clap(tokenizer: RobertaTokenizer, seed: int) -> ClapModel:
    """Two stages of windowed attention; the last holds 4 bands by 16 moments."""
    audio = ClapAudioConfig(
        spec_size=64,
        num_mel_bins=NUM_MEL_BINS,
        patch_size=4,
        patch_stride=(4, 4),
        window_size=8,
        depths=(2, 2),
        num_attention_heads=(4, 8),
        num_hidden_layers=2,
        patch_embeds_hidden_size=64,
        hidden_size=128,
        hidden_dropout_prob=0.0,
        projection_dim=512,
        enable_fusion=False,
    )
    text = ClapTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=256,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        max_position_embeddings=MAX_LENGTH + 2,
        projection_dim=512,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )
    with torch_seeded(seed, "clap", "init"):
        return ClapModel(ClapConfig(text_config=text, audio_config=audio, projection_dim=512))


def heard(plan: Plan, namespace: str, count: int, processor: ClapProcessor) -> Samples:
    """Clips as CLAP's own extractor hears them, float16 [N, 1, T, M]."""

    def listen(clip: np.ndarray) -> np.ndarray:
        features = processor.feature_extractor(
            clip, sampling_rate=SAMPLE_RATE_HZ, return_tensors="np"
        )
        return features["input_features"][0].astype(np.float16)

    return sound_samples(plan, namespace, count, kind="clap-mel", listen=listen)


def text_vectors(model: ClapModel, tokenizer: RobertaTokenizer, texts: list[str]) -> Tensor:
    """[B, D] projections of captions."""
    tokens = tokenizer(texts, padding=True, return_tensors="pt")
    hidden = model.text_model(
        input_ids=tokens.input_ids, attention_mask=tokens.attention_mask
    ).pooler_output
    return model.text_projection(hidden)


def audio_vectors(model: ClapModel, mel_BTM: Tensor) -> Tensor:
    """[B, D] projections of clips."""
    return model.audio_projection(model.audio_model(input_features=mel_BTM).pooler_output)


def train_clap(plan: Plan) -> tuple[ClapModel, ClapProcessor, float]:
    """The model, its processor and the seconds that training took."""
    processor = new_processor()
    tokenizer = processor.tokenizer
    samples = heard(plan, "clap", plan.count(NUM_TRAIN), processor)
    codes = HEARD.codes(samples.classes, samples.attributes)
    model = new_clap(tokenizer, plan.seed)
    settings = recipe(plan)

    def loss_at(step: int) -> Tensor:
        draw = rng(plan.seed, "clap", "batch", step)
        chosen = draw.integers(0, len(samples), settings.batch_size)
        texts, true_MN = draw_captions(codes[chosen], HEARD, draw)
        mel = torch.from_numpy(samples.values[chosen].astype(np.float32))
        return contrastive_loss(
            text_vectors(model, tokenizer, texts),
            audio_vectors(model, mel),
            model.logit_scale_a,
            true_MN,
        )

    with torch_seeded(plan.seed, "clap", "dropout"):
        seconds = train([model], loss_at, settings, name="clap")
    return model, processor, seconds


@dataclass(frozen=True)
class ClapQuality:
    """What the vectors of held-out clips tell."""

    zero_shot_accuracy: float
    """Share of clips nearest to their own class's caption, of eight."""
    pooled_attribute_mae: dict[str, float]
    """Error of a linear read-out of each attribute from the pooled vector."""
    sequence_attribute_mae: dict[str, float]
    """The same from the last hidden state, averaged over bands."""


@torch.no_grad()
def measure_clap(plan: Plan, model: ClapModel, processor: ClapProcessor) -> ClapQuality:
    """Quality on a namespace that trained nothing."""
    samples = heard(plan, "held-out", plan.count(NUM_HELD_OUT), processor)
    mel = torch.from_numpy(samples.values.astype(np.float32))
    hidden = [model.audio_model(input_features=part) for part in mel.split(100)]
    vectors = model.audio_projection(torch.cat([part.pooler_output for part in hidden]))
    sequence = torch.cat([part.last_hidden_state.mean(dim=2).flatten(1) for part in hidden])
    captions = text_vectors(model, processor.tokenizer, [caption(cls) for cls in CLASSES])
    pooled, tokens = (
        {name: ridge_error(features, samples.attributes[:, k]) for k, name in enumerate(ATTRIBUTES)}
        for features in (vectors, sequence)
    )
    return ClapQuality(
        zero_shot_accuracy=zero_shot_accuracy(captions, vectors, samples.classes),
        pooled_attribute_mae=pooled,
        sequence_attribute_mae=tokens,
    )
