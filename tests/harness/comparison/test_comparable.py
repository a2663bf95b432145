"""What may be compared, and what is refused."""

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from core.errors import MismatchError
from core.training.results import NOTHING_TO_TRAIN
from harness.comparison.analysis import analyse
from harness.comparison.eligibility import require_comparable
from harness.comparison.record import ComparisonRecord
from harness.comparison.runs import LoadedRun
from harness.records.record import RunRecord
from tests.harness.comparison.made_records import METRIC, failed, matrix


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


def test_how_scans_are_computed_is_asked_of_branches_that_scan(finished: Any) -> None:
    """Catches: a branch without scans that cannot be compared with one that has some; two kinds."""
    first, second, third = matrix(finished.record, {"a": [0.5], "b": [0.5], "c": [0.5]})

    def scanning(record: RunRecord, kind: str) -> RunRecord:
        environment = {**record.environment, "selective_scan": kind}
        return record.model_copy(update={"environment": environment})

    require_comparable([first, scanning(second, "loop")])
    require_comparable([scanning(first, "loop"), second, scanning(third, "loop")])
    with pytest.raises(MismatchError, match=r"environment\.selective_scan"):
        require_comparable([first, scanning(second, "loop"), scanning(third, "triton")])


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


def test_two_runs_of_a_seed_are_named_with_what_to_do(finished: Any) -> None:
    """Catches: a refusal of twenty folders that names none of the two that are in each other's
    way, or that calls one folder named twice two runs."""
    first, second = matrix(finished.record, {"a": [0.5, 0.6]})
    settings = {**first.identity.settings, "sampling": {"steps": 7}}
    other = changed(second, seed=0, settings=settings)
    folders = [Path("results/runs/one"), Path("elsewhere/two")]
    with pytest.raises(MismatchError) as caught:
        require_comparable([first, other], folders=folders)
    message = str(caught.value)
    assert f"{folders[0]} and {folders[1]}" in message
    assert "differ in settings.sampling" in message
    assert "leave one of them out" in message
    with pytest.raises(MismatchError, match="copies of one run"):
        require_comparable([first, first], folders=folders)
    with pytest.raises(MismatchError, match=r"results/runs/one is named twice; name it once"):
        require_comparable([first, first], folders=folders[:1] * 2)
