"""Values and sentences of a sweep, for the page and the terminal."""

import json
from typing import Any

from harness.report.sweep.facts import SweepFacts, default_trial, num_counted
from harness.statistics.outcome import Outcome
from harness.sweep.on_test import OnTest
from harness.sweep.record import (
    COSTS,
    TRAINABLE_PARAMETERS,
    BranchSweep,
    Metric,
    TrialRecord,
    TrialState,
)
from harness.wording.numbers import count, listed, metric_label, plain, significant

_MOST_DIGITS = 8


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
        return "no trial has used them"
    reasons = {
        TrialState.WAITING: "their worker died and they are waiting for another trial",
        TrialState.RUNNING: "their trial is still running",
        TrialState.PRUNED: "their trial was pruned",
        TrialState.FAILED: f"their trial failed ({plain(trial.error or 'no reason recorded')})",
        TrialState.LOST: "their worker died",
    }
    return reasons.get(trial.state, "no finite value was recorded")


def on_validation(metric: Metric) -> str:
    """Where a value was found, after it; blank of what is not of clips."""
    return "" if metric.name in COSTS else " on validation"


def branch_sentence(facts: SweepFacts, branch: BranchSweep) -> str:
    """What the search of a branch found on validation, in one sentence."""
    name, metric = plain(branch.variant), metric_label(facts.metric.name)
    where = on_validation(facts.metric)
    best, default = facts.best(branch), default_trial(branch)
    best_value = None if best is None else facts.value(best)
    default_value = None if default is None else facts.value(default)
    if best is None or best_value is None:
        return f"{name}: none of {of_trials(facts, branch)} has a value: no conclusion."
    if default_value is None:
        return (
            f"{name}: the best of {of_trials(facts, branch)}, trial {best.number}, has {metric} "
            f"{significant(best_value)}{where}; the defaults have none, because "
            f"{why_no_value(default)}."
        )
    if not facts.is_better(best_value, default_value):
        return (
            f"{name}: none of {of_trials(facts, branch)} beats the defaults, which have {metric} "
            f"{significant(default_value)}{where}."
        )
    one, other = apart(best_value, default_value)
    change = relative(best_value, than=default_value)
    return (
        f"{name}: the best of {of_trials(facts, branch)}, trial {best.number}, has {metric} {one}"
        f"{where}, the defaults {other}{f' ({change})' if change else ''}."
    )


def caution(facts: SweepFacts) -> str:
    """Why the best values flatter; blank where nothing was chosen from, or chosen by luck."""
    if facts.metric.name == TRAINABLE_PARAMETERS:
        return ""
    ahead = [branch for branch in facts.branches if not _is_behind(facts, branch)]
    chosen = {plain(b.variant): n for b in ahead if (n := len(facts.complete(b))) > 1}
    if not chosen:
        return ""
    if len(facts.branches) == 1:
        best = f"The best of {next(iter(chosen.values()))} noisy validation values looks"
    else:
        best = "The best of many noisy validation values looks"
    shown = listed(f"{name} {number}" for name, number in chosen.items())
    return (
        f"{best} better than it is (the winner's curse), and more so with more trials"
        + (f" (with a value: {shown})" if len(facts.branches) > 1 else "")
        + ": part of its lead is due to the training seed and the validation clips."
    )


def _is_behind(facts: SweepFacts, branch: BranchSweep) -> bool:
    """Whether the defaults are the best, which no choice among many has flattered."""
    default = default_trial(branch)
    has_value = default is not None and facts.value(default) is not None
    return has_value and not _beats_defaults(facts, branch)


def headline(facts: SweepFacts) -> str:
    """The one sentence over the page: what the test clips say, where they were asked."""
    if any(branch.test_runs for branch in facts.branches):
        return _headline_of_test(facts)
    if len(facts.branches) == 1:
        sentence = branch_sentence(facts, facts.branches[0])
        return sentence[:1].upper() + sentence[1:]
    ahead = [branch for branch in facts.branches if _beats_defaults(facts, branch)]
    where = "On validation, t" if on_validation(facts.metric) else "T"
    return (
        f"{where}he best trial beats the defaults in {len(ahead)} of "
        f"{count(len(facts.branches), 'branch', 'branches')}."
    )


def _headline_of_test(facts: SweepFacts) -> str:
    found: dict[str, int] = {}
    for branch in facts.branches:
        said = _said_of_test(facts.on_test[branch.variant])
        found[said] = found.get(said, 0) + 1
    if len(facts.branches) == 1:
        return f"On the test clips, the best settings against the defaults: {next(iter(found))}."
    shown = listed(f"{said} in {n}" for said, n in found.items())
    branches = count(len(facts.branches), "branch", "branches")
    return f"On the test clips, the best settings against the defaults: {shown} of {branches}."


def _said_of_test(test: OnTest) -> str:
    if test.are_same:
        return "the same"
    if test.outcome is None:
        return "not known"
    if test.outcome is Outcome.WIN:
        return "better" if test.is_better else "worse"
    return "equal" if test.outcome is Outcome.TIE else "undecided"


def _beats_defaults(facts: SweepFacts, branch: BranchSweep) -> bool:
    best, default = facts.best(branch), default_trial(branch)
    if best is None or default is None:
        return False
    one, other = facts.value(best), facts.value(default)
    return one is not None and other is not None and facts.is_better(one, other)
