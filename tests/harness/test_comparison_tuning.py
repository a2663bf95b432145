"""Whether branches were tuned alike: what is asked of a comparison, and what it says of it."""

from typing import Any

import pytest

from core.errors import DataError
from harness.comparison.tuning import inequalities, tuning_by_branch
from harness.run_config import Tuning

SPLIT = "a" * 64


def tuning(num_trials: int = 30, **changes: Any) -> Tuning:
    """A search of that many trials on the split."""
    words = {"sweep": "s", "metric": "validation_loss", "split_hash": SPLIT}
    return Tuning(**{**words, "num_trials": num_trials, **changes})


@pytest.mark.parametrize(
    ("found", "clauses"),
    [
        ({}, []),
        ({"a": tuning(), "b": tuning()}, []),
        ({"b": tuning()}, ["b by a sweep and a not at all, and a tuned branch against untuned"]),
        ({"a": tuning(), "b": tuning(50)}, ["unequal numbers of trials (a 30, b 50)"]),
        (
            # Asked for as many, and given up half way.
            {"a": tuning(trials={"complete": 9, "pruned": 5, "failed": 1}), "b": tuning()},
            ["unequal numbers of trials (a 15, b 30)"],
        ),
        ({"a": tuning(), "b": tuning(metric="kid")}, ["metrics (a validation_loss, b kid)"]),
        (
            {"a": tuning(split_hash="b" * 64), "b": tuning(split_hash=None)},
            ["another split than this one (a on bbbbbbbbbbbb)"],
        ),
        (
            {"a": tuning(metric="kid"), "b": tuning(1, split_hash="c" * 64)},
            ["numbers of trials", "different metrics", "another split"],
        ),
    ],
)
def test_what_was_not_alike_is_named(found: dict[str, Tuning], clauses: list[str]) -> None:
    """Catches: a tuned branch that wins against an untuned one, and nobody is told."""
    said = inequalities(["a", "b"], tuning=found, split_hash=SPLIT)
    assert len(said) == len(clauses)
    for sentence, part in zip(said, clauses, strict=True):
        assert part in sentence


def test_a_branch_is_as_tuned_as_its_most_tuned_run(finished: Any) -> None:
    """Catches: a search that vanishes because the same settings had been run before it."""
    bare = finished.record
    some = bare.model_copy(update={"tuning": tuning(5).model_dump()})
    more = bare.model_copy(update={"tuning": tuning(9).model_dump()})
    assert tuning_by_branch([bare]) == {}
    assert tuning_by_branch([bare, more, some]) == {"baseline": tuning(9)}
    assert tuning_by_branch([bare], known={"baseline": tuning(3)}) == {"baseline": tuning(3)}


def test_a_record_that_says_nonsense_of_its_tuning_is_named(finished: Any) -> None:
    """Catches: a traceback from an edited record."""
    broken = finished.record.model_copy(update={"tuning": {"sweep": "s", "num_trials": 0}})
    with pytest.raises(DataError, match=f"{broken.run_id} says of its tuning .* num_trials"):
        tuning_by_branch([broken])
