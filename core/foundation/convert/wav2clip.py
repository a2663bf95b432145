"""Wav2CLIP's released Lightning checkpoint to plain tensors.

The release pickles a whole training state: optimisers, schedules, hyper-parameters. Only what hears
is kept, under the released names.
"""

from dataclasses import dataclass
from pathlib import Path

from safetensors.torch import save

from core.errors import MismatchError
from core.files import write_atomic
from core.foundation.checkpoint import read_tensors

_HEARS = ("audio_encoder.", "audio_transform.")


@dataclass(frozen=True)
class Wav2ClipConversion:
    """What a conversion wrote."""

    folder: Path
    """Holds `model.safetensors`."""
    left_out: tuple[str, ...]
    """Tensors that hearing does not need."""


def convert_wav2clip(path: Path, *, folder: Path) -> Wav2ClipConversion:
    """Write the hearing half of a Wav2CLIP checkpoint to `folder`/model.safetensors.

    Raises:
        MissingWeightsError: the file is missing or damaged.
        MismatchError: it holds more than tensors and plain values, or no audio encoder.
    """
    tensors = read_tensors(path, leaves_out_objects=True)
    kept = {name: t.contiguous().clone() for name, t in tensors.items() if name.startswith(_HEARS)}
    for prefix in _HEARS:
        if not any(name.startswith(prefix) for name in kept):
            raise MismatchError(
                f"{path} holds no {prefix}* and is not a Wav2CLIP checkpoint; nothing was written"
            )
    folder.mkdir(parents=True, exist_ok=True)
    write_atomic(folder / "model.safetensors", content=save(kept, {"format": "pt"}))
    return Wav2ClipConversion(folder, tuple(sorted(tensors.keys() - kept.keys())))
