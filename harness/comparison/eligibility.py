"""Which runs may stand in one comparison, and what shows that they may."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from core.choices import BudgetKind
from core.errors import MismatchError
from core.files import json_sha256
from core.training.results import NOTHING_TO_TRAIN
from harness.comparison.record import Eligibility, EqualBudgetFacts, SpentBudget
from harness.records.record import RunRecord, Status
from harness.records.score_kind import Score

SHARED_CODE = ("core", "metrics", "run")
NOT_RECORDED = "not recorded"
_EXPORTED = "exported."
_SCALED = ("steps", "warmup_steps")
_MOVED, _SHARED_STAGES = "moved_steps", ("stage1", "stage2")
"""A branch's own setting that moves steps between these two stages; together they stay equal."""
_SAME_MACHINE_KIND = ("platform", "cpus")
"""Facts of the environment that move no number beyond rounding and are not asked to be equal."""
_OF_SOME_BRANCHES = ("selective_scan",)
"""Facts on a part that not every branch has: a run that says nothing of it has none."""


def require_comparable(
    records: Sequence[RunRecord],
    *,
    allow_mixed_environment: bool = False,
    folders: Sequence[Path] | None = None,
) -> None:
    """Refuse records that differ in more than branch and seed, or do not pair.

    folders: where the records lie, in their order, so that a refusal can name them.

    Raises:
        MismatchError: names the first field in which two records may not differ, or the run that
            was not scored on the test clips.
    """
    _require_test_scores(records)
    _require_one_run_a_seed(records, [str(path) for path in folders or ()])
    _require_same_seeds(records)
    _require_same_models(records)
    first = records[0]
    for other in records[1:]:
        for field, ours, theirs in (
            ("split_hash", first.identity.split_hash, other.identity.split_hash),
            ("settings", shared_settings(first), shared_settings(other)),
        ):
            if ours != theirs:
                raise _differ(first, other, where=_difference(field, ours, theirs))
        for part in SHARED_CODE:
            if first.identity.code.get(part) != other.identity.code.get(part):
                raise MismatchError(
                    f"{first.run_id} and {other.run_id} were made with different code "
                    f"in {part}; run the older one again"
                )
    _require_equal_budget([r for r in records if r.status is Status.FINISHED])
    mixed = mixed_environment(records)
    if mixed and not allow_mixed_environment:
        raise MismatchError(
            f"{_mixed_sentence(mixed)}: run the older ones again, or pass "
            "--allow-mixed-environment to compare them anyway (the report says so)"
        )


def require_one_branch(settings: Mapping[str, Sequence[RunRecord]]) -> None:
    """Refuse records of one branch under several settings that differ in more than these and seed.

    settings: records by the name of the branch's own settings they were made with. All else is
    held to what `require_comparable` asks, and the branch's code must be equal too; no option
    accepts a mixed environment.

    Raises:
        MismatchError: names the first field in which two records may not differ.
    """
    records = [record for own in settings.values() for record in own]
    first = records[0]
    for other in records[1:]:
        for field, is_equal in (
            ("name", first.identity.variant == other.identity.variant),
            ("code", first.identity.code["variant"] == other.identity.code["variant"]),
        ):
            if not is_equal:
                raise MismatchError(
                    f"{first.run_id} and {other.run_id} differ in the branch's own {field}; run "
                    "the older one again"
                )
    # Beside each other as if each were a branch: what branches may differ in, settings may.
    named = [
        record.model_copy(update={"identity": record.identity.model_copy(update={"variant": name})})
        for name, own in settings.items()
        for record in own
    ]
    require_comparable(named, allow_mixed_environment=True)
    mixed = mixed_environment(records)
    if mixed:
        raise MismatchError(
            f"{_mixed_sentence(mixed)}: move the folders of the older ones away and run them again"
        )


