"""What the search found, what the test clips say of it, and why to be careful."""

from harness.report.page.content import (
    Bullets,
    Card,
    Cards,
    Command,
    Paragraph,
    Part,
    Section,
)
from harness.report.sweep.facts import SweepFacts, default_trial
from harness.report.sweep.sections.common import index_of, trial_anchor
from harness.report.sweep.words import (
    apart,
    branch_sentence,
    caution,
    of_trials,
    on_validation,
    why_no_value,
)
from harness.sweep.record import BranchSweep
from harness.wording.numbers import (
    metric_label,
    plain,
    significant,
)


def verdict(facts: SweepFacts) -> Section:
    """One sentence a branch on validation, one on test, and the winner's curse."""
    parts: list[Part] = [Bullets(tuple(branch_sentence(facts, b) for b in facts.branches))]
    if text := caution(facts):
        parts.append(Paragraph(text, tone="warn"))
    cards = [card for branch in facts.branches for card in _cards(facts, branch)]
    if cards:
        parts.append(Cards(tuple(cards)))
    tested = [branch for branch in facts.branches if branch.test_runs]
    if tested:
        said = (
            f"{plain(b.variant)}: {_lowered(facts.on_test[b.variant].sentence)}" for b in tested
        )
        parts.append(Bullets(tuple(plain(sentence) for sentence in said)))
        notices = (facts.on_test[branch.variant].notice for branch in tested)
        parts += [Paragraph(plain(notice), tone="warn") for notice in notices if notice]
    if any(not branch.test_runs for branch in facts.branches):
        parts += _how_to_know(facts)
    return Section("verdict", "Verdict", parts, is_brief=True)


def _cards(facts: SweepFacts, branch: BranchSweep) -> list[Card]:
    best, default = facts.best(branch), default_trial(branch)
    index, name = index_of(facts, branch), plain(branch.variant)
    values = [None if trial is None else facts.value(trial) for trial in (best, default)]
    if values[0] is not None and values[1] is not None:
        texts = apart(values[0], values[1])
    else:
        texts = (significant(values[0]), significant(values[1]))
    metric, where = metric_label(facts.metric.name), on_validation(facts.metric)
    cards = []
    if best is not None and texts[0]:
        note = f"{metric}{where}, trial {best.number} of {of_trials(facts, branch)}"
        anchor = trial_anchor(facts, branch, best)
        cards.append(
            Card(title=f"{name}, best", value=texts[0], note=note, href=anchor, branch=index)
        )
    if texts[1] and default is not None:
        note = f"{metric}{where}, trial {default.number}"
        anchor = trial_anchor(facts, branch, default)
        cards.append(
            Card(title=f"{name}, defaults", value=texts[1], note=note, href=anchor, branch=index)
        )
    else:
        cards.append(
            Card(
                title=f"{name}, defaults",
                value="blank",
                note=why_no_value(default),
                href=None,
                branch=index,
            )
        )
    return cards


def _lowered(sentence: str) -> str:
    return sentence[:1].lower() + sentence[1:]


def _how_to_know(facts: SweepFacts) -> list[Part]:
    waiting = [branch for branch in facts.branches if not branch.test_runs]
    names = ", ".join(plain(branch.variant) for branch in waiting)
    who = "" if len(facts.branches) == len(waiting) else f"{names}: "
    lines = [facts.test_command]
    lines += [line for branch in waiting for line in facts.run_commands(branch)]
    return [
        Paragraph(
            f"{who}{'N' if not who else 'n'}o run has scored these settings on the test clips, "
            "so their effect there is unknown. The first command trains the best settings and "
            "the defaults again with each seed and compares them on the test clips; each further "
            "command scores the best settings of one branch on them once."
        ),
        Command(tuple(plain(line) for line in lines)),
    ]
