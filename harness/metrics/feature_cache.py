"""Features of real pictures and sounds, computed once for each split and scorer."""

import io
import json
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from core.files import json_sha256, write_atomic

Arrays = dict[str, NDArray[np.float32]]
_ABOUT = "about.json"
_FORMAT_DAY = (1980, 1, 1, 0, 0, 0)
"""No time of ours: the same features are the same bytes."""


@dataclass(frozen=True)
class About:
    """What a file of the cache was made of; by this it is known which runs still read it."""

    split: str
    """Hash of the split."""
    code: tuple[str, str]
    """Hashes of the code that decodes (`core`) and that scores (`metrics`)."""
    scorers: frozenset[str]
    """Fingerprints of the models."""

    @classmethod
    def of(cls, path: Path) -> "About | None":
        """The same of a file; None where it says nothing, as files of before do, or is damaged."""
        try:
            with zipfile.ZipFile(path) as archive:
                found = json.loads(archive.read(_ABOUT))
            code = str(found["core"]), str(found["metrics"])
            return cls(str(found["split"]), code, frozenset(str(found["scorer"]).split("+")))
        except (OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile):
            return None


class FeatureCache:
    """Named float32 arrays of a split's real media, on disk or, without a folder, not kept.

    context: what decides the features beside scorer and ids: the split's hash, the hash of the
        code that decodes and scores, the window of the sounds.
    """

    def __init__(
        self,
        folder: Path | None = None,
        *,
        context: Mapping[str, str | float],
        verify: Callable[[Sequence[str]], None] = lambda ids: None,
    ) -> None:
        """verify: raises where the media of an id are not those that the context's split locked."""
        self._folder = folder
        self._context = dict(context)
        self._verify = verify
        self.notices: list[str] = []
        """Damaged files that were computed anew."""

    def arrays(
        self,
        what: str,
        *,
        ids: Sequence[str],
        fingerprint: str,
        compute: Callable[[], Mapping[str, NDArray[np.float64]]],
    ) -> dict[str, NDArray[np.float64]]:
        """What `compute` returns, one row for each id, from disk where it is there.

        Scorers compute in float32, so keeping float32 loses nothing: a cached value is the
        computed one bit for bit. The media are verified before and after they are read, so that
        features of files that changed meanwhile are neither used nor kept under the split's name.

        Raises: whatever `verify` raises.
        """
        if self._folder is None:
            made = self._verified(compute, ids=ids)
            return {name: rows.astype(np.float64) for name, rows in made.items()}
        about = {**self._context, "what": what, "scorer": fingerprint}
        key = json_sha256({**about, "ids": list(ids)})
        path = self._folder / f"{what.replace(' ', '-')}-{key[:20]}.npz"
        found = self._load(path, num_rows=len(ids))
        if found is None:
            found = self._verified(compute, ids=ids)
            buffer = io.BytesIO()
            np.savez(buffer, **found)  # type: ignore[arg-type]  # numpy types **kwds as a flag
            with zipfile.ZipFile(buffer, "a") as archive:
                archive.writestr(zipfile.ZipInfo(_ABOUT, _FORMAT_DAY), json.dumps(about))
            write_atomic(path, content=buffer.getvalue())
        return {name: rows.astype(np.float64) for name, rows in found.items()}

    def _verified(
        self, compute: Callable[[], Mapping[str, NDArray[np.float64]]], *, ids: Sequence[str]
    ) -> Arrays:
        self._verify(ids)
        made = {name: _float32(rows) for name, rows in compute().items()}
        self._verify(ids)
        return made

    def _load(self, path: Path, *, num_rows: int) -> Arrays | None:
        if not path.is_file():
            return None
        try:
            with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
                found = {name: stored[name] for name in stored.files if name != _ABOUT}
        except (OSError, ValueError, EOFError, zipfile.BadZipFile, KeyError):
            found = {}
        if not found or any(len(rows) != num_rows for rows in found.values()):
            self.notices.append(f"the cached features {path.name} were damaged and made anew")
            return None
        return found


def _float32(rows: NDArray[np.float64]) -> NDArray[np.float32]:
    return np.asarray(rows, dtype=np.float32)
