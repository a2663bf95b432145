"""The table of all metrics: each branch's seeds, with what a reader must know to read them."""

import math
from collections.abc import Sequence

from harness.comparison.record import BranchScore, MetricRow
from harness.metrics.registry import METRICS
from harness.metrics.registry import metric as declared
from harness.records.record import RunRecord, Status


def metric_rows(
    records: Sequence[RunRecord], *, branches: Sequence[str], primary: str | None
) -> list[MetricRow]:
    """The table of all metrics, the primary one first.

    records: the finished runs and the failed ones; a branch with a failed run has no mean.
    """
    names = metric_names(records)
    if primary is not None:
        names = [primary, *(name for name in names if name != primary)]
    return [_row(name, records, branches, primary=primary) for name in names]


def metric_names(records: Sequence[RunRecord]) -> list[str]:
    """Those of the runs, in the registry's order, the parts of a metric after it."""
    found = dict.fromkeys(name for r in records for name in r.metrics)
    order = {name: place for place, name in enumerate(METRICS)}
    last = len(order)
    return sorted(found, key=lambda name: (order.get(name.split(".")[0], last), name))


def higher_is_better(records: Sequence[RunRecord], metric: str) -> bool:
    for record in records:
        if metric in record.metrics:
            return record.metrics[metric].higher_is_better
    return declared(metric).higher_is_better


def _row(
    name: str, records: Sequence[RunRecord], branches: Sequence[str], *, primary: str | None
) -> MetricRow:
    recorded = {k: v for r in records for k, v in r.evaluation.foreign_metrics.items()}
    about = declared(name, recorded=recorded)
    scores = [r.metrics[name] for r in records if name in r.metrics]
    one = scores[0] if scores else None
    real = next((v for r in records if (v := r.value(name, arm="real")) is not None), None)
    return MetricRow(
        metric=name,
        is_primary=name == primary,
        higher_is_better=higher_is_better(records, name),
        role=about.role.value,
        unit=about.unit,
        definition=about.definition,
        extractor=one.extractor if one is not None else None,
        extractor_hash=one.extractor_hash if one is not None else None,
        n=min((score.n for score in scores), default=0),
        chance=one.chance if one is not None else None,
        real=real,
        branches={
            branch: _branch_score(name, [r for r in records if r.identity.variant == branch])
            for branch in branches
        },
    )


def _branch_score(name: str, records: Sequence[RunRecord]) -> BranchScore:
    ordered = sorted(records, key=lambda r: r.identity.seed)
    values = {r.identity.seed: r.value(name) for r in ordered}
    present = [value for value in values.values() if value is not None]
    is_whole = bool(present) and len(present) == len(values)
    mean = math.fsum(present) / len(present) if is_whole else None
    sd = None
    if mean is not None and len(present) > 1:
        sd = math.sqrt(math.fsum((v - mean) ** 2 for v in present) / (len(present) - 1))
    reasons = [why_blank(r, name) for r in ordered if r.value(name) is None]
    return BranchScore(
        mean=mean,
        sd=sd,
        values=values,
        run_ids={r.identity.seed: r.run_id for r in ordered},
        reason=reasons[0] if reasons else None,
    )


def why_blank(record: RunRecord, metric: str) -> str:
    """Why a run has no value of a metric."""
    if record.status is Status.FAILED:
        return "its run failed"
    score = record.metrics.get(metric)
    return (None if score is None else score.reason) or "it was not scored"