def _mixed_sentence(mixed: Mapping[str, Mapping[str, Sequence[str]]]) -> str:
    field, values = next(iter(mixed.items()))
    found = "; ".join(f"{value}: {', '.join(ids)}" for value, ids in values.items())
    return (
        f"the runs differ in environment.{field} ({found}); different versions or devices compute "
        "with different kernels and rounding"
    )


def _require_test_scores(records: Sequence[RunRecord]) -> None:
    for record in records:
        score = record.identity.score
        if score is not Score.TEST:
            raise MismatchError(
                f"{record.run_id} was run with --score {score.value}: its scores are for the "
                "validation clips, but branches are compared on the test clips; run it again "
                "without --score"
            )


def eligibility(records: Sequence[RunRecord]) -> Eligibility:
    """What the records share; call `require_comparable` first."""
    first = records[0]
    identity = first.identity
    mixed = mixed_environment(records)
    finished = [r for r in records if r.status is Status.FINISHED]
    guards = [
        name
        for name in dict.fromkeys(name for r in finished for name in r.guards_passed)
        if all(name in r.guards_passed for r in finished)
    ]
    by_branch = {r.identity.variant: r.identity for r in records}
    settings = shared_settings(first)
    common = set.intersection(*(set(own.models) for own in by_branch.values()))
    return Eligibility(
        split_hash=identity.split_hash,
        split_counts=first.split.counts,
        excluded=first.split.excluded,
        num_input=first.split.num_input,
        settings=settings,
        settings_hash=json_sha256(settings),
        models={k: v for k, v in identity.models.items() if k in common},
        variant_models={
            name: {k: v for k, v in own.models.items() if k not in common}
            for name, own in by_branch.items()
        },
        code={part: identity.code[part] for part in SHARED_CODE if part in identity.code},
        variant_code={name: own.code["variant"] for name, own in by_branch.items()},
        variant_config={name: own.variant_config for name, own in by_branch.items()},
        environment={k: v for k, v in environment_of(first).items() if k not in mixed},
        mixed_environment=mixed,
        guards_passed=guards,
        budget=_budget(finished),
    )


def environment_of(record: RunRecord) -> dict[str, str]:
    """What computed the run: versions, device, and whatever else its environment says."""
    device = record.cost.device
    return {**record.environment, **({} if device is None else {"device": device})}


def mixed_environment(records: Sequence[RunRecord]) -> dict[str, dict[str, list[str]]]:
    """Field, then value, then run ids, where the runs' environments differ.

    A run that failed before it noted its device says nothing of it; a finished one that says
    nothing may have been computed by anything.
    """
    fields: dict[str, dict[str, list[str]]] = {}
    known = {field for record in records for field in environment_of(record)}
    for record in records:
        own = environment_of(record)
        for field in known.difference(_SAME_MACHINE_KIND):
            has_none = record.status is not Status.FINISHED or field in _OF_SOME_BRANCHES
            if field in own or not has_none:
                value = own.get(field, NOT_RECORDED)
                fields.setdefault(field, {}).setdefault(value, []).append(record.run_id)
    return {field: values for field, values in sorted(fields.items()) if len(values) > 1}


def _require_same_models(records: Sequence[RunRecord]) -> None:
    """One model a role, whichever runs have it, in whatever order they come.

    A pretrained part that only one branch loads is that branch's own; what is exported for
    listening is everybody's, and another run not having it is a difference.
    """
    first_of: dict[str, RunRecord] = {}
    for record in records:
        for role in record.identity.models:
            first_of.setdefault(role, record)
    for role, first in sorted(first_of.items()):
        ours = first.identity.models[role]
        for record in records:
            theirs = record.identity.models.get(role)
            if theirs != ours and (theirs is not None or role.startswith(_EXPORTED)):
                raise _differ(first, record, where=_difference(f"models.{role}", ours, theirs))


