"""What random weights of the true sizes let through, for a run with them from end to end."""

import numpy as np
import torch
from diffusers import AutoencoderKL

from benchmarks.random_weights import _pass_pictures
from core.data.media.decode_image import to_square
from core.embedded.corpus.pairs import make_pair
from core.training.guards import check_latents_match_pictures

PIXELS = 64


def test_a_picture_comes_out_of_the_random_vae_as_a_run_demands() -> None:
    """Catches: a rehearsal with random weights that every run refuses before its first step."""
    vae = AutoencoderKL(
        block_out_channels=(128, 256, 512, 512),
        layers_per_block=2,
        latent_channels=4,
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
    )
    _pass_pictures(vae)
    pictures = [
        to_square(make_pair(label, seed=0, namespace="random", index=0).image, size=PIXELS)
        for label in ("fire", "rain", "ocean_waves")
    ]
    pictures_B3HW = torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2) / 255
    with torch.no_grad():
        latents = vae.encode(pictures_B3HW * 2 - 1).latent_dist
        decoded_B3HW = (vae.decode(latents.mean).sample + 1) / 2
    assert 2 < float(latents.mean[:, :3].std()) < 10
    assert float(latents.std.max()) < 0.1
    check_latents_match_pictures(decoded_B3HW.clamp(0, 1), pictures_B3HW=pictures_B3HW)
