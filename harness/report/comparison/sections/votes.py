"""What listeners say, and how far the metrics agree with them."""

from harness.report.comparison.facts import Facts
from harness.report.page.content import Bullets, Cell, Column, Paragraph, Part, Section, Table
from harness.votes.record import MetricAgreement, QuestionResult, VotesRecord
from harness.votes.summary import is_of_other_runs
from harness.wording.numbers import (
    count,
    interval,
    metric_label,
    number,
    percent,
    plain,
    probability,
)


def listeners_votes(facts: Facts) -> Section | None:
    """Shares by question, listeners, and metrics against ears; None where nobody has voted."""
    votes = facts.votes
    if votes is None:
        return None
    parts: list[Part] = [Bullets(tuple(plain(q.sentence) for q in votes.questions))]
    parts += [Paragraph(plain(notice), tone="warn") for notice in votes.notices]
    if facts.comparison is not None and is_of_other_runs(votes, record=facts.comparison):
        parts.append(
            Paragraph(
                "These votes decided the comparison as it was, of other runs; the verdict above "
                "rests on the metric. Ask listeners again: harness vote --decide.",
                tone="warn",
            )
        )
    elif votes.verdict is None:
        parts.append(
            Paragraph("The verdict does not rest on them: harness vote --decide sets that before.")
        )
    if votes.questions:
        parts.append(_shares(votes))
    parts += [_listeners(votes), Paragraph(_reliability(votes))]
    if votes.agreement:
        parts.append(_agreement(votes))
    return Section(
        id="votes",
        title="Listeners’ votes",
        lead="Blinded choices between two images of one noise after hearing the sound. Intervals "
        "hold for other listeners, clips and trainings than these.",
        parts=parts,
        is_brief=True,
    )


def _shares(votes: VotesRecord) -> Table:
    def row(found: QuestionResult) -> tuple[Cell, ...]:
        return (
            Cell(plain(found.first)),
            Cell(plain(found.second)),
            Cell(plain(found.winner or "undecided"), tone="good" if found.winner else "muted"),
            Cell(percent(found.share), note=_ends(found)),
            Cell(probability(found.adjusted_p)),
            Cell(str(found.num_votes)),
            Cell(
                f"{found.num_listeners} · {found.num_clips} · {found.num_trainings}",
            ),
        )

    return Table(
        caption="Share of votes for the first",
        columns=(
            Column("first"),
            Column("second"),
            Column("found"),
            Column("share", is_number=True, note="95 % interval"),
            Column("adjusted p", is_number=True, note="Holm"),
            Column("votes", is_number=True),
            Column("listeners · clips · trainings", is_number=True),
        ),
        rows=tuple(row(found) for found in votes.questions),
    )


def _ends(found: QuestionResult) -> str:
    if found.low is None or found.high is None:
        return ""
    return f"{percent(found.low)} to {percent(found.high)}"


def _listeners(votes: VotesRecord) -> Table:
    return Table(
        caption="Listeners; the rule for leaving one out was set before the first vote",
        columns=(
            Column("listener"),
            Column("votes", is_number=True),
            Column("catch trials right", is_number=True),
            Column("repeats alike", is_number=True),
            Column("counts"),
        ),
        rows=tuple(
            (
                Cell(plain(one.name)),
                Cell(str(one.num_votes)),
                Cell(f"{one.catch_right} of {one.num_catch}"),
                Cell(f"{one.repeats_alike} of {one.num_repeats}"),
                Cell("yes" if one.left_out is None else "no", note=plain(one.left_out or "")),
            )
            for one in votes.listeners
        ),
    )


def _reliability(votes: VotesRecord) -> str:
    if votes.reliability is None:
        return "No question was asked twice of a listener who counts."
    return (
        f"Of {count(votes.num_repeats, 'repeated question')}, {percent(votes.reliability)} were "
        "answered as the first time; guessing gives half."
    )


def _agreement(votes: VotesRecord) -> Table:
    def row(found: MetricAgreement) -> tuple[Cell, ...]:
        is_apart = found.low is not None and found.high is not None and found.low * found.high > 0
        return (
            Cell(metric_label(found.metric)),
            Cell("" if is_apart else "not distinguished from 0", tone="" if is_apart else "muted"),
            Cell(number(found.correlation, digits=2, signed=True)),
            Cell(interval(found.low, found.high, digits=2)),
            Cell(str(found.num_trials)),
        )

    return Table(
        caption="Automatic metrics against the ears: Spearman’s correlation, over questions, of "
        "the metric’s difference and the share of votes",
        columns=(
            Column("metric"),
            Column("reading"),
            Column("correlation", is_number=True),
            Column("95 % interval", is_number=True, note="clips and listeners drawn anew"),
            Column("questions", is_number=True),
        ),
        rows=tuple(row(found) for found in votes.agreement),
    )
