"""The tables of a run, a row per clip, and whether they are what its record sums up."""

import math
from pathlib import Path

import pandas as pd

from harness.metrics.controls import clip_means
from harness.metrics.metric import Level
from harness.metrics.registry import metric
from harness.records.record import RunRecord

_COLUMNS = ("sample_id", "class_name", "arm", "draw", "metric", "value")
_ROUNDING = 1e-9
"""Relative; reading a number from text may move its last bit, a lost clip moves far more."""


def no_clips() -> pd.DataFrame:
    """A table without a row."""
    # With the types of a table that is read: joined to one, its values must stay numbers.
    types = {**dict.fromkeys(_COLUMNS, "str"), "draw": "int64", "value": "float64"}
    return pd.DataFrame({name: pd.Series(dtype=types[name]) for name in _COLUMNS})


def read_clips(path: Path) -> pd.DataFrame:
    """The table in a file.

    Raises:
        OSError: there is none.
        ValueError: it is not such a table.
    """
    # An id like "007" or "NA" is a name, not a number and not a gap.
    return pd.read_csv(
        path,
        dtype={**dict.fromkeys(_COLUMNS, str), "draw": "int64", "value": "float64"},
        keep_default_na=False,
        na_values={"value": [""]},
    )


def other_distances(table: pd.DataFrame, *, record: RunRecord) -> str | None:
    """A distance of which the contributions are not; None where they agree."""
    missing = [name for name in _COLUMNS if name not in table]
    if missing:
        return f"it has no column {', '.join(missing)}"
    for (arm, name), mean in table.groupby(["arm", "metric"])["value"].mean().items():
        score = record.arms.get(str(arm), {}).get(str(name))
        stated = None if score is None else score.value
        if stated is None or not math.isclose(mean, stated, rel_tol=1e-6, abs_tol=1e-6):
            return f"the mean of {name} in arm {arm} is {mean:.6g}, and the record says {stated}"
    return None


def disagreement(table: pd.DataFrame, *, record: RunRecord) -> str | None:
    """What the record says of its clips that the table does not; None where they agree."""
    missing = [name for name in _COLUMNS if name not in table]
    if missing:
        return f"it has no column {', '.join(missing)}"
    by_score = clip_means(table).groupby(["arm", "metric"])["value"].agg(["count", "mean"])
    in_table = {key: (int(n), float(mean)) for key, n, mean in by_score.itertuples()}
    recorded = record.evaluation.foreign_metrics
    for arm, scores in record.arms.items():
        for name, score in scores.items():
            if metric(name, recorded=recorded).level is not Level.CLIP:
                continue
            n, mean = in_table.get((arm, name), (0, math.nan))
            if n != score.n:
                return (
                    f"it holds {name} of {n:,} clips in arm {arm}, but the record has {score.n:,}"
                )
            stated = math.nan if score.value is None else score.value
            if n and not math.isclose(mean, stated, rel_tol=_ROUNDING, abs_tol=_ROUNDING):
                return (
                    f"the mean of {name} in arm {arm} is {mean:.6g}, but the record says "
                    f"{stated:.6g}"
                )
    return None
