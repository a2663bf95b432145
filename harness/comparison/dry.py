"""What a comparison would run and take, before anything is computed or written."""

from collections import Counter
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from core.choices import BudgetKind
from core.data.splits.split import Part
from core.errors import UsageError
from harness.comparison.forecast import Forecast, forecast
from harness.comparison.request import (
    CompareRequest,
    Question,
    comparison_name,
    require_branches,
    require_look,
    run_requests,
    settle_question,
)
from harness.costs.dry import DryRun, dry_planner, dry_run
from harness.costs.host import host_bytes
from harness.costs.standing import RunStanding, Standing, standing_of
from harness.executors.opening import jobs_at_a_time
from harness.metrics.decidable import rank_caution
from harness.metrics.registry import metric as declared
from harness.records.folders import ReportFolder, ResultsFolder
from harness.records.sessions import SessionJournal
from harness.run.limit import Spent, require_price, spent_before
from harness.run.plan import PlannedRun
from harness.settings.load import load_profile
from harness.settings.profile import HardwareSettings
from harness.wording.display import Display


@dataclass(frozen=True)
class DryComparison:
    """What is known of a comparison that was not begun."""

    request: CompareRequest
    question: Question
    branches: tuple[DryRun, ...]
    """One run of each branch."""
    runs: tuple[RunStanding, ...]
    """Every run; empty while something is missing or unread, for ids depend on it."""
    folder: Path | None
    """Where it would be written; None likewise."""
    forecast: Forecast
    """What its missing runs take; a started one counts whole."""
    spent: Spent
    """What processes on it took so far."""
    disk_bytes: float | None
    """What the missing runs leave, and the features that all share; None where not known."""
    notices: tuple[str, ...] = ()
    """What would be said or decided otherwise when it begins."""

    @property
    def is_known(self) -> bool:
        """Whether it is known which runs there are already."""
        return bool(self.runs)

    @property
    def missing(self) -> tuple[str, ...]:
        """What it would be refused for, with the way to get it."""
        return tuple(dict.fromkeys(line for dry in self.branches for line in dry.missing))

    @property
    def unread(self) -> str | None:
        """Why its split is not known yet."""
        return next((dry.unread for dry in self.branches if dry.unread is not None), None)

    def count(self, variant: str, standing: Standing) -> int:
        """Runs of a branch of which so much is there."""
        return sum(run.variant == variant and run.standing is standing for run in self.runs)

    @property
    def limit_sentence(self) -> str | None:
        """Whether the limits would stop it; None without one, or where nothing is known."""
        request, span = self.request, self.forecast.span
        if span is None:
            return None
        words = []
        if request.max_hours is not None:
            hours = (self.spent.seconds + span.mid) / 3600
            words.append(_against("--max-hours", request.max_hours, hours, unit=" h"))
        if request.max_cost is not None and request.price_per_hour is not None:
            dollars = (self.spent.dollars or 0.0) + span.mid / 3600 * request.price_per_hour
            words.append(_against("--max-cost", request.max_cost, dollars, unit=" dollars"))
        return "; ".join(words) or None

    def data(self) -> dict[str, Any]:
        """For scripts; None for what is not known."""
        request, forecast = self.request, self.forecast
        span, price = forecast.span, forecast.price_per_hour
        counts = Counter(run.standing for run in self.runs)
        return {
            "comparison": None if self.folder is None else self.folder.name,
            "folder": None if self.folder is None else str(self.folder),
            "profile": request.profile,
            "metric": self.question.metric,
            "margins": self.question.margins,
            "seeds": request.num_seeds,
            "num_runs": request.num_seeds * len(request.variants),
            "counts": {s.value: counts.get(s, 0) for s in Standing} if self.is_known else None,
            "runs": [run.data() for run in self.runs] if self.is_known else None,
            "branches": [
                {
                    "variant": dry.request.variant,
                    "steps": dry.steps,
                    "batch_size": dry.batch_size,
                    "seconds_per_run": each.data()
                    if (each := forecast.seconds_per_run.get(dry.request.variant))
                    else None,
                    "changed": {name: value for name, (value, _) in dry.changed.items()},
                }
                for dry in self.branches
            ],
            "jobs": forecast.jobs,
            "seconds": None if span is None else span.data(),
            "hours": None if span is None else span.times(1 / 3600).data(),
            "price_per_hour": price,
            "dollars": None if span is None or price is None else span.times(price / 3600).data(),
            "spent_seconds": self.spent.seconds,
            "spent_dollars": self.spent.dollars,
            "disk_bytes": self.disk_bytes,
            "missing": list(self.missing),
            "unread": self.unread,
            "notices": list(self.notices),
        }


