"""The few sentences that a reader sees first, made from a comparison's record alone.

The page, its Markdown twin and the terminal show the same ones in the same order.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from harness.comparison.evidence import Interval, Listening, Selection
from harness.comparison.next_step import next_step
from harness.comparison.pair_result import PairResult
from harness.comparison.record import ComparisonRecord, MetricRow
from harness.wording.numbers import (
    count,
    digits_for,
    interval,
    listed,
    metric_label,
    number,
    plain,
)

_MOST_OTHERS = 3
"""Branches that the leading one is set against, nearest first; the table of pairs has all."""
_SLIGHT = 1.05
"""Factor of exaggeration that is not worth two digits."""


@dataclass(frozen=True)
class Answer:
    """One question of a reader, answered."""

    question: str
    """In two or three words."""
    sentences: tuple[str, ...]
    """The answer."""
    command: str | None = None
    """A line for the shell."""


def answers(found: ComparisonRecord) -> tuple[Answer, ...]:
    """Best estimate, who conditions on its sound, what the metric means, and what comes next."""
    step = next_step(found)
    return (
        Answer("Best estimate", (*estimate(found), found.claim)),
        Answer("Who listens", listening(found.listening)),
        Answer("The metric", metric_meaning(found.metrics[0]) if found.metrics else ("None.",)),
        Answer("What would settle it", (plain(step.sentence),), step.command),
    )


def estimate(found: ComparisonRecord) -> tuple[str, ...]:
    """How far the branch with the best mean is ahead of the others, with intervals."""
    if not found.pairs:
        return ("There is no estimate: no pair of branches could be formed.",)
    row = found.row(found.metric)
    means = {name: score.mean for name, score in row.branches.items() if score.mean is not None}
    sign = 1.0 if found.higher_is_better else -1.0
    best = max(means, key=lambda name: sign * means[name])
    own = [pair for pair in found.pairs if best in (pair.first, pair.second)]
    own.sort(key=lambda pair: abs(pair.effect))
    digits = digits_for([max((pair.effect for pair in own), key=abs)])
    parts = [_ahead(pair, best, digits=digits) for pair in own[:_MOST_OTHERS]]
    if len(own) > _MOST_OTHERS:
        further = listed(_other(pair, best) for pair in own[_MOST_OTHERS:])
        how = "by as much or more ahead of"
        if abs(own[_MOST_OTHERS].effect) > abs(own[_MOST_OTHERS - 1].effect):
            how = "by more than that ahead of"
        elif own[-1].effect == 0:
            how = "equal to"
        parts.append(f"{how} {further}")
    lead = "has the best mean" if found.winner is None else "wins"
    if own[0].effect == 0:
        lead = "shares the best mean"
    sentences = [
        f"{plain(best)} {lead} on {metric_label(found.metric)}, {number(means[best])}: "
        f"{'; '.join(parts)}. {_speaks_of(own, looks=found.looks.planned)}".rstrip()
    ]
    nearest = own[0]
    if nearest.other_clips is not None:
        span = nearest.other_clips.interval
        between = "no interval, since trainings or clips do not vary"
        if span is not None:
            between = _between(span, pair=nearest, best=best, digits=digits)
        over = "" if len(own) == 1 else f" over {plain(_other(nearest, best))}"
        gaps = nearest.other_clips.left_out
        without = f", without {count(gaps, 'clip')} that some run has no value for" if gaps else ""
        sentences.append(
            f"For other clips of these classes too, the lead{over}: {between}{without}."
        )
    if nearest.selection is not None:
        sentences.append(_exaggeration(nearest.selection, digits=digits))
    return tuple(sentences)


def exaggeration(selection: Selection) -> str:
    """A win's expected exaggeration (type M)."""
    if selection.factor < _SLIGHT and not selection.is_at_least:
        return "Only large differences win; this one is likely exaggerated by less than 5 %"
    least = "at least " if selection.is_at_least else ""
    return (
        f"Only large differences win, so this one is likely {least}{selection.factor:.2g} times "
        "the true one"
    )


