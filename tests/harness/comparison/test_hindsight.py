"""What a comparison says of choices that could have been made with the results in sight."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from core.errors import DataError, UsageError
from harness.comparison.evidence import Looks
from harness.comparison.hindsight import left_out, note_question, question_notices
from harness.comparison.looks import Look, looks_among, looks_notices, looks_so_far, note_look
from harness.comparison.record import ComparisonRecord
from harness.comparison.request import Question, require_look
from harness.comparison.runs import LoadedRun
from harness.records.folders import ReportFolder
from harness.records.record import RunRecord, Status
from harness.statistics.looks import level_of_looks

DEFAULT = Question("listening_rank")


def runs_of(branches: str, seeds: int | Sequence[int]) -> list[str]:
    """Ids of runs of branches with names of one letter."""
    numbers = range(seeds) if isinstance(seeds, int) else seeds
    return [f"{branch}-s{seed}-0" for branch in branches for seed in numbers]


def look(at: int, branches: str, seeds: int | Sequence[int], planned: Sequence[int] = ()) -> Look:
    """A look at the runs of these branches."""
    runs = runs_of(branches, seeds)
    num_seeds = len(runs) // len(branches)
    return Look(f"2026-01-{at:02}", "aic", runs, num_seeds, list(planned), "undecided")


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
def test_a_question_that_came_after_the_runs_is_reported(
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


def test_looks_at_fewer_seeds_are_priced_whatever_the_name(
    small_comparison: Callable[..., ComparisonRecord], tmp_path: Path
) -> None:
    """Catches: seeds added until there is a win under one `--name`, whose folder forgets that it
    was looked at before (8 to 18 % false wins, and no word)."""

    def so_far(num_seeds: int, *, metric: str = "aic", planned: Sequence[int] = ()) -> Looks:
        return looks_so_far(
            runs_of("ab", num_seeds),
            metric=metric,
            num_seeds=num_seeds,
            planned=planned,
            results=tmp_path,
        )

    assert so_far(12) == Looks()
    mine = tmp_path / "reports" / "mine"
    for seeds in (3, 6, 8):
        record = small_comparison("mine", run_ids=runs_of("ab", seeds), num_seeds=seeds)
        record.save(mine)
        note_look(mine, record=record)
    other = small_comparison("other", run_ids=runs_of("xy", 7), num_seeds=7)
    other.save(tmp_path / "reports" / "other")
    found = so_far(10)
    assert (found.earlier, found.unplanned) == ([6, 8], [6, 8])
    assert found.level == pytest.approx(level_of_looks((6, 8, 10)))
    (sentence,) = looks_notices(found)
    assert "compared before: at 6 seeds, 8 seeds" in sentence
    assert "in up to 9.1% of cases" in sentence
    assert so_far(6).unplanned == []
    assert so_far(10, metric="kid").unplanned == []
    # A plan that is named afterwards pays for nothing.
    assert so_far(10, planned=(6, 8, 10)).unplanned == [6, 8]


def test_planned_looks_are_no_fault(
    small_comparison: Callable[..., ComparisonRecord], tmp_path: Path
) -> None:
    """Catches: a plan that was named at the first look and kept, blamed all the same."""
    planned = [6, 8, 10]
    folder = tmp_path / "reports" / "planned"
    record = small_comparison("planned", run_ids=runs_of("ab", 6), num_seeds=6)
    record = record.model_copy(update={"looks": Looks(planned=planned)})
    record.save(folder)
    note_look(folder, record=record)
    # Asked again under another question, the folder keeps its looks.
    note_question(folder, asked="another")
    runs = runs_of("ab", 8)
    found = looks_so_far(runs, metric="aic", num_seeds=8, planned=planned, results=tmp_path)
    assert (found.earlier, found.unplanned, found.level) == ([6], [], None)
    assert looks_notices(found) == []


@pytest.mark.parametrize(
    ("before", "level"),
    [
        # Ten seeds undecided, then the six of them that win.
        ([look(1, "ab", 10)], level_of_looks((6, 10))),
        # As many seeds, other ones.
        ([look(1, "ab", range(4, 10))], 0.05 + 0.05),
        # The best pair of three branches, without the adjustment for three pairs.
        ([look(1, "abc", 6)], 3 * 0.05),
        # The question was asked first, and then again of more runs.
        ([look(1, "ab", 6), look(2, "ab", 10), look(2, "abc", 6)], None),
        # A branch was added to a pair, whose test is the stricter for it.
        ([look(1, "a", 6)], None),
        # One branch alone is shared: another question.
        ([look(1, "ac", 6), look(1, "ac", 10)], None),
    ],
)
def test_a_choice_among_seeds_and_branches_is_a_look(
    before: Sequence[Look], level: float | None
) -> None:
    """Catches: "Confirmed" for the six of ten seeds that win, for the best pair of three branches
    compared by itself, and an honest first look blamed for what came after it."""
    found = looks_among(before, run_ids=runs_of("ab", 6), metric="aic", num_seeds=6, planned=())
    assert found.level == (None if level is None else pytest.approx(level))
    assert bool(looks_notices(found)) == (level is not None)


def test_a_plan_that_drops_a_branch_is_not_kept() -> None:
    """Catches: three branches at the first planned look, the best two of them at the next one."""
    plan = (6, 8)
    asked = {"run_ids": runs_of("ab", 8), "metric": "aic", "num_seeds": 8, "planned": plan}
    assert looks_among([look(1, "ab", 6, plan)], **asked).unplanned == []
    found = looks_among([look(1, "abc", 6, plan)], **asked)
    assert found.unplanned == [6]
    assert found.level is not None
    assert found.level > level_of_looks(plan)


def test_a_comparison_from_before_the_journals_counts_as_a_look(
    small_comparison: Callable[..., ComparisonRecord], tmp_path: Path
) -> None:
    """Catches: looks forgotten because they were made by an older version."""
    small_comparison("six", run_ids=runs_of("ab", 6), num_seeds=6).save(
        tmp_path / "reports" / "six"
    )
    runs = runs_of("ab", 12)
    found = looks_so_far(runs, metric="aic", num_seeds=12, planned=(), results=tmp_path)
    assert found.unplanned == [6]


@pytest.mark.parametrize(
    ("looks", "seeds", "said"),
    [
        ((8, 6), 6, "rising numbers of seeds from 6 on"),
        ((5, 8), 8, "no win is possible with fewer"),
        ((6, 8), 7, "plans no look at 7 seeds"),
        ((6, 50), 6, "at most 40"),
    ],
)
def test_looks_that_cannot_be_kept_are_refused(
    looks: tuple[int, ...], seeds: int, said: str
) -> None:
    """Catches: a plan that the comparison then tests as if there were none."""
    with pytest.raises(UsageError, match=said):
        require_look(looks, num_seeds=seeds)


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
