"""What makes two commands one sweep: its studies, its folder, and what it searches."""

from collections.abc import Sequence
from pathlib import Path

from core.errors import MismatchError, UsageError
from core.files import json_sha256
from harness.records.folders import SweepFolder
from harness.run.plan import PlannedRun
from harness.settings.profile import SweepSettings
from harness.sweep.record import SweepRecord, load_sweep
from harness.sweep.request import SweepRequest


def study_names(
    bases: Sequence[PlannedRun], *, request: SweepRequest, settings: SweepSettings
) -> list[str]:
    """Name of each branch's study: it changes with a trial's numbers and with what is proposed.

    bases: the branches as the profile has them, as trials.
    """
    return [_study_name(base, request=request, settings=settings) for base in bases]


def _study_name(base: PlannedRun, *, request: SweepRequest, settings: SweepSettings) -> str:
    content = {
        "run": base.identity.run_id,
        "metrics": [metric.model_dump() for metric in request.metrics],
        "sampler": [settings.sampler, settings.pruner, settings.startup_trials],
    }
    return f"{base.request.variant}-s{request.seed}-{json_sha256(content)[:12]}"


def default_name(names: Sequence[str]) -> str:
    """Name of the folder of these studies, where the user gave none."""
    if len(names) == 1:
        return names[0]
    return f"{len(names)}-branches-{json_sha256(list(names))[:12]}"


def same_sweep(
    folder: Path, *, request: SweepRequest, bases: Sequence[PlannedRun], names: Sequence[str]
) -> SweepRecord | None:
    """The record of this sweep in its folder; None where it was not begun.

    Raises:
        MismatchError: the folder holds another sweep.
    """
    if not SweepFolder(folder).record.is_file():
        return None
    found = load_sweep(folder)
    if [branch.study for branch in found.branches] != list(names):
        differs = _what_differs(found, request=request, split_hash=bases[0].identity.split_hash)
        raise MismatchError(
            f"{folder} holds another sweep ({differs}); choose another --name, or move the folder "
            "away"
        )
    return found


def _what_differs(found: SweepRecord, *, request: SweepRequest, split_hash: str) -> str:
    asked = {
        "--variants": list(request.variants),
        "--metric": list(request.metrics),
        "--seed": request.seed,
        "--profile": request.profile,
        "--set, --data or --results": request.shared_words,
        "the data": split_hash,
    }
    there = {
        "--variants": [branch.variant for branch in found.branches],
        "--metric": found.metrics,
        "--seed": found.seed,
        "--profile": found.profile,
        "--set, --data or --results": found.shared_words,
        "the data": found.split_hash,
    }
    others = [name for name in asked if asked[name] != there[name]]
    return f"other: {', '.join(others) or 'settings of a branch, code or models'}"


def require_space(base: PlannedRun) -> None:
    """Raises: UsageError for a branch that has nothing to search."""
    from optuna.trial import FixedTrial

    try:
        drawn = base.variant.search_space(FixedTrial(base.config.in_effect()))
    except ValueError:  # it draws a parameter that is not a setting: so it draws
        return
    if not drawn:
        raise UsageError(
            f"variant {base.request.variant} has no search space: its search_space() draws nothing"
        )
