"""The painter: a latent UNet and its text encoder, trained together on captioned pictures.

Legend: B batch, C channels, h and w latent cells, L text tokens, D text width.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from diffusers import (
    AutoencoderKL,
    DDIMScheduler,
    StableDiffusionPipeline,
    UNet2DConditionModel,
)
from diffusers.models.transformers.transformer_2d import Transformer2DModel
from torch import Tensor, nn
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from core.embedded.recipes import vae as autoencoder
from core.embedded.recipes.bpe import MAX_LENGTH, clip_tokenizer
from core.embedded.recipes.library import Autoencoder, Pipeline, Scheduler, Unet
from core.embedded.recipes.loop import Recipe, train
from core.embedded.recipes.plan import Plan
from core.embedded.recipes.samples import Samples, image_samples
from core.embedded.recipes.words import SEEN, UNNAMED, thin
from core.randomness import normal, rng, torch_seeded

TEXT_WIDTH = 128
EMPTY_SHARE = 0.10
# Min-SNR weighting, Hang et al. 2023, eq. 5; their gamma.
MIN_SNR_GAMMA = 5.0
# Each starts out about as large as the painter's own loss.
CELL_WEIGHT, TOKEN_WEIGHT = 0.03, 0.3
# Padding behind the longest caption: where the painter looks most.
NUM_PROBED_TOKENS = 6


@dataclass(frozen=True)
class PainterStage:
    """One stretch of the painter's training, and what it pays attention to."""

    name: str
    """Said in progress lines."""
    steps: int
    """Optimiser steps at full size."""
    horizon: float
    """As in `Recipe`: above 1 the next stage takes over while the rate is high."""
    warmup_share: float
    """As in `Recipe`."""
    weigh: Callable[[Tensor], Tensor]
    """Loss weights [T] from signal-to-noise ratios [T]."""
    class_only_share: float
    """Share of captions that name the class alone."""
    odds: tuple[float, ...]
    """Of each attribute being named in the other captions."""
    timestep_power: float
    """Timesteps are 1000 u^power, u uniform: below 1 favours noise."""
    has_probes: bool
    """Whether cells and tokens are asked what they know, see `Probes`."""

    def recipe(self, plan: Plan) -> Recipe:
        """The stage at the plan's size."""
        return Recipe(
            steps=plan.steps(self.steps),
            batch_size=32,
            learning_rate=1e-3,
            ema_decay=0.9985,
            final_share=0.01,
            horizon=self.horizon,
            warmup_share=self.warmup_share,
        )


def min_snr(snr_T: Tensor) -> Tensor:
    """Near 1 where noise prevails, small where little is left to do."""
    return snr_T.clamp(max=MIN_SNR_GAMMA) / snr_T


def inverse_error(snr_T: Tensor) -> Tensor:
    """SNR^(-1/2), of mean 1: about the inverse of the error that the first stage leaves.

    Hue, size and place are settled where noise prevails, and there the error of eps is a
    thirtieth of what it is elsewhere: under Min-SNR the words went unheard for 2,000 steps.
    """
    return snr_T.rsqrt() / snr_T.rsqrt().mean()


# Forms come within minutes, hue, size and sky within 1,500 steps of the second stage. Place does
# not come by itself, since a word must act differently in each cell and no cell knows its column:
# hence a stage that names it most and asks each cell where it is.
STAGES = (
    PainterStage(
        name="form",
        steps=2_000,
        horizon=3.5,
        warmup_share=0.05,
        weigh=min_snr,
        class_only_share=0.35,
        odds=(0.5, 0.5, 0.5, 0.5),
        timestep_power=1.0,
        has_probes=False,
    ),
    PainterStage(
        name="word",
        steps=3_570,
        horizon=5_000 / 3_570,
        warmup_share=0.02,
        weigh=inverse_error,
        class_only_share=0.35,
        odds=(0.5, 0.5, 0.5, 0.5),
        timestep_power=1.0,
        has_probes=False,
    ),
    PainterStage(
        name="place",
        steps=2_600,
        horizon=1.0,
        warmup_share=0.05,
        weigh=inverse_error,
        class_only_share=0.15,
        odds=(0.5, 0.5, 0.5, 0.85),
        timestep_power=0.6,
        has_probes=True,
    ),
)


def recipes(plan: Plan) -> list[Recipe]:
    """The stages at the plan's size; together an hour on one core."""
    return [stage.recipe(plan) for stage in STAGES]


