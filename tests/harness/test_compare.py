"""Comparisons: pairs from records alone, what may not be compared, what may be said."""

import json
import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from core.errors import HarnessError, MismatchError, UsageError
from harness import matrix as matrix_module
from harness.comparison.analysis import analyse
from harness.comparison.compare import compare
from harness.comparison.eligibility import require_comparable
from harness.comparison.record import ComparisonRecord, load_comparison
from harness.comparison.request import CompareOptions, CompareRequest
from harness.comparison.runs import LoadedRun
from harness.planning import RunRequest, plan_run
from harness.progress import Display
from harness.records import RECORD, RunRecord, Status, load_record

MakeRequest = Callable[..., RunRequest]
METRIC = "aic"


def altered(record: RunRecord, *, variant: str, seed: int, value: float | None) -> RunRecord:
    """The real record as if it were of another branch and seed, with another score."""
    identity = record.identity.model_copy(update={"variant": variant, "seed": seed})
    score = {
        **record.metrics[METRIC],
        "value": value,
        "reason": "no judge" if value is None else None,
    }
    return record.model_copy(
        update={
            "identity": identity,
            "run_id": identity.run_id,
            "metrics": {**record.metrics, METRIC: score},
        }
    )


def matrix(record: RunRecord, values: dict[str, Sequence[float | None]]) -> list[RunRecord]:
    return [
        altered(record, variant=variant, seed=seed, value=value)
        for variant, of_variant in values.items()
        for seed, value in enumerate(of_variant)
    ]


def failed(record: RunRecord) -> RunRecord:
    return record.model_copy(update={"status": Status.FAILED, "error": "NaN", "metrics": {}})


@pytest.fixture
def compared(finished: Any, tmp_path: Path) -> Callable[[list[RunRecord]], ComparisonRecord]:
    """Analyses records as if each lay where the one real run lies."""

    def call(records: list[RunRecord]) -> ComparisonRecord:
        return analyse(
            [LoadedRun(record, finished.folder) for record in records],
            metric=METRIC,
            folder=tmp_path / "reports" / "one",
            command="harness compare",
        )

    return call


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
        ({k: v[:6] for k, v in WIN.items()}, "a wins on aic over 6 seeds"),
        (WIN, "a wins on aic over 7 seeds"),
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


def test_a_failed_run_stays_in_and_decides_nothing(
    finished: Any, compared: Callable[..., ComparisonRecord]
) -> None:
    """Catches: a branch that wins because its bad seed crashed and was left out."""
    records = matrix(finished.record, {k: v[:6] for k, v in WIN.items()})
    found = compared([*records[:-1], failed(records[-1])])
    assert found.verdict == "undecided: runs of b failed, and a failed run is not left out"
    assert (found.pairs, found.secondary, found.outcome) == ([], [], "undecided")
    assert found.failed == [records[-1].run_id]


def changed(record: RunRecord, **identity: Any) -> RunRecord:
    return record.model_copy(
        update={"identity": record.identity.model_copy(update=identity), "run_id": "other-run"}
    )


@pytest.mark.parametrize(
    ("field", "message"),
    [
        ("settings", r"differ in settings\.stage1\.lr \(\S+ against 0\.5\)"),
        ("split_hash", r"differ in split_hash"),
        ("models", r"differ in models\.clip"),
        ("core", "different code of core"),
        ("metrics", "different code of metrics"),
        ("arms", "different code of arms"),
    ],
)
def test_runs_that_differ_in_more_than_branch_and_seed_are_refused(
    finished: Any, field: str, message: str
) -> None:
    """Catches: numbers of two data sets, scorers or settings in one table."""
    first, second = matrix(finished.record, {"a": [0.5], "b": [0.5]})
    require_comparable([first, second])
    own = second.identity
    stage1 = {**own.settings["stage1"], "lr": 0.5}
    new: dict[str, Any] = {
        "settings": {"settings": {**own.settings, "stage1": stage1}},
        "split_hash": {"split_hash": "other"},
        "models": {"models": {**own.models, "clip": "other"}},
    }.get(field, {"code": {**own.code, field: "other"}})
    with pytest.raises(MismatchError, match=message):
        require_comparable([first, changed(second, **new)])


def test_one_branch_has_one_configuration_and_one_run_a_seed(finished: Any) -> None:
    """Catches: seeds of two configurations averaged under one name, or a seed counted twice."""
    first, second = matrix(finished.record, {"a": [0.5, 0.6]})
    with pytest.raises(MismatchError, match="both a, with another variant_config"):
        require_comparable([first, changed(second, variant_config={"hidden_dim": 1})])
    code = {**second.identity.code, "variant": "other"}
    with pytest.raises(MismatchError, match="both a, with another code"):
        require_comparable([first, changed(second, code=code)])
    with pytest.raises(MismatchError, match="a has two runs of seed 0"):
        require_comparable([first, changed(second, seed=0)])


