"""Comparisons: pairs from records alone, what may not be compared, what may be said."""

import itertools
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

from core.errors import MismatchError, UsageError
from core.training.results import NOTHING_TO_TRAIN
from harness.cli.main import app
from harness.comparison.analysis import analyse
from harness.comparison.compare import compare
from harness.comparison.eligibility import require_comparable
from harness.comparison.record import ComparisonRecord, load_comparison
from harness.comparison.request import CompareOptions, CompareRequest
from harness.comparison.runs import LoadedRun
from harness.executors.base import Task
from harness.executors.local import LocalExecutor
from harness.executors.opening import ExecutorOptions
from harness.records.record import RunRecord, Status, load_record
from harness.report.comparison.draw import draw_comparison
from harness.run.plan import RunRequest
from harness.statistics.outcome import MAX_SEEDS
from harness.wording.display import Display

MakeRequest = Callable[..., RunRequest]
METRIC = "aic"


def altered(record: RunRecord, *, variant: str, seed: int, value: float | None) -> RunRecord:
    """The real record as if it were of another branch and seed, with another score."""
    identity = record.identity.model_copy(update={"variant": variant, "seed": seed})
    reason = "no judge" if value is None else None
    score = record.metrics[METRIC].model_copy(update={"value": value, "reason": reason})
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
            "Confirmed at the 5% level for other trainings and other clips: .* one-sided t-",
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


def test_a_seed_that_only_one_branch_has_is_refused(
    finished: Any, compared: Callable[..., ComparisonRecord]
) -> None:
    """Catches: a run that drops out of the pairing unseen, and still enters its branch's mean."""
    records = matrix(finished.record, {"a": [0.5] * 7, "b": [0.4] * 6})
    with pytest.raises(MismatchError, match=r"differ in seeds: seed 6 exists for a but not for b"):
        compared(records)
    # A failed run is a partner: it decides nothing, but it is told.
    paired = matrix(finished.record, {"a": [0.5] * 7, "b": [0.4] * 7})
    found = compared([*paired[:-1], failed(paired[-1])])
    assert (found.pairs, found.failed) == ([], [paired[-1].run_id])


def test_more_seeds_than_the_exact_test_takes_are_refused(
    finished: Any, compared: Callable[..., ComparisonRecord]
) -> None:
    """Catches: a traceback from the sign-flip test after weeks of training."""
    with pytest.raises(UsageError, match="41 seeds; a comparison takes at most 40"):
        compared(matrix(finished.record, {"a": [0.5] * 41, "b": [0.4] * 41}))
    for seeds, is_refused in ((MAX_SEEDS + 1, True), (MAX_SEEDS, False)):
        asked = CliRunner().invoke(app, ["compare", "--variants", "x", "--seeds", str(seeds)])
        assert ("Invalid value for '--seeds'" in asked.output) is is_refused


def changed(record: RunRecord, **identity: Any) -> RunRecord:
    return record.model_copy(
        update={"identity": record.identity.model_copy(update=identity), "run_id": "other-run"}
    )


def edited(record: RunRecord, field: str) -> RunRecord:
    """The record with one field of what a comparison holds equal changed."""
    own = record.identity
    settings = own.settings
    if field in {"foundation", "sampling", "training", "data", "stage1"}:
        key, value = {
            "foundation": ("dtype", "bfloat16"),
            "sampling": ("text_guidance", 9.0),
            "training": ("micro_batch", 99),
            "data": ("window_s", 1.5),
            "stage1": ("lr", 0.5),
        }[field]
        return changed(record, settings={**settings, field: {**settings[field], key: value}})
    if field == "split_hash":
        return changed(record, split_hash="other")
    if field in own.models:
        return changed(record, models={**own.models, field: "other"})
    if field.startswith("exported"):
        return changed(record, models={**own.models, field: "abc"})
    if field in own.code:
        return changed(record, code={**own.code, field: "other"})
    if field in record.environment:
        new = {**record.environment, field: "0.0"}
        return changed(record).model_copy(update={"environment": new})
    if field == "device":
        return changed(record).model_copy(
            update={"cost": record.cost.model_copy(update={"device": "H100"})}
        )
    key = {"steps": "steps_done", "samples": "samples_seen"}[field]
    stages = list(record.stages)
    stages[1] = stages[1].model_copy(update={key: getattr(stages[1], key) - 1})
    return changed(record).model_copy(update={"stages": stages})