class Probes(nn.Module):
    """Linear heads that ask each cell where it is and the last tokens what the caption named.

    A word of place moves nothing until cells know their column, text tells left from right, and
    attention joins the two; each alone earns nothing, so painting never starts on any. The heads
    teach the first two and serve training only.
    """

    def __init__(self, unet: Unet, seed: int) -> None:
        super().__init__()
        blocks = [m for m in unet.modules() if isinstance(m, Transformer2DModel)]
        with torch_seeded(seed, "probes", "init"):
            self.cells = nn.ModuleList(nn.Conv2d(m.in_channels, 2, 1) for m in blocks)
            self.tokens = nn.Linear(TEXT_WIDTH, len(SEEN.levels))
        self._seen: dict[int, Tensor] = {}
        self._hooks = [
            block.register_forward_pre_hook(partial(self._see, k)) for k, block in enumerate(blocks)
        ]

    def _see(self, index: int, block: nn.Module, given: tuple[Tensor, ...]) -> None:
        self._seen[index] = given[0]

    def loss(self, context_BLD: Tensor, captions_BK: np.ndarray) -> Tensor:
        """Squared errors of the coordinates, in [-1, 1], for the UNet's last forward pass, and of
        the levels named, in [0, 1]."""
        cells = []
        for k, head in enumerate(self.cells):
            x_BChw = self._seen.pop(k)
            rows, columns = (torch.linspace(-1.0, 1.0, side) for side in x_BChw.shape[2:])
            truth = torch.stack(torch.meshgrid(rows, columns, indexing="ij"))
            cells.append((head(x_BChw) - truth).square().mean())
        levels_BA = torch.from_numpy(captions_BK[:, 1:])
        steps_A = torch.tensor([len(words) - 1.0 for words in SEEN.levels])
        told_BA = self.tokens(context_BLD[:, -NUM_PROBED_TOKENS:].mean(dim=1))
        is_named_BA = levels_BA != UNNAMED
        error_BA = (told_BA - levels_BA / steps_A).square() * is_named_BA
        tokens = error_BA.sum() / is_named_BA.sum().clamp(min=1)
        return CELL_WEIGHT * torch.stack(cells).mean() + TOKEN_WEIGHT * tokens

    def remove(self) -> None:
        """Take the hooks off the UNet."""
        for hook in self._hooks:
            hook.remove()


def new_scheduler() -> Scheduler:
    """DDIM with the noise schedule of Stable Diffusion v1.5."""
    return DDIMScheduler(
        num_train_timesteps=1000,
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        clip_sample=False,
        set_alpha_to_one=False,
        steps_offset=1,
        prediction_type="epsilon",
    )


def new_unet(seed: int) -> Unet:
    """Two levels, 8x8 and 4x4, with cross attention at both and in the middle."""
    with torch_seeded(seed, "unet", "init"):
        return UNet2DConditionModel(
            sample_size=8,
            in_channels=4,
            out_channels=4,
            block_out_channels=(48, 96),
            layers_per_block=1,
            down_block_types=("CrossAttnDownBlock2D",) * 2,
            up_block_types=("CrossAttnUpBlock2D",) * 2,
            cross_attention_dim=TEXT_WIDTH,
            attention_head_dim=4,  # the number of heads, in this configuration
            norm_num_groups=8,
        )


def new_text_encoder(tokenizer: CLIPTokenizer, seed: int) -> CLIPTextModel:
    """Two layers over the caption's tokens."""
    config = CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=TEXT_WIDTH,
        intermediate_size=4 * TEXT_WIDTH,
        projection_dim=TEXT_WIDTH,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=MAX_LENGTH,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    with torch_seeded(seed, "text_encoder", "init"):
        return CLIPTextModel(config)


def tokens_of(tokenizer: CLIPTokenizer, texts: list[str]) -> Tensor:
    """int64 [B, L], padded to the full length as pipelines do."""
    return tokenizer(
        texts, padding="max_length", truncation=True, max_length=MAX_LENGTH, return_tensors="pt"
    ).input_ids


