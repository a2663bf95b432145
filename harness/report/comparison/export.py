"""Every number of a report in one long table, for people with tools of their own."""

import io
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from core.files import write_atomic
from harness.report.comparison.facts import Facts, ReportRun
from harness.report.comparison.sections.listening import run_classes

CSV = "numbers.csv"
PARQUET = "numbers.parquet"
COLUMNS = ("run", "branch", "seed", "arm", "metric", "level", "item", "value", "n", "reason")
"""level: `run` (item blank), `class` (item is the class), `clip` (item is the clip's id and draw is
averaged), `margin` (matching sound over the control in `arm`; item is mean, sd, z, low or high),
`curve` (distance at the n in `n`), `nearest`, `cost`, `parameters`, `stage`, and `pair` (branch is
`first - second`; item names the statistic)."""

Row = tuple[Any, ...]


def numbers(facts: Facts) -> pd.DataFrame:
    """One row a number, with `COLUMNS`; a missing one has a reason instead of a value."""
    tables = [part for run in facts.runs for part in (_table(_of_run(run)), _of_clips(run))]
    table = pd.concat([*tables, _table(_pairs(facts))], ignore_index=True)
    return table.astype(
        {
            **dict.fromkeys(("run", "branch", "arm", "metric", "level", "item", "reason"), "str"),
            "seed": "Int64",
            "value": "float64",
            "n": "Int64",
        }
    )


def _table(rows: Iterable[Row]) -> pd.DataFrame:
    # As objects, so that a part without values does not decide the type of a column.
    return pd.DataFrame(list(rows), columns=list(COLUMNS), dtype=object)


def _of_clips(run: ReportRun) -> pd.DataFrame:
    """The scores of single clips, by columns: they are most of the table."""
    scores = run.clip_scores
    is_defined = np.isfinite(scores["value"].to_numpy(dtype="float64"))
    return pd.DataFrame(
        {
            "run": run.run_id,
            "branch": run.branch,
            "seed": run.seed,
            "arm": scores["arm"],
            "metric": scores["metric"],
            "level": "clip",
            "item": [_text(item) for item in scores["sample_id"]],
            "value": scores["value"],
            "n": 1,
            "reason": np.where(is_defined, "", "undefined for this clip"),
        },
        columns=list(COLUMNS),
    ).astype(object)


def save_numbers(facts: Facts) -> tuple[Path, Path]:
    """Write the table as CSV and parquet beside the page.

    Raises:
        NoSpaceError: the disk is full.
    """
    table = numbers(facts)
    csv, parquet = facts.folder / CSV, facts.folder / PARQUET
    write_atomic(csv, content=table.to_csv(index=False).encode("utf-8", "replace"))
    buffer = io.BytesIO()
    table.to_parquet(buffer, index=False)
    write_atomic(parquet, content=buffer.getvalue())
    return csv, parquet


def _of_run(run: ReportRun) -> Iterator[Row]:
    head = (run.run_id, run.branch, run.seed)
    for arm, scores in run.record.arms.items():
        for name, score in scores.items():
            yield (*head, arm, name, "run", "", score.value, score.n, score.reason or "")
            for class_name, (mean, size) in run_classes(run, name, arm=arm).items():
                yield (*head, arm, name, "class", _text(class_name), mean, size, "")
    for margin in run.record.controls:
        for item in ("mean", "sd", "z", "low", "high"):
            value = getattr(margin, item)
            yield (*head, margin.control, margin.metric, "margin", item, value,
                   margin.n, "" if value is not None else "too few clips")  # fmt: skip
    yield from _evaluation(run, head)
    for phase, seconds in run.seconds.items():
        yield (*head, "", f"seconds.{phase}", "cost", "", seconds, None, "")
    memory = run.record.cost.peak_memory_bytes
    if memory is not None:
        yield (*head, "", "peak_memory_bytes", "cost", "", memory, None, "")
    for group, size in run.record.parameters.items():
        yield (*head, "", group, "parameters", "", size, None, "")
    for stage in run.record.stages:
        for name in ("steps_done", "samples_seen", "seconds", "last_loss", "validation_loss"):
            value = getattr(stage, name)
            reason = "" if value is not None else "not measured"
            yield (*head, "", name, "stage", stage.stage, value, None, reason)


def _evaluation(run: ReportRun, head: Row) -> Iterator[Row]:
    for point in run.record.evaluation.distance_curves:
        yield (*head, point.arm, point.metric, "curve", "mean", point.mean, point.n,
               "" if point.mean is not None else "undefined")  # fmt: skip
    nearest = run.record.evaluation.nearest_training
    for arm, summary in ({} if nearest is None else nearest.arms).items():
        for item in ("mean", "max", "share_above_real_p95"):
            value = getattr(summary, item)
            yield (*head, arm, "nearest_training", "nearest", item, value, summary.n,
                   "" if value is not None else "undefined")  # fmt: skip


def _pairs(facts: Facts) -> list[Row]:
    found = facts.comparison
    if found is None:
        return []
    rows: list[Row] = []
    for pair in (*found.pairs, *found.secondary):
        head = ("", f"{pair.first} - {pair.second}")
        clips = pair.other_clips.interval if pair.other_clips else None
        statistics = {
            "difference": pair.effect,
            "sd": pair.sd,
            "low": pair.interval.low if pair.interval else None,
            "high": pair.interval.high if pair.interval else None,
            "bootstrap_low": pair.bootstrap.interval.low if pair.bootstrap else None,
            "bootstrap_high": pair.bootstrap.interval.high if pair.bootstrap else None,
            "all_pairs_low": pair.simultaneous.low if pair.simultaneous else None,
            "all_pairs_high": pair.simultaneous.high if pair.simultaneous else None,
            "other_clips_low": clips.low if clips else None,
            "other_clips_high": clips.high if clips else None,
            "p_other_clips": pair.other_clips.p if pair.other_clips else None,
            "p": pair.p,
            f"p_{pair.adjustment}": pair.adjusted_p,
            "p_sign_flip": pair.sign_flip_p,
            "detectable": pair.detectable,
        }
        for item, value in statistics.items():
            reason = "" if value is not None else "not defined for this pair"
            rows.append((*head, None, "audio", pair.metric, "pair", item, value, pair.n, reason))
        for seed, value in pair.differences.items():
            rows.append(
                (*head, seed, "audio", pair.metric, "pair", "difference of the seed", value, 1, "")
            )
    return rows


def _text(value: object) -> str:
    """Half a surrogate pair has no place in a file."""
    return str(value).encode("utf-8", "replace").decode("utf-8")