@pytest.mark.parametrize(
    ("field", "message"),
    [
        ("stage1", r"differ in settings\.stage1\.lr \(\S+ against \S+\)"),
        ("split_hash", r"differ in split_hash"),
        ("sampling", r"differ in settings\.sampling\.text_guidance"),
        ("training", r"differ in settings\.training\.micro_batch"),
        ("foundation", r"differ in settings\.foundation\.dtype"),
        ("data", r"differ in settings\.data\.window_s"),
        ("clip", r"differ in models\.clip"),
        ("image_judge", r"differ in models\.image_judge"),
        ("stable_diffusion", r"differ in models\.stable_diffusion"),
        ("exported.clap_pooled", r"differ in models\.exported\.clap_pooled"),
        ("core", "different code in core"),
        ("metrics", "different code in metrics"),
        ("run", "different code in run"),
        ("steps", r"differ in budget\.steps \(\d against \d in stage2\)"),
        ("samples", r"differ in budget\.samples"),
        ("torch", r"differ in environment\.torch"),
        ("device", r"differ in environment\.device"),
    ],
)
def test_runs_that_differ_in_more_than_branch_and_seed_are_refused(
    finished: Any, field: str, message: str
) -> None:
    """Catches: numbers of two data sets, scorers, budgets or machines in one table."""
    first, second = matrix(finished.record, {"a": [0.5], "b": [0.5]})
    require_comparable([first, second])
    for pair in ([first, edited(second, field)], [edited(second, field), first]):
        with pytest.raises(MismatchError, match=message):
            require_comparable(pair)


def test_a_mixed_environment_can_be_allowed_and_is_then_reported(
    finished: Any, compared: Callable[..., ComparisonRecord], tmp_path: Path
) -> None:
    """Catches: two versions of torch in one comparison that nobody is told of."""
    first, second = matrix(finished.record, {"a": [0.5], "b": [0.5]})
    other = second.model_copy(update={"environment": {**second.environment, "torch": "0.0"}})
    with pytest.raises(MismatchError, match="--allow-mixed-environment"):
        compared([first, other])
    found = analyse(
        [LoadedRun(record, finished.folder) for record in (first, other)],
        metric=METRIC,
        folder=tmp_path / "one",
        command="",
        allow_mixed_environment=True,
    ).eligibility
    versions = {first.environment["torch"]: [first.run_id], "0.0": [other.run_id]}
    assert found.mixed_environment == {"torch": versions}
    assert "torch" not in found.environment
    assert found.environment["numpy"] == first.environment["numpy"]


def test_a_pretrained_part_of_one_branch_is_its_own(
    finished: Any, compared: Callable[..., ComparisonRecord]
) -> None:
    """Catches: a branch with an encoder of its own that can be compared with no other."""
    first, second = matrix(finished.record, {"a": [0.5], "b": [0.5]})
    with_encoder = changed(second, models={**second.identity.models, "encoder": "abc"})
    found = compared([first, with_encoder]).eligibility
    assert found.variant_models == {"a": {}, "b": {"encoder": "abc"}}
    assert found.models == first.identity.models


def test_a_third_branch_hides_no_difference_between_two(finished: Any) -> None:
    """Catches: models or stages that are compared with the first run's alone, who has neither."""
    a, b, c = matrix(finished.record, {"a": [0.5], "b": [0.5], "c": [0.5]})
    models = a.identity.models
    encoded = [changed(r, models={**models, "encoder": r.identity.variant}) for r in (b, c)]
    nothing = {"stopped_by": "nothing_to_train", "steps_done": 0, "samples_seen": 0}
    no_gates = [*a.stages[:2], a.stages[2].model_copy(update=nothing)]
    longer = {"steps_done": c.stages[2].steps_done + 9}
    shorter = [*c.stages[:2], c.stages[2].model_copy(update=longer)]
    gateless = a.model_copy(update={"stages": no_gates})
    for records, message in (
        ([a, *encoded], r"models\.encoder \(\w against \w\)"),
        ([gateless, b, c.model_copy(update={"stages": shorter})], r"budget\.steps .* in stage3"),
    ):
        for order in itertools.permutations(records):
            with pytest.raises(MismatchError, match=message):
                require_comparable(order)


