"""LAION's CLAP checkpoints (`.pt` of `laion-clap`) to folders of transformers' ClapModel.

The networks are the same; names differ, and LAION keeps query, key and value of the audio
transformer in one matrix. Sizes are read off the tensors, so HTSAT-tiny and -base, fused or not,
convert alike. The tokenizer is roberta-base's and not in the checkpoint: name one where text is to
be embedded; hearing needs none.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from core.errors import MismatchError, MissingWeightsError
from core.foundation.checkpoint import Shape, read_tensors, require_exactly
from core.foundation.sources import missing_weights, resolve_source

_HEAD_DIM = 64
"""Of RoBERTa, whose number of heads no tensor tells."""
_SPEC_SIZE = 256
"""Where no mask of shifted windows tells; HTSAT's."""
_MIN_WORDS = 64
_LEFT_OUT = re.compile(
    # Spectrograms are the feature extractor's; classifiers and the losses' own layers are unused.
    r"audio_branch\.(spectrogram_extractor|logmel_extractor|tscam_conv|head)\..*"
    r"|(text|audio)_transform\..*"
    # Constants that transformers computes itself.
    r"|audio_branch\.layers\.\d+\.blocks\.\d+\.attn_mask"
    r"|text_branch\.embeddings\.(position_ids|token_type_ids)"
)
_COMPUTED = re.compile(r"text_model\.embeddings\.(position_ids|token_type_ids)")
_PROJECTION = re.compile(
    r"(audio_model\.audio_encoder\..*\.attention\.self)\.(query|key|value)\.(weight|bias)"
)
_RENAMES = (
    (r"^text_model\.", "text_branch."),
    (r"^audio_model\.audio_encoder\.", "audio_branch."),
    (r"^audio_branch\.batch_norm\.", "audio_branch.bn0."),
    (r"^(audio_branch\.layers\..*)\.attention\.output\.dense\.", r"\1.attn.proj."),
    (r"^(audio_branch\.layers\..*)\.attention\.self\.", r"\1.attn."),
    (r"^(audio_branch\.layers\..*)\.intermediate\.dense\.", r"\1.mlp.fc1."),
    (r"^(audio_branch\.layers\..*)\.output\.dense\.", r"\1.mlp.fc2."),
    (r"^(audio_branch\.layers\..*)\.layernorm_before\.", r"\1.norm1."),
    (r"^(audio_branch\.layers\..*)\.layernorm_after\.", r"\1.norm2."),
    (r"^((text|audio)_projection)\.linear1\.", r"\1.0."),
    (r"^((text|audio)_projection)\.linear2\.", r"\1.2."),
)


@dataclass(frozen=True)
class ClapConversion:
    """What a conversion wrote."""

    folder: Path
    """The ClapModel's folder, with its feature extractor."""
    left_out: tuple[str, ...]
    """Tensors of the checkpoint that ClapModel does not have or computes itself."""


def convert_clap(path: Path, *, folder: Path, tokenizer: str | None = None) -> ClapConversion:
    """Write the ClapModel of a LAION checkpoint to `folder`.

    tokenizer: folder or hub id of the text branch's tokenizer, copied along; None leaves it out.

    Raises:
        MissingWeightsError: the file or the tokenizer is missing or damaged.
        MismatchError: it holds more than tensors, or is not a LAION CLAP of an HTSAT and a RoBERTa;
            or the tokenizer has words that the checkpoint has not.
    """
    from transformers import ClapConfig, ClapModel

    tensors = read_tensors(path)
    left_out = tuple(sorted(name for name in tensors if _LEFT_OUT.fullmatch(name)))
    config = ClapConfig(**clap_config(tensors))
    words = None if tokenizer is None else _tokenizer(tokenizer, config=config)
    with torch.device("meta"):
        theirs = ClapModel(config).state_dict()
    wanted = {n: tuple(t.shape) for n, t in theirs.items() if not _COMPUTED.fullmatch(n)}
    expected: dict[str, Shape] = {}
    for name, shape in wanted.items():
        split = _PROJECTION.fullmatch(name)
        expected[_source_name(name)] = shape if split is None else (3 * shape[0], *shape[1:])
    require_exactly(tensors, expected=expected, left_out=left_out)
    model = ClapModel(config)
    state = {name: _value(tensors, name) for name in wanted}
    missing, unexpected = model.load_state_dict(state, strict=False)
    if unexpected or not all(_COMPUTED.fullmatch(name) for name in missing):
        raise AssertionError(f"names were checked before: {missing}, {unexpected}")
    model.save_pretrained(folder)
    _extractor(config).save_pretrained(folder)
    if words is not None:
        words.save_pretrained(folder)
    return ClapConversion(folder, left_out)


