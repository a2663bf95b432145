"""What a reader sees first of a comparison whose verdict rests on votes. Light: views read it."""

from pathlib import Path

from harness.comparison.record import ComparisonRecord
from harness.comparison.summary import Answer, answers, listening
from harness.records.folders import ReportFolder
from harness.votes.record import MetricAgreement, VotesRecord, VotesVerdict, load_votes
from harness.wording.numbers import (
    count,
    digits_for,
    metric_label,
    number,
    percent,
    plain,
)


def votes_on(folder: Path) -> VotesRecord | None:
    """The scored votes in a comparison's folder; None where nobody has voted.

    Raises: DataError for a file that does not hold them.
    """
    path = ReportFolder(folder).votes
    return load_votes(path) if path.is_file() else None


def deciding_votes(votes: VotesRecord | None, *, record: ComparisonRecord) -> VotesVerdict | None:
    """The verdict by votes; None where none decide, or where they were given on other runs."""
    if votes is None or votes.verdict is None or is_of_other_runs(votes, record=record):
        return None
    return votes.verdict


def is_of_other_runs(votes: VotesRecord, *, record: ComparisonRecord) -> bool:
    """Whether a verdict by votes was reached before the comparison was made of other runs."""
    verdict = votes.verdict
    return verdict is not None and set(verdict.run_ids) != {run.run_id for run in record.runs}


def answers_with_votes(
    record: ComparisonRecord, *, votes: VotesRecord | None
) -> tuple[Answer, ...]:
    """The first screen's answers; those of the metric alone where votes do not decide."""
    verdict = deciding_votes(votes, record=record)
    if verdict is None or votes is None:
        return answers(record)
    by_metric = plain(record.verdict)
    return (
        Answer(
            "Best estimate",
            (
                plain(verdict.estimate),
                verdict.claim,
                f"By {metric_label(record.metric)}: {by_metric}.",
            ),
        ),
        Answer("Who listens", listening(record.listening)),
        Answer("The metric", _meaning(votes, record=record)),
        Answer("What would settle it", (plain(verdict.next_step),), verdict.command),
    )


def _meaning(votes: VotesRecord, *, record: ComparisonRecord) -> tuple[str, ...]:
    found = [
        "Listeners’ votes: the share of blinded choices for a branch’s image, of two that were "
        "generated for the sound from the same noise. A higher one is better.",
        "Chance, where nobody prefers either: 50 %.",
    ]
    if votes.reliability is not None:
        found.append(
            f"Of {count(votes.num_repeats, 'repeated question')}, {percent(votes.reliability)} "
            "were answered alike."
        )
    own = next((row for row in votes.agreement if row.metric == record.metric), None)
    found.append(
        f"How far {metric_label(record.metric)} agrees with them cannot be said."
        if own is None
        else _agreement(own)
    )
    return tuple(found)


def _agreement(row: MetricAgreement) -> str:
    """How far the comparison's metric agrees with the ears."""
    digits = digits_for([row.correlation])
    text = (
        f"{metric_label(row.metric)} agrees with them by a correlation of "
        f"{number(row.correlation, digits=min(2, digits), signed=True)}"
    )
    if row.low is not None and row.high is not None:
        ends = [number(end, digits=2, signed=True) for end in (row.low, row.high)]
        text += f" ({ends[0]} to {ends[1]})"
    text = text[:1].upper() + text[1:]
    return f"{text} over {count(row.num_trials, 'question')}; 0 is none."
