"""The class or the labels of one row, with what of each label is heard and seen."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from core.data.ingest.rows import check_text, kind_of
from core.errors import DataError
from core.text import canonical

_FIELDS = ("labels", "class", "category")
_NAMES = ("label", "name", "class")


@dataclass(frozen=True, order=True)
class HeardLabel:
    """One label of a clip."""

    label: str
    """The name, in NFC."""
    is_audible: bool | None = None
    """Whether it is heard; None where that is not said, and it counts as heard."""
    is_visible: bool | None = None
    """Whether it is seen; None where that is not said."""

    @property
    def says(self) -> bool:
        """Whether anything is said of where it is."""
        return self.is_audible is not None or self.is_visible is not None

    def data(self) -> dict[str, Any]:
        """As JSON values."""
        return {"label": self.label, "audible": self.is_audible, "visible": self.is_visible}


def heard_labels(flags: Iterable[HeardLabel]) -> tuple[str, ...]:
    """The labels that are heard, or of which nothing is said; sorted, each once."""
    return tuple(sorted({flag.label for flag in flags if flag.is_audible is not False}))


def row_labels(row: Mapping[str, Any], *, place: str) -> tuple[str | None, tuple[HeardLabel, ...]]:
    """The class of a row that has one, or its labels; neither where it has captions alone.

    A list of one label that says nothing of itself is a class; `labels` is a list of labels
    whatever its length. Raises: DataError naming the place and the field.
    """
    name = next((key for key in _FIELDS if row.get(key) not in (None, "", [])), None)
    if name is None:
        return None, ()
    value = row[name]
    if not isinstance(value, list):
        check_text(value, field=name, place=place)
        return canonical(value), ()
    flags = tuple(_flag(entry, field=name, place=place) for entry in value)
    if name != "labels" and len(flags) == 1 and not flags[0].says:
        return flags[0].label, ()
    return None, flags


def _flag(value: Any, *, field: str, place: str) -> HeardLabel:
    if not isinstance(value, Mapping):
        check_text(value, field=field, place=place)
        return HeardLabel(canonical(value))
    name = next((key for key in _NAMES if key in value), None)
    if name is None:
        raise DataError(
            f"{place}: an entry of {field!r} has {', '.join(map(str, value)) or 'nothing'}; "
            "expected 'label' with 'audible' and 'visible', or text"
        )
    check_text(value[name], field=name, place=place)
    return HeardLabel(
        canonical(value[name]),
        is_audible=_truth(value, "audible", place=place),
        is_visible=_truth(value, "visible", place=place),
    )


def _truth(value: Mapping[str, Any], name: str, *, place: str) -> bool | None:
    found = value.get(name)
    if found is None or isinstance(found, bool):
        return found
    raise DataError(f"{place}: {name!r} is {kind_of(found)}; expected true or false")


def unheard_notice(flags: Sequence[Sequence[HeardLabel]]) -> list[str]:
    """The sentence on labels that are seen and not heard, of the clips of a list."""
    left = [flag for own in flags for flag in own if flag.is_audible is False]
    if not left:
        return []
    return [
        f"{len(left)} labels are marked as not audible, such as {left[0].label!r}; they are kept "
        "in the column provenance and are not labels of the sound"
    ]
