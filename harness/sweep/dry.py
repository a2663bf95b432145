"""What a sweep would run and take, before anything is computed or written."""

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from core.data.splits.split import Part
from harness.comparison.forecast import Forecast
from harness.costs.dry import DryRun, dry_planner, dry_run
from harness.costs.host import host_bytes
from harness.costs.span import Span
from harness.executors.opening import jobs_at_a_time
from harness.records.folders import ResultsFolder
from harness.records.score_kind import Score
from harness.run.plan import PlannedRun
from harness.settings.load import load_profile
from harness.settings.profile import SweepSettings
from harness.sweep.identity import default_name, require_space, same_sweep, study_names
from harness.sweep.objectives import require_rankable
from harness.sweep.record import SweepRecord
from harness.sweep.request import SweepRequest
from harness.wording.display import Display

_ON_TEST = "{} on the test clips"
"""What the forecast calls the runs after a branch's search."""


@dataclass(frozen=True, kw_only=True)
class DryBranch:
    """One branch of a sweep."""

    trial: DryRun
    """The trial of the branch as the profile has it."""
    num_done: int
    """Trials that count already."""
    num_left: int
    """Trials still to be made."""
    num_test_runs: int
    """Runs on the test clips after the search, of which some may be there already."""
    tested: DryRun | None
    """One of these, as the profile has it; None without them."""


@dataclass(frozen=True)
class DrySweep:
    """What is known of a sweep that was not begun, or goes on."""

    request: SweepRequest
    settings: SweepSettings
    branches: tuple[DryBranch, ...]
    name: str | None
    """Of its folder; None while something is missing or unread, for it depends on that."""
    folder: Path | None
    """Likewise."""
    forecast: Forecast
    """What it takes if no trial is ended early."""
    disk_bytes: float | None
    """What trials, runs on the test clips and shared features leave."""
    notices: tuple[str, ...] = ()
    """What a reader must know of the numbers."""

    @property
    def missing(self) -> tuple[str, ...]:
        """What it would be refused for, with the way to get it."""
        return tuple(dict.fromkeys(line for b in self.branches for line in b.trial.missing))

    @property
    def unread(self) -> str | None:
        """Why its split is not known yet."""
        return next((b.trial.unread for b in self.branches if b.trial.unread is not None), None)

    def data(self) -> dict[str, Any]:
        """For scripts; None for what is not known."""
        request, span, price = self.request, self.forecast.span, self.forecast.price_per_hour
        return {
            "sweep": self.name,
            "folder": None if self.folder is None else str(self.folder),
            "profile": request.profile,
            "metrics": [metric.name for metric in request.metrics],
            "trials": request.num_trials,
            "seed": request.seed,
            "pruner": self.settings.pruner,
            "branches": [
                {
                    "variant": b.trial.request.variant,
                    "trials_done": b.num_done,
                    "trials_left": b.num_left,
                    "test_runs": b.num_test_runs,
                    "steps": b.trial.steps,
                    "batch_size": b.trial.batch_size,
                    "seconds_per_trial": _data(
                        self.forecast.seconds_per_run.get(b.trial.request.variant)
                    ),
                    "changed": {name: value for name, (value, _) in b.trial.changed.items()},
                }
                for b in self.branches
            ],
            "jobs": self.forecast.jobs,
            "seconds": _data(span),
            "hours": _data(None if span is None else span.times(1 / 3600)),
            "price_per_hour": price,
            "dollars": _data(None if span is None or price is None else span.times(price / 3600)),
            "disk_bytes": self.disk_bytes,
            "missing": list(self.missing),
            "unread": self.unread,
            "notices": list(self.notices),
        }


