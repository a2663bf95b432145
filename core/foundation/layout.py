"""Which files of a model's folder are read: these alone identify it, and these alone are fetched.

A folder may hold the same weights several times: `.safetensors` and `.bin`, full and half
precision, with and without averaging. One of them is taken, and the others do not matter.
"""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from core.errors import MissingWeightsError
from core.foundation.catalogue import (
    AISFX,
    ALEXNET,
    EFFICIENTNET_LITE0,
    INCEPTION,
    LPIPS_HEADS,
    WAV2CLIP,
)

DIFFUSERS = ("diffusion_pytorch_model.safetensors", "diffusion_pytorch_model.bin")
TRANSFORMERS = ("model.safetensors", "pytorch_model.bin")
_VARIANTS = (None, "fp16", "bf16")
"""In the order of preference; others, such as `non_ema`, are other weights and are never taken."""
_TOKENIZER = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
    "vocab.txt",
)
PREPROCESSOR = ("preprocessor_config.json", "processor_config.json")
VIDEO_PREPROCESSOR = ("processor_config.json", "video_preprocessor_config.json")
# Of each, names under which the same bytes are passed around.
LPIPS_HEADS_NAMES = (LPIPS_HEADS.name, "LPIPS_v0.1_alex-df73285e.pth")
WAV2CLIP_NAMES = (WAV2CLIP.name, "model.safetensors")
# Whatever from_pretrained may read, where nobody says what it does read.
_MODEL_SUFFIXES = frozenset({".json", ".safetensors", ".bin", ".pt", ".pth", ".txt", ".model"})


@dataclass(frozen=True)
class TakenWeights:
    """The weights that are loaded, of all that a folder holds."""

    files: tuple[Path, ...]
    """One file, or an index and its shards."""
    variant: str | None
    """`fp16` where only half-precision files are there."""
    is_safetensors: bool

    @property
    def arguments(self) -> dict[str, object]:
        """What makes `from_pretrained` take these and no others."""
        return {"variant": self.variant, "use_safetensors": self.is_safetensors}


@dataclass(frozen=True)
class Part:
    """One subfolder of a model, or all of it."""

    subfolder: str = ""
    """Below the model's folder; empty for the folder itself."""
    weights: tuple[str, ...] = ()
    """Names that its weights can have, in the order of preference."""
    requires: tuple[str, ...] = ()
    """Files it cannot do without."""
    reads: tuple[str, ...] = ()
    """Files that are read where they are there."""

    def files(self, folder: Path) -> list[Path]:
        """What is read of the model in `folder`.

        Raises:
            MissingWeightsError: a file is not there; says which.
        """
        own = folder / self.subfolder
        found = [own / name for name in self.requires]
        for path in found:
            if not path.is_file():
                raise MissingWeightsError(f"there is no {path.relative_to(folder)}")
        if self.weights:
            found += self.take_weights(folder).files
        named = [own / name for name in self.reads if (own / name).is_file()]
        if self.reads and not self.requires and not named:
            raise MissingWeightsError(f"there is no {self._any_of(self.reads)}")
        return found + named

    def take_weights(self, folder: Path) -> TakenWeights:
        """The weights that are loaded from the model in `folder`.

        Raises:
            MissingWeightsError: there are none, or a shard is not there.
        """
        own = folder / self.subfolder
        for variant in _VARIANTS:
            for name in self.weights:
                taken = _whole_and_shards(own, name, variant=variant)
                if taken:
                    return TakenWeights(taken, variant, name.endswith(".safetensors"))
        raise MissingWeightsError(f"there is no {self._any_of(self.weights)}")

    def _any_of(self, names: Iterable[str]) -> str:
        return " or ".join((Path(self.subfolder) / name).as_posix() for name in names)


def _whole_and_shards(own: Path, name: str, *, variant: str | None) -> tuple[Path, ...]:
    stem, suffix = name.rsplit(".", 1)
    middle = "" if variant is None else f".{variant}"
    whole, index = own / f"{stem}{middle}.{suffix}", own / f"{name}.index{middle}.json"
    # The libraries differ in which they take where both are there; then both count.
    found = [whole] if whole.is_file() else []
    if index.is_file():
        try:
            shards = sorted(set(json.loads(index.read_bytes())["weight_map"].values()))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise MissingWeightsError(f"{index} does not list its shards ({error!r})") from error
        found += [index, *(own / str(shard) for shard in shards)]
        for path in found:
            if not path.is_file():
                raise MissingWeightsError(f"there is no {path.name}, a shard of {index.name}")
    return tuple(found)


@dataclass(frozen=True)
class Layout:
    """What a model of one kind consists of."""

    parts: tuple[Part, ...]

    def files(self, folder: Path) -> list[Path]:
        """What is read of the model in `folder`, in a fixed order.

        Raises:
            MissingWeightsError: a file is not there; says which.
        """
        return [path for part in self.parts for path in part.files(folder)]

    def part(self, subfolder: str) -> Part:
        """The part of that name."""
        return next(part for part in self.parts if part.subfolder == subfolder)


_CONFIG = ("config.json",)
_VAE = Part("vae", weights=DIFFUSERS, requires=_CONFIG)
_UNET = Part("unet", weights=DIFFUSERS, requires=_CONFIG)
_TEXT_ENCODER = Part("text_encoder", weights=TRANSFORMERS, requires=_CONFIG)
_SCHEDULER = Part("scheduler", requires=("scheduler_config.json",))
STABLE_DIFFUSION = Layout(
    (_UNET, _VAE, _TEXT_ENCODER, Part("tokenizer", reads=_TOKENIZER), _SCHEDULER)
)
CLAP = Layout((Part(weights=TRANSFORMERS, requires=_CONFIG, reads=(*_TOKENIZER, *PREPROCESSOR)),))
CLIP = CLAP
VISION = Layout((Part(weights=TRANSFORMERS, requires=_CONFIG, reads=PREPROCESSOR),))
MODEL = Layout((Part(weights=TRANSFORMERS, requires=_CONFIG),))
PE_AV = Layout((Part(weights=TRANSFORMERS, requires=_CONFIG, reads=VIDEO_PREPROCESSOR),))


def one_of(*choices: tuple[str, ...]) -> Layout:
    """A folder of released files; of each choice the first name that is there."""
    return Layout(tuple(_OneOf(reads=names) for names in choices))


@dataclass(frozen=True)
class _OneOf(Part):
    def files(self, folder: Path) -> list[Path]:
        return super().files(folder)[:1]


@dataclass(frozen=True)
class _Whole(Layout):
    def files(self, folder: Path) -> list[Path]:
        return list(_model_files(folder))


def _model_files(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.rglob("*")):
        if path.suffix in _MODEL_SUFFIXES and path.is_file():
            yield path


WHOLE = _Whole(())
"""Every model file of the folder: for a model of which nobody says what is read."""

LAYOUTS = {
    "stable_diffusion": STABLE_DIFFUSION,
    "clap": CLAP,
    "clip": CLIP,
    "image_judge": MODEL,
    "audio_judge": MODEL,
    "source_judge": MODEL,
    "dinov2": VISION,
    "inception": one_of((INCEPTION.name,)),
    "lpips": one_of((ALEXNET.name,), LPIPS_HEADS_NAMES),
    "wav2clip": one_of(WAV2CLIP_NAMES),
    "sound": one_of((AISFX.name,)),
    "picture": one_of((EFFICIENTNET_LITE0.name,)),
    "pe_av": PE_AV,
}
"""By the role that a model plays: the settings' own names."""
