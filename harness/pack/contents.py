"""What is in a pack, and where it is unpacked to.

SHA256SUMS               every other file's hash
pack.json                what it is; see `PackFacts`
continue.sh              makes the environment, fetches missing weights, gives the commands
task.sh                  what a rented machine does: that, then stops the machine
project/                 the source of this harness, to be installed
plugins/NAME/            the source of each package that brings a branch, a separator or metrics
work/                    where the commands are given
  settings/                profiles and branches' settings that they name
  data/lock.json, media/   the split, and its sounds and pictures
  results/cache/           features that are computed already
  results/runs/RUN_ID/     half-finished runs, each with its newest checkpoint
"""

from enum import StrEnum
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from core.errors import DataError

FORMAT: Literal[1] = 1
FACTS = "pack.json"
SCRIPT = "continue.sh"
TASK = "task.sh"
PROJECT = "project"
PLUGINS = "plugins"
WORK = "work"
LOCK = "data/lock.json"
MEDIA = "media"


class DataMode(StrEnum):
    """What goes with a pack of the data."""

    NONE = "none"
    """The lock alone: the media are on the other machine already."""
    FEATURES = "features"
    """Cached features, and the media that are read besides: those not trained on."""
    MEDIA = "media"
    """Cached features and every sound and picture of the split."""


class PackedRun(BaseModel):
    """A run in a pack."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    run_id: str
    """Which."""
    folder: str
    """Its place below the results folder."""
    checkpoint: str | None
    """Name of its newest verified checkpoint; None: it has none, or is finished."""


class PackedPlugin(BaseModel):
    """A package of others that the commands' runs are computed by."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    """Of the package."""
    version: str
    """As it is installed here."""
    brings: list[str]
    """What it is needed for."""
    install: list[str]
    """Words for pip that install it; a place is below the pack's folder."""
    num_files: int
    """Its files in the pack; 0: it is fetched from an index or an address."""


class PackFacts(BaseModel):
    """What a pack is."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal[1] = FORMAT
    """Format of the pack."""
    made_by: str
    """Version of the harness that made it."""
    commands: list[list[str]]
    """What `continue.sh` gives, word by word after `harness`."""
    weights: list[list[str]]
    """Words after `harness weights get` that fetch the weights these need."""
    data: DataMode
    """What of the data is in it."""
    split_hash: str | None
    """Hash of the split; None without one."""
    rows: dict[str, int]
    """Cached features in it: rows by kind."""
    runs: list[PackedRun]
    """Half-finished runs in it."""
    plugins: list[PackedPlugin] = []
    """Packages of others that it installs."""
    notices: list[str]
    """What the other machine needs besides, as sentences."""


def load_facts(folder: Path) -> PackFacts:
    """The facts of an unpacked pack. Raises: DataError where it is not one."""
    path = folder / FACTS
    try:
        return PackFacts.model_validate_json(path.read_bytes())
    except OSError:
        raise DataError(f"{folder} holds no {FACTS}, so it is not a pack") from None
    except ValidationError as error:
        first = error.errors()[0]
        raise DataError(
            f"{path} is not of format {FORMAT}: "
            f"{'.'.join(map(str, first['loc'])) or 'the file'}: {first['msg']}"
        ) from None
