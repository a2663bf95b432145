"""The runs of a comparison: their records, folders and per-clip tables."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from core.errors import DataError
from harness.records.folders import RECORD, RunFolder
from harness.records.names import named_run
from harness.records.record import RunRecord, load_record
from harness.records.unaltered import require_unaltered

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class LoadedRun:
    """A run's record and the folder it lies in now."""

    record: RunRecord
    """Everything about the run."""
    folder: Path
    """Where its images and tables are."""

    @cached_property
    def contributions(self) -> "pd.DataFrame":
        """What each clip adds to each kernel distance, with the columns of `per_clip`; empty for a
        run from before this was kept.

        Raises:
            DataError: the table cannot be read, or it is of other distances than the record.
        """
        from harness.comparison.clip_tables import no_clips, other_distances, read_clips

        path = RunFolder(self.folder).contributions
        if not path.is_file():
            return no_clips()
        try:
            table = read_clips(path)
        except ValueError as error:
            raise DataError(_damaged(path, str(error), record=self.record)) from None
        if found := other_distances(table, record=self.record):
            raise DataError(_damaged(path, found, record=self.record))
        return table

    @cached_property
    def per_clip(self) -> "pd.DataFrame":
        """Columns sample_id, class_name, arm, draw, metric, value; ids and classes stay text.

        Raises:
            DataError: the table is missing, damaged, or not the one that the record sums up.
        """
        from harness.comparison.clip_tables import disagreement, read_clips

        path = RunFolder(self.folder).per_clip
        try:
            table = read_clips(path)
        except OSError as error:
            raise DataError(f"no per-clip scores at {path} ({error.strerror})") from None
        except ValueError as error:
            raise DataError(_damaged(path, str(error), record=self.record)) from None
        if found := disagreement(table, record=self.record):
            raise DataError(_damaged(path, found, record=self.record))
        require_unaltered(self.record, self.folder)
        return table


def _damaged(path: Path, found: str, *, record: RunRecord) -> str:
    return (
        f"{path} is damaged: {found}; delete {RECORD} beside it and run again to score again: "
        f"{record.command}"
    )


def load_runs(names: Sequence[str], *, results: Path) -> list[LoadedRun]:
    """Runs named by id, by the unique start of an id, or by the path of a folder or record.

    Raises:
        UsageError: no run or several of that name.
        DataError: a record that cannot be read.
    """
    runs = []
    for name in names:
        path = named_run(name, results=results)
        runs.append(LoadedRun(load_record(path), path.parent if path.is_file() else path))
    return runs


def load_run(folder: Path) -> LoadedRun:
    """The run in a folder.

    Raises:
        DataError: there is no record in it.
    """
    return LoadedRun(load_record(RunFolder(folder).record), folder)
