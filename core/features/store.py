"""A folder of computed tensors that two processes may fill and nobody has to trust.

One folder a kind of feature and its settings. Rows are written in shards: `<name>.safetensors`
with the tensors of up to `_SHARD_ROWS` keys, and `<name>.json`, its index: the keys in order, the
shard's SHA-256 and a checksum of the index itself. Both are written atomically, index last, so a
shard without an index is not a shard. Opening hashes each shard it needs before mapping it into
memory; one that does not fit is removed, said aloud and computed again. safetensors alone would
load flipped payload bits without a word.

Shape legend: N rows.
"""

import json
import logging
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import safetensors
import torch
from safetensors.torch import save as safetensors_bytes
from torch import Tensor

from core.errors import GuardError
from core.features.index import FORMAT, LOCK_FILE, SETTINGS_FILE, read_index
from core.files import TEMPORARY_PREFIX, file_sha256, json_sha256, write_atomic
from core.locks import FileLock, LockHeldError

_SHARD_ROWS = 256
_PAGE_BYTES = 4096
_SHARD_BIT = 32
_ROW_MASK = (1 << _SHARD_BIT) - 1
_SILENT_WAIT_S = 2
_log = logging.getLogger(__name__)

Compute = Callable[[Sequence[str]], Mapping[str, Tensor]]
Progress = Callable[[int, bool], None] | None
"""Called with the number of further rows that are ready, and whether they were computed."""


@dataclass(frozen=True)
class FeatureTable:
    """Rows of one kind, mapped into memory."""

    tensors: Mapping[str, Sequence[Tensor]]
    """By name: one tensor [N, ...] a shard."""
    places: Mapping[str, int]
    """Key -> shard << 32 | row. One number, not a pair: 200,000 pairs would be walked by every
    pass of Python's garbage collector."""
    notices: tuple[str, ...] = ()
    """What was wrong with the store and has been repaired, as sentences."""
    num_computed: int = 0
    """Rows that were not in the store."""

    def rows(self, keys: Sequence[str], *, name: str) -> Tensor:
        """[len(keys), ...] of the tensor `name`, copied out of the map."""
        return self.rows_at([self.places[key] for key in keys], name=name)

    def rows_at(self, places: Sequence[int], *, name: str) -> Tensor:
        """The same of rows whose places are known."""
        shards = self.tensors[name]
        return torch.stack([shards[place >> _SHARD_BIT][place & _ROW_MASK] for place in places])


