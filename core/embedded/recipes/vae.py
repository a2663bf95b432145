"""The autoencoder: 64 px RGB <-> 8x8x4 latents, trained on the corpus's pictures.

Legend: B batch, C channels, H and W pixels, h and w latent cells.
"""

from dataclasses import dataclass

import numpy as np
import torch
from diffusers import AutoencoderKL
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from core.embedded.recipes.library import Autoencoder
from core.embedded.recipes.loop import Recipe, train
from core.embedded.recipes.plan import Plan
from core.embedded.recipes.samples import image_samples
from core.randomness import normal, rng, torch_seeded

NUM_TRAIN, NUM_HELD_OUT = 12_000, 400
STEPS, DECODER_STEPS = 2_471, 1_800
HORIZON_STEPS = 4_600
# Latents are kept near a unit normal only as far as costs no picture quality.
KL_WEIGHT = 1e-4
# Of the painter's latents' deviation.
DECODER_NOISE = 0.05


def recipe(plan: Plan) -> Recipe:
    """Trained on one core in about half an hour; the decoder's polish ends the decay."""
    return Recipe(
        steps=plan.steps(STEPS),
        batch_size=16,
        learning_rate=2e-3,
        weight_decay=0.0,
        horizon=HORIZON_STEPS / STEPS,
    )


def new_vae(seed: int) -> Autoencoder:
    """An untrained autoencoder, factor 8, 4 latent channels."""
    with torch_seeded(seed, "vae", "init"):
        return AutoencoderKL(
            in_channels=3,
            out_channels=3,
            down_block_types=("DownEncoderBlock2D",) * 4,
            up_block_types=("UpDecoderBlock2D",) * 4,
            block_out_channels=(16, 32, 64, 96),
            layers_per_block=1,
            latent_channels=4,
            norm_num_groups=8,
            sample_size=64,
            mid_block_add_attention=False,
        )


def to_pixels(images_BHWC: np.ndarray) -> Tensor:
    """uint8 [B, H, W, 3] -> float32 [B, 3, H, W] in [-1, 1], channels last in memory."""
    pixels = torch.from_numpy(images_BHWC.astype(np.float32) / 127.5 - 1.0)
    return pixels.permute(0, 3, 1, 2)


def reconstruction_loss(
    y_BCHW: Tensor, x_BCHW: Tensor, *, luma: float, chroma: float, l1: float
) -> Tensor:
    """`l1` absolute error, `luma` squared error, and `chroma` squared error of the pixels less
    their grey value, at full size and 4x4 pooled.

    Without a chroma weight well above the rest a young decoder paints grey and stays there, since
    hue covers few pixels.
    """
    difference = y_BCHW - x_BCHW
    colour = difference - difference.mean(dim=1, keepdim=True)
    pooled = F.avg_pool2d(colour, 4)
    return (
        l1 * difference.abs().mean()
        + luma * difference.square().mean()
        + chroma * (colour.square().mean() + pooled.square().mean())
    )


def train_vae(plan: Plan) -> tuple[Autoencoder, float]:
    """A trained autoencoder with its scaling factor set, and the seconds it took."""
    samples = image_samples(plan, "conditioners", plan.count(NUM_TRAIN))
    vae = new_vae(plan.seed).to(memory_format=torch.channels_last)
    settings = recipe(plan)

    def loss_at(step: int) -> Tensor:
        draw = rng(plan.seed, "vae", "batch", step)
        x_BCHW = to_pixels(samples.values[draw.integers(0, len(samples), settings.batch_size)])
        noise_BChw = normal((len(x_BCHW), 4, 8, 8), seed=plan.seed, name=("vae", "noise", step))
        # The convolutions in bfloat16: a quarter faster on a CPU that has it, at equal loss.
        with torch.autocast("cpu", dtype=torch.bfloat16):
            posterior = vae.encode(x_BCHW).latent_dist
            z_BChw = posterior.mean + posterior.std * noise_BChw
            y_BCHW = vae.decode(z_BChw).sample
        kl = 0.5 * (
            posterior.mean.float().square() + posterior.var.float() - 1 - posterior.logvar.float()
        )
        loss = reconstruction_loss(y_BCHW.float(), x_BCHW, luma=4.0, chroma=10.0, l1=1.0)
        return loss + KL_WEIGHT * kl.mean()

    def snapshot(step: int) -> None:
        held_out = image_samples(plan, "held-out", plan.count(NUM_HELD_OUT))
        print(f"vae: step {step} {measure_vae(vae, held_out.values)}", flush=True)
        vae.save_pretrained(plan.cache / "vae-snapshot")

    seconds = train([vae], loss_at, settings, name="vae", snapshot=snapshot, num_snapshots=12)
    vae = vae.to(memory_format=torch.contiguous_format)
    latents = encode(vae, samples.values[:1_000])
    vae.register_to_config(scaling_factor=float(1.0 / latents.std()))
    return vae, seconds


