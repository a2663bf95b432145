"""A data set's own list of clips (VGGSound's CSV): its division, and its label of each clip."""

import re
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from core.data.ingest.clip_rows import Clip, read_vggsound_list
from core.data.manifest import Manifest
from core.data.splits.apportion import OFFICIAL_TEST

# YouTube's ids have 11 letters; media and lists add the start of the clip in several ways.
_CUT = re.compile(r"Y?(?P<video>[\w-]{11})_(?P<start>\d{1,6})(?:_\d+)?")


def video_of(id_: str) -> str:
    """The video that a clip's id names: the id itself, without the start that was added to it."""
    match = _CUT.fullmatch(id_)
    return match["video"] if match else id_


@dataclass(frozen=True)
class OfficialList:
    """The clips of a data set's own list, by video."""

    name: str
    """File name of the list."""
    clips: Mapping[str, tuple[Clip, ...]]
    """Clips by video id."""

    def split_of(self, id_: str, *, source: str) -> str | None:
        """`test` when any listed clip of the video is tested on, else the first's part, or None.

        By video, not by clip: two cuts of one video say much the same.
        """
        parts = [clip.official_split for clip in self._of(id_, source=source)]
        return OFFICIAL_TEST if OFFICIAL_TEST in parts else next(iter(parts), None)

    def label_of(self, id_: str, *, source: str) -> str | None:
        """The list's label of the clip; None where it lists none, or several and says not which."""
        clips = self._of(id_, source=source)
        match = _CUT.fullmatch(id_)
        if len(clips) > 1 and match:
            clips = tuple(clip for clip in clips if clip.start_s == int(match["start"]))
        labels = {clip.label for clip in clips}
        return labels.pop() if len(labels) == 1 else None

    def _of(self, id_: str, *, source: str) -> tuple[Clip, ...]:
        for name in (video_of(id_), id_, source):
            if name in self.clips:
                return self.clips[name]
        return ()


def read_official_list(path: Path) -> OfficialList:
    """VGGSound's `id,start,label,split`. Raises: DataError naming the row and the field."""
    clips: dict[str, list[Clip]] = defaultdict(list)
    for clip in read_vggsound_list(path):
        clips[clip.video_id].append(clip)
    return OfficialList(path.name, {video: tuple(found) for video, found in clips.items()})


def mark_official(manifest: Manifest, official: OfficialList) -> Manifest:
    """The manifest with the official part of every item that the list names."""

    def part(id_: str, source: str | None, known: str | None) -> str | None:
        return official.split_of(id_, source=source or id_) or known

    items = tuple(
        replace(item, official_split=part(item.id, item.source, item.official_split))
        for item in manifest.items
    )
    return replace(manifest, items=items)
