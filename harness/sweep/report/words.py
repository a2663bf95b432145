"""Values and sentences of a sweep, for the page and the terminal."""

import json
import math
from typing import Any

from harness.report.text import MINUS, count, listed, metric_label, plain
from harness.sweep.record import BranchSweep, TrialRecord, TrialState
from harness.sweep.report.facts import SweepFacts, default_trial, num_counted

_MOST_DIGITS = 8


def significant(value: float | None, *, digits: int = 4) -> str:
    """A value with so many significant digits; a missing one is blank."""
    if value is None or not math.isfinite(value):
        return ""
    if abs(value) < 1e15 and (abs(value) >= 1e4 or value == int(value)):
        return f"{value:,.0f}".replace("-", MINUS)
    text = f"{value:#.{digits}g}" if 1e-4 <= abs(value) < 1e4 else f"{value:.{digits}g}"
    return text.rstrip(".").replace("-", MINUS) if "e" not in text else text


def apart(first: float, second: float) -> tuple[str, str]:
    """Both with as few digits as tell them apart, four at least."""
    for digits in range(4, _MOST_DIGITS + 1):
        texts = significant(first, digits=digits), significant(second, digits=digits)
        if texts[0] != texts[1]:
            break
    return texts if first != second else (significant(first), significant(second))


def setting(value: Any) -> str:
    """A setting as a reader and a TOML file know it."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, (list, dict)):
        return plain(json.dumps(value, ensure_ascii=False))
    return plain(value)


def relative(value: float, *, than: float) -> str:
    """`2.8 % lower`; blank where there is nothing to divide by."""
    if than == 0 or value == than:
        return ""
    share = abs(value - than) / abs(than) * 100
    digits = 0 if share >= 100 else 1 if share >= 0.1 else 2
    text = f"{share:.{digits}f}"
    return f"{'less than 0.01' if float(text) == 0 else text}\u202f% " + (
        "higher" if value > than else "lower"
    )


def of_trials(facts: SweepFacts, branch: BranchSweep) -> str:
    """`50 trials`, or `31 of 50 trials` of a search that is not finished."""
    counted, asked = num_counted(branch), facts.record.num_trials
    return count(counted, "trial") if counted >= asked else f"{counted} of {count(asked, 'trial')}"


def why_no_value(trial: TrialRecord | None) -> str:
    """Why a trial has no value, after `because`."""
    if trial is None:
        return "they have not been tried"
    reasons = {
        TrialState.WAITING: "their worker died and they wait to be tried again",
        TrialState.RUNNING: "their trial is still running",
        TrialState.PRUNED: "their trial was pruned",
        TrialState.FAILED: f"their trial failed ({plain(trial.error or 'no reason recorded')})",
        TrialState.LOST: "their worker died",
    }
    return reasons.get(trial.state, "no finite value was recorded")


def branch_sentence(facts: SweepFacts, branch: BranchSweep) -> str:
    """What the search of a branch found on validation, in one sentence."""
    name, metric = plain(branch.variant), metric_label(facts.metric.name)
    best, default = facts.best(branch), default_trial(branch)
    best_value = None if best is None else facts.value(best)
    default_value = None if default is None else facts.value(default)
    if best is None or best_value is None:
        return f"{name}: none of {of_trials(facts, branch)} has a value, so nothing is known."
    if default_value is None:
        return (
            f"{name}: the best of {of_trials(facts, branch)}, trial {best.number}, has {metric} "
            f"{significant(best_value)} on validation; the defaults have none, because "
            f"{why_no_value(default)}."
        )
    if not facts.is_better(best_value, default_value):
        return (
            f"{name}: none of {of_trials(facts, branch)} beats the defaults, which have {metric} "
            f"{significant(default_value)} on validation."
        )
    one, other = apart(best_value, default_value)
    change = relative(best_value, than=default_value)
    return (
        f"{name}: the best of {of_trials(facts, branch)}, trial {best.number}, has {metric} {one} "
        f"on validation, the defaults {other}{f' ({change})' if change else ''}."
    )


def caution(facts: SweepFacts) -> str:
    """Why the best values flatter; blank where there was nothing to choose from."""
    numbers = {plain(b.variant): len(facts.complete(b)) for b in facts.branches}
    chosen = {name: number for name, number in numbers.items() if number > 1}
    if not chosen:
        return ""
    if len(numbers) == 1:
        best = f"The best of {next(iter(chosen.values()))} noisy validation values looks"
    else:
        best = "The best of many noisy validation values looks"
    told = listed(f"{name} {number}" for name, number in chosen.items())
    return (
        f"{best} better than it is (the winner's curse), the more so the more trials there are"
        + (f" (with a value: {told})" if len(numbers) > 1 else "")
        + ": part of its lead is luck of the training seed and of the validation clips."
    )


def headline(facts: SweepFacts) -> str:
    """The one sentence over the page."""
    if len(facts.branches) == 1:
        sentence = branch_sentence(facts, facts.branches[0])
        return sentence[:1].upper() + sentence[1:]
    ahead = [branch for branch in facts.branches if _beats_defaults(facts, branch)]
    return (
        f"On validation, the best trial beats the defaults in {len(ahead)} of "
        f"{count(len(facts.branches), 'branch', 'branches')}."
    )


def _beats_defaults(facts: SweepFacts, branch: BranchSweep) -> bool:
    best, default = facts.best(branch), default_trial(branch)
    if best is None or default is None:
        return False
    one, other = facts.value(best), facts.value(default)
    return one is not None and other is not None and facts.is_better(one, other)
