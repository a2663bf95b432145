"""What a sweep's report says and counts, from records whose truth is known.

The numbers expected here were computed by hand from the makers in `conftest.py`.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness.report.sweep.facts import SweepFacts
from harness.report.sweep.importance import parameter_importances
from harness.report.sweep.words import apart, branch_sentence, caution, relative
from harness.sweep.record import (
    SweepRecord,
    TrialState,
)
from harness.wording.numbers import significant

Save = Callable[[SweepRecord], Path]


def test_the_sentence_has_the_numbers_of_best_and_defaults(made: Any, facts: Any) -> None:
    """Catches: a best or a relative change that is not that of the trials."""
    sentence = branch_sentence(facts(), made.sonic())
    assert sentence == (
        "sonic: the best of 24 trials, trial 17, has validation loss 0.08120 on validation, the "
        "defaults 0.08350 (2.8\u202f% lower)."
    )


def test_a_search_that_beats_nothing_says_so(made: Any, facts: Any) -> None:
    """Catches: the default trial praised as a find."""
    branch = made.sonic(best=0, trials=[made.default(0.0835), made.trial(1)])
    assert branch_sentence(facts(), branch) == (
        "sonic: none of 2 of 24 trials beats the defaults, which have validation loss 0.08350 on "
        "validation."
    )


@pytest.mark.parametrize(
    ("state", "reason"),
    [
        (TrialState.FAILED, "their trial failed (no room)"),
        (TrialState.RUNNING, "their trial is still running"),
        (TrialState.LOST, "their worker died"),
    ],
)
def test_defaults_without_a_value_are_blank_with_the_reason(
    made: Any, facts: Any, state: TrialState, reason: str
) -> None:
    """Catches: a best that is compared with nothing."""
    gone = made.default(None, state=state, error="no room")
    branch = made.sonic(best=1, trials=[gone, made.trial(1)])
    assert f"the defaults have none, because {reason}." in branch_sentence(facts(), branch)


def test_a_retried_default_speaks_for_the_defaults(made: Any, facts: Any) -> None:
    """Catches: the trial that died taken for the defaults although its retry has a value."""
    lost = made.default(None, state=TrialState.LOST)
    again = made.trial(2, is_default=True, retry_of=0, values={"validation_loss": 0.09})
    best = made.trial(1, values={"validation_loss": 0.081})
    branch = made.sonic(best=1, trials=[lost, best, again])
    assert "the defaults 0.09000 (10.0\u202f% lower)" in branch_sentence(facts(), branch)


def test_the_caution_counts_the_values_that_were_chosen_among(made: Any, facts: Any) -> None:
    """Catches: pruned and failed trials counted as draws of the winner's curse."""
    assert "The best of 18 noisy validation values looks better" in caution(facts())
    assert caution(facts(made.sonic(trials=[made.default(0.08)], best=0))) == ""


def test_numbers_show_what_tells_them_apart() -> None:
    """Catches: best and defaults that read the same although they differ."""
    assert apart(0.0812341, 0.0812344) == ("0.0812341", "0.0812344")
    assert (significant(50.0), significant(1.5), significant(None)) == ("50", "1.500", "")
    assert significant(123_456.7) == "123,457"
    assert (relative(1.0, than=0.0), relative(2.0, than=1.0)) == ("", "100\u202f% higher")


def test_what_has_no_noise_is_not_called_lucky(made: Any, saved: Save) -> None:
    """Catches: a number of parameters measured "on validation", or won by luck."""
    trials = [
        made.trial(n, values={"trainable_parameters": 100.0 - n}, is_default=n == 0)
        for n in range(3)
    ]
    branch = made.sonic(trials=trials, best=2, config=None)
    record = made.sweep(branch, metrics=[made.parameters])
    facts = SweepFacts(record, saved(record))
    assert caution(facts) == ""
    assert "validation" not in branch_sentence(facts, branch)


def test_defaults_that_are_best_have_no_lead_to_doubt(made: Any, saved: Save) -> None:
    """Catches: a warning of the luck in a lead that there is not."""
    trials = [made.default(0.01), *made.sonic().trials[1:]]
    record = made.sweep(made.sonic(trials=trials, best=0))
    facts = SweepFacts(record, saved(record))
    assert "none of 24 trials beats the defaults" in branch_sentence(facts, facts.branches[0])
    assert caution(facts) == ""


def test_spent_counts_every_trial_that_ended(made: Any, facts: Any) -> None:
    """Catches: pruned and failed trials that cost nothing; a best that gets worse."""
    found = facts().spent(made.sonic())
    # 18 complete x 80, 4 pruned x 20, 2 failed x 3; the running one, the lost one's retry, has not
    # ended.
    assert found[-1].steps == 18 * 80 + 4 * 20 + 2 * 3
    assert found[-1].device_seconds == pytest.approx(18 * 10 + 4 * 2.5 + 2 * 0.5)
    assert [f.best for f in found][:1] == [0.0835]
    bests = [f.best for f in found if f.best is not None]
    assert bests == sorted(bests, reverse=True)
    assert bests[-1] == 0.0812


def test_spent_follows_the_order_of_ending(made: Any, facts: Any) -> None:
    """Catches: a curve by trial number, which parallel workers do not keep."""
    late = made.trial(1, finished_at="2026-01-02T09:00:00+00:00")
    found = facts().spent(made.sonic(trials=[made.default(0.09), late, made.trial(2)], best=1))
    assert [f.trial.number for f in found] == [0, 2, 1]


def test_device_time_is_unknown_from_the_first_gap_on(made: Any, facts: Any) -> None:
    """Catches: a missing time counted as zero."""
    trials = [made.default(0.09), made.trial(1, device_seconds=None), made.trial(2)]
    found = facts().spent(made.sonic(trials=trials, best=0))
    assert [f.device_seconds for f in found] == [10.0, None, None]


def test_importance_finds_the_parameter_that_matters(made: Any, facts: Any) -> None:
    """Catches: a study rebuilt with shuffled parameters or with the wrong direction."""
    trials = [made.default(0.5)]
    for number in range(1, 60):
        one = made.trial(number)
        x = one.params["lr"]
        value = 0.1 if 1e-4 < x < 4e-4 else 0.2 + number / 1e4
        trials.append(made.trial(number, values={"validation_loss": value}))
    branch = made.sonic(trials=trials, best=1)
    found = parameter_importances(facts(), branch)
    assert max(found.shares, key=lambda name: found.shares[name]) == "lr"
    assert found.shares["lr"] > 0.5
    assert sum(found.shares.values()) == pytest.approx(1)
    assert set(found.shares) == {"lr", "num_tokens", "encoder"}
    assert "num_heads" in found.left_out[0]


def test_too_few_or_equal_trials_have_no_importance(made: Any, facts: Any) -> None:
    """Catches: shares made of nothing."""
    few = made.sonic(trials=[made.default(0.09), *(made.trial(n) for n in range(1, 9))], best=0)
    assert parameter_importances(facts(), few).reason.startswith("9 complete trials")
    same = [made.trial(n, values={"validation_loss": 0.1}) for n in range(1, 15)]
    equal = parameter_importances(facts(), made.sonic(trials=same, best=1))
    assert equal.reason == "all complete trials have the same validation loss"
    assert equal.shares == {}
