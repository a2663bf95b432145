"""What could have been decided with the results in sight; a comparison says each of it."""

from collections.abc import Sequence
from pathlib import Path

from core.errors import DataError, HarnessError
from harness.comparison.looks import read_question, write_question
from harness.comparison.request import Question
from harness.comparison.runs import LoadedRun
from harness.records.folders import ReportFolder, ResultsFolder
from harness.records.record import RunRecord, load_record, now


def note_question(folder: Path, *, asked: str) -> str:
    """When this was first asked, in UTC; now, and noted, if it was not before.

    folder: of the comparison. asked: what names the runs, metric and margins.

    Raises:
        DataError: the note cannot be read.
    """
    found = read_question(folder)
    if found.get("asked") != asked:
        found = {"asked": asked, "asked_at": now(), "looks": found.get("looks", [])}
        write_question(folder, found)
    elif "asked_at" not in found:
        path = ReportFolder(folder).question
        raise DataError(f"{path} is damaged; delete it, and the comparison is asked anew")
    return str(found["asked_at"])


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
        "decides is valid only if nobody had seen their results"
    ]


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
