"""Where two records say different things: by path, numbers to the last digits that may differ."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

RELATIVE = 1e-9
"""Another version of numpy or scipy moves the last bits of a sum; an edit moves more."""
ABSOLUTE = 1e-14


@dataclass(frozen=True, kw_only=True)
class Difference:
    """One value that does not follow from the evidence."""

    where: str
    """File and path of the value."""
    said: str
    """What the bundle says."""
    recomputed: str
    """What follows from its evidence; blank where the sentence before says all."""

    is_wording: bool = False
    """Whether it is of a sentence, which another version may word otherwise."""

    def sentence(self) -> str:
        """Both values."""
        if not self.recomputed:
            return f"{self.where}: {self.said}"
        return f"{self.where} says {self.said}, and its evidence gives {self.recomputed}"

    def data(self) -> dict[str, str]:
        """For scripts."""
        return {"where": self.where, "said": self.said, "recomputed": self.recomputed}


def differences(said: Any, found: Any, *, where: str) -> Iterator[Difference]:
    """Every difference of two JSON values, in the order of `found`'s keys."""
    if isinstance(said, Mapping) and isinstance(found, Mapping):
        for key in dict.fromkeys([*found, *said]):
            yield from differences(
                said.get(key, _ABSENT), found.get(key, _ABSENT), where=f"{where}.{key}"
            )
    elif isinstance(said, list) and isinstance(found, list):
        for index in range(max(len(said), len(found))):
            yield from differences(
                said[index] if index < len(said) else _ABSENT,
                found[index] if index < len(found) else _ABSENT,
                where=f"{where}[{index}]",
            )
    elif not is_equal(said, found):
        is_wording = isinstance(said, str) and isinstance(found, str) and " " in said + found
        yield Difference(
            where=where, said=_text(said), recomputed=_text(found), is_wording=is_wording
        )


def num_numbers(value: Any) -> int:
    """Numbers in a JSON value."""
    if isinstance(value, Mapping):
        return sum(num_numbers(inner) for inner in value.values())
    if isinstance(value, list):
        return sum(num_numbers(inner) for inner in value)
    return int(_is_number(value))


def is_equal(said: Any, found: Any) -> bool:
    """Whether two JSON values without parts are the same."""
    if _is_number(said) and _is_number(found):
        return math.isclose(said, found, rel_tol=RELATIVE, abs_tol=ABSOLUTE)
    return type(said) is type(found) and bool(said == found)


class _Absent:
    def __repr__(self) -> str:
        return "nothing"


_ABSENT = _Absent()


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _text(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 160 else f"{text[:157]}..."
