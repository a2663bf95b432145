"""A single-file checkpoint under the original code's names, to the folder that it came from."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from safetensors.torch import save_file
from torch import Tensor
from transformers import CLIPTextConfig, CLIPTextModel

from core.errors import MismatchError, MissingWeightsError
from core.foundation.convert.stable_diffusion import convert_stable_diffusion
from core.foundation.foundation import Foundation

WIDTHS, NUM_LAYERS = [32, 32, 64, 64], 2
_RESNET = {
    "norm1": "in_layers.0", "conv1": "in_layers.2", "time_emb_proj": "emb_layers.1",
    "norm2": "out_layers.0", "conv2": "out_layers.3", "conv_shortcut": "skip_connection",
}  # fmt: skip
_VAE_ATTENTION = {
    "group_norm": "norm", "to_q": "q", "to_k": "k", "to_v": "v", "to_out.0": "proj_out",
}  # fmt: skip


def _words(name: str, words: dict[str, str]) -> str:
    if words is _RESNET and "transformer_blocks" in name:
        return name
    for ours, theirs in words.items():
        name = name.replace(f".{ours}.", f".{theirs}.")
    return name


def unet_name(name: str) -> str:
    """Of a weight in the original code, written from its module lists of four levels."""
    for ours, theirs in (
        ("conv_in.", "input_blocks.0.0."), ("conv_norm_out.", "out.0."), ("conv_out.", "out.2."),
        ("time_embedding.linear_1.", "time_embed.0."),
        ("time_embedding.linear_2.", "time_embed.2."),
        ("mid_block.resnets.0.", "middle_block.0."), ("mid_block.attentions.0.", "middle_block.1."),
        ("mid_block.resnets.1.", "middle_block.2."),
    ):  # fmt: skip
        if name.startswith(ours):
            return _words(theirs + name.removeprefix(ours), _RESNET)
    found = re.fullmatch(
        r"(down|up)_blocks\.(\d)\.(resnets|attentions|\w+samplers)\.(\d)\.(.*)", name
    )
    assert found, name
    side, level, kind, layer, rest = found[1], int(found[2]), found[3], int(found[4]), found[5]
    if kind.endswith("samplers"):
        if side == "down":
            return f"input_blocks.{(NUM_LAYERS + 1) * (level + 1)}.0.op." + rest.removeprefix(
                "conv."
            )
        place = (NUM_LAYERS + 1) * level + NUM_LAYERS
        return f"output_blocks.{place}.{1 if level == 0 else 2}.{rest}"
    if side == "down":
        stem = f"input_blocks.{(NUM_LAYERS + 1) * level + layer + 1}"
    else:
        stem = f"output_blocks.{(NUM_LAYERS + 1) * level + layer}"
    return _words(f"{stem}.{0 if kind == 'resnets' else 1}.{rest}", _RESNET)


def vae_name(name: str) -> str:
    name = name.replace("conv_norm_out", "norm_out")
    name = _words(
        name, {"mid_block.resnets.0": "mid.block_1", "mid_block.resnets.1": "mid.block_2"}
    )
    if ".mid_block.attentions.0." in name:
        return _words(name.replace("mid_block.attentions.0", "mid.attn_1"), _VAE_ATTENTION)
    name = name.replace("conv_shortcut", "nin_shortcut")
    found = re.fullmatch(
        r"(en|de)coder\.(down|up)_blocks\.(\d)\.(resnets|\w+samplers)\.(\d)\.(.*)", name
    )
    if found is None:
        return name
    level = int(found[3]) if found[2] == "down" else len(WIDTHS) - 1 - int(found[3])
    kind = f"block.{found[5]}" if found[4] == "resnets" else f"{found[2]}sample"
    return f"{found[1]}coder.{found[2]}.{level}.{kind}.{found[6]}"


@pytest.fixture(scope="module")
def architecture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shipped configs of v1.5 at a tiny size."""
    from core.foundation.convert import stable_diffusion as module

    shipped = Path(module.__file__).parents[1] / "architectures" / module.ARCHITECTURE
    folder = tmp_path_factory.mktemp("architecture")
    small: dict[str, dict[str, Any]] = {
        "unet/config.json": {"block_out_channels": WIDTHS, "sample_size": 8,
                             "cross_attention_dim": 32, "attention_head_dim": 4},
        "vae/config.json": {"block_out_channels": [32] * 4, "sample_size": 64},
        "text_encoder/config.json": {"hidden_size": 32, "intermediate_size": 64,
                                     "num_attention_heads": 4, "num_hidden_layers": 1,
                                     "projection_dim": 32, "vocab_size": 666},
        "scheduler/scheduler_config.json": {},
        "model_index.json": {},
    }  # fmt: skip
    for name, changes in small.items():
        config = json.loads((shipped / name).read_text()) | changes
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(json.dumps(config))
    return folder


Parts = dict[str, dict[str, Tensor]]


