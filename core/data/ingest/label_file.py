"""Labels that the user gives in a file of their own: CSV rows `id,label`."""

from pathlib import Path

from core.data.ingest.rows import read_cells
from core.errors import DataError, UsageError
from core.text import canonical

_HEADERS = frozenset({("id", "label"), ("id", "class"), ("stem", "label"), ("youtube_id", "label")})


def read_label_file(path: Path) -> dict[str, str]:
    """Label by id, source or file stem; the first row may be a header such as `id,label`.

    Raises: UsageError for a file that cannot be read; DataError naming the row that is malformed or
    contradicts another.
    """
    labels: dict[str, str] = {}
    try:
        rows = read_cells(path)
    except DataError as error:
        raise UsageError(f"the label file {path} cannot be read: {error}") from None
    for number, cells in enumerate(rows, start=1):
        values = [canonical(cell.strip()) for cell in cells]
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
