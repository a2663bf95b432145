"""The verdict and its strength."""

from harness.comparison.record import PairResult
from harness.metrics.arms import Arm
from harness.report.comparison.facts import Facts
from harness.report.comparison.sections.common import branch_anchor
from harness.report.page.content import Bullets, Card, Cards, Paragraph, Part, Section
from harness.statistics.outcome import Outcome, Strength
from harness.wording.numbers import (
    count,
    digits_for,
    duration,
    interval,
    metric_label,
    number,
    percent,
    plain,
)

STRENGTH_WORDS = {
    Strength.CONFIRMED: "Confirmatory",
    Strength.THESE_CLIPS: "On these clips",
    Strength.EXPLORATORY: "Exploratory",
}


def headline(facts: Facts) -> str:
    """The one sentence."""
    if facts.comparison is not None:
        sentence = plain(facts.comparison.verdict)
        return sentence[:1].upper() + sentence[1:] + ("" if sentence.endswith(".") else ".")
    if len(facts.runs) == 1:
        return f"One run of {plain(facts.runs[0].branch)}: its scores, without a comparison."
    return f"{count(len(facts.runs), 'run')} side by side: their scores, without a comparison."


def tone(facts: Facts) -> str:
    """How the banner is coloured; the words say the same."""
    if facts.comparison is None:
        return "plain"
    return {Outcome.WIN: "win", Outcome.TIE: "tie", Outcome.UNDECIDED: "undecided"}[
        facts.comparison.outcome
    ]


def chips(facts: Facts) -> tuple[str, ...]:
    """Outcome, strength and size in a few words."""
    found = facts.comparison
    seeds = facts.seeds if found is None else found.seeds
    size = (count(len(seeds), "seed"), count(len(facts.branches), "branch", "branches"))
    if found is None:
        return ("Not compared", *size)
    outcome = found.outcome.value.capitalize()
    if found.strength is Strength.NONE:
        return (outcome, *size)  # nothing is established
    return (outcome, STRENGTH_WORDS.get(found.strength, found.strength.capitalize()), *size)


def verdict(facts: Facts) -> Section:
    """The verdict's strength and the key numbers."""
    parts: list[Part] = []
    found = facts.comparison
    if found is not None:
        parts.append(Paragraph(found.claim))
        if found.to_add is not None:
            parts.append(Paragraph(plain(found.to_add.sentence)))
        parts += [Paragraph(notice, tone="warn") for notice in found.notices]
    else:
        parts.append(
            Paragraph(
                "A difference between two runs is not a difference between two branches: the "
                "unit of replication is the training seed. `harness compare` pairs branches by "
                "seed and states what follows."
            )
        )
    parts.append(Cards((*_branch_cards(facts), *_size_cards(facts))))
    if found is not None and found.pairs:
        parts.append(Bullets(tuple(pair.sentence for pair in found.pairs)))
    return Section("verdict", "Verdict and strength", parts, is_brief=True)


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
                branch,
                number(own.mean, digits=digits) or "blank",
                note,
                href=branch_anchor(facts, branch),
                branch=facts.index(branch),
            )
        )
    return cards


def _size_cards(facts: Facts) -> list[Card]:
    cards: list[Card] = []
    if facts.focus is not None:
        cards += _difference_cards(facts.focus)
    cards.append(_runs_card(facts))
    cards += _listening_card(facts)
    seconds = [run.total_seconds for run in facts.runs if run.total_seconds is not None]
    if seconds:
        devices = sorted({run.record.cost.device or "" for run in facts.runs} - {""})
        which = "all runs" if len(seconds) == len(facts.runs) else f"{len(seconds)} of the runs"
        cards.append(
            Card("Time", duration(sum(seconds)), f"{which}, on {', '.join(devices)}", "#cost")
        )
    return cards


def _difference_cards(pair: PairResult) -> list[Card]:
    """The pair that is furthest apart, and what these seeds can find."""
    first, second, sign = pair.first, pair.second, 1.0
    if pair.ahead == pair.second:
        first, second, sign = second, first, -1.0
    digits = digits_for([pair.effect])
    note = f"{plain(first)} \u2212 {plain(second)}"
    if pair.interval is not None:
        ends = sorted((sign * pair.interval.low, sign * pair.interval.high))
        note += f"; {percent(pair.interval.level)} interval {interval(*ends, digits=digits)}"
    effect = number(sign * pair.effect, digits=digits, signed=True)
    cards = [Card("Largest paired difference", effect, note, "#forest")]
    if pair.selection is not None:
        least = "at least " if pair.selection.is_at_least else ""
        cards.append(
            Card(
                "Likely true difference",
                number(sign * pair.selection.shrunken, digits=digits, signed=True),
                "only large differences win: the one that is seen is likely "
                f"{least}{pair.selection.factor:.2g} times the true one",
                "#forest",
            )
        )
    if pair.detectable is None and pair.why_no_detectable is not None:
        cards.append(Card("Detectable difference", "blank", pair.why_no_detectable, "#forest"))
    if pair.detectable is not None:
        cards.append(
            Card(
                "Detectable difference",
                number(pair.detectable, digits=digits),
                f"called a win in 80 % of comparisons like this one ({count(pair.n, 'seed')}, same "
                "pair), the uncertainty of its sd counted",
                "#forest",
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
    return Card("Runs", str(len(facts.runs)), note, "#runs")


def _listening_card(facts: Facts) -> list[Card]:
    """In how many runs the matching sound beats the mismatched one, by the interval."""
    if facts.clip_metric is None:
        return []
    margins = [
        margin.low
        for run in facts.finished
        for margin in run.record.controls
        if margin.metric == facts.clip_metric.name and margin.control == Arm.SHUFFLED
    ]
    known = [low for low in margins if low is not None]
    if not known:
        return []
    hearing = sum(low > 0 for low in known)
    return [
        Card(
            "Runs that listen",
            f"{hearing} of {len(known)}",
            "matching sound beats mismatched sound; 95 % interval over clips above 0",
            "#listening",
        )
    ]
