"""The runs of a comparison: their records, folders and per-clip tables."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pandas as pd

from core.errors import DataError
from harness.records import RECORD, RunRecord, find_record_path, load_record

PER_CLIP = "per_clip.csv"


@dataclass(frozen=True)
class LoadedRun:
    """A run's record and the folder it lies in now."""

    record: RunRecord
    """Everything about the run."""
    folder: Path
    """Where its images and tables are."""

    @cached_property
    def per_clip(self) -> pd.DataFrame:
        """Columns sample_id, class_name, arm, draw, metric, value; ids and classes stay text.

        Raises:
            DataError: the table is missing or damaged.
        """
        path = self.folder / PER_CLIP
        try:
            # An id like "007" or "NA" is a name, not a number and not a gap.
            return pd.read_csv(
                path,
                dtype={"sample_id": str, "class_name": str, "arm": str, "metric": str},
                keep_default_na=False,
                na_values={"value": [""]},
            )
        except OSError as error:
            raise DataError(f"no per-clip scores at {path} ({error.strerror})") from None
        except ValueError as error:
            raise DataError(f"{path} is damaged: {error}") from None


def load_runs(names: Sequence[str], *, results: Path) -> list[LoadedRun]:
    """Runs named by id, by the unique start of an id, or by the path of a folder or record.

    Raises:
        UsageError: no run or several of that name.
        DataError: a record that cannot be read.
    """
    runs = []
    for name in names:
        path = find_record_path(name, results=results)
        runs.append(LoadedRun(load_record(path), path.parent if path.is_file() else path))
    return runs


def load_run(folder: Path) -> LoadedRun:
    """The run in a folder.

    Raises:
        DataError: there is no record in it.
    """
    return LoadedRun(load_record(folder / RECORD), folder)
