"""The rows of VGGSound's and AudioCaps' CSV lists, each field checked; a bad row is named.

VGGSound's own file has no header, and quotes labels that hold a comma; AudioCaps' has one.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from core.data.ingest.row_labels import HeardLabel
from core.data.ingest.rows import read_cells
from core.errors import DataError
from core.text import canonical

_VGGSOUND_COLUMNS = ("id", "start", "label", "split")
_VGGSOUND_HEADERS = frozenset(
    {_VGGSOUND_COLUMNS, ("youtube_id", "start_seconds", "label", "split")}
    | {("youtube_id", "start", "label", "split")}
)
_AUDIOCAPS_COLUMNS = ("audiocap_id", "youtube_id", "start_time", "caption")
_SPLITS = frozenset({"train", "val", "test"})
_MAX_START_S = 10_000_000


@dataclass(frozen=True)
class Clip:
    """One row of a list."""

    id: str
    """Unique in the list: `<video id>_<start, six digits>`, and the caption's number if it has one.
    """
    video_id: str
    """The YouTube id."""
    start_s: int
    """Where in the video the clip starts."""
    label: str | None
    """None in a list of captions."""
    caption: str | None
    """None in a list of labels."""
    official_split: str | None
    """`train`, `val` or `test`; None where the list does not say."""
    place: str
    """File and row number, for a person."""
    labels: tuple[HeardLabel, ...] = ()
    """Of a list with several labels a clip."""
    captions: tuple[str, ...] = ()
    """Every caption of a clip that has several."""


def _rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Number of the row from 1, and its cells without blanks around them; empty rows are no rows.

    Raises: DataError for a file that is not a CSV, or in an encoding that does not say its name.
    """
    for number, cells in enumerate(read_cells(path), start=1):
        if any(cell.strip() for cell in cells):
            yield number, [canonical(cell.strip()) for cell in cells]


def _is_start(text: str) -> bool:
    return text.replace(".", "", 1).isdecimal() and text.isascii()


def start_of(text: str, *, field: str, place: str) -> int:
    """Whole seconds. Raises: DataError."""
    value = float(text) if _is_start(text) else -1.0
    if not 0 <= value <= _MAX_START_S:
        raise DataError(f"{place}: field {field!r} is {text!r}; expected seconds from 0 upwards")
    return int(value)


def checked(cells: list[str], columns: Sequence[str], *, place: str) -> dict[str, str]:
    """A row by its columns, each with text. Raises: DataError naming the place and the field."""
    if len(cells) != len(columns):
        raise DataError(
            f"{place}: {len(cells)} fields; expected {len(columns)}: {', '.join(columns)} "
            "(a field that contains a comma must be in double quotes)"
        )
    row = dict(zip(columns, cells, strict=True))
    for field, value in row.items():
        if not value or "\0" in value:
            raise DataError(f"{place}: field {field!r} is {value!r}; expected text")
    return row


def check_id(value: str, *, field: str, place: str) -> str:
    """An id that may name a file. Raises: DataError."""
    if any(character in value for character in "/\\") or value in (".", ".."):
        raise DataError(f"{place}: field {field!r} is {value!r}; expected an id without slash")
    return value


def read_vggsound_list(path: Path) -> list[Clip]:
    """Every row, in order; a row that is repeated word for word stays repeated.

    Raises: DataError naming the row (from 1), the field and what was expected.
    """
    clips: dict[str, Clip] = {}
    result: list[Clip] = []
    for number, cells in _rows(path):
        if not clips and tuple(cell.lower() for cell in cells) in _VGGSOUND_HEADERS:
            continue
        place = f"{path.name}, row {number}"
        row = checked(cells, _VGGSOUND_COLUMNS, place=place)
        start = start_of(row["start"], field="start", place=place)
        if row["split"] not in _SPLITS:
            raise DataError(
                f"{place}: field 'split' is {row['split']!r}; expected train, val or test"
            )
        video_id = check_id(row["id"], field="id", place=place)
        id_ = f"{video_id}_{start:06d}"
        clip = Clip(
            id=id_,
            video_id=video_id,
            start_s=start,
            label=row["label"],
            caption=None,
            official_split=row["split"],
            place=place,
        )
        known = clips.setdefault(id_, clip)
        if (known.label, known.official_split) != (clip.label, clip.official_split):
            raise DataError(
                f"{place}: clip {id_!r} is also in {known.place} as {known.label!r} of "
                f"{known.official_split}; expected one label per clip, remove one of the two"
            )
        result.append(clip)
    return result


def read_audiocaps_list(path: Path) -> list[Clip]:
    """Every row, in order; one clip may have several captions.

    Raises: DataError naming the row (from 1), the field and what was expected.
    """
    # AudioCaps divides by file: train.csv, val.csv, test.csv.
    official = path.stem.lower() if path.stem.lower() in _SPLITS else None
    clips: dict[str, Clip] = {}
    has_header = False
    for number, cells in _rows(path):
        if not has_header:
            has_header = True
            if tuple(cell.lower() for cell in cells) == _AUDIOCAPS_COLUMNS:
                continue
        place = f"{path.name}, row {number}"
        row = checked(cells, _AUDIOCAPS_COLUMNS, place=place)
        start = start_of(row["start_time"], field="start_time", place=place)
        video_id = check_id(row["youtube_id"], field="youtube_id", place=place)
        caption_id = check_id(row["audiocap_id"], field="audiocap_id", place=place)
        id_ = f"{video_id}_{start:06d}.{caption_id}"
        clip = Clip(
            id=id_,
            video_id=video_id,
            start_s=start,
            label=None,
            caption=row["caption"],
            official_split=official,
            place=place,
        )
        known = clips.setdefault(caption_id, clip)
        if known is not clip:
            raise DataError(
                f"{place}: audiocap_id {caption_id!r} is also in {known.place}; expected each once"
            )
    return list(clips.values())


def one_row_a_clip(rows: Sequence[Clip]) -> list[Clip]:
    """The clips of a list of captions, each once with all its captions, in order."""
    clips: dict[str, Clip] = {}
    for row in rows:
        id_ = f"{row.video_id}_{row.start_s:06d}"
        known = clips.get(id_)
        if known is None:
            clips[id_] = replace(row, id=id_)
            continue
        texts = dict.fromkeys((*(known.captions or (str(known.caption),)), str(row.caption)))
        clips[id_] = replace(known, captions=tuple(texts) if len(texts) > 1 else ())
    return list(clips.values())


def is_vggsound_list(path: Path) -> bool:
    """Whether the first row is VGGSound's. Raises: DataError for a file that is not a CSV."""
    cells = _first_cells(path)
    is_header = tuple(cell.lower() for cell in cells) in _VGGSOUND_HEADERS
    return is_header or (len(cells) == 4 and _is_start(cells[1]) and cells[3] in _SPLITS)


def is_audiocaps_list(path: Path) -> bool:
    """Whether its first row is AudioCaps' header. Raises: DataError where it is not a CSV."""
    return tuple(cell.lower() for cell in _first_cells(path)) == _AUDIOCAPS_COLUMNS


def _first_cells(path: Path) -> tuple[str, ...]:
    return tuple(next((cells for _, cells in _rows(path)), []))