def test_stages_of_other_lengths_may_be_compared_where_both_together_are_equal(
    finished: Any,
) -> None:
    """Catches: tuned stage lengths refused as another budget, or accepted as more training."""
    first, second = changed(finished.record), changed(finished.record, variant="b", seed=0)
    moved = changed(second, variant_config={**second.identity.variant_config, "moved_steps": 0.5})

    def at(record: Any, *, less: int, more: int, **last: object) -> Any:
        one, two, three = record.stages
        size = one.samples_seen // one.steps_done
        stages = [
            stage.model_copy(
                update={
                    "steps_done": stage.steps_done + by,
                    "samples_seen": stage.samples_seen + by * size,
                    **last,
                }
            )
            for stage, by in ((one, -less), (two, more))
        ]
        return record.model_copy(update={"stages": [*stages, three]})

    require_comparable([first, at(moved, less=1, more=1)])
    for record, said in (
        (at(second, less=1, more=1), "in stage1"),
        (at(moved, less=1, more=2), "in stage1 and stage2"),
        (at(moved, less=0, more=0, stopped_by=NOTHING_TO_TRAIN), "nothing to train there"),
    ):
        with pytest.raises(MismatchError, match=said):
            require_comparable([first, record])


def test_a_finished_run_that_names_no_version_is_reported(finished: Any) -> None:
    """Catches: an older record without a field taken for one that agrees in it."""
    first, second = matrix(finished.record, {"a": [0.5], "b": [0.5]})
    silent = {k: v for k, v in second.environment.items() if k != "torch"}
    with pytest.raises(MismatchError, match=r"environment\.torch .*not recorded: b-s0"):
        require_comparable([first, second.model_copy(update={"environment": silent})])


def budgeted(record: RunRecord, *, steps: int, cost: float) -> RunRecord:
    """The record as if trained for `steps` of its first stage, within 10 of a unit cost."""
    settings = dict(record.identity.settings)
    settings["stage1"] = {**settings["stage1"], "steps": steps}
    settings["budget"] = {
        "kind": "flops",
        "amount": 10.0,
        "step_cost": {"stage1": cost},
        "schedule": {"stage1": 10, "stage2": 2, "stage3": 1},
    }
    first, *others = record.stages
    stages = [first.model_copy(update={"steps_done": steps}), *others]
    return changed(record, settings=settings).model_copy(update={"stages": stages})


def test_an_equal_budget_of_flops_allows_other_steps_and_nothing_else(
    finished: Any, compared: Callable[..., ComparisonRecord]
) -> None:
    """Catches: branches refused for the very steps their equal budget gave them, or one that
    trained for more or less than it."""
    one, other = matrix(finished.record, {"a": [0.5], "b": [0.5]})
    first = budgeted(one, steps=10, cost=1.0)
    found = compared([first, budgeted(other, steps=3, cost=3.0)])
    assert found.eligibility.budget.kind == "flops"
    assert found.eligibility.budget.largest_shortfall == pytest.approx(0.1)
    assert [run.budget.planned for run in found.runs] == [10.0, 9.0]
    for steps in (2, 4):
        with pytest.raises(MismatchError, match=r"differs in budget\.flops: the budget allows 10"):
            compared([first, budgeted(other, steps=steps, cost=3.0)])
    with pytest.raises(MismatchError, match=r"settings\.budget"):
        compared([first, other])


def test_one_branch_has_one_configuration_and_one_run_a_seed(finished: Any) -> None:
    """Catches: seeds of two configurations averaged under one name, or a seed counted twice."""
    first, second = matrix(finished.record, {"a": [0.5, 0.6]})
    with pytest.raises(MismatchError, match="both a but differ in variant_config"):
        require_comparable([first, changed(second, variant_config={"hidden_dim": 1})])
    code = {**second.identity.code, "variant": "other"}
    with pytest.raises(MismatchError, match="both a but differ in code"):
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