@pytest.fixture(scope="module")
def parts(architecture: Path) -> Parts:
    """Random weights of the three parts, under diffusers' and transformers' names."""
    torch.manual_seed(0)
    configs = {p: json.loads((architecture / p / "config.json").read_text())
               for p in ("unet", "vae", "text_encoder")}  # fmt: skip
    return {
        "unet": dict(UNet2DConditionModel.from_config(configs["unet"]).state_dict()),
        "vae": dict(AutoencoderKL.from_config(configs["vae"]).state_dict()),
        "text_encoder": dict(CLIPTextModel(CLIPTextConfig(**configs["text_encoder"])).state_dict()),
    }


def original(parts: Parts) -> dict[str, Tensor]:
    """The same weights as one file of the original code has them."""
    state = {f"model.diffusion_model.{unet_name(n)}": t for n, t in parts["unet"].items()}
    for name, tensor in parts["vae"].items():
        is_projection = ".attentions." in name and ".to_" in name and tensor.ndim == 2
        value = tensor[:, :, None, None] if is_projection else tensor
        state[f"first_stage_model.{vae_name(name)}"] = value
    for name, tensor in parts["text_encoder"].items():
        plain = name.removeprefix("text_model.")
        state[f"cond_stage_model.transformer.text_model.{plain}"] = tensor
    state["cond_stage_model.transformer.text_model.embeddings.position_ids"] = torch.arange(77)[
        None
    ]
    state["betas"] = torch.zeros(3)
    return {name: value.contiguous() for name, value in state.items()}


TOKENIZER = "embedded:stable_diffusion"


def test_every_weight_comes_back_under_its_own_name(
    tmp_path: Path, architecture: Path, parts: Parts
) -> None:
    """Catches: a single-file checkpoint refused, or two layers exchanged on the way."""
    save_file(original(parts), tmp_path / "sd.safetensors")
    out = tmp_path / "sd"
    found = convert_stable_diffusion(
        tmp_path / "sd.safetensors", folder=out, tokenizer=TOKENIZER, architecture=architecture
    )
    assert found.left_out == ("betas",)
    loaded = Foundation(stable_diffusion=str(out), clap="embedded:clap")
    for name in ("unet", "vae", "text_encoder"):
        state = getattr(loaded, name).state_dict()
        assert state.keys() == parts[name].keys()
        for key, value in parts[name].items():
            assert torch.equal(state[key], value), key
    assert loaded.noise_scheduler.config.beta_schedule == "scaled_linear"
    assert loaded.tokenizer.vocab_size == 666
    assert loaded.stable_diffusion.fingerprint()


def test_a_whole_training_state_is_read_without_its_objects(
    tmp_path: Path, architecture: Path, parts: Parts
) -> None:
    """Catches: a `.ckpt` refused for the callbacks it holds, or one whose code is run."""
    ran = tmp_path / "ran"

    class Callback:
        def __reduce__(self) -> tuple[object, tuple[object, ...]]:
            return (exec, (f"open({str(ran)!r}, 'w')",))

    half = {name: value.half() for name, value in original(parts).items()}
    content = {"state_dict": half, "callbacks": {"best": Callback()}, "epoch": 3}
    torch.save(content, tmp_path / "sd.ckpt")
    convert_stable_diffusion(
        tmp_path / "sd.ckpt", folder=tmp_path / "sd", tokenizer=TOKENIZER, architecture=architecture
    )
    assert not ran.exists()
    loaded = Foundation(stable_diffusion=str(tmp_path / "sd"), clap="embedded:clap")
    assert torch.equal(
        loaded.unet.state_dict()["conv_in.weight"], parts["unet"]["conv_in.weight"].half().float()
    )


def test_what_is_no_version_1_is_refused_with_nothing_written(
    tmp_path: Path, architecture: Path, parts: Parts
) -> None:
    """Catches: an inpainting model, a LoRA file or half a checkpoint that becomes a folder."""
    whole = original(parts)
    first = "model.diffusion_model.input_blocks.0.0.weight"
    inpainting = {**whole, first: torch.zeros(32, 9, 3, 3)}
    lora = {"lora_unet.weight": torch.zeros(2)}
    lacking = dict(whole)
    del lacking["model.diffusion_model.middle_block.0.in_layers.2.weight"]
    deaf = {n: t for n, t in whole.items() if not n.endswith("final_layer_norm.weight")}
    for tensors, told in (
        (inpainting, "inpainting models"), (lora, "LoRA files"),
        (lacking, "nothing was written"), (deaf, "1 missing"),
    ):  # fmt: skip
        save_file(tensors, tmp_path / "other.safetensors")
        with pytest.raises(MismatchError, match=told):
            convert_stable_diffusion(
                tmp_path / "other.safetensors",
                folder=tmp_path / "out",
                tokenizer=TOKENIZER,
                architecture=architecture,
            )
        assert not (tmp_path / "out").exists()


def test_a_missing_tokenizer_names_the_two_megabytes_to_fetch(
    tmp_path: Path, architecture: Path, parts: Parts
) -> None:
    """Catches: minutes of conversion before it turns out that there are no words."""
    save_file(original(parts), tmp_path / "sd.safetensors")
    with pytest.raises(MissingWeightsError, match="hf download owner/words"):
        convert_stable_diffusion(
            tmp_path / "sd.safetensors",
            folder=tmp_path / "sd",
            tokenizer="owner/words",
            architecture=architecture,
        )
