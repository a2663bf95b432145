"""Which runs may stand in one comparison, and what shows that they may."""

from collections.abc import Mapping, Sequence
from typing import Any

from core.data.atomic import json_sha256
from core.errors import MismatchError
from harness.comparison.record import Eligibility
from harness.records import RunRecord, Status

SHARED_CODE = ("core", "metrics", "arms")
_SAME_MACHINE_KIND = ("platform", "cpus")
"""Facts of the environment that move no number beyond rounding and are not asked to be equal."""


def require_comparable(
    records: Sequence[RunRecord], *, allow_mixed_environment: bool = False
) -> None:
    """Refuse records that differ in more than branch and seed.

    Raises:
        MismatchError: names the first field in which two records may not differ.
    """
    _require_one_run_a_seed(records)
    first = records[0]
    for other in records[1:]:
        for field in ("split_hash", "models", "settings"):
            ours, theirs = getattr(first.identity, field), getattr(other.identity, field)
            if ours != theirs:
                where = _difference(field, ours, theirs)
                raise MismatchError(
                    f"{first.run_id} and {other.run_id} differ in {where}; only runs that are "
                    "equal in everything but branch and seed are compared"
                )
        for part in SHARED_CODE:
            if first.identity.code.get(part) != other.identity.code.get(part):
                raise MismatchError(
                    f"{first.run_id} and {other.run_id} were made by different code of "
                    f"{part}; run the older one again"
                )
    _require_equal_budget([r for r in records if r.status is Status.FINISHED])
    mixed = mixed_environment(records)
    if mixed and not allow_mixed_environment:
        field, values = next(iter(mixed.items()))
        found = "; ".join(f"{value}: {', '.join(ids)}" for value, ids in values.items())
        raise MismatchError(
            f"the runs differ in environment.{field} ({found}); roundings and kernels of two "
            "versions are not one experiment: run the older ones again, or accept it with "
            "--allow-mixed-environment, and the report will say so"
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
    return Eligibility(
        split_hash=identity.split_hash,
        split_counts=first.split.get("counts", {}),
        excluded=first.split.get("excluded", {}),
        num_input=first.split.get("num_input"),
        settings=identity.settings,
        settings_hash=json_sha256(identity.settings),
        models=identity.models,
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
    device = record.cost.get("device")
    return {**record.environment, **({} if device is None else {"device": device})}


def mixed_environment(records: Sequence[RunRecord]) -> dict[str, dict[str, list[str]]]:
    """Field, then value, then run ids, where the runs' environments differ.

    A run that failed before it noted its device says nothing of it.
    """
    fields: dict[str, dict[str, list[str]]] = {}
    for record in records:
        for field, value in environment_of(record).items():
            if field not in _SAME_MACHINE_KIND:
                fields.setdefault(field, {}).setdefault(value, []).append(record.run_id)
    return {field: values for field, values in sorted(fields.items()) if len(values) > 1}


def steps_of(record: RunRecord) -> int:
    """Optimiser steps done over all stages."""
    return sum(int(stage["steps_done"]) for stage in record.stages)


def samples_of(record: RunRecord) -> int:
    """Training samples seen over all stages."""
    return sum(int(stage["samples_seen"]) for stage in record.stages)


def _require_equal_budget(finished: Sequence[RunRecord]) -> None:
    for name, spent in (("steps", steps_of), ("samples", samples_of)):
        for other in finished[1:]:
            ours, theirs = spent(finished[0]), spent(other)
            if ours != theirs:
                raise MismatchError(
                    f"{finished[0].run_id} and {other.run_id} differ in budget.{name} ({ours:,} "
                    f"against {theirs:,}); a stage that stops early gives its branch another "
                    "budget: use stop = 'steps' or 'validation_loss', which run every step"
                )


def _budget(finished: Sequence[RunRecord]) -> dict[str, Any]:
    if not finished:
        return {"kind": "samples", "steps": None, "samples": None}
    return {
        "kind": "samples",
        "steps": steps_of(finished[0]),
        "samples": samples_of(finished[0]),
    }


def _require_one_run_a_seed(records: Sequence[RunRecord]) -> None:
    seen: set[tuple[str, int]] = set()
    configs: dict[str, tuple[str, Any]] = {}
    for record in records:
        identity = record.identity
        own = (identity.variant_config, identity.code["variant"])
        run_id, first = configs.setdefault(identity.variant, (record.run_id, own))
        if own != first:
            what = _difference("variant_config", first[0], own[0]) if own[0] != first[0] else "code"
            raise MismatchError(
                f"{run_id} and {record.run_id} are both {identity.variant}, with another {what}; "
                "one branch has one configuration in a comparison"
            )
        if (identity.variant, identity.seed) in seen:
            raise MismatchError(f"{identity.variant} has two runs of seed {identity.seed}")
        seen.add((identity.variant, identity.seed))


def _difference(field: str, ours: Any, theirs: Any) -> str:
    if isinstance(ours, Mapping) and isinstance(theirs, Mapping):
        for key in sorted({*ours, *theirs}):
            if ours.get(key) != theirs.get(key):
                return _difference(f"{field}.{key}", ours.get(key), theirs.get(key))
    return f"{field} ({ours} against {theirs})"
