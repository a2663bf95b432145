"""Pairs cut out of many videos, several at a time."""

import os
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.data.ingest.made_media import MediaMaker
from core.data.ingest.scan import Scan, make_scan
from core.data.ingest.source import Options
from core.data.ingest.video_cut import cut_pair, duration_s, require_pyav
from core.data.items import Item, Reason, Status, excluded
from core.data.media.errors import MediaError

_WHOLE_VIDEO_MARGIN_S = 1.0


@dataclass(frozen=True, kw_only=True)
class VideoJob:
    """One clip to cut."""

    id: str
    video: Path
    """Absolute."""
    start_s: float
    """Where in the video the clip starts."""
    known: Mapping[str, Any]
    """The other fields of the item."""
    may_be_cut: bool = False
    """The start is only true if the video is longer than the clip: a file that is named by its id
    alone may hold the clip or the whole video."""


def cut_all(jobs: Sequence[VideoJob], options: Options, *, classes: Iterable[str]) -> Scan:
    """A scan rooted at the folder of made media, with an item for each job.

    Raises: UsageError where nothing may be written, or PyAV is not installed.
    """
    maker = options.require_maker("videos")
    if jobs:
        require_pyav()
    num_workers = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1
    items: list[Item] = []
    # Threads: decoding releases the interpreter lock.
    pool = ThreadPoolExecutor(num_workers)
    try:
        for item in pool.map(lambda job: _cut(job, maker, window_s=options.window_s), jobs):
            items.append(item)
            if options.progress:
                options.progress("cutting clips out of videos", len(items), len(jobs))
    finally:
        pool.shutdown(cancel_futures=True)
    return make_scan(maker.folder, items, classes=classes)


def _cut(job: VideoJob, maker: MediaMaker, *, window_s: float) -> Item:
    try:
        stamp = maker.stamp(job.video)
    except OSError as error:
        detail = f"{job.video.name} cannot be read: {error.strerror}"
        return excluded(job.id, Reason.UNREADABLE, detail, **job.known)
    # Beyond this, an error of the system is one of writing, which stops the whole ingest.
    try:
        start_s = job.start_s
        if job.may_be_cut and start_s > 0:
            length_s = duration_s(job.video)
            if length_s is not None and length_s <= window_s + _WHOLE_VIDEO_MARGIN_S:
                start_s = 0.0
        made_from = {"video": stamp, "start_s": start_s, "window_s": window_s}
        pair = maker.pair(
            made_from,
            name=job.id,
            make=lambda: cut_pair(job.video, start_s=start_s, window_s=window_s),
        )
    except MediaError as error:
        return excluded(job.id, error.reason, f"{job.video.name}: {error}", **job.known)
    known = dict(job.known)
    own: Mapping[str, Any] = known.pop("provenance", {})
    return Item(
        job.id,
        Status.CANDIDATE,
        audio_path=pair.audio_path,
        image_path=pair.image_path,
        provenance={"video": job.video.name, **pair.provenance, **own},
        **known,
    )
