"""What could have been decided with the results in sight; a comparison says each of it."""

from collections.abc import Sequence
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from core.errors import DataError, HarnessError
from core.files import write_atomic
from harness.comparison.record import load_comparison
from harness.comparison.request import Question
from harness.comparison.runs import LoadedRun
from harness.records.folders import ReportFolder, ResultsFolder
from harness.records.record import RunRecord, load_record, now
from harness.statistics.outcome import MIN_SEEDS_FOR_A_WIN


class _Asked(BaseModel):
    """When a question was first asked; on disk in the comparison's folder."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    asked: str
    """What names the runs, metric and margins."""
    asked_at: str
    """UTC, ISO 8601."""


def note_question(folder: Path, *, asked: str) -> str:
    """When this was first asked, in UTC; now, and noted, if it was not before.

    folder: of the comparison. asked: what names the runs, metric and margins.

    Raises:
        DataError: the note cannot be read.
    """
    path = ReportFolder(folder).question
    try:
        known = _Asked.model_validate_json(path.read_bytes()) if path.is_file() else None
    except ValidationError:
        raise DataError(f"{path} is damaged; delete it, and the comparison is asked anew") from None
    if known is None or known.asked != asked:
        known = _Asked(asked=asked, asked_at=now())
        write_atomic(path, content=(known.model_dump_json(indent=2) + "\n").encode())
    return known.asked_at


def question_notices(
    runs: Sequence[LoadedRun], *, asked_at: str, question: Question, default: Question
) -> list[str]:
    """That the question is not the profile's, and was asked when some runs were finished.

    asked_at: see `note_question`. default: what the profile asks.
    """
    earlier = [run for run in runs if run.record.finished_at < asked_at]
    if not earlier or question == default:
        return []
    what = "--margin"
    if question.metric != default.metric:
        what = f"{question.metric} instead of the profile's {default.metric}"
    return [
        f"{what} was asked for when {len(earlier)} of {len(runs)} runs were finished; what it "
        "decides holds only if nobody had seen their results"
    ]


def earlier_looks(run_ids: Sequence[str], *, metric: str, results: Path, folder: Path) -> list[str]:
    """That fewer of these runs were compared before, with seeds enough to end at a win.

    folder: of this comparison.
    """
    looks: dict[int, str] = {}
    for path in ResultsFolder(results).comparisons:
        if path.parent == folder:
            continue
        try:
            found = load_comparison(path)
        except HarnessError:
            continue  # of another format, or damaged: whoever opens it is told
        own = {run.run_id for run in found.runs}
        if found.metric == metric and own < set(run_ids) and _could_win(len(found.seeds)):
            looks.setdefault(len(found.seeds), found.name)
    if not looks:
        return []
    told = ", ".join(f"{seeds} seeds ({name})" for seeds, name in sorted(looks.items()))
    return [
        f"fewer of these runs were compared before: {told}. Whoever adds seeds until there is a "
        "win finds one between equal branches more often than the level says: trust the first of "
        "these looks, or fix the number of seeds beforehand"
    ]


def _could_win(num_seeds: int) -> bool:
    return num_seeds >= MIN_SEEDS_FOR_A_WIN


def left_out(records: Sequence[RunRecord], *, results: Path) -> list[str]:
    """Runs of these branches that ended, equal in everything but the seed, and are not compared."""
    compared = {record.run_id for record in records}
    wanted = {_but_seed(record) for record in records}
    others = []
    for path in ResultsFolder(results).run_records:
        if path.parent.name in compared or not _is_of(path.parent.name, records):
            continue
        try:
            found = load_record(path)
        except HarnessError:
            continue  # damaged: whoever opens it is told
        if _but_seed(found) in wanted:
            others.append(f"{found.run_id} ({found.status.value})")
    if not others:
        return []
    listed = ", ".join(others[:5]) + (", ..." if len(others) > 5 else "")
    return [
        f"{len(others)} more runs of these branches differ in the seed alone and were left out: "
        f"{listed}; what is shown holds only if they were not left out for their results"
    ]


def _is_of(run_id: str, records: Sequence[RunRecord]) -> bool:
    return any(run_id.startswith(f"{record.identity.variant}-s") for record in records)


def _but_seed(record: RunRecord) -> str:
    return record.identity.model_dump_json(exclude={"seed", "profile"})
