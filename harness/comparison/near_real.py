"""Whether a branch's images are shown to lie within a margin of real pictures, by a distance."""

import math
from collections.abc import Mapping, Sequence

import pandas as pd

from harness.comparison.evidence import Interval, NearReal
from harness.comparison.judging import Evidence
from harness.metrics.metric import SetMetric
from harness.metrics.registry import METRICS
from harness.statistics.crossed import CrossedTest, crossed_test
from harness.statistics.multiplicity import hochberg
from harness.statistics.near_real import near_real_p, why_not_tested
from harness.statistics.outcome import ALPHA
from harness.wording.numbers import count

_CENTRED = tuple(
    name
    for name, metric in METRICS.items()
    if isinstance(metric, SetMetric) and metric.is_zero_if_perfect
)


def near_real_rows(
    evidence: Evidence, *, branches: Sequence[str], margins: Mapping[str, float]
) -> list[NearReal]:
    """A row for each branch and each distance that has a margin and values of single clips.

    Adjusted over all rows by Hochberg, like ties. Below the seeds or clips that it takes nothing is
    tested, and the row says so.
    """
    found: list[tuple[str, str, CrossedTest, str | None]] = []
    for metric in _CENTRED:
        for branch in branches if margins.get(metric, 0.0) > 0 else ():
            values = evidence.of_branch(metric, branch)
            if values is None:
                continue
            test = crossed_test(values.to_numpy(dtype="float64").T, classes=_classes_of(values))
            if test is None:
                continue
            parts = test.components
            why = why_not_tested(num_seeds=parts.num_seeds, num_clips=parts.num_clips)
            found.append((metric, branch, test, why))
    p = [near_real_p(test, margin=margins[m]) if why is None else 1.0 for m, _, test, why in found]
    return [
        _row(metric, branch, test, why, margin=margins[metric], adjusted_p=float(adjusted))
        for (metric, branch, test, why), adjusted in zip(found, hochberg(p), strict=True)
    ]


def _row(
    metric: str,
    branch: str,
    test: CrossedTest,
    why: str | None,
    *,
    margin: float,
    adjusted_p: float,
) -> NearReal:
    parts, is_shown = test.components, why is None and adjusted_p <= ALPHA
    between, span = "no interval, since trainings or clips do not vary", None
    if not math.isnan(test.low):
        between = f"{test.level:.0%} interval {test.low:+.3g} to {test.high:+.3g}"
        span = Interval(low=test.low, high=test.high, level=test.level)
    numbers = (
        f"{test.mean:+.3g}, {between}, "
        f"{count(parts.num_seeds, 'seed')}, {count(parts.num_clips, 'clip')}"
    )
    if is_shown:
        sentence = (
            f"By {metric}, images of {branch} cannot be told from real pictures of other clips "
            f"within the margin of {margin:g} ({numbers}, adjusted p {adjusted_p:.2g}), for other "
            "trainings and other clips of these classes; what this distance does not see may still "
            "tell them apart"
        )
    elif why is not None:
        sentence = (
            f"Whether {branch} lies within {margin:g} of real pictures by {metric} is not tested: "
            f"{why} ({numbers})"
        )
    else:
        sentence = (
            f"That {branch} lies within {margin:g} of real pictures by {metric} is not shown "
            f"({numbers}, adjusted p {adjusted_p:.2g})"
        )
    return NearReal(
        metric=metric,
        branch=branch,
        margin=margin,
        distance=test.mean,
        interval=span,
        num_seeds=parts.num_seeds,
        num_clips=parts.num_clips,
        adjusted_p=None if why is not None else adjusted_p,
        is_shown=is_shown,
        sentence=sentence,
    )


def _classes_of(values: pd.DataFrame) -> list[str]:
    return [str(name) for name in values.index.get_level_values("class_name")]
