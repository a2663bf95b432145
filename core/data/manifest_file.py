"""The file of a manifest: a Parquet table with its header and a checksum of both."""

import hashlib
import io
import json
from collections.abc import Iterable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from core.data.items import Item, Reason, Stage, Status
from core.errors import DataError

FORMAT = 3
_HEADER_KEY = b"harness_manifest"
_CHECKSUM_KEY = b"harness_checksum"
_AGAIN = "take it away and ingest the data again (what was decoded is remembered)"
_JSON_COLUMNS = frozenset({"attributes", "provenance"})
_ENUM_COLUMNS = {"status": Status, "reason": Reason, "excluded_by": Stage}
_INTEGER_COLUMNS = frozenset(entry.name for entry in fields(Item) if "int" in str(entry.type))
_FLOAT_COLUMNS = frozenset(entry.name for entry in fields(Item) if str(entry.type)[:5] == "float")
_LIST_COLUMNS = frozenset({"flags", "labels", "captions"})
_LATER_COLUMNS = ("labels", "captions")
"""Written where an item has one, so that data with one class a clip keep their table."""
_COLUMNS = tuple(entry.name for entry in fields(Item))
_BASE_COLUMNS = tuple(name for name in _COLUMNS if name not in _LATER_COLUMNS)


def to_parquet(items: Iterable[Item], *, header: Mapping[str, Any]) -> bytes:
    import pyarrow
    from pyarrow import parquet

    def kind(name: str) -> pyarrow.DataType:
        if name in _LIST_COLUMNS:
            return pyarrow.list_(pyarrow.string())
        if name in _INTEGER_COLUMNS:
            return pyarrow.int64()
        return pyarrow.float64() if name in _FLOAT_COLUMNS else pyarrow.string()

    def cells(name: str) -> list[Any]:
        values = [getattr(item, name) for item in items]
        if name in _JSON_COLUMNS:
            return [None if v is None else json.dumps(v, sort_keys=True) for v in values]
        return [list(value) for value in values] if name in _LIST_COLUMNS else values

    items = list(items)
    later = [name for name in _LATER_COLUMNS if any(getattr(item, name) for item in items)]
    columns = {name: cells(name) for name in (*_BASE_COLUMNS, *later)}
    head = json.dumps(header).encode()
    metadata = {_HEADER_KEY: head, _CHECKSUM_KEY: _checksum(head, columns)}
    schema = pyarrow.schema([(name, kind(name)) for name in columns], metadata=metadata)
    table = pyarrow.Table.from_pydict(columns, schema=schema)
    buffer = io.BytesIO()
    parquet.write_table(table, buffer)
    return buffer.getvalue()


def from_parquet(path: Path) -> tuple[dict[str, Any], tuple[Item, ...]]:
    """(Header, items) of a manifest's file.

    Raises: DataError for a file that is missing, damaged, edited or not a manifest of this format.
    """
    import pyarrow
    from pyarrow import parquet

    if not path.is_file():
        raise DataError(f"no manifest at {path}; run harness data ingest first")
    try:
        with parquet.ParquetFile(path) as file:  # read_table imports pandas
            table = file.read()
        metadata = table.schema.metadata or {}
        head = metadata.get(_HEADER_KEY, b"null")
        header = json.loads(head)
        cells = {name: table.column(name).to_pylist() for name in table.column_names}
    except (pyarrow.ArrowException, OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read ({error}); {_AGAIN}") from error
    is_ours = isinstance(header, dict) and header.get("format") == FORMAT
    later = [name for name in _LATER_COLUMNS if name in cells]
    if not is_ours or table.column_names != [*_BASE_COLUMNS, *later]:
        raise DataError(f"{path} is not a manifest of format {FORMAT}; {_AGAIN}")
    if metadata.get(_CHECKSUM_KEY) != _checksum(head, cells):
        raise DataError(f"{path} is not as it was written: its checksum does not fit; {_AGAIN}")
    columns = {name: _cells(name, values) for name, values in cells.items()}
    rows = zip(*columns.values(), strict=True)
    return header, tuple(Item(**dict(zip(columns, row, strict=True))) for row in rows)


def _checksum(head: bytes, columns: Mapping[str, list[Any]]) -> bytes:
    """Parquet reads a flipped bit as another value, or text as bytes. Levels may be infinite."""
    digest = hashlib.sha256(head)
    digest.update(json.dumps(columns, default=repr).encode())
    return digest.hexdigest().encode()


def _cells(name: str, values: list[Any]) -> list[Any]:
    if name in _ENUM_COLUMNS:
        return [None if value is None else _ENUM_COLUMNS[name](value) for value in values]
    if name in _JSON_COLUMNS:
        return [None if value is None else json.loads(value) for value in values]
    return [tuple(value) for value in values] if name in _LIST_COLUMNS else values
