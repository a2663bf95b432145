"""Loading frozen scorers: from `from_pretrained`, or from a released file that is known by hash."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from core.errors import MismatchError, MissingWeightsError, UsageError
from core.foundation.file_hashes import model_file_sha256
from core.foundation.layout import MODEL, PREPROCESSOR
from core.foundation.loading import DAMAGED
from core.foundation.sources import Source, missing_weights

BATCH_SIZE = 64  # of 64 px images on a CPU; ViT-B/32 at 224 px needs 1 GB of GPU memory for it


def pretrained(cls: Any, source: Source, *, part: str, device: torch.device) -> Any:
    """A frozen float32 model in evaluation mode.

    Raises:
        MissingWeightsError: files that are not there.
        MismatchError: weights that do not fit the model.
    """
    try:
        model, info = cls.from_pretrained(
            source.folder,
            local_files_only=True,
            output_loading_info=True,
            **MODEL.part("").take_weights(source.folder).arguments,
        )
    except MissingWeightsError as error:
        raise missing_weights(source, part, error) from None
    except DAMAGED as error:
        raise missing_weights(source, part, error) from error
    # from_pretrained fills missing weights with random ones and only warns.
    wrong = sorted(map(str, [*info["missing_keys"], *info["mismatched_keys"]]))
    if wrong:
        raise MismatchError(
            f"the weights of '{source.name}' do not fit a {cls.__name__}: {len(wrong)} missing or "
            f"of another shape, such as {wrong[0]}; fetch or rebuild the model"
        )
    return model.requires_grad_(False).eval().to(device, torch.float32)


def pixel_normalisation(source: Source) -> tuple[Tensor, Tensor]:
    """[3, 1, 1] pixel mean and std as the model was trained with; the resizer is ours for all.

    Raises: OSError or KeyError when no preprocessor file says so.
    """
    for filename in PREPROCESSOR:
        path = source.folder / filename
        if path.is_file():
            config = json.loads(path.read_text())
            config = config.get("image_processor", config)
            mean, std = (torch.tensor(config[key]) for key in ("image_mean", "image_std"))
            return mean.float()[:, None, None], std.float()[:, None, None]
    raise OSError("no preprocessor_config.json")


def released_file(source: Source, *, sha256: Mapping[str, str], part: str) -> dict[str, Tensor]:
    """The state dict in the one file of the folder that is a known release.

    Raises: as `released_path`.
    """
    path = released_path(source, sha256=sha256, part=part)
    return dict(torch.load(path, map_location="cpu", weights_only=True))


def released_path(source: Source, *, sha256: Mapping[str, str], part: str) -> Path:
    """The one file of the folder that is a known release.

    sha256: start of the release's SHA-256 (all of it where known) by file name; a name may be
        one of several under which the same bytes are passed around.

    Raises:
        UsageError: the source is not a folder.
        MissingWeightsError: none of the files is there.
        MismatchError: the file's bytes are not the release's.
    """
    if not source.is_folder:
        raise UsageError(
            f"the {part} is read from a folder that holds {' or '.join(sha256)}; got "
            f"'{source.name}'"
        )
    for name, expected in sha256.items():
        path = Path(source.location) / name
        if path.is_file():
            found = model_file_sha256(path)
            if not found.startswith(expected):
                raise MismatchError(
                    f"{path} has SHA-256 {found[:16]}..., the released {part} has "
                    f"{expected[:16]}...; fetch it again"
                )
            return path
    raise MissingWeightsError(
        f"no {part} in {source.location}; expected the file {' or '.join(sha256)}"
    )


def fill(module: nn.Module, state: Mapping[str, Tensor], *, part: str) -> None:
    """Load a state dict whose every name and shape must fit; counters of batch norm may lack.

    Raises: MismatchError naming the first that does not.
    """
    expected = {k: v.shape for k, v in module.state_dict().items() if not _is_counter(k)}
    given = {k: v for k, v in state.items() if not _is_counter(k)}
    for key in sorted({*expected, *given}):
        want = tuple(expected[key]) if key in expected else None
        got = tuple(given[key].shape) if key in given else None
        if want != got:
            raise MismatchError(
                f"the weights do not fit the {part}: '{key}' is {got or 'absent'}, expected "
                f"{want or 'absent'}"
            )
    counters = {k: v for k, v in module.state_dict().items() if _is_counter(k)}
    module.load_state_dict({**counters, **given})


def float64(batches: Sequence[Tensor]) -> NDArray[np.float64]:
    """The batches end to end."""
    return np.concatenate([batch.float().cpu().numpy() for batch in batches]).astype(np.float64)


def _is_counter(key: str) -> bool:
    return key.endswith("num_batches_tracked")
