"""What a comparison says of choices that could have been made with the results in sight."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from core.errors import DataError
from harness.comparison.hindsight import (
    earlier_looks,
    left_out,
    note_question,
    question_notices,
)
from harness.comparison.record import ComparisonRecord
from harness.comparison.request import Question
from harness.comparison.runs import LoadedRun
from harness.records.folders import ReportFolder
from harness.records.record import RunRecord, Status

DEFAULT = Question("listening_rank")


def of_seed(record: RunRecord, seed: int) -> RunRecord:
    identity = record.identity.model_copy(update={"seed": seed})
    return record.model_copy(update={"identity": identity, "run_id": identity.run_id})


@pytest.mark.parametrize(
    ("question", "asked_at", "said"),
    [
        (DEFAULT, "2999", None),
        (Question("kid"), "1999", None),
        (Question("kid"), "2999", "kid instead of the profile's listening_rank was asked for when"),
        (Question("listening_rank", {"listening_rank": 0.1}), "2999", "--margin was asked for"),
    ],
)
def test_a_question_that_came_after_the_runs_is_told(
    finished: Any, question: Question, asked_at: str, said: str | None
) -> None:
    """Catches: a metric or margin chosen for what the finished runs show, without a word."""
    runs = [LoadedRun(finished.record, finished.folder)]
    found = question_notices(runs, asked_at=asked_at, question=question, default=DEFAULT)
    assert [said is not None and sentence.startswith(said) for sentence in found] == (
        [] if said is None else [True]
    )


def test_a_question_keeps_the_time_of_its_first_asking(tmp_path: Path) -> None:
    """Catches: the same command given twice blamed for choosing afterwards; a folder of one name
    whose first question excuses another one.
    """
    ReportFolder(tmp_path).question.write_text('{"asked": "one", "asked_at": "2000"}')
    assert note_question(tmp_path, asked="one") == "2000"
    assert note_question(tmp_path, asked="two") > "2000"
    assert note_question(tmp_path / "new", asked="one") == note_question(
        tmp_path / "new", asked="one"
    )
    ReportFolder(tmp_path).question.write_text("{}")
    with pytest.raises(DataError, match="delete it"):
        note_question(tmp_path, asked="one")


def test_runs_of_other_seeds_that_were_left_out_are_named(finished: Any, tmp_path: Path) -> None:
    """Catches: a verdict from the seeds that suit it, a failed one gone without a trace."""
    first, second, failed = (of_seed(finished.record, seed) for seed in (70, 71, 72))
    failed = failed.model_copy(update={"status": Status.FAILED, "error": "NaN"})
    other = finished.record.identity.model_copy(update={"seed": 73, "split_hash": "another"})
    stranger = first.model_copy(update={"identity": other, "run_id": other.run_id})
    for record in (first, second, failed, stranger):
        folder = tmp_path / "runs" / record.run_id
        folder.mkdir(parents=True)
        record.save(folder)
    (tmp_path / "runs" / "baseline-s9-damaged").mkdir()
    (tmp_path / "runs" / "baseline-s9-damaged" / "record.json").write_text("{")
    (sentence,) = left_out([first], results=tmp_path)
    assert sentence.startswith("2 more runs of these branches differ in the seed alone")
    assert f"{second.run_id} (finished)" in sentence
    assert f"{failed.run_id} (failed)" in sentence
    assert left_out([first, second, failed], results=tmp_path) == []


def test_looks_at_fewer_seeds_that_could_have_ended_it_are_told(
    small_comparison: Callable[..., ComparisonRecord], tmp_path: Path
) -> None:
    """Catches: seeds added until there is a win, at a rate of false ones that nobody states."""
    runs = [f"r{number}" for number in range(12)]
    for name, ids, seeds in (("six", runs[:6], 6), ("three", runs[:3], 3), ("other", ["x"], 6)):
        small_comparison(name, run_ids=ids, num_seeds=seeds).save(tmp_path / "reports" / name)

    def looks(metric: str, folder: str) -> list[str]:
        return earlier_looks(
            runs, metric=metric, results=tmp_path, folder=tmp_path / "reports" / folder
        )

    (sentence,) = looks("aic", "twelve")
    assert sentence.startswith("fewer of these runs were compared before: 6 seeds (six).")
    assert looks("aic", "six") == []
    assert looks("kid", "twelve") == []


@pytest.fixture
def small_comparison(finished: Any, tmp_path: Path) -> Callable[..., ComparisonRecord]:
    """A comparison with these ids and seeds in it, and little else that is true."""
    from harness.comparison.analysis import analyse

    def make(name: str, *, run_ids: list[str], num_seeds: int) -> ComparisonRecord:
        found = analyse(
            [LoadedRun(finished.record, finished.folder)],
            metric="aic",
            folder=tmp_path / "reports" / name,
            command="",
        )
        runs = [found.runs[0].model_copy(update={"run_id": run_id}) for run_id in run_ids]
        return found.model_copy(
            update={"name": name, "runs": runs, "seeds": list(range(num_seeds))}
        )

    return make
