"""Lists of YouTube clips, with the media already on disk: the CSVs of VGGSound, AudioCaps, AudioSet
and VGGSounder.

Nothing is downloaded. A clip's files are looked for by stem under `--media`, in any subfolder.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

from core.data.ingest.captions import unread
from core.data.ingest.clip_rows import (
    Clip,
    is_audiocaps_list,
    is_vggsound_list,
    one_row_a_clip,
    read_audiocaps_list,
    read_vggsound_list,
)
from core.data.ingest.label_rows import (
    NAMES_FILE,
    is_audioset_list,
    is_vggsounder_list,
    read_audioset_list,
    read_vggsounder_list,
    unnamed_labels,
)
from core.data.ingest.merge import joined
from core.data.ingest.row_labels import heard_labels, unheard_notice
from core.data.ingest.scan import Scan, make_scan
from core.data.ingest.source import Options, Place, SourceKind
from core.data.ingest.video_pairs import VideoJob, cut_all
from core.data.ingest.videos import labelled, unmapped
from core.data.items import Item, Reason, Status, excluded
from core.errors import DataError
from core.text import canonical

_CLIP_S = 10


@dataclass(frozen=True)
class _Media:
    """Files of the media folder by stem."""

    root: Path
    audio: Mapping[str, Sequence[str]]
    images: Mapping[str, Sequence[str]]
    videos: Mapping[str, Sequence[str]]


def _stems(clip: Clip, *, is_only_clip: bool) -> list[str]:
    """File stems a clip is looked for under, in this order.

    The bare id counts only where the list has one clip of the video: else it names none of them.
    """
    id_, start, end = clip.video_id, clip.start_s, clip.start_s + _CLIP_S
    stems = [
        f"{id_}_{start:06d}",
        f"{id_}_{start}",
        f"{id_}_{start}_{end}",
        f"{id_}_{start * 1000}_{end * 1000}",
    ]
    return [*stems, id_, f"Y{id_}"] if is_only_clip else stems


def _read_list(place: Place, options: Options, *, parse: Callable[[Path], list[Clip]]) -> Scan:
    media_place = Place(options.media) if options.media else None
    if media_place is None:
        raise DataError(
            f"{place.path} only lists clips; say with --media DIR where their files are "
            "(<id>_<start, six digits>.wav, .jpg or .mp4, or <id>.wav and <id>.jpg)"
        )
    if not media_place.is_folder:
        raise DataError(f"no folder {media_place.path}; --media takes the folder of the clips")
    clips = parse(place.resolved)
    found = media_place.found
    media = _Media(
        root=media_place.resolved,
        audio=_by_stem(found.audio),
        images=_by_stem(found.images),
        videos=_by_stem(found.videos),
    )
    starts: dict[str, set[int]] = defaultdict(set)
    for clip in clips:
        starts[clip.video_id].add(clip.start_s)
    items: list[Item] = []
    jobs: list[VideoJob] = []
    used: set[str] = set()
    classes: set[str] = set()
    for clip in clips:
        stems = _stems(clip, is_only_clip=len(starts[clip.video_id]) == 1)
        outcome, files = _place_clip(clip, media, options, stems=stems)
        used |= files
        if isinstance(outcome, VideoJob):
            jobs.append(outcome)
        else:
            items.append(outcome)
        label = (
            outcome.known.get("class_name")
            if isinstance(outcome, VideoJob)
            else (outcome.class_name)
        )
        if files and label is not None:
            classes.add(label)
    items += [item for item in found.exclusions if item.id not in used]
    items += found.loose(used, detail=f"no row of {place.resolved.name} names this file")
    named_files = frozenset(str(media.root / path) for path in used)
    why = f"the captions are those of {place.resolved.name}"
    notices = [*unread(found, because=why), *unheard_notice([clip.labels for clip in clips])]
    scan = make_scan(media.root, items, classes=classes, notices=notices)
    scans = [replace(scan, named_files=named_files)]
    if jobs:
        scans.append(cut_all(jobs, options, classes=classes))
    return joined(scans)


def _by_stem(paths: Sequence[str]) -> dict[str, list[str]]:
    table: dict[str, list[str]] = defaultdict(list)
    for path in paths:
        table[canonical(PurePosixPath(path).stem)].append(path)
    return table


def _place_clip(
    clip: Clip, media: _Media, options: Options, *, stems: Sequence[str]
) -> tuple[Item | VideoJob, set[str]]:
    """The clip's item or the cut that makes it, and the files that count with it."""
    audio, _ = _first(media.audio, stems)
    images, _ = _first(media.images, stems)
    videos, video_stem = _first(media.videos, stems)
    files = {*audio, *images, *videos}
    known: dict[str, Any] = {
        "source": clip.video_id,
        "origin": clip.place,
        "official_split": clip.official_split,
    }
    paths: dict[str, Any] = {
        "audio_path": audio[0] if audio else None,
        "image_path": images[0] if images else None,
    }
    label = options.label(clip.id, clip.video_id, own=clip.label)
    has_own = bool(clip.labels) or (clip.caption is not None and not options.has_labels)
    if label is not None:
        known |= labelled(label, caption=clip.caption)
    elif has_own:
        known |= _described(clip)
    if not files:
        detail = f"none of its files is on disk; looked for {', '.join(stems)}"
        return excluded(clip.id, Reason.NO_MEDIA, detail, **known), files
    if clip.labels and not known["labels"]:
        detail = "none of its labels is audible"
        return excluded(clip.id, Reason.NO_LABEL, detail, **known, **paths), files
    if label is None and not has_own:
        detail = "neither the list nor --class nor a --label-file says what is in it"
        return excluded(clip.id, Reason.NO_LABEL, detail, **known, **paths), files
    names = [label] if label is not None else known.get("labels", ())
    if names and not any(map(options.is_mapped, names)):
        return unmapped(clip.id, names[0], options, **known, **paths), files
    several = [group for group in (audio, images) if len(group) > 1]
    if several:
        detail = f"more than one file for one clip: {', '.join(several[0])}; keep one of them"
        return excluded(clip.id, Reason.SEVERAL_FILES, detail, **known, **paths), files
    if audio and images:
        return Item(clip.id, Status.CANDIDATE, **known, **paths), files
    if len(videos) == 1:
        is_bare = video_stem in stems[4:]
        start_s = float(clip.start_s) if is_bare else 0.0
        video = media.root / videos[0]
        return VideoJob(
            id=clip.id, video=video, start_s=start_s, known=known, may_be_cut=is_bare
        ), files
    if videos:
        detail = f"more than one file for one clip: {', '.join(videos)}; keep one of them"
        return excluded(clip.id, Reason.SEVERAL_FILES, detail, **known, **paths), files
    reason = Reason.MISSING_IMAGE if audio else Reason.MISSING_AUDIO
    what = "picture" if audio else "sound"
    detail = f"no {what} and no video of it; looked for {', '.join(stems)}"
    return excluded(clip.id, reason, detail, **known, **paths), files


