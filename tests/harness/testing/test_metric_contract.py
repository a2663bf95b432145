"""The contract of metrics catches what it is for: each defect fails the check that is for it."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from harness.metrics.metric import ClipMetric
from harness.metrics.registry import METRICS
from harness.testing import MetricContract, violations

RANK = METRICS["listening_rank"]
ERROR = METRICS["attribute_error"]
assert isinstance(RANK, ClipMetric)
assert isinstance(ERROR, ClipMetric)


def broken(metric: Any) -> set[str]:
    return {
        name.removeprefix("test_")
        for name in violations(type("TestIt", (MetricContract,), {"metric": metric}))
    }


@pytest.mark.parametrize("name", sorted(METRICS))
def test_every_shipped_metric_keeps_the_contract(name: str) -> None:
    """Catches: a wrong sign, range, chance level or smallest number of clips in a declaration."""
    assert broken(METRICS[name]) == set()


def by_place(batch: Any) -> Any:
    return RANK.compute(batch) * (1 + np.arange(len(batch.rows)) % 2) / 2


CALLS = iter(range(10**6))


@pytest.mark.parametrize(
    ("metric", "check"),
    [
        (replace(RANK, higher_is_better=False), "the_direction_is_real"),
        (replace(RANK, chance=0.25), "an_answer_that_ignores_the_clip_scores_chance"),
        (replace(RANK, best=0.9), "a_clips_own_picture_gets_the_best_value"),
        (replace(RANK, highest=0.8, best=None), "values_stay_inside_the_stated_range"),
        (replace(RANK, min_clips=1), "too_few_clips_give_a_reason"),
        (replace(ERROR, min_clips=2), "too_few_clips_give_a_reason"),
        (replace(RANK, unit=" "), "it_says_what_it_is"),
        (replace(RANK, best=3.0), "it_says_what_it_is"),
        (replace(RANK, compute=by_place), "the_order_of_the_clips_does_not_matter"),
        (
            replace(ERROR, compute=lambda b: ERROR.compute(b) + 1e-9 * next(CALLS)),
            "the_same_images_get_the_same_values",
        ),
        (
            replace(ERROR, compute=lambda b: np.nan_to_num(ERROR.compute(b))),
            "a_feature_that_is_not_finite_makes_no_number",
        ),
    ],
)
def test_each_defect_is_found(metric: Any, check: str) -> None:
    """Catches: a contract that lets a defect pass."""
    assert check in broken(metric)


def test_a_defect_is_reported_in_a_sentence() -> None:
    """Catches: a check that says `assert False` to whoever wrote the metric."""
    told: Callable[[Any], dict[str, str]] = lambda m: violations(  # noqa: E731
        type("TestIt", (MetricContract,), {"metric": m})
    )
    sentence = told(replace(RANK, higher_is_better=False))["test_the_direction_is_real"]
    assert "lower is said to be better; turn `higher_is_better`" in sentence
