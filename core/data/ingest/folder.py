"""A folder of pairs that is read where it lies; nothing is written."""

from dataclasses import replace
from pathlib import Path

from core.data.ingest.kinds import LAYOUTS, kind_of
from core.data.ingest.merge import of_kind
from core.data.ingest.scan import Scan
from core.data.ingest.source import Options, Place, SourceKind
from core.errors import DataError


def scan_folder(folder: Path) -> Scan:
    """Candidates and exclusions of `folder`, sorted; the layout is told by its names.

    Raises: DataError when the folder is missing, empty, in no layout we know, or a metadata row
    is malformed; UsageError for a layout that has to be ingested first.
    """
    place = Place(folder)
    if not place.is_folder:
        raise DataError(f"no folder {folder}; expected a folder of media. {LAYOUTS}")
    return scan_place(place, Options())


def scan_place(place: Place, options: Options, *, kind: str | None = None) -> Scan:
    """The items of one source, each with the name of its kind. Raises: as `scan_folder`."""
    found: SourceKind = kind_of(place, options, name=kind)
    scan = found.read(place, options)
    if scan.num_input == 0:
        raise DataError(f"{place.path} holds no media and no metadata row. {LAYOUTS}")
    return replace(scan, items=of_kind(scan.items, found.name))
