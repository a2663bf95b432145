"""Comparisons: pairs from records alone, what may not be compared, what may be said."""

import json
import math
import re
import shlex
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from typer.testing import CliRunner

from core.errors import UsageError
from harness.cli.main import app
from harness.comparison.analysis import analyse
from harness.comparison.compare import compare
from harness.comparison.record import ComparisonRecord, load_comparison
from harness.comparison.request import CompareOptions, CompareRequest
from harness.comparison.runs import LoadedRun
from harness.executors.base import Task
from harness.executors.local import LocalExecutor
from harness.executors.opening import ExecutorOptions
from harness.records.record import load_record
from harness.report.comparison.draw import draw_comparison
from harness.run.plan import RunRequest
from harness.statistics.outcome import MAX_SEEDS
from harness.wording.display import Display
from tests.harness.comparison.made_records import METRIC, failed, matrix

MakeRequest = Callable[..., RunRequest]


def test_pairs_are_the_differences_of_each_seed(
    finished: Any, compared: Callable[..., ComparisonRecord]
) -> None:
    """Catches: means compared without pairing, or seeds paired in another order."""
    first, second = [0.5, 0.9, 0.7], [0.4, 0.7, 0.5]
    records = matrix(finished.record, {"sonic": first, "baseline": second})
    found = compared([records[2], records[0], records[1], *records[3:]])
    (pair,) = found.pairs
    differences = [0.1, 0.2, 0.2]
    mean = sum(differences) / 3
    sd = math.sqrt(sum((d - mean) ** 2 for d in differences) / 2)
    half = 4.302653 * sd / math.sqrt(3)
    assert (pair.first, pair.second, pair.n) == ("sonic", "baseline", 3)
    assert pair.effect == pytest.approx(mean)
    assert pair.sd == pytest.approx(sd)
    assert pair.interval is not None
    assert pair.interval.low == pytest.approx(mean - half, rel=1e-4)
    assert pair.interval.high == pytest.approx(mean + half, rel=1e-4)
    assert pair.differences == pytest.approx({0: 0.1, 1: 0.2, 2: 0.2})
    row = found.row(METRIC)
    means = {name: score.mean for name, score in row.branches.items()}
    assert means == pytest.approx({"sonic": 0.7, "baseline": 1.6 / 3})
    assert row.branches["sonic"].values == {0: 0.5, 1: 0.9, 2: 0.7}


def test_a_comparison_reads_back_as_it_was_written(
    finished: Any, compared: Callable[..., ComparisonRecord], tmp_path: Path
) -> None:
    """Catches: NaN in the file, a number lost on the way, a run's folder that leads nowhere."""
    found = compared(matrix(finished.record, {"a": [0.5], "b": [0.25]}))
    folder = tmp_path / "reports" / "one"
    path = found.save(folder)
    assert load_comparison(folder) == load_comparison(path) == found
    json.loads(path.read_text(), parse_constant=lambda word: pytest.fail(word))
    (pair,) = found.pairs
    assert (pair.effect, pair.p, pair.interval) == (0.25, None, None)
    for run in found.runs:
        assert found.run_folder(run, folder=folder).resolve() == finished.folder.resolve()


WIN = {"a": [0.9, 0.91, 0.92, 0.9, 0.93, 0.91, 0.9], "b": [0.5, 0.52, 0.5, 0.51, 0.5, 0.5, 0.53]}


