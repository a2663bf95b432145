"""An encoder in a folder: config.json and model.safetensors, each strictly what it should be."""

import json
from pathlib import Path

from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from core.errors import MismatchError, MissingWeightsError
from core.files import write_atomic
from core.foundation.checkpoint import describe_differences
from core.foundation.mamba.config import MambaEncoderConfig
from core.foundation.mamba.encoder import MambaAudioEncoder

CONFIG, WEIGHTS = "config.json", "model.safetensors"


def save_encoder(encoder: MambaAudioEncoder, folder: Path) -> None:
    """Write `folder`/config.json and `folder`/model.safetensors."""
    tensors = {name: value.detach().cpu().contiguous() for name, value in _state(encoder).items()}
    write_encoder(folder, config=encoder.config, tensors=tensors)


def write_encoder(folder: Path, *, config: MambaEncoderConfig, tensors: dict[str, Tensor]) -> None:
    """Write tensors that belong to an encoder of `config`, weights first."""
    folder.mkdir(parents=True, exist_ok=True)
    write_atomic(folder / WEIGHTS, content=save(tensors, metadata={"format": "pt"}))
    text = json.dumps(config.model_dump(mode="json"), indent=2) + "\n"
    write_atomic(folder / CONFIG, content=text.encode())


def load_weights(encoder: MambaAudioEncoder, *, folder: Path) -> None:
    """Load the weights of a folder into an encoder of the same config.

    Raises:
        MissingWeightsError: a file is missing or damaged.
        MismatchError: the folder holds an encoder of another config, or other tensors.
    """
    ours = encoder.config.model_dump(mode="json")
    theirs = read_config(folder).model_dump(mode="json")
    differing = [
        f"{key} {theirs[key]} (asked for {ours[key]})" for key in ours if ours[key] != theirs[key]
    ]
    if differing:
        raise MismatchError(
            f"the encoder in {folder} was built with {', '.join(differing)}; use its settings, or "
            "another folder"
        )
    encoder.load_state_dict(checked(_read_weights(folder), encoder, folder=folder))


def read_config(folder: Path) -> MambaEncoderConfig:
    """The config of a folder.

    Raises:
        MissingWeightsError: it is missing, damaged, or not an encoder's.
    """
    try:
        return MambaEncoderConfig.model_validate_json((folder / CONFIG).read_bytes())
    except OSError as error:
        raise MissingWeightsError(
            f"no {CONFIG} in {folder} ({error.strerror}); expected an encoder's folder as `harness "
            "convert ssamba` and `harness convert aum` write it"
        ) from error
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"]) or "it"
        raise MissingWeightsError(
            f"{folder / CONFIG} is not a Mamba encoder config: {place}: {first['msg']}"
        ) from error


def checked(
    tensors: dict[str, Tensor], encoder: MambaAudioEncoder, *, folder: Path
) -> dict[str, Tensor]:
    """`tensors`, having exactly the encoder's names and shapes.

    Raises:
        MismatchError: names or shapes differ; says which.
    """
    differences = describe_differences(
        {name: tuple(value.shape) for name, value in tensors.items()},
        expected={name: tuple(value.shape) for name, value in _state(encoder).items()},
    )
    if differences:
        raise MismatchError(f"the weights in {folder} do not fit the encoder: {differences}")
    return tensors


def _state(encoder: MambaAudioEncoder) -> dict[str, Tensor]:
    return dict(encoder.state_dict())


def _read_weights(folder: Path) -> dict[str, Tensor]:
    path = folder / WEIGHTS
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise MissingWeightsError(f"cannot read {path}: {error}") from error