def shared_settings(record: RunRecord) -> dict[str, Any]:
    """The settings that must be equal: without what an equal budget gives each branch for itself.

    Under a budget of seconds or FLOPs these are the cost of its steps and, by that, their number.
    """
    settings = dict(record.identity.settings)
    budget = record.identity.budget
    if budget.kind is BudgetKind.SAMPLES:
        return settings
    settings["budget"] = {k: v for k, v in settings["budget"].items() if k != "step_cost"}
    for name in budget.schedule:
        settings[name] = {k: v for k, v in settings[name].items() if k not in _SCALED}
    return settings


def budget_of(record: RunRecord) -> SpentBudget:
    """What a run was allowed to spend on training, and what it spent."""
    budget = record.identity.budget
    is_by_samples = budget.kind is BudgetKind.SAMPLES
    return SpentBudget(
        kind=budget.kind,
        steps=record.steps_done,
        samples=record.samples_seen,
        allowed=budget.amount,
        planned=None if is_by_samples else _planned_cost(record),
        step_cost=None if is_by_samples else budget.step_cost,
        # Those of a resumed run leave out the steps that a kill undid: not all it spent.
        device_seconds=None if record.cost.resumed_from_step else record.cost.train_device_seconds,
    )


def _planned_cost(record: RunRecord) -> float:
    """Steps done times what a step costs."""
    cost = record.identity.budget.step_cost
    return math.fsum(s.steps_done * cost.get(s.stage, 0.0) for s in record.stages)


def _require_equal_budget(finished: Sequence[RunRecord]) -> None:
    trained = [r for r in finished if r.steps_done]  # a floor that trains nothing needs no budget
    if not trained:
        return
    # The kind is a setting, and these are equal by now.
    if trained[0].identity.budget.kind is BudgetKind.SAMPLES:
        _require_equal_samples(trained)
        return
    for record in trained:
        budget, planned = record.identity.budget, _planned_cost(record)
        allowed = budget.amount or 0.0
        # Whole steps: up to one of each stage is left over, and one more where steps were moved.
        spare = list(budget.step_cost.values())
        spare += [max(spare)] if record.identity.variant_config.get(_MOVED) else []
        if not -1e-9 * allowed <= allowed - planned <= math.fsum(spare):
            raise MismatchError(
                f"{record.run_id} differs in budget.{budget.kind.value}: the budget allows "
                f"{allowed:.4g}, but it trained for {planned:.4g}; a stage that "
                "stops early gives its branch another budget"
            )


def _require_equal_samples(trained: Sequence[RunRecord]) -> None:
    has_moved = {r.identity.variant for r in trained if r.identity.variant_config.get(_MOVED, 0.0)}
    first_of: dict[str, tuple[RunRecord, tuple[int, int]]] = {}
    for record in trained:
        done = {
            stage.stage: (stage.steps_done, stage.samples_seen)
            for stage in record.stages
            if stage.stopped_by != NOTHING_TO_TRAIN  # gates of a branch without, say
        }
        both = [done.pop(name) for name in _SHARED_STAGES if has_moved and name in done]
        if len(both) == len(_SHARED_STAGES):
            done[" and ".join(_SHARED_STAGES)] = sum(b[0] for b in both), sum(b[1] for b in both)
        elif record.identity.variant in has_moved:
            raise MismatchError(
                f"{record.run_id} has {_MOVED} set, but one of {' and '.join(_SHARED_STAGES)} has "
                "nothing to train there: steps moved out of it would be more training; leave "
                f"variants.{record.identity.variant}.{_MOVED} at 0"
            )
        for where, own in done.items():
            first, expected = first_of.setdefault(where, (record, own))
            for name, ours, theirs in zip(("steps", "samples"), expected, own, strict=True):
                if ours != theirs:
                    raise MismatchError(
                        f"{first.run_id} and {record.run_id} differ in budget.{name} "
                        f"({ours:,} against {theirs:,} in {where}); a stage that "
                        "stops early changes the budget of its branch: use stop = 'steps' or "
                        "'validation_loss', which run every step"
                    )