@pytest.mark.parametrize(
    ("variants", "metric", "message"),
    [
        (("sonic",), METRIC, "name at least two"),
        ((), METRIC, "name at least two"),
        (("sonic", "sonic"), METRIC, "sonic is named twice"),
        (("sonic", "baselin"), METRIC, "did you mean 'baseline'"),
        (("sonic", "baseline"), "listening_rnk", "did you mean 'listening_rank'"),
    ],
)
def test_a_comparison_that_cannot_be_is_refused_at_once(
    small_request: MakeRequest, variants: tuple[str, ...], metric: str, message: str
) -> None:
    """Catches: hours of training before a typing mistake is told."""
    request = small_request()
    options = CompareOptions(request.results, metric=metric)
    asked = CompareRequest(variants, 1, "tiny", request.overrides, request.data, options)
    with pytest.raises(UsageError, match=message):
        compare(asked, display=Display())


def test_a_comparison_reuses_finished_runs_and_draws_its_sheet(
    finished: Any, small_request: MakeRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Catches: finished runs trained again, a pair that is not in the records, no sheet."""
    started: list[str] = []
    child = matrix_module._Child

    def noted(planned: Any, *, display: Display) -> Any:
        started.append(planned.identity.variant)
        return child(planned, display=display)

    monkeypatch.setattr(matrix_module, "_Child", noted)
    own = small_request()
    options = CompareOptions(own.results, METRIC)
    asked = CompareRequest(
        ("baseline", "sonic"), 1, "tiny", own.overrides, own.data, options, jobs=1
    )
    found = compare(asked, display=Display())
    assert started == ["sonic"]
    values = {
        run.branch: load_record(own.results / "runs" / run.run_id).metrics[METRIC]
        for run in found.record.runs
    }
    (pair,) = found.record.pairs
    expected = values["baseline"]["value"] - values["sonic"]["value"]
    assert pair.effect == pytest.approx(expected)
    assert found.sheet is not None
    with Image.open(found.sheet) as sheet:
        assert min(sheet.size) > 200
    started.clear()
    again = compare(asked, display=Display())
    assert again.record.verdict == found.record.verdict
    assert again.folder == found.folder
    assert started == []


def test_sigterm_stops_the_children_after_a_checkpoint(
    small_request: MakeRequest,
) -> None:
    """Catches: children that train on unseen, or die before they have written a checkpoint."""
    request = small_request("stage1.steps=500", seed=0)
    folders = [
        plan_run(
            small_request("stage1.steps=500", variant=variant, seed=0), display=Display()
        ).folder
        for variant in ("baseline", "sonic")
    ]
    words = [word for item in request.overrides for word in ("--set", item)]
    words += ["--data", str(request.data), "--results", str(request.results)]
    branches = ["--variants", "baseline,sonic", "--seeds", "1", "--jobs", "1"]
    process = subprocess.Popen(
        [sys.executable, "-m", "harness", "compare", *branches, *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    events = folders[0] / "events.jsonl"
    until = time.monotonic() + 300
    while not (events.is_file() and events.read_bytes()):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < until
        time.sleep(0.05)
    child = json.loads((folders[0] / "holder.json").read_text())["pid"]
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=300)
    assert process.returncode == 143, err
    assert out == ""
    assert "Traceback" not in err
    with pytest.raises(ProcessLookupError):
        os.kill(child, 0)
    assert list((folders[0] / "checkpoints").glob("step-*"))
    assert not folders[1].exists()


def test_a_comparison_that_is_killed_leaves_no_child_behind(small_request: MakeRequest) -> None:
    """Catches: trainings that go on for hours, unseen, after `kill -9` of the comparison."""
    request = small_request("stage1.steps=500", seed=0)
    overrides = (*request.overrides, "training.checkpoint_every=499")
    folder = plan_run(replace(request, overrides=overrides), display=Display()).folder
    words = [word for item in overrides for word in ("--set", item)]
    words += ["--data", str(request.data), "--results", str(request.results)]
    branches = ["--variants", "baseline,sonic", "--seeds", "1", "--jobs", "1"]
    process = subprocess.Popen(
        [sys.executable, "-m", "harness", "compare", *branches, *words],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    events = folder / "events.jsonl"
    wait_until(lambda: events.is_file() and bool(events.read_bytes()))
    child = json.loads((folder / "holder.json").read_text())["pid"]
    process.kill()
    process.wait()
    wait_until(lambda: not is_running(child))
    assert list((folder / "checkpoints").glob("step-*"))
    assert not (folder / RECORD).exists()
    assert "stopped by SIGTERM" in (folder / "run.log").read_text()


def wait_until(condition: Callable[[], bool]) -> None:
    until = time.monotonic() + 300
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.05)


def is_running(pid: int) -> bool:
    """Whether the process runs: an orphan that ended may stay as a zombie where nobody reaps it."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


class _Dead:
    """A child that ended: `returncode` and nothing else."""

    def __init__(self, returncode: int) -> None:
        self.returncode = returncode


def test_a_child_without_a_record_is_told_with_its_last_words(
    small_request: MakeRequest,
) -> None:
    """Catches: an older failed record taken for what the dead process left."""
    planned = plan_run(small_request(seed=60), display=Display())
    planned.folder.mkdir(parents=True)
    (planned.folder / RECORD).write_text("an old one")
    child = matrix_module._Child(planned, display=Display())
    child.process.kill()
    child.process.wait()
    child.log.write_text("first\nharness: no space left\n")
    child.process = _Dead(74)  # type: ignore[assignment]
    with pytest.raises(HarnessError, match="exit code 74 and no record: harness: no space") as end:
        child.finish()
    assert end.value.exit_code == 74
