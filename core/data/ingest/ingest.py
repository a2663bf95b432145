"""Sources of any kind become one manifest in a folder of its own."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from core.data.ingest.folder import scan_place
from core.data.ingest.made_media import MediaMaker
from core.data.ingest.merge import joined, with_classes, with_unique_ids
from core.data.ingest.source import Options, Place
from core.data.manifest import MANIFEST_FILE, Manifest
from core.errors import MismatchError, UsageError
from core.files import json_sha256

MEDIA_FOLDER = "media"


@dataclass(frozen=True)
class Ingested:
    """What an ingest did."""

    manifest: Manifest
    """As it lies in the folder now."""
    num_new: int
    """Items that the folder's manifest did not have before."""
    num_gone: int
    """Items that it had, and that the sources no longer hold."""
    is_unchanged: bool
    """The folder already held exactly this; it was left as it was, cleaned or not."""


def ingest(
    sources: Sequence[Path], out: Path, *, options: Options, kind: str | None = None
) -> Ingested:
    """Read `sources` and write `out/manifest.parquet`; originals are referenced, never changed.

    A folder that holds a manifest of the same sources is brought up to date: where nothing changed
    it is left alone, else its items are candidates again. `options.maker` is set here.
    Raises: MismatchError when `out` was made from other sources or settings; UsageError for
    impossible settings; DataError for a source that cannot be read.
    """
    require_apart(sources, out, options=options)
    places = [Place(source) for source in sources]
    asked = _asked(places, out, options=options, kind=kind)
    before = Manifest.load(out) if (out / MANIFEST_FILE).exists() else None
    if before is not None and list(before.sources) != asked:
        raise MismatchError(
            f"{out} was ingested from {_named(before.sources)}, and not from {_named(asked)} with "
            "the same options; choose another --out, or repeat the command it was made with"
        )
    with_maker = replace(options, maker=MediaMaker(out / MEDIA_FOLDER))
    scans = [scan_place(place, with_maker, kind=kind) for place in places]
    scan = with_classes(with_unique_ids(joined(scans)), options.labels)
    manifest = replace(scan.manifest(), sources=tuple(asked))
    if before is None:
        manifest.save(out)
        return Ingested(manifest, manifest.num_input, 0, is_unchanged=False)
    # An empty class is not an item, but cleaning refuses it: taking it away is a change.
    if before.as_ingested() == manifest:
        return Ingested(before, 0, 0, is_unchanged=True)
    manifest.save(out)
    old = {item.id for item in before.items}
    new = {item.id for item in manifest.items}
    return Ingested(manifest, len(new - old), len(old - new), is_unchanged=False)


def require_apart(sources: Sequence[Path], out: Path, *, options: Options) -> None:
    """Return if every file would be read once, and nothing written where it is read.

    Raises: UsageError.
    """
    if not sources:
        raise UsageError("nothing to ingest; name at least one folder, list, video or shard")
    places = [Place(source) for source in sources]
    target = out.resolve()
    beside = [Place(path) for path in (options.media, options.images) if path is not None]
    folders = [place for place in (*places, *beside) if place.is_folder]
    for folder in folders:
        if target.is_relative_to(folder.resolved):
            raise UsageError(
                f"--out {out} lies in the source {folder.path}, which is only read; choose a "
                "folder outside of it"
            )
    for place in (*places, *beside):
        if place.resolved.is_relative_to(target / MEDIA_FOLDER):
            raise UsageError(f"{place.path} was made by ingest itself; name the original source")
    for index, place in enumerate(places):
        for other in (*places[:index], *places[index + 1 :], *beside):
            is_list = place.resolved.suffix.lower() == ".csv"  # no media, and read only if named
            if place.resolved == other.resolved:
                raise UsageError(f"{place.path} is named twice; name each source once")
            if not is_list and place.resolved.is_relative_to(other.resolved):
                raise UsageError(
                    f"{place.path} lies in {other.path}; each file is read once, so name one of "
                    "the two"
                )


def _asked(
    places: Sequence[Place], out: Path, *, options: Options, kind: str | None
) -> list[dict[str, Any]]:
    """What was asked for, with paths relative to `out`, so that all may move together."""

    def relative(path: Path | None) -> str | None:
        if path is None:
            return None
        return Path(os.path.relpath(path.resolve(), out.resolve())).as_posix()

    labels: Any = None
    if options.labels is not None:
        labels = {name: list(own) for name, own in sorted(options.labels.classes.items())}
    settings = {
        "kind": kind,
        "class": options.class_name,
        "label_file": json_sha256(dict(options.label_of)) if options.label_of else None,
        "labels": labels,
        "media": relative(options.media),
        "images": relative(options.images),
        "window_s": options.window_s,
        "max_member_bytes": options.max_member_bytes,
    }
    return [{"path": relative(place.resolved), **settings} for place in places]


def _named(sources: Sequence[Mapping[str, Any]]) -> str:
    return ", ".join(str(source["path"]) for source in sources)
