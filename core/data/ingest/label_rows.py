"""The rows of lists with several labels a clip: AudioSet's segments, and VGGSounder's CSV.

AudioSet's files begin with comments, and hold machine ids that `class_labels_indices.csv`, where it
lies next to the list, names. VGGSounder has one row for each clip and label, with what is heard and
seen of it (`modality` A, V or AV, or the columns `audible` and `visible`).
"""

import re
from pathlib import Path

from core.data.ingest.clip_rows import Clip, check_id, checked, start_of
from core.data.ingest.row_labels import HeardLabel
from core.data.ingest.rows import read_cells, read_rows
from core.errors import DataError
from core.text import canonical

NAMES_FILE = "class_labels_indices.csv"
_AUDIOSET_COLUMNS = ("YTID", "start_seconds", "end_seconds", "positive_labels")
_OFFICIAL = {"balanced_train_segments": "train", "unbalanced_train_segments": "train"} | {
    "eval_segments": "test"
}
_IDS = ("video_id", "youtube_id", "ytid", "id")
_CUT = re.compile(r"(?P<video>.+)_(?P<start>\d{1,6})")
_MODALITIES = {"A": (True, False), "V": (False, True), "AV": (True, True)}
_TRUTHS = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}


def is_audioset_list(path: Path) -> bool:
    """Whether its comments name AudioSet's columns. Raises: DataError where it is not a CSV."""
    return any(row[0].startswith("#") and "YTID" in row[0] for row in read_cells(path)[:3] if row)


def read_audioset_list(path: Path) -> list[Clip]:
    """Every clip, in order, with its labels by name.

    Raises: DataError naming the row (from 1), the field and what was expected.
    """
    names = _names(path.parent / NAMES_FILE)
    clips: dict[str, Clip] = {}
    for number, cells in enumerate(read_cells(path), start=1):
        if not cells or not cells[0].strip() or cells[0].startswith("#"):
            continue
        place = f"{path.name}, row {number}"
        # The labels are one quoted field behind a blank, which a strict reader cuts at its commas.
        values = [cell.strip() for cell in cells[:3]]
        labels = [cell.strip().strip('"').strip() for cell in cells[3:]]
        row = checked([*values, ",".join(labels)], _AUDIOSET_COLUMNS, place=place)
        video_id = check_id(row["YTID"], field="YTID", place=place)
        start = start_of(row["start_seconds"], field="start_seconds", place=place)
        flags = tuple(HeardLabel(names.get(label, label)) for label in labels if label)
        id_ = f"{video_id}_{start:06d}"
        official = _OFFICIAL.get(path.stem.lower())
        clip = Clip(
            id=id_,
            video_id=video_id,
            start_s=start,
            label=None,
            caption=None,
            official_split=official,
            place=place,
            labels=flags,
        )
        if (known := clips.setdefault(id_, clip)) is not clip:
            raise DataError(f"{place}: clip {id_!r} is also in {known.place}; expected each once")
    return list(clips.values())


def unnamed_labels(path: Path) -> list[str]:
    """The sentence on machine ids that nothing names."""
    if (path.parent / NAMES_FILE).is_file():
        return []
    return [
        f"there is no {NAMES_FILE} next to {path.name}, so its labels are machine ids such as "
        "/m/09x0r; put AudioSet's file there to have their names"
    ]


def _names(path: Path) -> dict[str, str]:
    if not path.is_file():
        return {}
    rows = read_rows(path)
    if not all("mid" in row and "display_name" in row for row in rows):
        raise DataError(f"{path.name} lacks the columns mid and display_name")
    return {row["mid"]: canonical(row["display_name"].strip()) for row in rows}


def is_vggsounder_list(path: Path) -> bool:
    """Whether it has a label a row with what is heard of it. Raises: DataError if not a CSV."""
    header = _header(path)
    has_flags = "modality" in header or {"audible", "visible"} <= header
    return "label" in header and has_flags and not header.isdisjoint(_IDS)


def _header(path: Path) -> set[str]:
    return {cell.strip().lower() for cell in next(iter(read_cells(path)), [])}


def read_vggsounder_list(path: Path) -> list[Clip]:
    """Every clip, in order, with all its labels and what is heard and seen of each.

    Raises: DataError naming the row (from 1), the field and what was expected.
    """
    clips: dict[str, Clip] = {}
    for number, values in enumerate(read_rows(path), start=1):
        row = {name.lower(): value.strip() for name, value in values.items()}
        place = f"{path.name}, row {number}"
        name = next(name for name in _IDS if name in row)
        listed = check_id(row[name], field=name, place=place)
        match = _CUT.fullmatch(listed)
        video_id, start = (match["video"], int(match["start"])) if match else (listed, 0)
        if row.get("start"):
            start = start_of(row["start"], field="start", place=place)
        if not row["label"]:
            raise DataError(f"{place}: field 'label' is empty; expected text")
        is_audible, is_visible = _flags(row, place=place)
        flag = HeardLabel(canonical(row["label"]), is_audible, is_visible)
        id_ = f"{video_id}_{start:06d}"
        known = clips.get(id_)
        flags = (*(known.labels if known else ()), flag)
        first = known.place if known else place
        clips[id_] = Clip(
            id=id_,
            video_id=video_id,
            start_s=start,
            label=None,
            caption=None,
            official_split=None,
            place=first,
            labels=flags,
        )
    return list(clips.values())


def _flags(row: dict[str, str], *, place: str) -> tuple[bool | None, bool | None]:
    if "modality" in row:
        found = _MODALITIES.get(row["modality"].upper())
        if found is None:
            raise DataError(f"{place}: 'modality' is {row['modality']!r}; expected A, V or AV")
        return found
    for name in ("audible", "visible"):
        if row[name].lower() not in _TRUTHS:
            raise DataError(f"{place}: {name!r} is {row[name]!r}; expected true or false")
    return _TRUTHS[row["audible"].lower()], _TRUTHS[row["visible"].lower()]
