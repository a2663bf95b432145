"""The runs of a comparison: their records, folders and per-clip tables."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pandas as pd

from core.errors import DataError
from harness.metrics.controls import clip_means
from harness.metrics.metric import Level
from harness.metrics.registry import metric
from harness.records.folders import RECORD, RunFolder
from harness.records.names import named_run
from harness.records.record import RunRecord, load_record
from harness.records.unaltered import require_unaltered

_COLUMNS = ("sample_id", "class_name", "arm", "draw", "metric", "value")
_ROUNDING = 1e-9
"""Relative; reading a number from text may move its last bit, a lost clip moves far more."""


@dataclass(frozen=True)
class LoadedRun:
    """A run's record and the folder it lies in now."""

    record: RunRecord
    """Everything about the run."""
    folder: Path
    """Where its images and tables are."""

    @cached_property
    def contributions(self) -> pd.DataFrame:
        """What each clip adds to each kernel distance, with the columns of `per_clip`; empty for a
        run from before this was kept.

        Raises:
            DataError: the table cannot be read, or it is of other distances than the record.
        """
        path = RunFolder(self.folder).contributions
        if not path.is_file():
            return pd.DataFrame(columns=list(_COLUMNS))
        try:
            table = _read(path)
        except ValueError as error:
            raise DataError(_damaged(path, str(error), record=self.record)) from None
        if found := _other_distances(table, record=self.record):
            raise DataError(_damaged(path, found, record=self.record))
        return table

    @cached_property
    def per_clip(self) -> pd.DataFrame:
        """Columns sample_id, class_name, arm, draw, metric, value; ids and classes stay text.

        Raises:
            DataError: the table is missing, damaged, or not the one that the record sums up.
        """
        path = RunFolder(self.folder).per_clip
        try:
            table = _read(path)
        except OSError as error:
            raise DataError(f"no per-clip scores at {path} ({error.strerror})") from None
        except ValueError as error:
            raise DataError(_damaged(path, str(error), record=self.record)) from None
        if found := _disagreement(table, record=self.record):
            raise DataError(_damaged(path, found, record=self.record))
        require_unaltered(self.record, self.folder)
        return table


def _read(path: Path) -> pd.DataFrame:
    # An id like "007" or "NA" is a name, not a number and not a gap.
    return pd.read_csv(
        path,
        dtype={**dict.fromkeys(_COLUMNS, str), "draw": "int64", "value": "float64"},
        keep_default_na=False,
        na_values={"value": [""]},
    )


def _other_distances(table: pd.DataFrame, *, record: RunRecord) -> str | None:
    """A distance of which the contributions are not; None where they agree."""
    missing = [name for name in _COLUMNS if name not in table]
    if missing:
        return f"it has no column {', '.join(missing)}"
    for (arm, name), mean in table.groupby(["arm", "metric"])["value"].mean().items():
        score = record.arms.get(str(arm), {}).get(str(name))
        told = None if score is None else score.value
        if told is None or not math.isclose(mean, told, rel_tol=1e-6, abs_tol=1e-6):
            return f"the mean of {name} in arm {arm} is {mean:.6g}, and the record says {told}"
    return None


def _disagreement(table: pd.DataFrame, *, record: RunRecord) -> str | None:
    """What the record says of its clips that the table does not; None where they agree."""
    missing = [name for name in _COLUMNS if name not in table]
    if missing:
        return f"it has no column {', '.join(missing)}"
    by_score = clip_means(table).groupby(["arm", "metric"])["value"].agg(["count", "mean"])
    held = {key: (int(n), float(mean)) for key, n, mean in by_score.itertuples()}
    recorded = record.evaluation.foreign_metrics
    for arm, scores in record.arms.items():
        for name, score in scores.items():
            if metric(name, recorded=recorded).level is not Level.CLIP:
                continue
            n, mean = held.get((arm, name), (0, math.nan))
            if n != score.n:
                return (
                    f"it holds {name} of {n:,} clips in arm {arm}, but the record has {score.n:,}"
                )
            told = math.nan if score.value is None else score.value
            if n and not math.isclose(mean, told, rel_tol=_ROUNDING, abs_tol=_ROUNDING):
                return (
                    f"the mean of {name} in arm {arm} is {mean:.6g}, but the record says {told:.6g}"
                )
    return None


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
