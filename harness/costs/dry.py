"""What a run would be and take, also where its models or data are not here yet."""

import shlex
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from core.conditioning.config import VariantConfig
from core.errors import MissingWeightsError, UsageError
from harness.branches.registry import Registration, find_variant
from harness.costs.clips import Clips, clips_of, clips_of_split
from harness.costs.disk import disk_of
from harness.costs.expected import expected_time
from harness.costs.known import known_work
from harness.costs.times import RunTime
from harness.run.plan import PlannedRun, RunRequest, plan_run
from harness.settings.branch_config import load_run_config
from harness.settings.load import load_profile, parse_settings
from harness.settings.profile import Profile
from harness.settings.weights import needed_models
from harness.wording.display import Display
from harness.wording.numbers import listed

UNTRACKED = frozenset({"variants", "comparison", "sweep"})
"""Sections that decide nothing of a run, or belong to one branch."""


@dataclass(frozen=True)
class DryRun:
    """What is known of a run that was not begun."""

    request: RunRequest
    profile: Profile
    planned: PlannedRun | None
    """None while something is missing: its id depends on it."""
    missing: tuple[str, ...]
    """What a run would be refused for, with the way to get it."""
    clips: Clips
    time: RunTime | None
    """What it takes on this machine's device; None where nothing is known."""
    disk_bytes: float | None
    """What it leaves on disk beside shared caches; None where that is not known."""
    changed: dict[str, tuple[Any, Any]] = field(default_factory=dict)
    """Settings that differ from the defaults: what they are here, and the default."""


def dry_run(request: RunRequest, *, display: Display) -> DryRun:
    """Plan a run as far as that goes without computing anything.

    Raises:
        UsageError, DataError, MismatchError: what is wrong with the request itself.
    """
    registration, profile, config = _settings(request)
    missing: list[str] = []
    planned: PlannedRun | None = None
    if request.data is None and profile.data.source is None:
        missing.append("no data: pass a folder of pairs or a lock file with --data")
    try:
        if not missing:
            planned = plan_run(request, display=display)
            if planned.finished_record is None:
                planned.registration.load()  # one that cannot be imported would not run
    except MissingWeightsError as error:
        missing += _missing_weights(request, profile) or [str(error)]
    if planned is None and request.data is None:
        missing += _missing_weights(request, profile)
    clips = _clips(request, profile, planned)
    work = known_work(registration, profile=profile, config=config)
    return DryRun(
        request=request,
        profile=profile,
        planned=planned,
        missing=tuple(dict.fromkeys(missing)),
        clips=clips,
        time=expected_time(
            registration,
            profile=profile,
            config=config,
            clips=clips,
            results=request.results,
            device=request.device,
        ),
        disk_bytes=(
            None
            if work is None
            else disk_of([work], num_seeds=1, profile=profile, clips=clips).runs
        ),
        changed=changed_settings(profile),
    )


def changed_settings(profile: Profile) -> dict[str, tuple[Any, Any]]:
    """By dotted name, the settings that are not the default, and the default."""
    before = Profile().model_dump(mode="json", exclude=set(UNTRACKED))
    now = profile.model_dump(mode="json", exclude=set(UNTRACKED))
    defaults, found = _flat(before), _flat(now)
    return {
        name: (value, defaults.get(name))
        for name, value in found.items()
        if value != defaults.get(name)
    }


def _flat(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, dict):
            found |= _flat(value, f"{prefix}{name}.")
        else:
            found[prefix + name] = value
    return found


def _settings(request: RunRequest) -> tuple[Registration, Profile, VariantConfig]:
    tuned = None if request.config is None else load_run_config(request.config)
    registration = find_variant(request.variant)
    profile = load_profile(
        request.profile,
        overrides=request.overrides,
        variant=request.variant,
        variants=None if tuned is None else tuned.variants,
    )
    config = parse_settings(
        registration.load_config(),
        profile.variants.get(request.variant, {}),
        what=f"setting of variant {request.variant}:",
    )
    return registration, profile, config


def _missing_weights(request: RunRequest, profile: Profile) -> list[str]:
    missing = [model for model in needed_models(profile) if model.problem is not None]
    fetched = [model.role for model in missing if model.command is not None]
    others = [str(model.problem) for model in missing if model.command is None]
    if not fetched:
        return others
    way = shlex.join(["harness", "weights", "get", "--profile", request.profile])
    return [f"{listed(fetched)}: `{way}` fetches what can be fetched", *others]


def _clips(request: RunRequest, profile: Profile, planned: PlannedRun | None) -> Clips:
    if planned is not None:
        return clips_of_split(planned.prepared.split, source=str(planned.prepared.lock))
    lock = request.data if request.data is not None and Path(request.data).is_file() else None
    try:
        return clips_of(lock, number=None, settings=profile.data)
    except UsageError:
        return clips_of(None, number=None, settings=profile.data)
