"""Two runs or comparisons held against each other, on a terminal."""

from collections.abc import Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from harness.comparison.diff import Diff, Row
from harness.wording.numbers import count, number, significant
from harness.wording.plain_text import plain

_LONGEST = 40
"""Characters of a value; a hash or a list is cut."""


def diff_view(found: Diff, *, width: int) -> RenderableType:
    """Settings that differ, then every number with its difference."""
    parts: list[RenderableType] = [
        Text(f"A  {plain(found.first)}", style="bold"),
        Text(f"B  {plain(found.second)}", style="bold"),
        Text(""),
    ]
    if found.settings:
        parts.append(_table("setting", found.settings, width=width))
        parts.append(Text(f"{count(found.num_equal, 'other setting')} equal"))
    else:
        parts.append(Text(f"all {count(found.num_equal, 'setting')} equal"))
    if found.numbers:
        parts += [Text(""), _table("number", found.numbers, width=width, has_difference=True)]
    else:
        parts += [Text(""), Text("neither has a number yet")]
    return Group(*parts)


def _table(title: str, rows: Sequence[Row], *, width: int, has_difference: bool = False) -> Table:
    table = Table(title, "A", "B", *(["B - A"] if has_difference else []), box=None, pad_edge=False)
    longest = max(12, min(_LONGEST, (width - 30) // (3 if has_difference else 2)))
    for column in table.columns[1:]:
        column.overflow = "fold"
        column.justify = "right" if has_difference else "left"
    table.columns[0].overflow = "fold"
    for row in rows:
        cells = [
            Text(_cell(value, longest, is_number=has_difference))
            for value in (row.first, row.second)
        ]
        if has_difference:
            cells.append(Text(number(row.difference, digits=_digits(row), signed=True)))
        table.add_row(Text(plain(row.name)), *cells)
    return table


def _digits(row: Row) -> int:
    return 0 if isinstance(row.first, int) and isinstance(row.second, int) else 3


def _cell(value: Any, longest: int, *, is_number: bool) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return significant(value) if is_number else f"{value:g}"
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    text = plain(value)
    return text if len(text) <= longest else f"{text[: longest - 1]}…"
