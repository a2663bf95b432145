"""Reading a published `.pt` or `.pth` without running what it might hold."""

import pickle
import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from core.errors import MismatchError, MissingWeightsError

# Where training scripts put the weights among epoch, optimiser and losses.
_WRAPPERS = ("state_dict", "model")
_DATA_PARALLEL = "module."
_SHOWN = 4

# Losses and epochs are often pickled as numpy scalars. Building one runs no code of the file.
_SCALAR = np.float64(0).__reduce__()[0]
_HARMLESS: list[Any] = [
    (_SCALAR, "numpy.core.multiarray.scalar"),
    (_SCALAR, "numpy._core.multiarray.scalar"),
    np.dtype,
    *(type(np.dtype(name)) for name in ("float32", "float64", "int32", "int64", "bool")),
]

Shape = tuple[int, ...]


class _Inert:
    """Stands for an object of a training program: made of whatever it was, and nothing is done."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Take anything."""

    def __setstate__(self, state: Any) -> None:
        """Take any state."""

    def __setitem__(self, key: Any, value: Any) -> None:
        """Take any entry."""


def read_tensors(path: Path, *, leaves_out_objects: bool = False) -> dict[str, Tensor]:
    """The weights of a checkpoint by name, on the CPU, without DataParallel's `module.`.

    Only tensors, containers and plain numbers are unpickled (`weights_only=True`).

    leaves_out_objects: whole training states, such as Lightning's, hold objects of the program
        that wrote them beside the weights. True puts something that does nothing in their place;
        no code of theirs runs.

    Raises:
        MissingWeightsError: the file is not there, or cut short.
        MismatchError: it holds something else than tensors, or no weights.
    """
    try:
        others = _other_globals(path) if leaves_out_objects else []
        with torch.serialization.safe_globals([*_HARMLESS, *((_Inert, name) for name in others)]):
            loaded = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise MissingWeightsError(f"cannot read {path}: {error.strerror or error}") from error
    except pickle.UnpicklingError as error:
        refused = re.search(r"GLOBAL ([\w.]+)", str(error))
        if refused is None:
            raise _damaged(path, error) from error
        raise MismatchError(
            f"{path} holds more than tensors ({refused[1]}), and loading it could run code; "
            "nothing was read. Take its state dict out with the program that wrote it"
        ) from error
    except Exception as error:
        # The unpickler stumbles over foreign bytes in as many ways as there are opcodes (KeyError,
        # IndexError, struct.error, ...), all of which mean the same.
        raise _damaged(path, error) from error
    tensors = _state_dict(loaded)
    if not tensors:
        raise MismatchError(f"{path} holds no state dict; expected names with tensors")
    if all(name.startswith(_DATA_PARALLEL) for name in tensors):
        tensors = {name.removeprefix(_DATA_PARALLEL): t for name, t in tensors.items()}
    return tensors


def _other_globals(path: Path) -> list[str]:
    """Names of what a checkpoint holds beside tensors and plain values."""
    with torch.serialization.safe_globals(_HARMLESS):
        return torch.serialization.get_unsafe_globals_in_checkpoint(path)


def require_exactly(
    tensors: Mapping[str, Tensor], *, expected: Mapping[str, Shape], left_out: Collection[str]
) -> None:
    """Refuse a checkpoint that is not what its reader knows, tensor by tensor.

    left_out: names that are known and not needed.

    Raises:
        MismatchError: tensors are missing, unexpected or of another shape; says which.
    """
    got = {name: tuple(t.shape) for name, t in tensors.items() if name not in left_out}
    differences = describe_differences(got, expected=expected)
    if differences:
        raise MismatchError(
            f"the checkpoint is not the one this converter knows: {differences}; nothing was "
            "written"
        )


def describe_differences(got: Mapping[str, Shape], *, expected: Mapping[str, Shape]) -> str:
    """Missing, unexpected and misshapen tensors in words; empty where there are none."""
    parts = []
    for what, names in (
        ("missing", sorted(expected.keys() - got.keys())),
        ("unexpected", sorted(got.keys() - expected.keys())),
    ):
        if names:
            parts.append(f"{len(names)} {what} ({', '.join(names[:_SHOWN])})")
    misshapen = [
        f"{name} is {list(got[name])}, expected {list(expected[name])}"
        for name in sorted(expected.keys() & got.keys())
        if got[name] != expected[name]
    ]
    if misshapen:
        parts.append(f"{len(misshapen)} of another shape ({'; '.join(misshapen[:_SHOWN])})")
    return ", ".join(parts)


def _state_dict(loaded: Any) -> dict[str, Tensor]:
    if isinstance(loaded, tuple) and loaded:  # the weights, then what the program wanted besides
        return _state_dict(loaded[0])
    if not isinstance(loaded, Mapping):
        return {}
    for wrapper in _WRAPPERS:
        if isinstance(loaded.get(wrapper), Mapping):
            return _state_dict(loaded[wrapper])
    return {str(name): value for name, value in loaded.items() if isinstance(value, Tensor)}


def _damaged(path: Path, error: Exception) -> MissingWeightsError:
    reason = str(error).strip().splitlines()
    return MissingWeightsError(
        f"{path} is damaged, cut short or no PyTorch file ({reason[0] if reason else error!r})"
    )
