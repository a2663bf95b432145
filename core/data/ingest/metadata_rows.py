"""Rows of the user's metadata files, each field checked; a bad row is named by number."""

import dataclasses
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.data.ingest.row_labels import HeardLabel, heard_labels, row_labels
from core.data.ingest.rows import check_text, kind_of, read_rows
from core.errors import DataError
from core.text import canonical

METADATA_PATTERNS = ("metadata.json", "*_metadata*.json", "metadata_*.json")
_OTHER_FORMS = ("metadata.jsonl", "metadata.csv")
"""Also ours where they have our columns; else Hugging Face's, which `captions` reads."""
_LARGEST = sys.float_info.max
_TEXT_FIELDS = ("video_id", "audio_path", "image_path")
_FIELDS = (*_TEXT_FIELDS, "class", "text")
_OTHER_NAMES = {
    "video_id": "id",
    "image_path": "frame_path",
    "class": "category",
    "text": "caption",
}
"""Read where a row lacks the field of the first name."""
_SPLITS = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "dev"), "val"),
    **dict.fromkeys(("test", "testing", "eval", "evaluation"), "test"),
}


@dataclass(frozen=True)
class Row:
    """One listed pair."""

    id: str
    audio_path: str
    """As written in the file; not checked against the disk."""
    image_path: str
    class_name: str | None
    """None where the row has several labels, or none."""
    labels: tuple[str, ...]
    """Where it has several, those that are heard; sorted."""
    flags: tuple[HeardLabel, ...]
    """The same with what is heard and seen, where the row says it."""
    caption: str
    captions: tuple[str, ...]
    """Where it has several, all; the first is `caption`."""
    attributes: Mapping[str, float] | None
    official_split: str | None
    """`train`, `val` or `test`, by the row's `split`; None where it has none."""
    place: str = dataclasses.field(compare=False)
    """File and row number, for a person."""


def read_metadata(paths: Sequence[Path], *, root: Path) -> tuple[Row, ...]:
    """Rows of all files together, in order.

    A row that is repeated word for word, in one file or several (a balanced list beside the full
    one), counts once. Raises: DataError naming the file, the row (from 1) and the field.
    """
    rows: dict[str, Row] = {}
    for path in paths:
        if not path.resolve().is_relative_to(root):
            raise DataError(
                f"{path.name} is a link out of the data folder; put the file itself there"
            )
        for number, value in enumerate(read_rows(path), start=1):
            row = _check_row(value, place=f"{path.name}, row {number}")
            known = rows.setdefault(row.id, row)
            if known != row:
                raise DataError(
                    f"{row.place}: video_id {row.id!r} is also in {known.place} with other values; "
                    "expected one meaning of an id, remove or rename one of the two"
                )
    return tuple(rows.values())


def metadata_files(folder: Path) -> list[Path]:
    """The lists of our own rows in a folder, by name, sorted."""
    found = {path for pattern in METADATA_PATTERNS for path in folder.glob(pattern)}
    for name in _OTHER_FORMS:
        path = folder / name
        if path.is_file() and "audio_path" in _first_line(path):
            found.add(path)
    return sorted(path for path in found if not path.name.startswith("."))


def _first_line(path: Path) -> str:
    with path.open("rb") as file:
        content = file.read(1 << 16)
    return content.split(b"\n")[0].replace(b"\0", b"").decode("utf-8", "replace")


def _check_row(value: Any, *, place: str) -> Row:
    if not isinstance(value, dict):
        raise DataError(f"{place}: got {kind_of(value)}; expected an object of {_FIELDS}")
    texts = {field: _text(value, field=field, place=place) for field in _TEXT_FIELDS}
    id_ = texts["video_id"]
    if any(character in id_ for character in "/\\") or id_ in (".", ".."):
        raise DataError(
            f"{place}: field 'video_id' is {id_!r}; expected no slash, since ids name files"
        )
    class_name, flags = row_labels(value, place=place)
    captions = _captions(value, place=place)
    return Row(
        id=canonical(id_),
        audio_path=texts["audio_path"],
        image_path=texts["image_path"],
        class_name=class_name,
        labels=heard_labels(flags),
        flags=flags if any(flag.says for flag in flags) else (),
        caption=captions[0],
        captions=captions if len(captions) > 1 else (),
        attributes=_check_attributes(value.get("attributes"), place=place),
        official_split=_check_split(value.get("split"), place=place),
        place=place,
    )


def _text(row: Mapping[str, Any], *, field: str, place: str) -> str:
    name = field if field in row else _OTHER_NAMES.get(field, field)
    if name not in row:
        named = f"{field!r} (or {name!r})" if name != field else repr(field)
        raise DataError(
            f"{place}: field {named} is missing; expected text. The row has: "
            f"{', '.join(map(str, row)) or 'nothing'}"
        )
    value = row[name]
    check_text(value, field=name, place=place)
    return str(value)


def _captions(row: Mapping[str, Any], *, place: str) -> tuple[str, ...]:
    """Every caption of a row, at least one."""
    name = next((key for key in ("text", "caption", "captions") if key in row), "text")
    if isinstance(row.get(name), list):
        texts = row[name]
        for text in texts:
            check_text(text, field=name, place=place)
        if not texts:
            raise DataError(f"{place}: field {name!r} is an empty list; expected text")
    else:
        texts = [_text(row, field="text" if name != "captions" else name, place=place)]
    return tuple(dict.fromkeys(canonical(text) for text in texts))


def _check_split(value: Any, *, place: str) -> str | None:
    if value is None or value == "":
        return None
    part = _SPLITS.get(value.strip().lower()) if isinstance(value, str) else None
    if part is None:
        raise DataError(f"{place}: field 'split' is {value!r}; expected train, val or test")
    return part


def _check_attributes(value: Any, *, place: str) -> Mapping[str, float] | None:
    if value is None:
        return None
    if not isinstance(value, dict):
        raise DataError(
            f"{place}: field 'attributes' is {kind_of(value)}; expected numbers by name"
        )
    for name, number in value.items():
        is_number = isinstance(number, int | float) and not isinstance(number, bool)
        if not is_number or not -_LARGEST <= number <= _LARGEST:  # NaN is neither
            raise DataError(f"{place}: attribute {name!r} is {number!r}; expected a finite number")
    return {str(name): float(number) for name, number in value.items()}
