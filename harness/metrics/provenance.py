"""A scorer must not be a conditioner: a model that conditioned a branch would praise itself."""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

from core.errors import GuardError
from core.foundation.sources import Source

_WEIGHTS = {".safetensors", ".bin", ".pt", ".pth", ".ckpt"}


def refuse_conditioners(scorers: Mapping[str, Source], *, conditioners: Sequence[Source]) -> None:
    """Return if no scorer is a conditioner, by source and by the bytes of the weights.

    A copy of a conditioner under another name is found too; a conditioner whose weights were
    written anew (another format, a part of a larger file) is not.

    Raises:
        GuardError: a scorer names, or holds the same weights file as, a conditioner.
    """
    for role, scorer in scorers.items():
        for conditioner in conditioners:
            if scorer.location == conditioner.location or _same_weights(scorer, conditioner):
                raise GuardError(
                    f"the {role} scorer '{scorer.name}' is the conditioner '{conditioner.name}': "
                    "its scores would reward what it was asked to produce; choose another model "
                    f"with --set scorers.{role}=SOURCE"
                )


def _same_weights(first: Source, second: Source) -> bool:
    by_size: dict[int, list[Path]] = {}
    for path in _weights_files(first):
        by_size.setdefault(path.stat().st_size, []).append(path)
    # Only files of equal size are read: hashing all of Stable Diffusion takes a while.
    return any(
        _sha256(path) == _sha256(other)
        for path in _weights_files(second)
        for other in by_size.get(path.stat().st_size, [])
    )


def _weights_files(source: Source) -> list[Path]:
    folder = Path(source.location) if source.is_folder else _cached_snapshot(source)
    if folder is None:
        return []
    return sorted(path for path in folder.rglob("*") if path.suffix in _WEIGHTS and path.is_file())


def _cached_snapshot(source: Source) -> Path | None:
    from huggingface_hub import try_to_load_from_cache

    for filename in ("model_index.json", "config.json"):
        found = try_to_load_from_cache(
            source.location, filename, revision=source.revision or "main"
        )
        if isinstance(found, str):
            return Path(found).parent
    return None


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
