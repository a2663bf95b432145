"""The work of a branch, of a table that ships or counted anew.

The table saves an import of torch and a minute; a branch, size or setting that it lacks is counted
on the meta device, and the count kept in the results folder.
"""

import json
from functools import cache
from importlib.resources import files
from pathlib import Path

from pydantic import ValidationError

from core.code import code_hash
from core.conditioning.config import VariantConfig
from core.errors import UsageError
from core.files import json_sha256, write_atomic
from harness.branches.registry import Registration
from harness.costs.work import TABLE, BranchWork, work_key
from harness.settings.profile import Profile


def branch_work(
    registration: Registration,
    *,
    profile: Profile,
    config: VariantConfig,
    num_classes: int = 8,
    kept_in: Path | None = None,
) -> BranchWork:
    """What a branch computes.

    num_classes: of the data; what is in the table was counted with 8. kept_in: folder that holds
    what was counted here before, and takes what is counted now; None keeps nothing.

    Raises:
        UsageError: it has to be counted, and the branch or torch cannot be imported.
        MissingWeightsError: it has to be counted, and a model's configuration is not here.
    """
    if (found := known_work(registration, profile=profile, config=config)) is not None:
        return found
    key = work_key(registration.name, profile=profile, config=config)
    kept = None
    if kept_in is not None:
        code = json_sha256([key, num_classes, code_hash([registration.sources])])[:12]
        kept = kept_in / f"{registration.name}-{code}.json"
        if (held := _read(kept)) is not None:
            return held
    try:
        from harness.costs.counting import count_work
    except ImportError as error:
        raise UsageError(
            f"the work of {registration.name} at these settings is not in the table that ships, "
            f"and counting it needs torch ({error}); pip install 'branch-harness[train]'"
        ) from None
    counted = count_work(registration, profile=profile, config=config, num_classes=num_classes)
    if kept is not None:
        write_atomic(kept, content=(counted.model_dump_json(indent=2) + "\n").encode())
    return counted


def known_work(
    registration: Registration, *, profile: Profile, config: VariantConfig
) -> BranchWork | None:
    """What a branch computes, by the table that ships; None where it lacks these settings."""
    if not registration.is_built_in:
        return None
    return shipped_work().get(work_key(registration.name, profile=profile, config=config))


@cache
def shipped_work() -> dict[str, BranchWork]:
    """The counts that ship, by `work_key`."""
    rows = json.loads((files("harness.costs") / TABLE).read_text(encoding="utf-8"))
    return {key: BranchWork.model_validate(row) for key, row in rows.items()}


def _read(path: Path) -> BranchWork | None:
    """What was counted before; None where there is none, or half of it: it is counted again."""
    try:
        return BranchWork.model_validate_json(path.read_bytes())
    except (OSError, ValidationError):
        return None
