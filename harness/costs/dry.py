"""What a run would be and take, also where its models or data are not here yet.

Nothing is written: a folder that was not read yet is not read for this, and the id stays open.
"""

import shlex
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from core.conditioning.config import VariantConfig
from core.errors import MissingWeightsError, UsageError
from harness.branches.registry import Registration, find_variant
from harness.costs.clips import Clips, clips_of, clips_of_split
from harness.costs.disk import disk_of, trial_bytes
from harness.costs.expected import expected_time
from harness.costs.known import known_work
from harness.costs.times import RunTime
from harness.data.source import NotPreparedError, split_as_prepared
from harness.records.score_kind import Score
from harness.run.budget import schedule_of
from harness.run.plan import PlannedRun, Planner, RunRequest
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
    config: VariantConfig
    """The branch's own settings."""
    planned: PlannedRun | None
    """None while something is missing or unread: its id depends on it."""
    missing: tuple[str, ...]
    """What a run would be refused for, with the way to get it."""
    unread: str | None
    """Why its split is not known yet, where that is because nobody has read its data."""
    clips: Clips
    time: RunTime | None
    """What it takes on this machine's device; None where nothing is known."""
    disk_bytes: float | None
    """What it leaves on disk beside shared caches; None where that is not known."""
    features_bytes: float | None = None
    """Of the features that all runs on these data share."""
    changed: dict[str, tuple[Any, Any]] = field(default_factory=dict)
    """Settings that differ from the defaults: what they are here, and the default."""

    @property
    def steps(self) -> dict[str, int]:
        """Optimiser steps by stage."""
        return schedule_of(self.profile)

    @property
    def batch_size(self) -> int:
        """Samples of a step."""
        return self.profile.training.micro_batch * self.profile.training.accumulation


def dry_run(request: RunRequest, *, display: Display, planner: Planner | None = None) -> DryRun:
    """Plan a run as far as that goes without computing or writing anything.

    planner: of `dry_planner`, where several runs are planned.

    Raises:
        UsageError, DataError, MismatchError: what is wrong with the request itself.
    """
    registration, profile, config = _settings(request)
    missing: list[str] = []
    planned: PlannedRun | None = None
    unread: str | None = None
    if request.data is None and profile.data.source is None:
        missing.append("no data: pass a folder of pairs or a lock file with --data")
    try:
        if not missing:
            planned = (planner or dry_planner(display)).plan(request)
            if planned.finished_record is None:
                planned.registration.load()  # one that cannot be imported would not run
    except MissingWeightsError as error:
        missing += _missing_weights(request, profile) or [str(error)]
    except NotPreparedError as error:
        unread = str(error)
    if planned is None and request.data is None:
        missing += _missing_weights(request, profile)
    clips = _clips(request, profile, planned)
    work = known_work(registration, profile=profile, config=config)
    time = expected_time(
        registration,
        profile=profile,
        config=config,
        clips=clips,
        results=request.results,
        device=request.device,
    )
    disk = None if work is None else disk_of([work], num_seeds=1, profile=profile, clips=clips)
    disk_bytes = None if disk is None else disk.runs
    if work is not None and request.score is not Score.TEST:
        disk_bytes = trial_bytes(work, score=request.score, profile=profile, clips=clips)
        if time is not None:
            num_arms = clips.num_arms(work.num_arms)
            time = of_score(time, request.score, clips=clips, num_arms=num_arms)
    return DryRun(
        request=request,
        profile=profile,
        config=config,
        planned=planned,
        missing=tuple(dict.fromkeys(missing)),
        unread=unread,
        clips=clips,
        time=time,
        disk_bytes=disk_bytes,
        features_bytes=None if disk is None else disk.features,
        changed=changed_settings(profile),
    )


def dry_planner(display: Display) -> Planner:
    """Plans runs and writes nothing."""
    return Planner(display, prepare=split_as_prepared)


def of_score(time: RunTime, score: Score, *, clips: Clips, num_arms: int) -> RunTime:
    """The time of a run that reads no test clip, by that of one that scores all arms of them."""
    share = clips.val / (clips.test * num_arms) if score is Score.VALIDATION else 0.0
    phases = {
        name: span.times(share) if name in ("sample", "score") else span
        for name, span in time.phases.items()
    }
    return replace(time, phases=phases)


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
