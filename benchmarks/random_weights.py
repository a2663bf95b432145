"""Random weights of Stable Diffusion v1.5's exact sizes, in the real folder formats, in seconds.

They generate noise, and everything else about them is real: shapes, files, loading, memory, time.
The VAE alone is set so that a picture comes out of it blurred: a run refuses one that loses it.
Usage: python benchmarks/random_weights.py OUT [--pixels 512]
"""

import argparse
import json
import shutil
from pathlib import Path
from typing import Any

import torch

from core.embedded import WEIGHTS


def write_random_weights(
    out: Path, *, sample_size: int = 64, dtype: torch.dtype = torch.bfloat16
) -> None:
    """Write `sd15`, `clap` and `clip` below `out`: 3.2 GB, Stable Diffusion's in `dtype`.

    sample_size: side of the latents that the configs name; no weight depends on it.
    """
    from diffusers import AutoencoderKL, UNet2DConditionModel
    from transformers import (
        ClapConfig,
        ClapFeatureExtractor,
        ClapModel,
        CLIPConfig,
        CLIPModel,
        CLIPTextConfig,
        CLIPTextModel,
    )

    torch.manual_seed(0)
    sd = out / "sd15"
    for part in ("tokenizer", "scheduler"):
        shutil.copytree(WEIGHTS / "stable_diffusion" / part, sd / part, dirs_exist_ok=True)
    shutil.copy(WEIGHTS / "stable_diffusion" / "model_index.json", sd / "model_index.json")
    _edit(sd / "tokenizer" / "tokenizer_config.json", model_max_length=77)
    with torch.device("cuda" if torch.cuda.is_available() else "cpu"):
        unet = UNet2DConditionModel(
            sample_size=sample_size,
            cross_attention_dim=768,
            attention_head_dim=8,
            block_out_channels=(320, 640, 1280, 1280),
        )
        unet.to(dtype).save_pretrained(sd / "unet")
        vae = AutoencoderKL(
            latent_channels=4,
            layers_per_block=2,
            block_out_channels=(128, 256, 512, 512),
            sample_size=8 * sample_size,
            down_block_types=("DownEncoderBlock2D",) * 4,
            up_block_types=("UpDecoderBlock2D",) * 4,
            scaling_factor=0.18215,
        )
        _pass_pictures(vae)
        vae.to(dtype).save_pretrained(sd / "vae")
        text = CLIPTextConfig(
            vocab_size=49408,
            hidden_size=768,
            intermediate_size=3072,
            num_hidden_layers=12,
            num_attention_heads=12,
            projection_dim=768,
            bos_token_id=664,
            eos_token_id=665,
        )
        CLIPTextModel(text).to(dtype).save_pretrained(sd / "text_encoder")
        clap = ClapConfig()
        embedded = json.loads((WEIGHTS / "clap" / "config.json").read_text())
        clap.text_config.vocab_size = max(2000, embedded["text_config"]["vocab_size"])
        ClapModel(clap).save_pretrained(out / "clap")
        clip = CLIPConfig(
            projection_dim=512,
            text_config={
                "vocab_size": 49408,
                "hidden_size": 512,
                "intermediate_size": 2048,
                "num_attention_heads": 8,
                "num_hidden_layers": 12,
                "bos_token_id": 664,
                "eos_token_id": 665,
            },
            vision_config={
                "patch_size": 32,
                "image_size": 224,
                "hidden_size": 768,
                "num_attention_heads": 12,
                "num_hidden_layers": 12,
                "intermediate_size": 3072,
            },
        )
        CLIPModel(clip).save_pretrained(out / "clip")
    for model in ("clap", "clip"):
        for name in ("tokenizer.json", "tokenizer_config.json"):
            shutil.copy(WEIGHTS / model / name, out / model / name)
    ClapFeatureExtractor(
        frequency_min=50, truncation="rand_trunc", padding="repeatpad"
    ).save_pretrained(out / "clap")
    shutil.copy(WEIGHTS / "clip" / "preprocessor_config.json", out / "clip")
    _edit(
        out / "clip" / "preprocessor_config.json",
        crop_size={"height": 224, "width": 224},
        size={"shortest_edge": 224},
    )


_LINEAR = 6.0
"""Where SiLU is nearly the identity plus a constant."""
_LATENT_SCALE = 2.5
"""Brings latents near the deviation of 5 that those of SD v1.5 have before their scaling factor."""
_PIXEL_STD, _PIXEL_MEAN = 0.4, -0.4
"""Of a decoded picture, in [-1, 1]; darker than most pictures."""


def _pass_pictures(vae: Any) -> None:
    """Let red, green and blue pass as the first three channels, at an eighth of the resolution.

    Every block adds nothing to its input; the other channels stay random and lead nowhere.
    """
    with torch.no_grad():
        for name, module in vae.named_modules():
            last = name.rpartition(".")[2]
            if last in ("conv2", "0") and (last != "0" or name.endswith("to_out.0")):
                module.weight.zero_()
                module.bias.zero_()
            elif name.endswith("downsamplers.0.conv"):
                _pass_channels(module, taps=((0, 0), (0, 1), (1, 0), (1, 1)))
            elif last in ("conv_in", "conv_shortcut", "quant_conv", "post_quant_conv") or (
                name.endswith("upsamplers.0.conv")
            ):
                _pass_channels(module)
        for part, std, mean in (
            (vae.encoder, _LATENT_SCALE, 0.0),
            (vae.decoder, _PIXEL_STD, _PIXEL_MEAN),
        ):
            part.conv_norm_out.weight.fill_(1.0)
            part.conv_norm_out.bias.fill_(_LINEAR)
            part.conv_out.weight.zero_()
            part.conv_out.bias.fill_(-10.0)  # the encoder's other channels: no variance
            for channel in range(3):
                part.conv_out.weight[channel, channel, 1, 1] = std
                part.conv_out.bias[channel] = mean - std * _LINEAR


def _pass_channels(conv: Any, *, taps: tuple[tuple[int, int], ...] | None = None) -> None:
    middle = conv.kernel_size[0] // 2
    taps = ((middle, middle),) if taps is None else taps
    conv.bias.zero_()
    if conv.in_channels == conv.out_channels == 8:  # means and variances of the latents
        conv.weight.copy_(torch.eye(8)[:, :, None, None])
        return
    conv.weight[:3] = 0.0
    for channel in range(3):
        for row, column in taps:
            conv.weight[channel, channel, row, column] = 1 / len(taps)


def _edit(path: Path, **values: object) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


def main() -> None:
    """Write them and say how a run names them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument(
        "--pixels", type=int, default=512, help="side of the images; 128 is for a CPU"
    )
    asked = parser.parse_args()
    write_random_weights(asked.out, sample_size=asked.pixels // 8)
    print(
        "to use them, pass to every command: "
        f"--set foundation.stable_diffusion={asked.out / 'sd15'} "
        f"--set foundation.clap={asked.out / 'clap'} --set scorers.clip={asked.out / 'clip'}"
    )


if __name__ == "__main__":
    main()