def _exaggeration(selection: Selection, *, digits: int) -> str:
    if selection.factor < _SLIGHT and not selection.is_at_least:
        return f"{exaggeration(selection)}."
    shrunken = number(abs(selection.shrunken), digits=digits, signed=True)
    return f"{exaggeration(selection)}; shrunken, it is {shrunken}."


def _other(pair: PairResult, best: str) -> str:
    return pair.second if pair.first == best else pair.first


def _ahead(pair: PairResult, best: str, *, digits: int) -> str:
    text = f"{number(abs(pair.effect), digits=digits)} ahead of {plain(_other(pair, best))}"
    if pair.effect == 0:
        text = f"equal to {plain(_other(pair, best))}"
    span = pair.simultaneous or pair.interval
    if span is None:
        why = "one seed" if pair.n == 1 else f"the same in all {pair.n} seeds"
        return f"{text} ({why}, so no interval)"
    return f"{text} ({_between(span, pair=pair, best=best, digits=digits)})"


def _between(span: Interval, *, pair: PairResult, best: str, digits: int) -> str:
    """The interval of how far the best branch is ahead; below 0 is behind."""
    sign = 1.0 if (pair.first == best) == pair.higher_is_better else -1.0
    low, high = sorted((sign * span.low, sign * span.high))
    return f"{interval(low, high, digits=digits)}{', which holds 0' if low <= 0 <= high else ''}"


def _speaks_of(own: Sequence[PairResult], *, looks: Sequence[int]) -> str:
    """What the intervals in brackets are."""
    spans = [pair.simultaneous or pair.interval for pair in own]
    if not any(spans):
        return ""
    over = []
    if len(own) > 1 and all(pair.simultaneous is not None for pair in own):
        over.append("pairs")
    if own[0].n in looks:
        over.append("planned looks")
    wide = f", widened so that those of all {' and '.join(over)} hold together" if over else ""
    return f"In brackets: 95 % intervals for other trainings on these test clips{wide}."


def listening(rows: Sequence[Listening]) -> tuple[str, ...]:
    """Who conditions on its sound and for whom that is not shown, by the mismatched sound."""
    if not rows:
        return ("No run was given mismatched sounds, so whether a branch listens is not shown.",)
    if rows[0].refused is not None:
        return (f"Not claimed of any branch: {plain(rows[0].refused)}.",)
    said: dict[str, list[str]] = {}
    for row in rows:
        name = plain(row.branch)
        if row.num_runs == 0:
            said.setdefault("Not tested, without a sound or a finished run", []).append(name)
            continue
        text = (
            f"{name} ({row.num_above} of {count(row.num_runs, 'run')}, mean advantage "
            f"{number(row.mean, signed=True)}"
            + (f"; mismatched ahead in {row.num_below}" if row.num_below else "")
            + ")"
        )
        if row.num_above == row.num_runs:
            word = "Shown in every training"
        else:
            word = "In some trainings" if row.num_above else "Not shown"
        said.setdefault(word, []).append(text)
    return (
        *(f"{word}: {'; '.join(names)}." for word, names in said.items()),
        f"Counted: runs whose {metric_label(rows[0].metric)} is better with the matching sound "
        "than with another clip's of the class, by the 95 % interval over clips of each run alone.",
    )


def metric_meaning(row: MetricRow) -> tuple[str, ...]:
    """What the deciding metric is, its direction, chance level and ceiling."""
    digits = digits_for([row.chance, row.real])
    direction = "higher" if row.higher_is_better else "lower"
    label = metric_label(row.metric)
    sentences = [
        f"{label[:1].upper()}{label[1:]}: {plain(row.definition)}. A {direction} one is better."
    ]
    if row.chance is not None:
        chance = f"Chance, where the sound changes nothing: {number(row.chance, digits=digits)}."
    else:
        chance = "It has no chance level."
    if row.real is not None:
        what = "Real pictures" if row.higher_is_better else "Real pictures against each other"
        chance += f" {what}: {number(row.real, digits=digits)}."
    return (*sentences, chance)
