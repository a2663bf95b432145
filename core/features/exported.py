"""Audio embeddings that an encoder exported from an environment of its own.

A folder with rows [N, D] float32 and `embeddings.json`, their index, keyed by the content hash of
the sound; see `harness/data/exporters/exchange.py`, which writes it.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.errors import DataError, MismatchError
from core.files import file_sha256, json_sha256

if TYPE_CHECKING:
    from core.features.store import FeatureTable

FORMAT = 1
INDEX_FILE = "embeddings.json"
_MADE_BY = ("encoder", "package", "weights_sha256", "sample_rate_hz", "window_s", "is_normalised")


@dataclass(frozen=True)
class ExportedEmbeddings:
    """One encoder's pooled embeddings of many sounds."""

    rows: Path
    """The file of rows."""
    made_by: Mapping[str, Any]
    """Encoder, package, hash of its weights, rate, window and whether rows have length 1."""
    keys: tuple[str, ...]
    """Content hash of each row's sound; `core.features.index.SILENCE` is among them."""
    width: int
    """D."""

    @classmethod
    def load(cls, folder: Path) -> "ExportedEmbeddings":
        """What an exporter wrote to `folder`, its hash verified.

        Raises: DataError when it is missing or no such folder; MismatchError when the rows are
        not those that were written.
        """
        try:
            index = json.loads((folder / INDEX_FILE).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise DataError(
                f"no exported embeddings in {folder} ({error}); make them with `harness features`"
            ) from None
        if not isinstance(index, dict) or index.get("format") != FORMAT:
            raise DataError(
                f"{folder / INDEX_FILE} is not an index of format {FORMAT}; export again"
            )
        rows = folder / index["rows"]
        if not rows.is_file() or file_sha256(rows) != index["rows_sha256"]:
            raise MismatchError(f"{rows} is not what the exporter wrote; delete it, export again")
        from safetensors import safe_open

        with safe_open(rows, framework="np") as file:
            shape = file.get_slice("embeddings").get_shape()
        if shape[0] != len(index["keys"]):
            raise MismatchError(f"{rows} has {shape[0]} rows for {len(index['keys'])} keys")
        made_by = {name: index[name] for name in _MADE_BY}
        return cls(rows, made_by, tuple(index["keys"]), shape[1])

    @property
    def revision(self) -> str:
        """Hash of what made the rows; which sounds there are is not a part of it."""
        return json_sha256(dict(self.made_by))

    def table(self, keys: Sequence[str], *, name: str) -> "FeatureTable":
        """The rows of these sounds, float32, under the tensor name `name`.

        Raises: DataError when one has not been exported.
        """
        import torch
        from safetensors import safe_open

        from core.features.store import FeatureTable

        places = {key: row for row, key in enumerate(self.keys)}
        missing = [key for key in keys if key not in places]
        if missing:
            raise DataError(
                f"{len(missing)} of {len(keys)} sounds have no embedding of "
                f"{self.made_by['encoder']} in {self.rows.parent}; run `harness features` on this "
                "split"
            )
        with safe_open(self.rows, framework="pt") as file:
            rows_ND = file.get_tensor("embeddings").to(torch.float32)
        return FeatureTable(tensors={name: [rows_ND]}, places={key: places[key] for key in keys})