def train_diffusion(plan: Plan) -> tuple[Pipeline, float]:
    """The whole pipeline, and the seconds that training took; needs the autoencoder built."""
    vae: Autoencoder = AutoencoderKL.from_pretrained(
        plan.require("stable_diffusion", part="vae") / "vae", local_files_only=True
    ).eval()
    samples = image_samples(plan, "conditioners", plan.count(autoencoder.NUM_TRAIN))
    moments_NChw = _latents(vae, samples)
    codes = SEEN.codes(samples.classes, samples.attributes)
    tokenizer = clip_tokenizer()
    unet, text_encoder = new_unet(plan.seed), new_text_encoder(tokenizer, plan.seed)
    scheduler = new_scheduler()
    alpha_bar_T = scheduler.alphas_cumprod.clone()
    snr_T = alpha_bar_T / (1 - alpha_bar_T)

    def loss_at(
        step: int,
        *,
        stage: PainterStage,
        weight_T: Tensor,
        batch_size: int,
        probes: Probes | None,
    ) -> Tensor:
        draw = rng(plan.seed, "diffusion", "batch", step)
        chosen = draw.integers(0, len(samples), batch_size)
        thinned = thin(
            codes[chosen],
            draw,
            empty_share=EMPTY_SHARE,
            class_only_share=stage.class_only_share,
            odds=stage.odds,
        )
        context_BLD = text_encoder(
            tokens_of(tokenizer, [SEEN.text(code) for code in thinned])
        ).last_hidden_state
        x_BChw = moments_NChw[chosen]
        eps_BChw = normal(x_BChw.shape, seed=plan.seed, name=("diffusion", "noise", step))
        # One timestep from each of B equal slices: less variance than B independent draws.
        slices = (np.arange(len(chosen)) + draw.random(len(chosen))) / len(chosen)
        noisiness = slices**stage.timestep_power
        timesteps_B = torch.from_numpy((noisiness * len(alpha_bar_T)).astype(np.int64))
        noisy_BChw = scheduler.add_noise(x_BChw, eps_BChw, timesteps_B)
        predicted_BChw = unet(noisy_BChw, timesteps_B, context_BLD).sample
        error_B = (predicted_BChw - eps_BChw).square().mean(dim=(1, 2, 3))
        loss = (weight_T[timesteps_B] * error_B).mean()
        return loss + probes.loss(context_BLD, thinned) if probes else loss

    pipeline: Pipeline = StableDiffusionPipeline(
        vae=vae,
        text_encoder=text_encoder,
        tokenizer=tokenizer,
        unet=unet,
        scheduler=scheduler,
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )

    seconds, done = 0.0, 0
    for stage in STAGES:
        settings = stage.recipe(plan)
        probes = Probes(unet, plan.seed) if stage.has_probes else None
        at = partial(
            loss_at,
            stage=stage,
            weight_T=stage.weigh(snr_T),
            batch_size=settings.batch_size,
            probes=probes,
        )

        def stage_loss(step: int, *, done: int = done, at: Callable[[int], Tensor] = at) -> Tensor:
            return at(done + step)

        def snapshot(step: int, *, name: str = stage.name) -> None:
            save_pipeline(pipeline, plan.cache / "snapshots" / f"{name}-{step:05d}")

        seconds += train(
            [unet, text_encoder, *([probes] if probes else [])],
            stage_loss,
            settings,
            name=f"diffusion, {stage.name}",
            snapshot=snapshot,
        )
        done += settings.steps
        if probes:
            probes.remove()
    return pipeline, seconds


def save_pipeline(pipeline: Pipeline, folder: Path) -> None:
    """Write diffusers' own folder format."""
    pipeline.save_pretrained(folder)


def _latents(vae: Autoencoder, samples: Samples) -> Tensor:
    return autoencoder.encode(vae, samples.values) * vae.config.scaling_factor


@torch.no_grad()
def paint(
    pipeline: Pipeline,
    texts: list[str],
    *,
    seed: int,
    num_steps: int = 20,
    guidance_scale: float = 3.0,
    batch_size: int = 64,
) -> np.ndarray:
    """uint8 [N, 64, 64, 3]: one picture a text, with noise by position in the list."""
    scheduler: Scheduler = DDIMScheduler.from_config(pipeline.scheduler.config)
    tokenizer, unet = pipeline.tokenizer, pipeline.unet
    latents = torch.cat(
        [normal((1, 4, 8, 8), seed=seed, name=("paint", k)) for k in range(len(texts))]
    )
    painted = []
    for first in range(0, len(texts), batch_size):
        part = texts[first : first + batch_size]
        tokens = tokens_of(tokenizer, ["" for _ in part] + part)
        context = pipeline.text_encoder(tokens).last_hidden_state
        x = latents[first : first + batch_size]
        scheduler.set_timesteps(num_steps)
        for timestep in scheduler.timesteps:
            without, given = unet(torch.cat([x, x]), timestep, context).sample.chunk(2)
            eps = without + guidance_scale * (given - without)
            x = scheduler.step(eps, timestep, x).prev_sample
        painted.append(autoencoder.decode(pipeline.vae, x / pipeline.vae.config.scaling_factor))
    return np.concatenate(painted)
