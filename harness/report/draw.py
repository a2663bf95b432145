"""Draws the report of a record again, whatever kind of record it is."""

from pathlib import Path

from core.errors import DataError
from harness.records.folders import ReportFolder, SweepFolder
from harness.report.comparison.write import write_comparison_report
from harness.report.page.page import MAX_BYTES, Written
from harness.report.sweep.write import write_sweep_report


def write_report(folder: Path, *, out: Path | None = None, max_bytes: int = MAX_BYTES) -> Written:
    """Write the report of the comparison or sweep in `folder`.

    out: where it is written; None: beside its record. max_bytes: of the page with its media
    inside; above it they lie beside it.

    Raises:
        DataError: there is no such record in the folder, or one that cannot be read.
        NoSpaceError: the disk is full.
    """
    if ReportFolder(folder).comparison.is_file():
        return write_comparison_report(folder, out=out, max_bytes=max_bytes)
    if SweepFolder(folder).record.is_file():
        return write_sweep_report(folder, out=out)
    raise DataError(f"no comparison and no sweep in {folder}")
