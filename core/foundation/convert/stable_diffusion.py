"""Single-file checkpoints of Stable Diffusion v1 to a folder in the layout of its parts.

The files that graphical tools use (`v1-5-pruned-emaonly.safetensors` and fine-tunes of it) hold the
UNet, the VAE and the text encoder under the original code's names, and neither configs nor a
tokenizer. Configs are the shipped ones of v1.5; the tokenizer is CLIP's own.
"""

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from core.errors import MismatchError, MissingWeightsError
from core.foundation.checkpoint import read_tensors, require_exactly
from core.foundation.sources import missing_weights, resolve_source

ARCHITECTURE = "stable-diffusion-v1-5--stable-diffusion-v1-5"
DEFAULT_TOKENIZER = "openai/clip-vit-base-patch32"
_UNET, _VAE, _TEXT = "model.diffusion_model.", "first_stage_model.", "cond_stage_model.transformer."
_FIRST = f"{_UNET}input_blocks.0.0.weight"
_CONTEXT = f"{_UNET}input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight"
_MIN_WORDS = 64


@dataclass(frozen=True)
class SdConversion:
    """What a conversion wrote."""

    folder: Path
    """The pipeline's folder."""
    left_out: tuple[str, ...]
    """Tensors of the checkpoint that no part needs."""


def convert_stable_diffusion(
    path: Path,
    *,
    folder: Path,
    tokenizer: str = DEFAULT_TOKENIZER,
    architecture: Path | None = None,
) -> SdConversion:
    """Write the pipeline folder of a single-file checkpoint to `folder`.

    Weights keep their data type. Where a file holds averaged weights beside the trained ones, as
    `v1-5-pruned.ckpt` does, the averaged are taken: they are what the published folder holds.

    tokenizer: folder or hub id whose CLIP tokenizer is copied along.
    architecture: configs of the parts; by default those of v1.5.

    Raises:
        MissingWeightsError: the file or the tokenizer is missing or damaged.
        MismatchError: it holds more than tensors, or is not Stable Diffusion v1.
    """
    configs = architecture or Path(str(files("core.foundation"))) / "architectures" / ARCHITECTURE
    tensors = _read(path)
    _require_version_1(tensors, configs, path=path)
    words = _tokenizer(tokenizer)
    from diffusers import AutoencoderKL, UNet2DConditionModel

    parts = {
        "unet": _single_file(UNet2DConditionModel, tensors, configs, part="unet", path=path),
        "vae": _single_file(AutoencoderKL, tensors, configs, part="vae", path=path),
        "text_encoder": _text_encoder(tensors, configs),
    }
    for name, part in parts.items():
        shutil.rmtree(folder / name, ignore_errors=True)  # another format would be taken first
        part.save_pretrained(folder / name)  # type: ignore[operator]
    words.save_pretrained(folder / "tokenizer")
    (folder / "scheduler").mkdir(exist_ok=True)
    for name in ("model_index.json", "scheduler/scheduler_config.json"):
        shutil.copyfile(configs / name, folder / name)
    known = (_UNET, _VAE, _TEXT, "model_ema.")
    return SdConversion(folder, tuple(sorted(n for n in tensors if not n.startswith(known))))


def _read(path: Path) -> dict[str, Tensor]:
    if path.suffix != ".safetensors":
        return read_tensors(path, leaves_out_objects=True)
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise MissingWeightsError(f"cannot read {path}: {error}") from error


def _require_version_1(tensors: Mapping[str, Tensor], configs: Path, *, path: Path) -> None:
    config = _config(configs, "unet")
    expected = {
        _FIRST: (config["block_out_channels"][0], config["in_channels"], 3, 3),
        _CONTEXT: (config["block_out_channels"][0], config["cross_attention_dim"]),
    }
    for name, shape in expected.items():
        found = tensors.get(name)
        if found is None or tuple(found.shape) != shape:
            what = "absent" if found is None else str(list(found.shape))
            raise MismatchError(
                f"{path} is not a checkpoint of Stable Diffusion v1: {name} is {what}, expected "
                f"{list(shape)}; versions 2 and XL, inpainting models, LoRA files and single parts "
                "cannot be converted"
            )


def _single_file(
    cls: Any, tensors: Mapping[str, Tensor], configs: Path, *, part: str, path: Path
) -> nn.Module:
    try:
        model: nn.Module = cls.from_single_file(
            dict(tensors),
            config=str(configs),
            subfolder=part,
            local_files_only=True,
            torch_dtype=tensors[_FIRST].dtype,
            extract_ema=True,
        )
    except (KeyError, ValueError, RuntimeError, OSError) as error:
        reason = str(error).strip().splitlines()
        raise MismatchError(
            f"the {part} in {path} is not that of Stable Diffusion v1 "
            f"({reason[0] if reason else error!r}); nothing was written"
        ) from error
    absent = [name for name, value in model.state_dict().items() if value.is_meta]
    if absent:
        raise MismatchError(
            f"{path} lacks {len(absent)} weights of the {part}, such as {absent[0]}; nothing was "
            "written"
        )
    return model


def _text_encoder(tensors: Mapping[str, Tensor], configs: Path) -> nn.Module:
    from transformers import CLIPTextConfig, CLIPTextModel

    # Some tools leave `text_model.` out; this transformers may have it in its own names or not.
    given = {
        name.removeprefix(_TEXT).removeprefix("text_model."): value
        for name, value in tensors.items()
        if name.startswith(_TEXT)
    }
    given.pop("embeddings.position_ids", None)  # transformers computes them
    model: nn.Module = CLIPTextModel(CLIPTextConfig(**_config(configs, "text_encoder")))
    ours = {name.removeprefix("text_model."): name for name in model.state_dict()}
    shapes = {name: tuple(model.state_dict()[own].shape) for name, own in ours.items()}
    require_exactly(given, expected=shapes, left_out=())
    model.load_state_dict({ours[name]: value for name, value in given.items()})
    return model.to(tensors[_FIRST].dtype)


def _tokenizer(name: str) -> Any:
    from transformers import CLIPTokenizer

    source = resolve_source(name)
    try:
        folder = source.folder
        folder = folder / "tokenizer" if (folder / "tokenizer").is_dir() else folder
        words = CLIPTokenizer.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError, MissingWeightsError) as error:
        raise missing_weights(source, "CLIP tokenizer", error) from error
    if words.vocab_size < _MIN_WORDS:  # what a folder without one loads as, unasked
        cause = ValueError(f"its vocabulary holds {words.vocab_size} words")
        raise missing_weights(source, "CLIP tokenizer", cause)
    return words


def _config(configs: Path, part: str) -> dict[str, Any]:
    config: dict[str, Any] = json.loads((configs / part / "config.json").read_text("utf-8"))
    return config