def _budget(finished: Sequence[RunRecord]) -> EqualBudgetFacts:
    """Kind and amount of the equal budget; its runs say what they spent."""
    trained = [r for r in finished if r.steps_done]
    if not trained:
        return EqualBudgetFacts(kind=BudgetKind.SAMPLES)
    most = max(trained, key=lambda record: record.steps_done)
    amount = most.identity.budget.amount
    if amount is None:
        return EqualBudgetFacts(
            kind=BudgetKind.SAMPLES, steps=most.steps_done, samples=most.samples_seen
        )
    return EqualBudgetFacts(
        kind=most.identity.budget.kind,
        amount=amount,
        largest_shortfall=max(1 - _planned_cost(record) / amount for record in trained),
    )


def _require_one_run_a_seed(records: Sequence[RunRecord], folders: Sequence[str]) -> None:
    seen: dict[tuple[str, int], int] = {}
    configs: dict[str, tuple[str, Any]] = {}
    for number, record in enumerate(records):
        identity = record.identity
        own = (
            identity.variant_config,
            identity.code["variant"],
            identity.models,
            identity.settings.get("budget"),
        )
        run_id, first = configs.setdefault(identity.variant, (record.run_id, own))
        if own != first:
            what = _own_difference(first, own)
            raise MismatchError(
                f"{run_id} and {record.run_id} are both {identity.variant} but differ in {what}; "
                "a comparison allows one configuration per branch"
            )
        earlier = seen.setdefault((identity.variant, identity.seed), number)
        if earlier != number:
            names = folders or [known.run_id for known in records]
            raise _twice(records[earlier], record, names=(names[earlier], names[number]))


def _twice(first: RunRecord, other: RunRecord, *, names: tuple[str, str]) -> MismatchError:
    """A seed counted twice would narrow an interval by what is not another training."""
    branch, seed = other.identity.variant, other.identity.seed
    if names[0] == names[1]:
        return MismatchError(
            f"{branch} has two runs of seed {seed}: {names[0]} is named twice; name it once"
        )
    both = f"{branch} has two runs of seed {seed}: {names[0]} and {names[1]}"
    if first.run_id == other.run_id:
        return MismatchError(f"{both} (they are copies of one run); leave one of them out")
    ours, theirs = shared_settings(first), shared_settings(other)
    how = _difference("settings", ours, theirs) if ours != theirs else "code or data"
    return MismatchError(
        f"{both} (they differ in {how}); leave one of them out, and take that which was made like "
        "the other branches' runs"
    )


def _require_same_seeds(records: Sequence[RunRecord]) -> None:
    """A run without a partner would drop out of the pairing, and still enter its branch's mean."""
    seeds: dict[str, set[int]] = {}
    for record in records:
        seeds.setdefault(record.identity.variant, set()).add(record.identity.seed)
    for branch, own in seeds.items():
        for other, theirs in seeds.items():
            if missing := sorted(theirs - own):
                raise MismatchError(
                    f"the runs differ in seeds: seed {', '.join(map(str, missing))} exists for "
                    f"{other} but not for {branch}; add the missing runs, or drop those without a "
                    "partner"
                )


def _own_difference(first: Sequence[Any], own: Sequence[Any]) -> str:
    """What two runs of one branch differ in, of the four parts that are the branch's own."""
    if own[0] != first[0]:
        return _difference("variant_config", first[0], own[0])
    if own[1] != first[1]:
        return "code"
    if own[2] != first[2]:
        return _difference("models", first[2], own[2])
    return _difference("settings.budget", first[3], own[3])


def _differ(first: RunRecord, other: RunRecord, *, where: str) -> MismatchError:
    return MismatchError(
        f"{first.run_id} and {other.run_id} differ in {where}; runs can only be compared if "
        "they are equal in everything but branch and seed"
    )


def _difference(field: str, ours: Any, theirs: Any) -> str:
    if isinstance(ours, Mapping) and isinstance(theirs, Mapping):
        for key in sorted({*ours, *theirs}):
            if ours.get(key) != theirs.get(key):
                return _difference(f"{field}.{key}", ours.get(key), theirs.get(key))
    return f"{field} ({ours} against {theirs})"
