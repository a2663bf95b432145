"""Values that pydantic would turn into another kind, as true into 1; too large numbers."""

import math
from collections.abc import Iterator, Mapping
from enum import Enum
from typing import Annotated, Any, Literal, get_args, get_origin

from pydantic import BaseModel

_MOST_FLOAT32 = (2 - 2**-23) * 2.0**127
_MOST_COUNTED = 2**53
_BOOLEAN_WORDS = frozenset(
    {"0", "1", "on", "off", "t", "f", "true", "false", "y", "n", "yes", "no"}
)


def coerced(
    model: type[BaseModel], values: Mapping[str, Any], *, place: str = ""
) -> Iterator[tuple[str, Any, str]]:
    """Place, value and what was expected, of each value that is of another kind than its field.

    So are numbers that no arithmetic holds. What is not a value of any kind the field takes is left
    to the model itself.
    """
    for name, value in values.items():
        field = model.model_fields.get(name)
        if field is not None:
            yield from _wrong(field.annotation, value, place=f"{place}{name}")


def _wrong(annotation: Any, value: Any, *, place: str) -> Iterator[tuple[str, Any, str]]:
    kinds = set(_kinds(annotation))
    if isinstance(value, Mapping):
        for kind in kinds:
            if isinstance(kind, type) and issubclass(kind, BaseModel):
                yield from coerced(kind, value, place=f"{place}.")
        for inner in _inner(annotation, dict):
            for key, one in value.items():
                yield from _wrong(inner[-1], one, place=f"{place}.{key}")
        return
    if isinstance(value, list | tuple):
        for container in (list, tuple, frozenset, set):
            for inner in _inner(annotation, container):
                for index, one in enumerate(value):
                    yield from _wrong(inner[0], one, place=f"{place}.{index}")
        return
    is_number = bool(kinds & {int, float})
    takes_text = str in kinds or any(isinstance(k, type) and issubclass(k, Enum) for k in kinds)
    is_boolean = isinstance(value, bool)
    is_text = isinstance(value, str) and not takes_text
    if is_number and bool not in kinds and (is_boolean or (is_text and _says_number(value))):
        yield place, value, "a number" if float in kinds else "a whole number"
    elif is_number and not is_boolean and isinstance(value, int | float):
        yield from _beyond(value, place=place)
    is_other = isinstance(value, int | float) or (is_text and value.lower() in _BOOLEAN_WORDS)
    if bool in kinds and not is_number and not is_boolean and is_other:
        yield place, value, "true or false"


def _beyond(value: float, *, place: str) -> Iterator[tuple[str, Any, str]]:
    """A number that no arithmetic of a run holds: of float32, or of exact counting. Seeds are
    hashed, so that any whole number may be one. Infinity is left to the model itself."""
    if isinstance(value, float) and _MOST_FLOAT32 < abs(value) < math.inf:
        yield place, value, f"at most {_MOST_FLOAT32:.1e}, the largest float32"
    elif isinstance(value, int) and abs(value) > _MOST_COUNTED and not place.endswith("seed"):
        yield place, value, f"at most {_MOST_COUNTED:,} (2^53)"


def _says_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _kinds(annotation: Any) -> Iterator[Any]:
    """The plain types that an annotation takes; a literal's are the types of its values."""
    origin = get_origin(annotation)
    if origin is Annotated:
        yield from _kinds(get_args(annotation)[0])
    elif origin is Literal:
        yield from map(type, get_args(annotation))
    elif origin is None or isinstance(origin, type):
        if origin is None or origin in (dict, list, tuple, frozenset, set):
            yield annotation if origin is None else origin
        else:
            for part in get_args(annotation):
                yield from _kinds(part)
    else:  # a union
        for part in get_args(annotation):
            yield from _kinds(part)


def _inner(annotation: Any, container: type) -> Iterator[tuple[Any, ...]]:
    """The arguments of each `container[...]` in an annotation."""
    origin = get_origin(annotation)
    if origin is container:
        yield get_args(annotation)
    elif origin is not None and origin is not Literal:
        for part in get_args(annotation):
            yield from _inner(part, container)
