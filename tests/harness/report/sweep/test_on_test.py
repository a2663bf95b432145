"""What a sweep's report says of the test clips, from records whose truth is known."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from core.training.results import StageResult
from harness.records.parts import StageFacts
from harness.records.processes import Cost
from harness.records.record import load_record
from harness.report.sweep.facts import SweepFacts
from harness.report.sweep.words import headline
from harness.report.sweep.write import write_sweep_report
from harness.sweep.on_test import read_on_test
from harness.sweep.record import SweepRecord, TestRuns

Save = Callable[[SweepRecord], Path]


def test_on_test_is_paired_by_seed(made: Any, tmp_path: Path) -> None:
    """Catches: best and defaults swapped, seeds crossed, a lower-is-better metric turned round."""
    pairs = made.test_runs(tmp_path, best=[0.7, 0.8, 0.75], defaults=[0.6, 0.65, 0.7])
    found = read_on_test(made.sonic(test_runs=pairs), results=tmp_path, settings=made.comparison)
    assert found.decisive == "listening_rank"
    assert [row.metric for row in found.rows] == ["listening_rank", "kid"]
    first, kid = found.rows
    assert first.pair is not None
    assert kid.pair is not None
    # Differences .1, .15, .05: mean .1, sd .05, t(.975, 2) = 4.3027, half width .12421.
    assert first.pair.difference.mean == pytest.approx(0.1)
    assert first.pair.difference.low == pytest.approx(-0.02421, abs=1e-5)
    assert first.pair.difference.sign_flip_p == pytest.approx(0.25)
    assert kid.pair.difference.mean == pytest.approx(-0.1)
    assert kid.pair.ahead == "best settings"
    assert found.sentence == (
        "On the test clips best settings and defaults cannot be distinguished by listening rank: "
        "best minus defaults +0.1000 (95\u202f% interval \u22120.0242 to +0.2242) over 3 seeds. "
        "With 3 seeds this is exploratory: a claim needs at least 6."
    )


@pytest.mark.parametrize(("sign", "word"), [(1, "better"), (-1, "worse")])
def test_enough_seeds_tell_better_from_worse(
    made: Any, tmp_path: Path, sign: int, word: str
) -> None:
    """Catches: a loss on test reported as a win."""
    defaults = [0.5 + 0.01 * seed for seed in range(7)]
    best = [value + sign * (0.1 + 0.001 * seed) for seed, value in enumerate(defaults)]
    pairs = made.test_runs(tmp_path, best=best, defaults=defaults)
    found = read_on_test(made.sonic(test_runs=pairs), results=tmp_path, settings=made.comparison)
    assert found.sentence.startswith(f"On the test clips the best settings are {word} than the")
    assert "exploratory" not in found.sentence
    assert found.is_better == (sign > 0)


def test_the_headline_is_what_the_test_clips_say(made: Any, tmp_path: Path, saved: Save) -> None:
    """Catches: a lead on validation in large letters above a test that found none."""
    pairs = made.test_runs(tmp_path / "results", best=[0.7, 0.8, 0.75], defaults=[0.6, 0.65, 0.7])
    tested = made.sonic(test_runs=pairs)
    one = headline(SweepFacts(made.sweep(tested), saved(made.sweep(tested))))
    assert one == "On the test clips, the best settings against the defaults: undecided."
    both = made.sweep(tested, made.sonic(variant="other"))
    assert headline(SweepFacts(both, saved(both))) == (
        "On the test clips, the best settings against the defaults: undecided in 1 and not known "
        "in 1 of 2 branches."
    )


def test_a_metric_without_a_value_is_left_out_and_one_that_ranks_nothing_says_why(
    made: Any, tmp_path: Path
) -> None:
    """Catches: rows of metrics that nothing computed, and a reason nobody understands."""
    pairs = made.test_runs(tmp_path, best=[0.7, 0.8], defaults=[0.6, 0.65])
    for path in (tmp_path / "runs").glob("*/record.json"):
        record = json.loads(path.read_text())
        del record["checksum"]
        about = {"metric": "fid", "arm": "audio", "higher_is_better": False, "is_rankable": False}
        about |= {"extractor": None, "extractor_hash": None}
        blank = {**about, "value": None, "n": 0, "reason": "no Inception weights"}
        record["metrics"] |= {
            "fid": blank,
            "frechet_clip": {**about, "value": 3.0, "n": 8, "caution": "biased at n = 8"},
        }
        path.write_text(json.dumps(record))
    found = read_on_test(made.sonic(test_runs=pairs), results=tmp_path, settings=made.comparison)
    assert {row.metric: row.reason for row in found.rows} == {
        "listening_rank": "",
        "kid": "",
        "frechet_clip": "ranks nothing here: biased at n = 8",
    }


def test_a_missing_test_run_does_not_drop_out_unseen(made: Any, tmp_path: Path) -> None:
    """Catches: a difference over the seeds that happened to survive."""
    pairs = made.test_runs(tmp_path, best=[0.7, 0.8], defaults=[0.6, 0.65])
    pairs.append(TestRuns(seed=2, best_run_id="gone-s2", default_run_id="../escape", best=17))
    found = read_on_test(made.sonic(test_runs=pairs), results=tmp_path, settings=made.comparison)
    assert [row.pair for row in found.rows] == [None, None]
    assert "2 runs failed or are gone" in found.sentence
    assert found.absent[0].startswith("gone-s2: no record at")
    assert found.absent[1] == "../escape: not the name of a run"


def test_best_settings_that_are_the_defaults_are_not_paired(made: Any, tmp_path: Path) -> None:
    """Catches: a difference of a run with itself, which is 0 with certainty."""
    pairs = [TestRuns(seed=s, best_run_id="same", default_run_id="same", best=17) for s in range(3)]
    found = read_on_test(made.sonic(test_runs=pairs), results=tmp_path, settings=made.comparison)
    assert found.sentence.startswith("The best settings are the defaults")
    assert found.rows == ()


OWN_CODE = {"variant": "other", "core": "2", "metrics": "3", "run": "4"}
SHARED_CODE = {**OWN_CODE, "variant": "1", "core": "other"}
STAGE = StageFacts.model_validate(
    StageResult("stage1", steps_planned=3, steps_done=3, samples_seen=12), from_attributes=True
)


@pytest.mark.parametrize(
    ("identity", "changes", "said"),
    [
        ({}, {"environment": {"torch": "1.9"}}, r"differ in environment\.torch \(2\.0: .+; 1\.9: "),
        ({}, {"cost": Cost(device="cpu")}, r"differ in environment\.device"),
        ({"code": OWN_CODE}, {}, r"differ in the branch's own code"),
        ({"code": SHARED_CODE}, {}, r"were made with different code in core"),
        ({"split_hash": "b" * 64}, {}, r"differ in split_hash"),
        ({"settings": {"stage1": {"lr": 0.1}}}, {}, r"differ in settings\.stage1"),
        ({"models": {"clip": "other"}}, {}, r"but differ in models\.clip"),
        ({"seed": 9}, {}, r"differ in seeds"),
        ({}, {"stages": [STAGE.model_copy(update={"steps_done": 2})]}, r"differ in budget\.steps"),
    ],
)
def test_runs_that_no_comparison_would_take_are_blank_and_say_why(
    made: Any, tmp_path: Path, identity: dict[str, Any], changes: dict[str, Any], said: str
) -> None:
    """Catches: a fresh best against defaults of an older torch, other code or another budget."""
    pairs = made.test_runs(tmp_path, best=[0.7, 0.8], defaults=[0.6, 0.65])
    ids = {}
    for pair in pairs:
        for run_id in (pair.best_run_id, pair.default_run_id):
            record = load_record(tmp_path / "runs" / run_id)
            is_old = run_id == pairs[1].default_run_id
            own = record.identity.model_copy(
                update={"models": {"clip": "one"}, **(identity if is_old else {})}
            )
            facts: dict[str, Any] = {"environment": {"torch": "2.0"}, "cost": Cost(device="H100")}
            facts |= {"stages": [STAGE], **(changes if is_old else {})}
            facts |= {"identity": own, "run_id": own.run_id}
            ids[run_id] = own.run_id
            (tmp_path / "runs" / own.run_id).mkdir()
            record.model_copy(update=facts).save(tmp_path / "runs" / own.run_id)
    branch = made.sonic(
        test_runs=[
            TestRuns(
                seed=pair.seed,
                best_run_id=ids[pair.best_run_id],
                default_run_id=ids[pair.default_run_id],
                best=pair.best,
            )
            for pair in pairs
        ]
    )
    found = read_on_test(branch, results=tmp_path, settings=made.comparison)
    assert re.search(f"^On the test clips nothing can be concluded: .*{said}", found.sentence)
    assert (found.rows, found.outcome) == ((), None)


def test_a_copied_record_is_not_the_run_whose_folder_it_lies_in(made: Any, tmp_path: Path) -> None:
    """Catches: the numbers of one run under the name of another."""
    pairs = made.test_runs(tmp_path, best=[0.7, 0.8], defaults=[0.6, 0.65])
    other = load_record(tmp_path / "runs" / pairs[0].best_run_id)
    other.save(tmp_path / "runs" / pairs[1].best_run_id)
    found = read_on_test(made.sonic(test_runs=pairs), results=tmp_path, settings=made.comparison)
    assert found.absent == [
        f"{pairs[1].best_run_id}: its record is of {other.run_id}; it was copied"
    ]
    assert found.outcome is None


def test_a_test_run_that_failed_before_is_reported_next_to_the_numbers(
    made: Any, tmp_path: Path, saved: Save
) -> None:
    """Catches: the best settings drawn again until a run ends well, and a page that is silent."""
    results = tmp_path / "results"
    pairs = made.test_runs(results, best=[0.7, 0.8], defaults=[0.6, 0.65])
    folder = results / "runs" / pairs[1].best_run_id
    load_record(folder).model_copy(update={"num_earlier_failures": 3}).save(folder)
    branch = made.sonic(test_runs=pairs)
    found = read_on_test(branch, results=results, settings=made.comparison)
    told = f"Runs failed before and were made again ({pairs[1].best_run_id} 3 times; failures"
    assert found.notice.startswith(told)
    written = write_sweep_report(saved(made.sweep(branch)))
    assert f"{pairs[1].best_run_id} 3 times" in written.twin.read_text()
