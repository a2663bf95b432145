"""What a run's record says of its own clips, computed again from its scores clip by clip."""

from collections.abc import Iterator

import numpy as np
import pandas as pd

from core.data.splits.split import Part, Split
from core.errors import HarnessError
from harness.bundle.differences import Difference, differences
from harness.comparison.runs import LoadedRun
from harness.metrics.arms import REAL
from harness.metrics.controls import clip_means, listening_margins
from harness.metrics.metric import Level
from harness.metrics.per_class import class_values
from harness.metrics.registry import metric
from harness.records.record import RunRecord, Status


def of_run(run: LoadedRun, *, split: Split) -> Iterator[Difference]:
    """Where a run's record does not follow from its tables, or its clips are not the split's."""
    record, where = run.record, run.record.run_id
    counts = {
        name: {part.value: n for part, n in row.items()} for name, row in split.counts.items()
    }
    yield from differences(record.split.counts, counts, where=f"{where}.split.counts")
    for place, got in (
        ("identity.split_hash", record.identity.split_hash),
        ("split.hash", record.split.hash),
    ):
        yield from differences(got, split.hash, where=f"{where}.{place}")
    if record.status is not Status.FINISHED:
        return
    try:
        table = run.per_clip
        _ = run.contributions
    except HarnessError as error:
        yield Difference(where=where, said=str(error), recomputed="")
        return
    yield from _foreign_clips(table, split=split, where=where)
    means = clip_means(table)
    yield from _scores(record, means, where=where)
    if record.controls:
        margins = listening_margins(table[table["arm"] != REAL])
        yield from differences(
            [margin.model_dump(mode="json") for margin in record.controls],
            [margin.model_dump(mode="json") for margin in margins],
            where=f"{where}.controls",
        )
    if record.evaluation.per_class:
        yield from differences(
            record.model_dump(mode="json")["evaluation"]["per_class"],
            {
                arm: {
                    name: {item: value.model_dump(mode="json") for item, value in row.items()}
                    for name, row in by_metric.items()
                }
                for arm, by_metric in class_values(means).items()
            },
            where=f"{where}.evaluation.per_class",
        )


def _foreign_clips(table: pd.DataFrame, *, split: Split, where: str) -> Iterator[Difference]:
    test = {id_: split.samples[id_].class_name for id_ in split.parts[Part.TEST]}
    pairs = table[["sample_id", "class_name"]].drop_duplicates()
    for id_, class_name in zip(pairs["sample_id"], pairs["class_name"], strict=True):
        if test.get(id_) != class_name:
            said = f"clip {id_!r} of class {class_name!r} is scored"
            told = f"class {test[id_]!r}" if id_ in test else "no test clip of that id"
            yield Difference(where=f"{where}/per_clip.csv", said=said, recomputed=told)


def _scores(record: RunRecord, means: pd.DataFrame, *, where: str) -> Iterator[Difference]:
    """Every mean and standard error over clips; the run's own numbers are those of an arm."""
    recorded = record.evaluation.foreign_metrics
    by_score = dict(iter(means.groupby(["arm", "metric"])["value"]))
    for arm, scores in record.arms.items():
        for name, score in scores.items():
            if metric(name, recorded=recorded).level is not Level.CLIP:
                continue
            column = by_score.get((arm, name))
            values = np.array([]) if column is None else column.dropna().to_numpy(np.float64)
            n = len(values)
            found = {"n": n, "value": float(values.mean()) if n else None}
            if score.standard_error is not None:
                error = float(values.std(ddof=1) / np.sqrt(n)) if n > 1 else None
                found["standard_error"] = error
            said = score.model_dump(mode="json", include=set(found))
            yield from differences(said, found, where=f"{where}.arms.{arm}.{name}")
    for name, score in record.metrics.items():
        same = record.arms.get(score.arm, {}).get(name)
        yield from differences(
            score.model_dump(mode="json"),
            None if same is None else same.model_dump(mode="json"),
            where=f"{where}.metrics.{name}",
        )
