"""Video files: the first seconds of sound of each, and the sharpest frame of them."""

from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any

from core.data.ingest.captions import unread
from core.data.ingest.endings import VIDEO_SUFFIXES
from core.data.ingest.merge import joined
from core.data.ingest.scan import Scan, caption_of, make_scan
from core.data.ingest.source import Options, Place, SourceKind
from core.data.ingest.video_pairs import VideoJob, cut_all
from core.data.items import Item, Reason, excluded
from core.errors import DataError
from core.text import canonical


def _claims(place: Place, options: Options) -> bool:
    if place.is_folder:
        is_listed = bool(place.metadata_files)
        has_others = bool(place.found.audio or place.found.images)
        return bool(place.found.videos) and not has_others and not is_listed
    return place.resolved.suffix.lower() in VIDEO_SUFFIXES


def _read(place: Place, options: Options) -> Scan:
    options.require_maker("videos")
    if place.is_folder:
        found, root = place.found, place.resolved
        videos = found.videos
        others = [*found.not_videos(), *found.loose(set(), detail="not a video")]
        notices = unread(found, because="videos are described by their class alone")
    else:
        root, videos, others = place.resolved.parent, (place.resolved.name,), []
        notices = []
    if not videos:
        raise DataError(f"{place.path} holds no video ({', '.join(sorted(VIDEO_SUFFIXES))})")
    jobs: list[VideoJob] = []
    left_out: list[Item] = []
    classes = set()
    for path in videos:
        stem = canonical(PurePosixPath(path).stem)
        folders = tuple(map(canonical, PurePosixPath(path).parts[:-1]))
        id_ = ".".join((*folders, stem))
        # A folder a class, as for pairs; deeper folders say nothing.
        own = folders[0] if len(folders) == 1 else None
        label = options.label(id_, stem, own=own)
        known: dict[str, Any] = {"source": stem, "origin": path}
        if label is None:
            detail = "no folder, no --class and no row of a --label-file says what is in it"
            left_out.append(excluded(id_, Reason.NO_LABEL, detail, **known))
            continue
        known |= labelled(label)
        classes.add(label)
        if options.is_mapped(label):
            jobs.append(VideoJob(id=id_, video=root / path, start_s=0.0, known=known))
        else:
            left_out.append(unmapped(id_, label, options, **known))
    if not jobs and not classes:
        raise DataError(
            f"no class is given for the videos of {place.path}: put them in one folder per "
            "class, or pass --class NAME or --label-file CSV"
        )
    rest = make_scan(root, [*left_out, *others], classes=(), notices=notices)
    return joined([cut_all(jobs, options, classes=classes), rest])


def labelled(label: str, *, caption: str | None = None) -> Mapping[str, Any]:
    """The fields that follow from a label."""
    return {
        "class_name": label,
        "source_label": label,
        "caption": caption if caption is not None else caption_of(label),
    }


def unmapped(id_: str, label: str, options: Options, **known: Any) -> Item:
    """The exclusion of an item whose label has no class, before its media are made."""
    why = options.labels.why_unmapped(label) if options.labels else ""
    return excluded(id_, Reason.UNMAPPED_LABEL, why, **{**known, "class_name": None, "labels": ()})


KIND = SourceKind(
    name="videos",
    summary="a video, or a folder of videos (<class>/<name>.mp4, or --class or --label-file): "
    "10 s of sound and the sharpest frame are cut into DIR/media (extra `video`)",
    claims=_claims,
    read=_read,
)
