"""The verdict and its strength."""

from collections.abc import Sequence

from harness.comparison.listening import listening_of
from harness.comparison.pair_result import PairResult
from harness.comparison.summary import exaggeration, listening, metric_meaning
from harness.report.comparison.facts import Facts
from harness.report.comparison.sections.common import branch_anchor
from harness.report.page.content import (
    Answer,
    Answers,
    Card,
    Cards,
    Glance,
    Paragraph,
    Part,
    Section,
    SheetClip,
)
from harness.statistics.outcome import Outcome, Strength
from harness.votes.summary import answers_with_votes
from harness.wording.numbers import (
    count,
    digits_for,
    metric_label,
    number,
    plain,
)

_NUM_CELLS = 6

STRENGTH_WORDS = {
    Strength.CONFIRMED: "Confirmatory",
    Strength.THESE_CLIPS: "On these clips",
    Strength.EXPLORATORY: "Exploratory",
}


def headline(facts: Facts) -> str:
    """The one sentence."""
    if facts.comparison is not None:
        by_votes = facts.votes_verdict
        sentence = plain(facts.comparison.verdict if by_votes is None else by_votes.sentence)
        if sentence.split(" ", 1)[0] not in map(plain, facts.branches):  # a name is not a word
            sentence = sentence[:1].upper() + sentence[1:]
        return sentence + ("" if sentence.endswith(".") else ".")
    if len(facts.runs) == 1:
        return f"One run of {plain(facts.runs[0].branch)}: its scores, without a comparison."
    return f"{count(len(facts.runs), 'run')} side by side: their scores, without a comparison."


def tone(facts: Facts) -> str:
    """How the banner is coloured; the words say the same."""
    if facts.comparison is None:
        return "plain"
    found = facts.votes_verdict or facts.comparison
    return {Outcome.WIN: "win", Outcome.TIE: "tie", Outcome.UNDECIDED: "undecided"}[found.outcome]


def chips(facts: Facts) -> tuple[str, ...]:
    """Outcome, strength and size in a few words."""
    found = facts.comparison
    seeds = facts.seeds if found is None else found.seeds
    size: tuple[str, ...] = (
        count(len(seeds), "seed"),
        count(len(facts.branches), "branch", "branches"),
    )
    if found is None:
        return ("Not compared", *size)
    decided = facts.votes_verdict or found
    if facts.votes_verdict is not None:
        size = ("By votes", *size)
    outcome = decided.outcome.value.capitalize()
    if decided.strength is Strength.NONE:
        return (outcome, *size)  # nothing is established
    return (outcome, STRENGTH_WORDS.get(decided.strength, decided.strength.capitalize()), *size)


def verdict(facts: Facts, *, clips: Sequence[SheetClip]) -> Section:
    """What a reader asks first, answered, and a few clips to hear and to see at once.

    clips: the cards of the contact sheet.
    """
    parts: list[Part] = []
    found = facts.comparison
    if found is not None:
        shown = answers_with_votes(found, votes=facts.votes)
        parts.append(Answers(tuple(Answer(a.question, a.sentences, a.command) for a in shown)))
    else:
        parts += [_uncompared(facts), Cards((*_branch_cards(facts), *_size_cards(facts)))]
    chosen = [clip for clip in clips if clip.tone == "random"][:_NUM_CELLS]
    if chosen:
        how = "the matching sound, the real picture, what each branch generated"
        parts.append(Glance(f"Hear it, see it: {how}", tuple(chosen)))
    if found is not None:
        parts += [Paragraph(notice, tone="warn") for notice in found.notices]
    title = "Verdict and strength" if found is not None else "Scores"
    return Section("verdict", title, parts, is_brief=True)


def _uncompared(facts: Facts) -> Part:
    """The answers that single runs allow."""
    rows = listening_of(
        [run.record for run in facts.finished],
        branches=facts.branches,
        primary="" if facts.primary is None else facts.primary.name,
        refused=facts.refused,
    )
    items = [
        Answer(
            "No verdict",
            (
                "A difference between two runs is not a difference between two branches: the "
                "unit of replication is the training seed. `harness compare` pairs branches by "
                "seed and states what follows.",
            ),
        ),
        Answer("Who listens", listening(rows)),
    ]
    row = next((r for r in facts.rows if facts.primary and r.metric == facts.primary.name), None)
    if row is not None:
        items.append(Answer("The metric", metric_meaning(row)))
    return Answers(tuple(items))


def key_numbers(facts: Facts) -> Cards:
    """Means, differences and sizes, for the section that holds the pairs."""
    return Cards((*_branch_cards(facts), *_size_cards(facts)))


def _branch_cards(facts: Facts) -> list[Card]:
    primary = facts.primary
    if primary is None:
        return []
    scores = next((row.branches for row in facts.rows if row.metric == primary.name), {})
    cards = []
    digits = digits_for(v for own in scores.values() for v in own.values.values() if v is not None)
    for branch, own in scores.items():
        note = f"{metric_label(primary.name)}, {'mean of ' if len(own.values) > 1 else ''}"
        note += count(len(own.values), "seed")
        if own.mean is None:
            note = f"{metric_label(primary.name)}: {plain(own.reason or 'it was not scored')}"
        if own.sd is not None:
            note += f", sd {number(own.sd, digits=digits)}"
        cards.append(
            Card(
                title=branch,
                value=number(own.mean, digits=digits) or "blank",
                note=note,
                href=branch_anchor(facts, branch),
                branch=facts.index(branch),
            )
        )
    return cards


def _size_cards(facts: Facts) -> list[Card]:
    cards: list[Card] = []
    if facts.focus is not None:
        is_one = facts.comparison is not None and len(facts.comparison.pairs) == 1
        cards += _difference_cards(facts.focus, is_one=is_one)
    cards.append(_runs_card(facts))
    return cards


def _difference_cards(pair: PairResult, *, is_one: bool) -> list[Card]:
    """Of the pair that is furthest apart: how large it likely is, and what these seeds find.

    is_one: whether there is no other.
    """
    is_turned = pair.ahead == pair.second
    sign = -1.0 if is_turned else 1.0
    sides = (pair.second, pair.first) if is_turned else (pair.first, pair.second)
    named = "" if is_one else f"{plain(sides[0])} over {plain(sides[1])}, the furthest apart. "
    digits = digits_for([pair.effect])
    cards: list[Card] = []
    if pair.selection is not None:
        cards.append(
            Card(
                title="Likely true difference",
                value=number(sign * pair.selection.shrunken, digits=digits, signed=True),
                note=named + exaggeration(pair.selection),
                href="#forest",
            )
        )
    if pair.detectable is not None:
        cards.append(
            Card(
                title="Detectable difference",
                value=number(pair.detectable, digits=digits),
                note=f"{named}Called a win in 80 % of comparisons like this one "
                f"({count(pair.n, 'seed')}, same pair), the uncertainty of its sd counted",
                href="#forest",
            )
        )
    return cards


def _runs_card(facts: Facts) -> Card:
    clips = {
        score.n
        for run in facts.finished
        for name, score in run.record.metrics.items()
        if facts.clip_metric is not None and name == facts.clip_metric.name
    }
    note = f"{len(facts.failed)} failed" if facts.failed else "none failed"
    if len(clips) == 1:
        note += f"; {count(clips.pop(), facts.clip_word)} each"
    return Card(title="Runs", value=str(len(facts.runs)), note=note, href="#runs")