def decoder_recipe(plan: Plan) -> Recipe:
    """Trained on one core in about a quarter of an hour."""
    return Recipe(
        steps=plan.steps(DECODER_STEPS), batch_size=16, learning_rate=1e-3, weight_decay=0.0
    )


def polish_decoder(plan: Plan, vae: Autoencoder) -> float:
    """Train the decoder on while latents stay what they are; returns the seconds taken.

    Once hue is safe, the weight moves to plain squared error; and a little noise on the latents
    teaches the decoder to bear what a painter gets slightly wrong.
    """
    samples = image_samples(plan, "conditioners", plan.count(NUM_TRAIN))
    latents_NChw = encode(vae, samples.values)
    spread = float(latents_NChw.std())
    settings = decoder_recipe(plan)
    vae.to(memory_format=torch.channels_last)

    def loss_at(step: int) -> Tensor:
        draw = rng(plan.seed, "decoder", "batch", step)
        chosen = draw.integers(0, len(samples), settings.batch_size)
        x_BCHW, z_BChw = to_pixels(samples.values[chosen]), latents_NChw[chosen]
        noise_BChw = normal(z_BChw.shape, seed=plan.seed, name=("decoder", "noise", step))
        with torch.autocast("cpu", dtype=torch.bfloat16):
            y_BCHW = vae.decode(z_BChw + DECODER_NOISE * spread * noise_BChw).sample
        return reconstruction_loss(y_BCHW.float(), x_BCHW, luma=20.0, chroma=10.0, l1=0.5)

    decoders = [vae.post_quant_conv, vae.decoder]
    seconds = train(decoders, loss_at, settings, name="decoder")
    vae.to(memory_format=torch.contiguous_format)
    return seconds


@torch.no_grad()
def encode(vae: Autoencoder, images_NHWC: np.ndarray, *, batch_size: int = 64) -> Tensor:
    """Posterior means, unscaled: float32 [N, 4, 8, 8]."""
    parts = [images_NHWC[k : k + batch_size] for k in range(0, len(images_NHWC), batch_size)]
    return torch.cat([vae.encode(to_pixels(part)).latent_dist.mean for part in parts])


@torch.no_grad()
def decode(vae: Autoencoder, latents_NChw: Tensor, *, batch_size: int = 64) -> np.ndarray:
    """uint8 [N, 64, 64, 3] from unscaled latents."""
    parts = [vae.decode(z).sample for z in latents_NChw.split(batch_size)]
    pixels = ((torch.cat(parts) + 1.0) * 127.5).round().clamp(0, 255)
    return pixels.permute(0, 2, 3, 1).to(torch.uint8).numpy()


@dataclass(frozen=True)
class VaeQuality:
    """Reconstructions of held-out pictures."""

    psnr_db: float
    """Mean over pictures, RGB, of 8-bit values."""
    chroma_psnr_db: float
    """The same of the pixels less their grey value."""
    latent_std: float
    """Of unscaled posterior means."""


def measure_vae(vae: Autoencoder, images_NHWC: np.ndarray) -> VaeQuality:
    """Quality on these pictures, encoded and decoded in float32."""
    latents = encode(vae, images_NHWC)
    error = (decode(vae, latents).astype(np.float64) - images_NHWC) / 255.0
    chroma = error - error.mean(axis=3, keepdims=True)
    return VaeQuality(
        psnr_db=float(np.mean(-10 * np.log10(np.square(error).mean(axis=(1, 2, 3))))),
        chroma_psnr_db=float(np.mean(-10 * np.log10(np.square(chroma).mean(axis=(1, 2, 3))))),
        latent_std=float(latents.std()),
    )
