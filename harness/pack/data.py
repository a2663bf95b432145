"""The split, its media and its cached features, as files of a pack."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from core.data.splits.split import Part, Split, verify
from core.features.folders import CacheFolder, Shard, cache_folders, needed_contents, plan_prune
from core.features.index import SETTINGS_FILE
from harness.archive.write import Member
from harness.data.source import PreparedSplit
from harness.metrics.feature_cache import About
from harness.pack.contents import LOCK, MEDIA, WORK, DataMode
from harness.pack.models import PackedModels
from harness.records.folders import ResultsFolder


@dataclass(frozen=True)
class PackedData:
    """What goes along of the data."""

    members: tuple[Member, ...]
    """The files."""
    rows: dict[str, int]
    """Cached features among them, by kind."""


def packed_data(
    prepared: PreparedSplit, *, results: Path, mode: DataMode, models: PackedModels | None
) -> PackedData:
    """The lock, and with it what the mode asks for.

    models: whose cached features go along; None for those of all models.

    Raises:
        MismatchError: a media file is not as it was locked.
    """
    members = [Member(f"{WORK}/{LOCK}", _lock(prepared))]
    if mode is DataMode.NONE:
        return PackedData(tuple(members), {})
    parts = tuple(Part) if mode is DataMode.MEDIA else (Part.VAL, Part.TEST)
    verify(prepared.split, parts=parts)  # cheaper to find here than on a machine that is paid for
    members += _media(prepared.split, parts)
    rows: dict[str, int] = {}
    for folder, shards in _shards(prepared.split, results=results):
        if models is not None and not models.reads(folder):
            continue
        place = f"{WORK}/results/cache/features/{folder.path.name}"
        members.append(Member(f"{place}/{SETTINGS_FILE}", folder.path / SETTINGS_FILE))
        for shard in shards:
            for path in (shard.path, shard.path.with_suffix(".json")):
                members.append(Member(f"{place}/{path.name}", path))
        rows[folder.kind] = rows.get(folder.kind, 0) + sum(len(shard.keys) for shard in shards)
    members += [
        Member(f"{WORK}/results/cache/scorer_features/{path.name}", path)
        for path in sorted(ResultsFolder(results).scorer_features.glob("*.npz"))
        if models is None or models.scores_with(About.of(path), split_hash=prepared.split.hash)
    ]
    return PackedData(tuple(members), rows)


def _lock(prepared: PreparedSplit) -> bytes:
    """The lock file with its media beside it; the split and its hash are the same."""
    facts = json.loads(prepared.lock.read_bytes()).get("facts", {})
    with TemporaryDirectory(prefix="harness-pack-") as folder:
        path = Path(folder) / "lock.json"
        replace(prepared.split, root=Path(folder) / MEDIA).save(path, facts=facts)
        return path.read_bytes()


def _media(split: Split, parts: tuple[Part, ...]) -> Iterator[Member]:
    names = {
        name
        for sample in split.samples_of(parts).values()
        for name in (sample.audio_path, sample.image_path)
    }
    folder = f"{WORK}/{Path(LOCK).parent.as_posix()}/{MEDIA}"
    for name in sorted(names):
        yield Member(f"{folder}/{name}", split.root / name)


def _shards(split: Split, *, results: Path) -> Iterator[tuple[CacheFolder, tuple[Shard, ...]]]:
    """Every folder of the cache with the shards that hold something of the split."""
    folders = cache_folders(ResultsFolder(results).features)
    removals = plan_prune(folders, needed=needed_contents([split]))
    unused = {removal.folder.path: set(removal.shards) for removal in removals}
    for folder in folders:
        shards = tuple(s for s in folder.shards if s not in unused.get(folder.path, set()))
        if any(shard.keys for shard in shards):
            yield folder, tuple(shard for shard in shards if shard.keys)
