"""Rows of a list that somebody else wrote: JSON, JSON lines or CSV, in any encoding with a mark."""

import csv
import io
import json
import sys
from pathlib import Path
from typing import Any

from core.errors import DataError
from core.text import read_text


def read_cells(path: Path) -> list[list[str]]:
    """The cells of a CSV file, row by row. Raises: DataError for a file that is not a CSV."""
    try:
        return list(csv.reader(io.StringIO(read_text(path), newline=""), strict=True))
    except (OSError, ValueError, csv.Error) as error:
        raise DataError(f"{path.name} is not readable as CSV ({said(error)})") from None


def read_rows(path: Path) -> list[Any]:
    """The rows of a list: of a `.json` its values, of `.jsonl` one a line, of `.csv` one by header.

    A `.json` may also hold one object whose `samples` are the rows.

    Raises: DataError naming the file, and the line where one is at fault.
    """
    suffix = path.suffix.lower()
    if suffix == ".csv":
        cells = read_cells(path)
        header = [name.strip() for name in cells[0]] if cells else []
        rows = [row for row in cells[1:] if any(cell.strip() for cell in row)]
        for number, row in enumerate(rows, start=1):
            if len(row) != len(header):
                raise DataError(
                    f"{path.name}, row {number}: {len(row)} fields; expected {len(header)}: "
                    f"{', '.join(header)} (a field that contains a comma must be in double quotes)"
                )
        return [dict(zip(header, row, strict=True)) for row in rows]
    try:
        text = read_text(path)
    except (OSError, ValueError) as error:
        raise DataError(f"{path.name} is not readable as JSON ({said(error)})") from None
    if suffix == ".jsonl":
        lines = [(k, line) for k, line in enumerate(text.split("\n"), start=1) if line.strip()]
        return [_value(line, name=f"{path.name}, line {k}") for k, line in lines]
    value = _value(text, name=path.name)
    if isinstance(value, dict) and isinstance(value.get("samples"), list):
        value = value["samples"]
    if not isinstance(value, list):
        raise DataError(f"{path.name} holds {kind_of(value)}; expected a list of rows")
    return value


def _value(text: str, *, name: str) -> Any:
    try:
        return parse_json(text)
    except ValueError as error:
        raise DataError(f"{name} is not readable as JSON ({error})") from None


def parse_json(text: str) -> Any:
    """The value of a JSON text. Raises: ValueError, also for one that is nested too deeply."""
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError(f"nested deeper than {sys.getrecursionlimit()} brackets") from None


def said(error: Exception) -> str:
    """What an error says without the path, which a message names by itself."""
    if isinstance(error, OSError):
        return error.strerror or "it cannot be read"
    return str(error)


def kind_of(value: Any) -> str:
    """What a person calls a JSON value."""
    names = {dict: "an object", list: "a list", str: "text", bool: "true or false"}
    if value is None:
        return "null"
    return names.get(type(value), f"the number {value!r}")


def check_text(value: Any, *, field: str, place: str) -> None:
    """Return if a field is text. Raises: DataError naming the place and the field."""
    if not isinstance(value, str):
        raise DataError(f"{place}: field {field!r} is {kind_of(value)}; expected text")
    if not value.strip():
        raise DataError(f"{place}: field {field!r} is empty; expected text")
    if "\0" in value or (not value.isascii() and _has_lone_surrogate(value)):
        raise DataError(f"{place}: field {field!r} is {value!r}; expected Unicode without NUL")


def _has_lone_surrogate(value: str) -> bool:
    return any("\ud800" <= character <= "\udfff" for character in value)
