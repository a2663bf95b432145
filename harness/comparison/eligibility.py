"""Which runs may stand in one comparison."""

from collections.abc import Sequence
from typing import Any

from core.errors import MismatchError
from harness.records import RunRecord


def require_comparable(records: Sequence[RunRecord]) -> None:
    """Raises MismatchError naming the first field in which two records may not differ."""
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
        for part in ("core", "metrics", "arms"):
            if first.identity.code.get(part) != other.identity.code.get(part):
                raise MismatchError(
                    f"{first.run_id} and {other.run_id} were made by different code of "
                    f"{part}; run the older one again"
                )


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
    if isinstance(ours, dict) and isinstance(theirs, dict):
        for key in sorted({*ours, *theirs}):
            if ours.get(key) != theirs.get(key):
                return _difference(f"{field}.{key}", ours.get(key), theirs.get(key))
    return f"{field} ({ours} against {theirs})"