def clap_config(tensors: Mapping[str, Tensor]) -> dict[str, Any]:
    """ClapConfig's arguments, read off the shapes of a LAION state dict.

    Raises:
        MismatchError: a tensor that tells a size is not there.
    """

    def shape(name: str) -> Shape:
        if name not in tensors:
            some = ", ".join(sorted(tensors)[:3])
            raise MismatchError(
                "this is not a LAION CLAP checkpoint of an HTSAT and a RoBERTa: it has no "
                f"{name}; it has {some}, ..."
            )
        return tuple(tensors[name].shape)

    def count(pattern: str) -> int:
        return len({m.group(1) for name in tensors if (m := re.match(pattern, name))})

    channels, in_channels, *kernel = shape("audio_branch.patch_embed.proj.weight")
    num_stages = count(r"audio_branch\.layers\.(\d+)\.")
    bias_tables = [
        shape(f"audio_branch.layers.{stage}.blocks.0.attn.relative_position_bias_table")
        for stage in range(num_stages)
    ]
    window = (math.isqrt(bias_tables[0][0]) + 1) // 2
    is_fused = "audio_branch.patch_embed.mel_conv2d.weight" in tensors
    projection_dim = shape("audio_projection.2.weight")[0]
    text_width = shape("text_branch.embeddings.word_embeddings.weight")[1]
    first_block = "audio_branch.layers.0.blocks.0"
    audio: dict[str, Any] = {
        "num_mel_bins": shape("audio_branch.bn0.weight")[0],
        "spec_size": _spec_size(tensors, window=window, stride=kernel[0]),
        "patch_size": kernel[0],
        "patch_stride": list(kernel),
        "patch_embeds_hidden_size": channels,
        "window_size": window,
        "depths": [
            count(rf"audio_branch\.layers\.{stage}\.blocks\.(\d+)\.") for stage in range(num_stages)
        ],
        "num_attention_heads": [table[1] for table in bias_tables],
        "num_hidden_layers": num_stages,
        "hidden_size": channels * 2 ** (num_stages - 1),
        "mlp_ratio": shape(f"{first_block}.mlp.fc1.weight")[0] / channels,
        "projection_dim": projection_dim,
        "enable_fusion": is_fused,
    }
    if is_fused:
        inner = shape("audio_branch.patch_embed.fusion_model.local_att.0.weight")[0]
        audio["aff_block_r"] = channels // inner
        audio["fusion_type"] = "channel_map" if in_channels == 4 else "aff_2d"
    text: dict[str, Any] = {
        "vocab_size": shape("text_branch.embeddings.word_embeddings.weight")[0],
        "hidden_size": text_width,
        "num_hidden_layers": count(r"text_branch\.encoder\.layer\.(\d+)\."),
        "num_attention_heads": max(1, text_width // _HEAD_DIM),
        "intermediate_size": shape("text_branch.encoder.layer.0.intermediate.dense.weight")[0],
        "max_position_embeddings": shape("text_branch.embeddings.position_embeddings.weight")[0],
        "type_vocab_size": shape("text_branch.embeddings.token_type_embeddings.weight")[0],
        # RoBERTa's own, which LAION builds its text branch with; ClapTextConfig's default differs.
        "layer_norm_eps": 1e-5,
        "projection_dim": projection_dim,
    }
    return {"audio_config": audio, "text_config": text, "projection_dim": projection_dim}


def _spec_size(tensors: Mapping[str, Tensor], *, window: int, stride: int) -> int:
    """Side of the square the spectrogram is folded into, told by the masks of shifted windows."""
    mask = tensors.get("audio_branch.layers.0.blocks.1.attn_mask")
    return _SPEC_SIZE if mask is None else math.isqrt(len(mask)) * window * stride


def _source_name(name: str) -> str:
    """LAION's name of a tensor of ClapModel."""
    name = re.sub(_PROJECTION, r"\1.qkv.\3", name)
    for pattern, replacement in _RENAMES:
        name = re.sub(pattern, replacement, name)
    return name


def _value(tensors: Mapping[str, Tensor], name: str) -> Tensor:
    source = tensors[_source_name(name)]
    split = _PROJECTION.fullmatch(name)
    if split is None:
        return source
    return source.chunk(3)[("query", "key", "value").index(split.group(2))].clone()


def _extractor(config: Any) -> Any:
    """The feature extractor with the mel range LAION trained with."""
    from transformers import ClapFeatureExtractor

    return ClapFeatureExtractor(
        feature_size=config.audio_config.num_mel_bins,
        sampling_rate=48_000,
        hop_length=480,
        fft_window_size=1024,
        max_length_s=10,
        frequency_min=50,
        frequency_max=14_000,
        truncation="fusion" if config.audio_config.enable_fusion else "rand_trunc",
        padding="repeatpad",
    )


def _tokenizer(name: str, *, config: Any) -> Any:
    """The tokenizer of a source, no larger than the checkpoint's vocabulary."""
    from transformers import AutoTokenizer

    source = resolve_source(name)
    try:
        words = AutoTokenizer.from_pretrained(source.folder, local_files_only=True)
    except (OSError, ValueError, MissingWeightsError) as error:
        raise missing_weights(source, "tokenizer", error) from error
    if len(words) < _MIN_WORDS:  # what a folder without one loads as, unasked
        cause = ValueError(f"its vocabulary holds {len(words)} words")
        raise missing_weights(source, "tokenizer", cause)
    if len(words) > config.text_config.vocab_size:
        raise MismatchError(
            f"the tokenizer of '{name}' knows {len(words)} words, the checkpoint "
            f"{config.text_config.vocab_size}; LAION's text branch is roberta-base's"
        )
    return words
