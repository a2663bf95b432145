"""SSAMBA and Audio Mamba checkpoints to encoder folders of ours.

SSAMBA (arXiv 2405.11831) saves `module.v.*` of a Vision Mamba beside its pretraining heads, AuM
(arXiv 2406.03344) the encoder with its classifier. Both are Vim's names: `layers.N.mixer.A_b_log`,
`D_b`, `conv1d_b`, `x_proj_b`, `dt_proj_b` are the backward direction's.

Both released loaders divide the spectrogram by twice its standard deviation, ours by once
(`core.features.log_mel`). Halving the patch embedding's weight makes up for it, exactly.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import torch
from torch import Tensor

from core.errors import MismatchError
from core.foundation.checkpoint import Shape, read_tensors, require_exactly
from core.foundation.mamba.config import Block, Layout, MambaEncoderConfig
from core.foundation.mamba.encoder import MambaAudioEncoder
from core.foundation.mamba.storage import write_encoder

_INPUT_FACTOR = 0.5
_NUM_MELS = 128
"""Of every released checkpoint; SSAMBA's pretrained ones also say so themselves."""


class Checkpoint(StrEnum):
    """Where a checkpoint comes from."""

    SSAMBA = "ssamba"
    AUM = "aum"


_ROOT = {Checkpoint.SSAMBA: "v.", Checkpoint.AUM: ""}
_POSITION = {Checkpoint.SSAMBA: "v.pos_embed", Checkpoint.AUM: "pos_embed.pos_embed"}
_LAYOUT = {Checkpoint.SSAMBA: Layout.SSAMBA, Checkpoint.AUM: Layout.AUM}
# Heads of pretraining and of fine-tuning, and the sizes SSAMBA notes down.
_LEFT_OUT = {
    Checkpoint.SSAMBA: re.compile(
        r"(v\.head|mlp_head\.\d|cpredlayer\.\d|gpredlayer\.\d)\.(weight|bias)"
        r"|mask_embed|p_input_[ft]dim"
    ),
    Checkpoint.AUM: re.compile(r"head\.(weight|bias)"),
}


@dataclass(frozen=True)
class Conversion:
    """What a conversion wrote."""

    folder: Path
    """The encoder's folder."""
    config: MambaEncoderConfig
    """Its settings, read off the checkpoint's shapes."""
    left_out: tuple[str, ...]
    """Tensors of the checkpoint that the encoder does not need: heads and notes."""


def convert_mamba(path: Path, *, kind: Checkpoint, folder: Path) -> Conversion:
    """Write the encoder of a checkpoint to `folder`.

    Raises:
        MissingWeightsError: the file is missing or damaged.
        MismatchError: it holds more than tensors, or is not a checkpoint of this kind.
    """
    tensors = read_tensors(path)
    left_out = tuple(sorted(name for name in tensors if _LEFT_OUT[kind].fullmatch(name)))
    config = _config(tensors, kind=kind)
    with torch.device("meta"):
        encoder = MambaAudioEncoder(config)
    ours = {name: tuple(value.shape) for name, value in encoder.state_dict().items()}
    names = {name: _source_name(name, kind=kind) for name in ours}
    require_exactly(
        tensors,
        expected={names[name]: _source_shape(name, shape) for name, shape in ours.items()},
        left_out=left_out,
    )
    converted = {
        name: tensors[names[name]].float().reshape(shape).clone() for name, shape in ours.items()
    }
    converted["patch_embed.weight"] *= _INPUT_FACTOR
    write_encoder(folder, config=config, tensors=converted)
    return Conversion(folder, config, left_out)


def _config(tensors: Mapping[str, Tensor], *, kind: Checkpoint) -> MambaEncoderConfig:
    root, position = _ROOT[kind], _POSITION[kind]
    mixer = f"{root}layers.0.mixer."
    shapes = {
        name: _shape_of(tensors, name, kind=kind)
        for name in (
            position,
            f"{root}patch_embed.proj.weight",
            f"{root}norm_f.weight",
            f"{mixer}A_log",
            f"{mixer}conv1d.weight",
        )
    }
    if f"{mixer}A_b_log" not in tensors:
        raise MismatchError(
            f"the {kind} checkpoint has no {mixer}A_b_log: it runs in one direction only, which "
            "this encoder does not"
        )
    width = shapes[f"{root}norm_f.weight"][0]
    inner_dim, state_dim = shapes[f"{mixer}A_log"]
    patch = shapes[f"{root}patch_embed.proj.weight"][2:]
    num_mels = int(tensors["p_input_fdim"]) if "p_input_fdim" in tensors else _NUM_MELS
    num_patches, num_bands = shapes[position][1] - 1, num_mels // patch[0]
    if num_mels % patch[0] or num_patches % num_bands:
        raise MismatchError(
            f"the {kind} checkpoint has {num_patches} patches of {patch[0]} x {patch[1]}, which do "
            f"not tile {num_mels} mel bands: it was fine-tuned with overlapping patches; convert "
            "a checkpoint without overlap"
        )
    depth = len(
        {n for n in tensors if re.fullmatch(rf"{re.escape(root)}layers\.\d+\.norm\.weight", n)}
    )
    return MambaEncoderConfig(
        log_mel=(num_mels, num_patches // num_bands * patch[1]),
        layout=_LAYOUT[kind],
        block=Block.V2 if f"{mixer}conv1d_b.weight" in tensors else Block.V1,
        patch=(patch[0], patch[1]),
        width=width,
        depth=depth,
        state_dim=state_dim,
        conv_width=shapes[f"{mixer}conv1d.weight"][2],
        expand=inner_dim // width,
    )


def _shape_of(tensors: Mapping[str, Tensor], name: str, *, kind: Checkpoint) -> Shape:
    if name not in tensors:
        some = ", ".join(sorted(tensors)[:3])
        raise MismatchError(
            f"this is not a checkpoint of kind {kind}: it has no {name}; it has {some}, ..."
        )
    return tuple(tensors[name].shape)


def _source_name(name: str, *, kind: Checkpoint) -> str:
    """The checkpoint's name of a tensor of our encoder."""
    root = _ROOT[kind]
    if name == "position_LW":
        return _POSITION[kind]
    if name == "cls_W":
        return f"{root}cls_token"
    name = re.sub(r"^patch_embed\.", "patch_embed.proj.", name)
    name = re.sub(r"^norm\.", "norm_f.", name)
    name = re.sub(r"^blocks\.", "layers.", name)
    name = re.sub(r"\.mixer\.(shared|directions\.0)\.", ".mixer.", name)
    backward = re.fullmatch(r"(.*\.mixer\.)directions\.1\.(A_log|\w+)(\..*)?", name)
    if backward is not None:
        start, part, end = backward.groups(default="")
        name = start + ("A_b_log" if part == "A_log" else f"{part}_b{end}")
    return root + name


def _source_shape(name: str, shape: Shape) -> Shape:
    """The checkpoint's shape of a tensor of our encoder: tokens have a batch axis there."""
    if name == "cls_W":
        return (1, 1, *shape)
    return (1, *shape) if name == "position_LW" else shape