def _described(clip: Clip) -> dict[str, Any]:
    """The fields of a clip with several labels, or with captions alone."""
    found: dict[str, Any] = {"caption": clip.caption, "captions": clip.captions}
    if clip.labels:
        found["labels"] = heard_labels(clip.labels)
        if any(flag.says for flag in clip.labels):
            found["provenance"] = {"labels": [flag.data() for flag in clip.labels]}
    return found


def _first(
    table: Mapping[str, Sequence[str]], stems: Sequence[str]
) -> tuple[Sequence[str], str | None]:
    for stem in stems:
        if stem in table:
            return table[stem], stem
    return (), None


def _is_csv(place: Place) -> bool:
    return not place.is_folder and place.resolved.suffix.lower() == ".csv"


def _claims_vggsound(place: Place, options: Options) -> bool:
    return _is_csv(place) and is_vggsound_list(place.resolved)


def _claims_audiocaps(place: Place, options: Options) -> bool:
    return _is_csv(place) and is_audiocaps_list(place.resolved)


def _read_vggsound(place: Place, options: Options) -> Scan:
    return _read_list(place, options, parse=read_vggsound_list)


def _read_audiocaps(place: Place, options: Options) -> Scan:
    def parse(path: Path) -> list[Clip]:
        rows = read_audiocaps_list(path)
        # With a class each caption is a pair of its own; without, a clip is one pair with all.
        return rows if options.has_labels else one_row_a_clip(rows)

    return _read_list(place, options, parse=parse)


def _read_audioset(place: Place, options: Options) -> Scan:
    scan = _read_list(place, options, parse=read_audioset_list)
    return replace(scan, notices=(*scan.notices, *unnamed_labels(place.resolved)))


def _claims_audioset(place: Place, options: Options) -> bool:
    return _is_csv(place) and is_audioset_list(place.resolved)


def _claims_vggsounder(place: Place, options: Options) -> bool:
    return _is_csv(place) and is_vggsounder_list(place.resolved)


def _read_vggsounder(place: Place, options: Options) -> Scan:
    return _read_list(place, options, parse=read_vggsounder_list)


VGGSOUND = SourceKind(
    name="vggsound",
    summary="a CSV `id,start,label,split`, with or without that header, and --media DIR",
    claims=_claims_vggsound,
    read=_read_vggsound,
)
AUDIOCAPS = SourceKind(
    name="audiocaps",
    summary="a CSV `audiocap_id,youtube_id,start_time,caption` and --media DIR; "
    "several captions a clip; captions alone, or the class of --label-file or --class",
    claims=_claims_audiocaps,
    read=_read_audiocaps,
)
AUDIOSET = SourceKind(
    name="audioset",
    summary="AudioSet's CSV `YTID, start_seconds, end_seconds, positive_labels` and --media DIR; "
    f"{NAMES_FILE} next to it names the labels",
    claims=_claims_audioset,
    read=_read_audioset,
)
VGGSOUNDER = SourceKind(
    name="vggsounder",
    summary="a CSV with one row for each clip and label: `video_id,label,modality` (A, V or AV), "
    "or `audible` and `visible` in its place; and --media DIR",
    claims=_claims_vggsounder,
    read=_read_vggsounder,
)
