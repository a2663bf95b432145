"""Labels that the user gives in a file of their own: CSV rows `id,label`."""

import csv
from pathlib import Path

from core.errors import DataError, UsageError

_HEADERS = frozenset({("id", "label"), ("id", "class"), ("stem", "label"), ("youtube_id", "label")})


def read_label_file(path: Path) -> dict[str, str]:
    """Label by id, source or file stem; the first row may be a header such as `id,label`.

    Raises: UsageError for a file that cannot be read; DataError naming the row that is malformed or
    contradicts another.
    """
    labels: dict[str, str] = {}
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = list(csv.reader(file, strict=True))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UsageError(f"the label file {path} is not readable as CSV ({error})") from None
    for number, cells in enumerate(rows, start=1):
        values = [cell.strip() for cell in cells]
        if not any(values) or (number == 1 and tuple(map(str.lower, values)) in _HEADERS):
            continue
        if len(values) != 2 or not all(values):
            raise DataError(f"{path.name}, row {number}: got {cells}; expected an id and a label")
        id_, label = values
        if labels.setdefault(id_, label) != label:
            raise DataError(
                f"{path.name}, row {number}: {id_!r} is {label!r} here and {labels[id_]!r} above; "
                "expected one label an id"
            )
    if not labels:
        raise DataError(f"{path.name} holds no row; expected rows `id,label`")
    return labels