def dry_comparison(request: CompareRequest, *, display: Display) -> DryComparison:
    """Plan a comparison as far as that goes without computing or writing anything.

    Raises:
        UsageError, DataError, MismatchError: what is wrong with the request itself.
    """
    require_branches(request.variants)
    require_look(request.options.looks, num_seeds=request.num_seeds)
    require_price(
        HardwareSettings(
            price_per_hour=request.price_per_hour,
            max_hours=request.max_hours,
            max_cost=request.max_cost,
        )
    )
    shared = [item for item in request.overrides if not item.strip().startswith("variant.")]
    profile = load_profile(request.profile, overrides=shared)
    question = settle_question(request.options, settings=profile.deciding)
    caution, notices = None, []
    planner = dry_planner(display)
    requests = run_requests(request, budgets={})
    branches = tuple(dry_run(one, display=display, planner=planner) for one in requests.values())
    planned: list[PlannedRun] = []
    if request.budget is not BudgetKind.SAMPLES:
        notices.append(
            f"--budget {request.budget.value} shortens the stages of the dearer branches when it "
            "begins: steps and hours are an upper end, and which runs are there is not known"
        )
    elif all(dry.planned is not None for dry in branches):
        planned = [
            planner.plan(replace(one, seed=seed))
            for seed in range(request.num_seeds)
            for one in requests.values()
        ]
        num_test = len(planned[0].prepared.split.parts[Part.TEST])
        caution = rank_caution(declared(question.metric), n=num_test)
    if caution is not None:
        raise UsageError(f"{caution}; choose another primary metric")
    runs = tuple(map(standing_of, planned))
    folder, spent = _so_far(request, question, runs)
    num_threads = profile.training.num_threads
    left = [run for run in planned if run.finished_record is None]
    jobs, notice = jobs_at_a_time(
        request.executor,
        num_threads=num_threads,
        run_bytes=partial(host_bytes, left, results=request.options.results) if left else None,
    )
    notices += [] if notice is None else [notice]
    expected = _forecast(request, branches, planned, jobs=jobs)
    return DryComparison(
        request=request,
        question=question,
        branches=branches,
        runs=runs,
        folder=folder,
        forecast=expected,
        spent=spent,
        disk_bytes=_disk(branches, expected),
        notices=tuple(notices),
    )


def _so_far(
    request: CompareRequest, question: Question, runs: tuple[RunStanding, ...]
) -> tuple[Path | None, Spent]:
    """The folder, and what processes on it took."""
    name = request.options.name
    if name is None and runs:
        ids = [run.run_id for run in runs]
        name = comparison_name(ids, metric=question.metric, margins=question.margins)
    if name is None:
        return None, spent_before([], price_per_hour=request.price_per_hour)
    folder = ResultsFolder(request.options.results).report(name).path
    sessions = SessionJournal(ReportFolder(folder).sessions).sessions
    return folder, spent_before(sessions, price_per_hour=request.price_per_hour)


def _forecast(
    request: CompareRequest,
    branches: tuple[DryRun, ...],
    planned: list[PlannedRun],
    *,
    jobs: int,
) -> Forecast:
    """What the missing runs take; all of them where it is not known which are missing."""
    if planned:
        return forecast(
            [run for run in planned if run.finished_record is None],
            results=request.options.results,
            jobs=jobs,
            price_per_hour=request.price_per_hour,
        )
    num_runs = request.num_seeds * len(branches)
    seconds = {
        dry.request.variant: dry.time.each + dry.time.shared.times(1 / num_runs)
        for dry in branches
        if dry.time is not None
    }
    return Forecast(
        missing={dry.request.variant: request.num_seeds for dry in branches},
        seconds_per_run=seconds,
        jobs=jobs,
        price_per_hour=request.price_per_hour,
        estimated_by=tuple(sorted({dry.time.basis for dry in branches if dry.time is not None})),
    )


def _disk(branches: tuple[DryRun, ...], expected: Forecast) -> float | None:
    if not sum(expected.missing.values()):
        return 0.0
    if any(dry.disk_bytes is None for dry in branches):
        return None
    runs = sum(
        (dry.disk_bytes or 0.0) * expected.missing.get(dry.request.variant, 0) for dry in branches
    )
    return runs + max(dry.features_bytes or 0.0 for dry in branches)


def _against(option: str, limit: float, expected: float, *, unit: str) -> str:
    if expected > limit:
        return (
            f"{option} {limit:g}: it would stop before it is done, for about {expected:.3g}{unit} "
            "are expected; a higher limit goes on"
        )
    return f"{option} {limit:g}: enough for the {expected:.3g}{unit} that are expected"