@pytest.mark.parametrize(
    ("values", "verdict"),
    [
        (
            {"a": [0.9], "b": [0.1]},
            "undecided: 1 seed is exploratory, a win on aic needs at least 6",
        ),
        (
            {"a": [0.9, 0.91, 0.92], "b": [0.1, 0.11, 0.13]},
            "undecided: 3 seeds are exploratory, a win on aic needs at least 6",
        ),
        ({k: v[:6] for k, v in WIN.items()}, "a wins on aic over 6 seeds, on these clips"),
        (WIN, "a wins on aic over 7 seeds, on these clips"),
        (
            {"a": [0.5, 0.6, 0.4, 0.5, 0.6, 0.4], "b": [0.6, 0.5, 0.5, 0.4, 0.4, 0.6]},
            "undecided: 6 seeds do not separate the branches on aic",
        ),
        (
            {"a": [0.5, None], "b": [0.6, 0.5]},
            "undecided: aic is blank in 1 of 4 runs (no judge)",
        ),
    ],
)
def test_the_verdict_says_no_more_than_the_seeds_allow(
    finished: Any,
    compared: Callable[..., ComparisonRecord],
    values: dict[str, Sequence[float | None]],
    verdict: str,
) -> None:
    """Catches: a win from three seeds, or from the seeds that happened to have a value."""
    assert compared(matrix(finished.record, values)).verdict == verdict


TIE = {"a": [0.5, 0.51, 0.5, 0.49, 0.5, 0.5], "b": [0.5, 0.5, 0.51, 0.5, 0.5, 0.49]}


@pytest.mark.parametrize(
    ("values", "margin", "claim"),
    [
        ({"a": [0.9, 0.8], "b": [0.1, 0.2]}, None, "Exploratory: 2 training seeds can suggest"),
        (
            WIN,
            None,
            "Confirmed at the 5% level on these clips alone: .* the exact sign-flip test",
        ),
        (
            TIE,
            0.1,
            # Every run is one run, so that its few clips agree to the last digit.
            "Confirmed at the 5% level on these clips alone: .* one-sided t-",
        ),
        (TIE, None, "Nothing is established: 6 paired training seeds are enough for a claim"),
        ({**WIN, "b": [None, *WIN["b"][1:]]}, None, "Nothing was tested, so nothing is claimed"),
    ],
)
def test_the_claim_is_that_of_the_outcome(
    finished: Any,
    tmp_path: Path,
    values: dict[str, Sequence[float | None]],
    margin: float | None,
    claim: str,
) -> None:
    """Catches: "confirmed" beside an undecided verdict, or a tie that rests on a win's tests."""
    found = analyse(
        [LoadedRun(record, finished.folder) for record in matrix(finished.record, values)],
        metric=METRIC,
        margins={} if margin is None else {METRIC: margin},
        folder=tmp_path / "one",
        command="",
    )
    assert re.match(claim, found.claim), found.claim


def test_a_failed_run_stays_in_and_decides_nothing(
    finished: Any, compared: Callable[..., ComparisonRecord]
) -> None:
    """Catches: a branch that wins because its bad seed crashed and was left out."""
    records = matrix(finished.record, {k: v[:6] for k, v in WIN.items()})
    found = compared([*records[:-1], failed(records[-1])])
    assert found.verdict == "undecided: runs of b failed, and a failed run is not left out"
    assert (found.pairs, found.secondary, found.outcome) == ([], [], "undecided")
    assert found.failed == [records[-1].run_id]
    (row,) = (row for row in found.metrics if row.is_primary)
    assert row.branches["a"].mean == pytest.approx(sum(WIN["a"][:6]) / 6)
    # Nor does it leave a mean over the seeds that went well.
    own = row.branches["b"]
    assert (own.mean, own.values[5], own.reason) == (None, None, "its run failed")


def test_runs_that_failed_before_they_finished_are_reported(
    finished: Any, compared: Callable[..., ComparisonRecord]
) -> None:
    """Catches: a branch of many draws beside a branch of one, and a comparison that is silent."""
    records = matrix(finished.record, {"a": [0.5, 0.6], "b": [0.4, 0.4]})
    *_, of_clips = compared(records).notices
    assert "test clips" in of_clips  # this split is small
    again = records[1].model_copy(update={"num_earlier_failures": 2})
    once = records[2].model_copy(update={"num_earlier_failures": 1})
    *_, notice = compared([records[0], again, once, records[3]]).notices
    told = f"({again.run_id} 2 times, {once.run_id} 1 time; failures.jsonl in a run's folder"
    assert notice.startswith(f"Runs failed before and were made again {told}")


