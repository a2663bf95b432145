"""Listeners' files on a comparison: matched with its plan, scored, and kept in its folder."""

from collections.abc import Sequence
from pathlib import Path

from core.errors import DataError, MismatchError
from core.files import file_sha256
from harness.comparison.record import ComparisonRecord, load_comparison
from harness.comparison.runs import load_run
from harness.metrics.metric import Level
from harness.metrics.registry import known_metrics
from harness.records.folders import ReportFolder
from harness.records.record import Status
from harness.votes.answers import read_votes, require_fit
from harness.votes.plan import Kind, VotePlan, load_plan
from harness.votes.record import VotesRecord, load_votes
from harness.votes.scoring import MetricValues, metric_values, score_votes
from harness.votes.verdict import votes_verdict


def score_comparison(folder: Path, *, paths: Sequence[Path], decides: bool = False) -> VotesRecord:
    """Score the files, and write `votes.json` into the comparison's folder.

    decides: the verdict rests on these votes even though their plan did not say so; it is
    exploratory then.

    Raises:
        UsageError: votes that cannot decide between branches.
        DataError: a file that is not a vote file, or two of one listener.
        MismatchError: files of another comparison or of several plans; an image that is not the
            one that was voted on.
        NoSpaceError: the disk is full.
    """
    record = load_comparison(folder)
    files = [(path, read_votes(path)) for path in paths]
    plan_ids = sorted({votes.plan for _, votes in files})
    if len(plan_ids) > 1:
        raise MismatchError(
            f"these files answer {len(plan_ids)} plans ({', '.join(plan_ids)}); score the files of "
            "one plan at a time"
        )
    if not files:
        raise DataError("no vote file was given")
    place = ReportFolder(folder).vote_plan(plan_ids[0])
    if not place.is_file():
        raise MismatchError(
            f"{paths[0]} answers plan {plan_ids[0]}, which {record.name} never asked; `harness "
            "vote` keeps its plans in the comparison's folder"
        )
    plan = load_plan(place)
    if plan.plan_id != plan_ids[0]:
        raise MismatchError(f"{place} was edited: it holds plan {plan.plan_id}")
    require_fit(files, plan=plan)
    _require_same_images(plan, folder=folder)
    scored = score_votes(files, plan=plan, metrics=_metrics(record, folder=folder))
    place = ReportFolder(folder).votes
    if plan.decides or decides:
        earlier = _decided_before(place, plan=plan)
        found = votes_verdict(scored, plan=plan, record=record, earlier=earlier)
        scored = scored.model_copy(update={"verdict": found})
    scored.save(place)
    return scored


def _decided_before(place: Path, *, plan: VotePlan) -> tuple[int, ...]:
    """Numbers of listeners at which these votes were decided before."""
    before = load_votes(place) if place.is_file() else None
    if before is None or before.plan_id != plan.plan_id or before.verdict is None:
        return ()
    return before.verdict.decided_at


def _require_same_images(plan: VotePlan, *, folder: Path) -> None:
    """Of the branches; the real pictures of catch trials decide no share."""
    for trial in plan.trials:
        if trial.kind is Kind.CATCH:
            continue
        for shown in (trial.first, trial.second):
            path = folder / shown.path
            if path.is_file() and file_sha256(path) != plan.hashes.get(shown.path):
                raise MismatchError(f"{path} is not the image that was voted on")


def _metrics(record: ComparisonRecord, *, folder: Path) -> MetricValues:
    tables = {
        (run.branch, run.seed): load_run(record.run_folder(run, folder=folder)).per_clip
        for run in record.runs
        if run.status is Status.FINISHED
    }
    directions = {
        name: metric.higher_is_better
        for name, metric in known_metrics().items()
        if metric.level is Level.CLIP
    }
    return metric_values(tables, higher_is_better=directions)
