"""A scorer must not be a conditioner: a model that conditioned a branch would praise itself."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from core.errors import GuardError
from core.foundation.file_hashes import model_file_sha256
from core.foundation.sources import Source

_MIN_ELEMENTS = 4096  # smaller ones (tables of positions, norms) may agree by convention
_WEIGHTS = {".safetensors", ".bin", ".pt", ".pth", ".ckpt"}


def refuse_conditioners(scorers: Mapping[str, Source], *, conditioners: Sequence[Source]) -> None:
    """Return if no scorer is a conditioner: by source, by files, by single weights.

    So a copy under another name is found, and a conditioner that is one part of a scorer: the
    text encoder of Stable Diffusion v1.5 is the text half of CLIP ViT-L/14. Single weights are
    compared where both sides are safetensors, also in another floating-point type.

    Raises:
        GuardError: a scorer names, or holds the same weights file as, a conditioner.
    """
    for role, scorer in scorers.items():
        for conditioner in conditioners:
            if scorer.location == conditioner.location or _same_weights(scorer, conditioner):
                relation = "is"
            elif shared := _shared_tensor(scorer, conditioner):
                relation = f"shares weights ({shared}) with"
            else:
                continue
            raise GuardError(
                f"the {role} scorer '{scorer.name}' {relation} the conditioner "
                f"'{conditioner.name}': its scores would reward what it was asked to produce; "
                f"choose another model with --set scorers.{role}=SOURCE"
            )


def _same_weights(first: Source, second: Source) -> bool:
    by_size: dict[int, list[Path]] = {}
    for path in _weights_files(first):
        by_size.setdefault(path.stat().st_size, []).append(path)
    # Only files of equal size are read: hashing all of Stable Diffusion takes a while.
    return any(
        model_file_sha256(path) == model_file_sha256(other)
        for path in _weights_files(second)
        for other in by_size.get(path.stat().st_size, [])
    )


def _shared_tensor(first: Source, second: Source) -> str | None:
    """Name, in the first, of a weight that the second holds too; None without one."""
    by_shape: dict[tuple[int, ...], list[_Weight]] = {}
    for weight in _weights(second):
        by_shape.setdefault(weight.shape, []).append(weight)
    for weight in _weights(first):
        for other in by_shape.get(weight.shape, []):
            # A row tells nearly all apart; only then the whole is read.
            if _equal(weight.first_row, other.first_row) and _equal(weight.read(), other.read()):
                return weight.name
    return None


@dataclass(frozen=True)
class _Weight:
    path: Path
    name: str
    shape: tuple[int, ...]
    first_row: Tensor

    def read(self) -> Tensor:
        from safetensors import safe_open

        with safe_open(self.path, framework="pt") as file:
            whole: Tensor = file.get_tensor(self.name)
            return whole


def _weights(source: Source) -> Iterator[_Weight]:
    from safetensors import safe_open

    for path in _weights_files(source):
        if path.suffix == ".safetensors":
            with safe_open(path, framework="pt") as file:
                for name in file.keys():  # noqa: SIM118  # no mapping: it has keys() alone
                    rows = file.get_slice(name)
                    shape = tuple(rows.get_shape())
                    if len(shape) > 1 and math.prod(shape) >= _MIN_ELEMENTS:
                        yield _Weight(path=path, name=name, shape=shape, first_row=rows[:1])


def _equal(first: Tensor, second: Tensor) -> bool:
    """Equal up to the rounding of the coarser type, and not constant as a fresh layer may be."""
    coarser = min(first.dtype, second.dtype, key=lambda dtype: dtype.itemsize)
    a, b = first.to(coarser), second.to(coarser)
    return bool(torch.equal(a, b)) and bool((a != a.flatten()[0]).any())


def _weights_files(source: Source) -> list[Path]:
    found = source.folder.rglob("*")
    return sorted(path for path in found if path.suffix in _WEIGHTS and path.is_file())