def test_more_seeds_than_the_exact_test_takes_are_refused(
    finished: Any, compared: Callable[..., ComparisonRecord]
) -> None:
    """Catches: a traceback from the sign-flip test after weeks of training."""
    with pytest.raises(UsageError, match="41 seeds; a comparison takes at most 40"):
        compared(matrix(finished.record, {"a": [0.5] * 41, "b": [0.4] * 41}))
    for seeds, is_refused in ((MAX_SEEDS + 1, True), (MAX_SEEDS, False)):
        asked = CliRunner().invoke(app, ["compare", "--variants", "x", "--seeds", str(seeds)])
        assert ("Invalid value for '--seeds'" in asked.output) is is_refused


@pytest.mark.parametrize(
    ("variants", "metric", "message"),
    [
        (("sonic",), METRIC, "name at least two"),
        ((), METRIC, "name at least two"),
        (("sonic", "sonic"), METRIC, "sonic is named twice"),
        (("sonic", "baselin"), METRIC, "did you mean 'baseline'"),
        (("sonic", "baseline"), "listening_rnk", "did you mean 'listening_rank'"),
        (
            ("sonic", "baseline"),
            "fid",
            r"below n = 2,048.*choose another primary metric",
        ),
    ],
)
def test_a_comparison_that_cannot_be_is_refused_at_once(
    small_request: MakeRequest, variants: tuple[str, ...], metric: str, message: str
) -> None:
    """Catches: hours of training before a typing mistake is told."""
    request = small_request()
    options = CompareOptions(request.results, metric=metric)
    asked = CompareRequest(
        variants,
        num_seeds=1,
        profile="tiny",
        overrides=request.overrides,
        data=request.data,
        options=options,
    )
    with pytest.raises(UsageError, match=message):
        compare(asked, display=Display())


def test_a_comparison_reuses_finished_runs_and_draws_its_sheet(
    finished: Any,
    small_request: MakeRequest,
    monkeypatch: pytest.MonkeyPatch,
    loaded_by: Callable[..., list[str]],
) -> None:
    """Catches: finished runs trained again, a pair that is not in the records, no sheet; and
    torch imported for a comparison of which nothing is left to do."""
    started: list[str] = []
    start = LocalExecutor.start

    told: list[str] = []
    display = Display()
    monkeypatch.setattr(display, "say", told.append)

    def noted(self: LocalExecutor, task: Task) -> Any:
        started.append(task.planned.identity.variant)
        return start(self, task)

    monkeypatch.setattr(LocalExecutor, "start", noted)
    own = small_request()
    options = CompareOptions(own.results, metric=METRIC)
    asked = CompareRequest(
        ("baseline", "sonic"),
        num_seeds=1,
        profile="tiny",
        overrides=own.overrides,
        data=own.data,
        options=options,
        executor=ExecutorOptions(jobs=1),
    )
    found = compare(asked, display=display)
    assert started == ["sonic"]
    assert any(f", {METRIC} 0." in line or f", {METRIC} 1." in line for line in told)
    values = {
        run.branch: load_record(own.results / "runs" / run.run_id).metrics[METRIC].value
        for run in found.record.runs
    }
    (pair,) = found.record.pairs
    expected = values["baseline"] - values["sonic"]
    assert pair.effect == pytest.approx(expected)
    sheet_path = draw_comparison(found).sheet
    assert sheet_path is not None
    with Image.open(sheet_path) as sheet:
        assert min(sheet.size) > 200
    started.clear()
    again = compare(asked, display=Display())
    assert again.record == found.record
    assert again.folder == found.folder
    assert started == []
    assert loaded_by(*shlex.split(asked.command)[1:]) == []