def dry_sweep(request: SweepRequest, *, display: Display) -> DrySweep:
    """Plan a sweep as far as that goes without computing or writing anything.

    Raises:
        UsageError, DataError, MismatchError: what is wrong with the request itself.
    """
    planner = dry_planner(display)
    trials = [
        dry_run(request.run(name), display=display, planner=planner) for name in request.variants
    ]
    profile = load_profile(
        request.profile, overrides=request.overrides, variant=request.variants[0]
    )
    planned = [trial.planned for trial in trials if trial.planned is not None]
    name, record = request.name, None
    if len(planned) == len(trials):
        name, record = _identity(request, planned, settings=profile.sweep)
    branches = tuple(
        _branch(trial, request=request, record=record, display=display) for trial in trials
    )
    jobs, notice = jobs_at_a_time(
        request.executor,
        num_threads=profile.training.num_threads,
        run_bytes=partial(host_bytes, planned, results=request.results) if planned else None,
    )
    expected = _forecast(branches, jobs=jobs)
    return DrySweep(
        request=request,
        settings=profile.sweep,
        branches=branches,
        name=name,
        folder=None if name is None else ResultsFolder(request.results).sweep(name).path,
        forecast=expected,
        disk_bytes=_disk(branches),
        notices=() if notice is None else (notice,),
    )


def _identity(
    request: SweepRequest, bases: list[PlannedRun], *, settings: SweepSettings
) -> tuple[str, SweepRecord | None]:
    """The sweep's name, and its record where it was begun.

    Raises:
        UsageError: a metric that ranks nothing here, or a branch with nothing to search.
        MismatchError: the folder of that name holds another sweep.
    """
    num_validation = len(bases[0].prepared.split.parts[Part.VAL])
    require_rankable(request.metrics, num_validation=num_validation)
    for base in bases:
        require_space(base)
    names = study_names(bases, request=request, settings=settings)
    name = request.name or default_name(names)
    folder = ResultsFolder(request.results).sweep(name).path
    return name, same_sweep(folder, request=request, bases=bases, names=names)


def _branch(
    trial: DryRun, *, request: SweepRequest, record: SweepRecord | None, display: Display
) -> DryBranch:
    done = 0
    for found in () if record is None else record.branches:
        if found.variant == trial.request.variant:
            done = sum(one.state.counts for one in found.trials)
    tested = None
    if request.test_seeds:
        tested = dry_run(replace(trial.request, score=Score.TEST), display=display)
    return DryBranch(
        trial=trial,
        num_done=done,
        num_left=max(0, request.num_trials - done),
        num_test_runs=2 * request.test_seeds,
        tested=tested,
    )


def _forecast(branches: tuple[DryBranch, ...], *, jobs: int) -> Forecast:
    missing: dict[str, int] = {}
    seconds: dict[str, Span] = {}
    bases: set[str] = set()
    total = sum(b.num_left + b.num_test_runs for b in branches)
    for branch in branches:
        name = branch.trial.request.variant
        rows = [(name, branch.trial, branch.num_left)]
        if branch.tested is not None:
            rows.append((_ON_TEST.format(name), branch.tested, branch.num_test_runs))
        for what, dry, number in rows:
            missing[what] = number
            if dry.time is not None:
                seconds[what] = dry.time.each + dry.time.shared.times(1 / max(1, total))
                bases.add(dry.time.basis)
    price = branches[0].trial.profile.hardware.price_per_hour
    return Forecast(
        missing=missing,
        seconds_per_run=seconds,
        jobs=jobs,
        price_per_hour=price,
        estimated_by=tuple(sorted(bases)),
    )


def _disk(branches: tuple[DryBranch, ...]) -> float | None:
    if any(b.trial.disk_bytes is None for b in branches):
        return None
    runs = 0.0
    for branch in branches:
        runs += (branch.trial.disk_bytes or 0.0) * branch.num_left
        if branch.tested is not None:
            runs += (branch.tested.disk_bytes or 0.0) * branch.num_test_runs
    return runs + max(b.trial.features_bytes or 0.0 for b in branches)


def _data(span: Span | None) -> dict[str, float] | None:
    return None if span is None else span.data()