@dataclass(frozen=True, kw_only=True)
class FeatureStore:
    """The folder of one kind of feature made with one set of settings."""

    cache_dir: Path
    """Parent of every kind's folder."""
    kind: str
    """Name a person reads, e.g. `latents`."""
    settings: Mapping[str, Any]
    """All that decides a row beside its key; JSON values."""
    batch_size: int = 16
    """Rows computed in one call."""
    describe: Callable[[str], str] = field(default=lambda key: f"row {key!r}")
    """What a person calls a key, for messages."""
    late: frozenset[str] = frozenset()
    """Keys that are computed last, in batches of their own: encoders round by what else is in a
    batch, so the other rows are the same whether these are asked for or not."""

    @property
    def folder(self) -> Path:
        """`<cache_dir>/<kind>-<hash of the settings>`."""
        key = json_sha256({"format": FORMAT, "kind": self.kind, "settings": dict(self.settings)})
        return self.cache_dir / f"{self.kind}-{key[:16]}"

    def fill(
        self,
        keys: Sequence[str],
        *,
        compute: Compute,
        progress: Progress = None,
    ) -> FeatureTable:
        """The rows of `keys`, after computing those that are missing or broken.

        `compute(keys)` returns tensors [len(keys), ...] by name. A second process waits here until
        the first is done.
        Raises: GuardError when a computed row is not finite; NoSpaceError.
        """
        wanted = list(dict.fromkeys(keys))
        with self._locked():
            places, notices = self._sound_places(set(wanted))
            missing = [key for key in wanted if key not in places]
            if progress and len(missing) < len(wanted):
                progress(len(wanted) - len(missing), False)
            missing.sort(key=lambda key: key in self.late)
            for start in range(0, len(missing), _SHARD_ROWS):
                shard_keys = missing[start : start + _SHARD_ROWS]
                path = self._write_shard(shard_keys, compute=compute, progress=progress)
                places.update({key: (path, row) for row, key in enumerate(shard_keys)})
            return _open_table(
                {key: places[key] for key in wanted}, notices=notices, num_computed=len(missing)
            )

    @contextmanager
    def _locked(self) -> Iterator[None]:
        self.folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(self.folder / LOCK_FILE)
        try:
            lock.acquire(timeout_s=_SILENT_WAIT_S)
        except LockHeldError:
            _log.warning("another process fills %s; waiting for it", self.folder)
            lock.acquire()
        try:
            for leftover in self.folder.glob(f"{TEMPORARY_PREFIX}*"):
                leftover.unlink()
            settings = json.dumps(dict(self.settings), indent=2, sort_keys=True).encode()
            if not (self.folder / SETTINGS_FILE).exists():
                write_atomic(self.folder / SETTINGS_FILE, content=settings)
            os.utime(self.folder / SETTINGS_FILE)  # when the folder was last asked for
            yield
        finally:
            lock.release()

    def _sound_places(self, wanted: set[str]) -> tuple[dict[str, tuple[Path, int]], list[str]]:
        """Where each wanted key lies, of shards that pass their hash; broken ones are removed."""
        places: dict[str, tuple[Path, int]] = {}
        notices: list[str] = []
        for index_path in sorted(self.folder.glob("*.json")):
            if index_path.name == SETTINGS_FILE:
                continue
            shard_path = index_path.with_suffix(".safetensors")
            index = read_index(index_path)
            if index is not None and wanted.isdisjoint(index["keys"]):
                continue
            problem = "its index is damaged" if index is None else _shard_problem(shard_path, index)
            if index is None or problem:
                notice = f"feature shard {shard_path}: {problem}; its rows are computed again"
                notices.append(notice)
                _log.warning(notice)
                index_path.unlink(missing_ok=True)
                shard_path.unlink(missing_ok=True)
                continue
            for row, key in enumerate(index["keys"]):
                if key in wanted:
                    places[key] = (shard_path, row)
        return places, notices

    def _write_shard(self, keys: Sequence[str], *, compute: Compute, progress: Progress) -> Path:
        batches: list[Mapping[str, Tensor]] = []
        for batch_keys in self._batches(keys):
            batch = {
                name: tensor.detach().to("cpu", torch.float32)
                for name, tensor in compute(batch_keys).items()
            }
            self._require_sound(batch, keys=batch_keys)
            batches.append(batch)
            if progress:
                progress(len(batch_keys), True)
        tensors = {
            name: torch.cat([batch[name] for batch in batches]).contiguous() for name in batches[0]
        }
        content = safetensors_bytes(tensors)
        body = {"format": FORMAT, "keys": list(keys)}
        path = self.folder / f"{json_sha256(body)[:16]}.safetensors"
        write_atomic(path, content=content)
        body["sha256"] = file_sha256(path)
        body["checksum"] = json_sha256(body)
        write_atomic(path.with_suffix(".json"), content=json.dumps(body).encode() + b"\n")
        return path

    def _batches(self, keys: Sequence[str]) -> Iterator[Sequence[str]]:
        num_early = sum(key not in self.late for key in keys)
        for group in (keys[:num_early], keys[num_early:]):
            for start in range(0, len(group), self.batch_size):
                yield group[start : start + self.batch_size]

    def _require_sound(self, batch: Mapping[str, Tensor], *, keys: Sequence[str]) -> None:
        for name, tensor in batch.items():
            if len(tensor) != len(keys):
                raise ValueError(f"{self.kind}.{name} has {len(tensor)} rows for {len(keys)} keys")
            finite = torch.isfinite(tensor).flatten(1).all(dim=1)
            if not finite.all():
                bad = self.describe(keys[int((~finite).nonzero()[0])])
                raise GuardError(
                    f"the encoder's {self.kind} of {bad} are not finite; nothing was cached. "
                    "Check the encoder's weights and precision, and the file"
                )


def _shard_problem(path: Path, index: Mapping[str, Any]) -> str | None:
    try:
        return None if file_sha256(path) == index["sha256"] else "its bytes do not fit its SHA-256"
    except OSError as error:
        return f"it cannot be read ({error.strerror})"


def _fault_in(tensors: Sequence[Tensor]) -> None:
    """Touch every page of the maps, where memory can hold them.

    The files have just been read to be hashed, so this reads nothing; without it the first read
    of each row costs a page fault for every few pages of it, at 200,000 rows the whole run long.
    """
    total = sum(tensor.nbytes for tensor in tensors)
    if total > os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2:
        return
    for tensor in tensors:
        tensor.flatten()[:: _PAGE_BYTES // tensor.element_size()].sum()


def _open_table(
    places: Mapping[str, tuple[Path, int]], *, notices: Sequence[str], num_computed: int
) -> FeatureTable:
    paths = sorted({path for path, _ in places.values()})
    number = {path: index for index, path in enumerate(paths)}
    tensors: dict[str, list[Tensor]] = {}
    for path in paths:
        with safetensors.safe_open(path, framework="pt") as shard:
            for name in shard.keys():  # noqa: SIM118  (safe_open is not a mapping)
                tensors.setdefault(name, []).append(shard.get_tensor(name))
    _fault_in([tensor for shards in tensors.values() for tensor in shards])
    return FeatureTable(
        tensors=tensors,
        places={key: number[path] << _SHARD_BIT | row for key, (path, row) in places.items()},
        notices=tuple(notices),
        num_computed=num_computed,
    )
