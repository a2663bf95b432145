"""Words and numbers as a reader sees them."""

import math
from collections.abc import Iterable, Sequence

from harness.wording.plain_text import plain as plain

MINUS = "\u2212"
_ROUNDING = 1e-12  # what is left of equal numbers that were summed in another order


def label(name: object) -> str:
    """A class, arm or phase for reading: underscores are spaces."""
    return plain(name).replace("_", " ")


def metric_label(name: object) -> str:
    """A metric for reading; the part of one follows a colon."""
    return label(name).replace(".", ": ")


def number(value: float | None, *, digits: int | None = None, signed: bool = False) -> str:
    """A number with as many digits as its size deserves; a missing one is blank."""
    if value is None or not math.isfinite(value):
        return ""
    if abs(value) < _ROUNDING:
        value = 0.0
    if digits is None:
        digits = digits_for([value])
    if value != 0 and round(abs(value), 6) == 0 and digits >= 3:
        text = f"{abs(value):.1e}"
    else:
        text = f"{abs(value):,.{digits}f}"
    negative = value < 0 and any(ch in "123456789" for ch in text)
    return (MINUS if negative else "+" if signed else "") + text


def significant(value: float | None, *, digits: int = 4) -> str:
    """A value with so many significant digits; a missing one is blank."""
    if value is None or not math.isfinite(value):
        return ""
    if abs(value) < 1e15 and (abs(value) >= 1e4 or value == int(value)):
        return f"{value:,.0f}".replace("-", MINUS)
    text = f"{value:#.{digits}g}" if 1e-4 <= abs(value) < 1e4 else f"{value:.{digits}g}"
    return text.rstrip(".").replace("-", MINUS) if "e" not in text else text


def fixed(value: float | None, *, digits: int = 3) -> str:
    """A number with so many decimals, for a table; a missing one is blank."""
    return "" if value is None else f"{value:.{digits}f}"


def digits_for(values: Iterable[float | None]) -> int:
    """Decimals that suit the largest of `values`, so that a row has one precision."""
    sizes = [abs(v) for v in values if v is not None and math.isfinite(v)]
    largest = max(sizes, default=0.0)
    return 3 if largest < 10 else 2 if largest < 100 else 1 if largest < 1_000 else 0


def interval(low: float | None, high: float | None, *, digits: int = 3) -> str:
    """Both ends of an interval, or blank."""
    if low is None or high is None or not (math.isfinite(low) and math.isfinite(high)):
        return ""
    return (
        f"{number(low, digits=digits, signed=True)} to {number(high, digits=digits, signed=True)}"
    )


def probability(p: float | None) -> str:
    """A p value; tiny ones as a bound."""
    if p is None or not math.isfinite(p):
        return ""
    return "<\u202f0.001" if p < 0.001 else f"{p:.3f}"


def percent(share: float | None) -> str:
    """A share of 1 in per cent; blank where there is none."""
    return "" if share is None or not math.isfinite(share) else f"{share * 100:.0f}\u202f%"


def duration(seconds: float | None) -> str:
    """Seconds as s, min or h."""
    if seconds is None or not math.isfinite(seconds):
        return ""
    if seconds < 120:
        return f"{seconds:.0f} s"
    if seconds < 5_400:
        return f"{seconds / 60:.1f} min"
    return f"{seconds / 3_600:.2f} h"


def size(num_bytes: float | None) -> str:
    """Bytes as B, kB, MB or GB."""
    if num_bytes is None:
        return ""
    if num_bytes >= 1e9:
        return f"{num_bytes / 1e9:,.2f} GB"
    for unit, scale in (("MB", 1e6), ("kB", 1e3)):
        if num_bytes >= scale:
            return f"{num_bytes / scale:.0f} {unit}"
    return f"{num_bytes:.0f} B"


def count(value: int | None, singular: str, plural: str | None = None) -> str:
    """`3 seeds`, `1 seed`."""
    if value is None:
        return ""
    return f"{value:,} {singular if value == 1 else plural or singular + 's'}"


def short_hash(value: object) -> str:
    """The first twelve digits of a hash, each part of a joined one."""
    return " + ".join(part[:12] for part in plain(value).split("+"))


def few(names: Sequence[str], *, most: int = 3) -> str:
    """`a, b, c and 4 more`: the first of a long list."""
    more = len(names) - most
    return ", ".join(names[:most]) + (f" and {more} more" if more > 0 else "")


def listed(names: Iterable[object]) -> str:
    """`a, b and c`."""
    words = [plain(name) for name in names]
    return (
        words[0]
        if len(words) == 1
        else ", ".join(words[:-1]) + f" and {words[-1]}"
        if words
        else ""
    )
