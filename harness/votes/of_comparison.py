"""Listeners' files on a comparison: matched with its plan, scored, and kept in its folder."""

from collections.abc import Sequence
from pathlib import Path

from core.errors import DataError, MismatchError
from core.files import file_sha256, write_atomic
from harness.comparison.record import ComparisonRecord, load_comparison
from harness.comparison.runs import LoadedRun, load_run
from harness.metrics.metric import Level
from harness.metrics.registry import known_metrics
from harness.records.folders import ReportFolder
from harness.records.record import Status
from harness.votes.answers import VoteFile, read_votes, require_fit
from harness.votes.plan import Kind, VotePlan, load_plan
from harness.votes.record import VotesRecord, load_votes
from harness.votes.scoring import MetricValues, metric_values, score_votes
from harness.votes.verdict import votes_verdict


def score_comparison(folder: Path, *, paths: Sequence[Path], decides: bool = False) -> VotesRecord:
    """Score the files, and write `votes.json` and the files into the comparison's folder.

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
    plan = _plan(place, plan_id=plan_ids[0])
    require_fit(files, plan=plan)
    _require_same_images(plan, folder=folder)
    place = ReportFolder(folder).votes
    scored = _scored(
        files,
        plan=plan,
        record=record,
        runs=[load_run(record.run_folder(run, folder=folder)) for run in record.runs],
        decides=plan.decides or decides,
        earlier=_decided_before(place, plan=plan),
    )
    for path, listener in zip(paths, scored.listeners, strict=True):
        assert listener.sha256 is not None  # of files
        kept = ReportFolder(folder).vote_answers(plan.plan_id, sha256=listener.sha256)
        write_atomic(kept, content=path.read_bytes())
    scored.save(place)
    return scored


def scored_again(
    folder: Path, said: VotesRecord, *, record: ComparisonRecord, runs: Sequence[LoadedRun]
) -> VotesRecord | None:
    """What the listeners' own files in the comparison's folder give; None where none were kept.

    said: says what was asked, and whether and how often the votes decided before.

    Raises:
        DataError, MismatchError: files that do not fit the plan, or a plan that was edited.
    """
    files = ReportFolder(folder)
    hashes = [one.sha256 for one in said.listeners if one.sha256 is not None]
    if len(hashes) < len(said.listeners):
        return None
    paths = [files.vote_answers(said.plan_id, sha256=sha256) for sha256 in hashes]
    return _scored(
        [(path, read_votes(path)) for path in paths],
        plan=_plan(files.vote_plan(said.plan_id), plan_id=said.plan_id),
        record=record,
        runs=runs,
        decides=said.verdict is not None,
        earlier=said.verdict.decided_at if said.verdict is not None else (),
    )


def _plan(place: Path, *, plan_id: str) -> VotePlan:
    plan = load_plan(place)
    if plan.plan_id != plan_id:
        raise MismatchError(f"{place} was edited: it holds plan {plan.plan_id}")
    return plan


def _scored(
    files: Sequence[tuple[Path, VoteFile]],
    *,
    plan: VotePlan,
    record: ComparisonRecord,
    runs: Sequence[LoadedRun],
    decides: bool,
    earlier: Sequence[int],
) -> VotesRecord:
    scored = score_votes(files, plan=plan, metrics=_metrics(runs))
    listeners = tuple(
        one.model_copy(update={"sha256": file_sha256(path)})
        for one, (path, _) in zip(scored.listeners, files, strict=True)
    )
    scored = scored.model_copy(update={"listeners": listeners})
    if not decides:
        return scored
    found = votes_verdict(scored, plan=plan, record=record, earlier=earlier)
    return scored.model_copy(update={"verdict": found})


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


def _metrics(runs: Sequence[LoadedRun]) -> MetricValues:
    tables = {
        (run.record.identity.variant, run.record.identity.seed): run.per_clip
        for run in runs
        if run.record.status is Status.FINISHED
    }
    directions = {
        name: metric.higher_is_better
        for name, metric in known_metrics().items()
        if metric.level is Level.CLIP
    }
    return metric_values(tables, higher_is_better=directions)
