"""What a comparison says of its pairs in words."""

import re
from collections.abc import Callable
from typing import Any

import pytest

from harness.comparison.record import ComparisonRecord
from harness.comparison.summary import estimate, exaggeration
from harness.records.record import RunRecord
from harness.report.comparison.sections.verdict import _difference_cards
from tests.harness.comparison.made_records import matrix

Compared = Callable[[list[RunRecord]], ComparisonRecord]
LEVELS = {"a_first": 0.2, "b": 0.5, "c": 0.4, "d": 0.35, "e": 0.3}


@pytest.fixture
def five(compared: Compared, finished: Any) -> ComparisonRecord:
    """Five branches of six seeds; `b` is the best, `a_first` far behind."""
    values = {
        name: [level + 0.001 * (seed % 3) + 0.0001 * place * seed for seed in range(6)]
        for place, (name, level) in enumerate(LEVELS.items())
    }
    return compared(matrix(finished.record, values))


def test_a_win_is_told_from_the_winners_side(five: ComparisonRecord) -> None:
    """Catches: a branch that "beats" another by a negative difference, for its name comes later."""
    for pair in five.pairs:
        ahead = pair.second if pair.effect < 0 else pair.first
        loser = pair.first if pair.effect < 0 else pair.second
        assert pair.sentence.startswith(f"{ahead} beats {loser} on aic")
        assert f"(difference {abs(pair.effect):+.3g}, 95% interval +" in pair.sentence
        low, high = sorted((abs(pair.interval.low), abs(pair.interval.high)))
        assert f"interval {low:+.3g} to {high:+.3g} by itself" in pair.sentence
        assert "adjusted p < 0.001" in pair.sentence


def test_the_estimate_leaves_no_branch_out(five: ComparisonRecord) -> None:
    """Catches: the branch that is furthest behind, unsaid among five."""
    (sentence, *_) = estimate(five)
    assert re.findall(r"0\.\d+ ahead of (\w+)", sentence) == ["c", "d", "e"]
    assert "by more than that ahead of a_first. " in sentence


def test_branches_that_are_equal_share_the_best_mean(compared: Compared, finished: Any) -> None:
    """Catches: the best mean of one of five copies, "by more than that" ahead of the fifth, and six
    seeds that agree told as one."""
    (sentence, *_) = estimate(compared(matrix(finished.record, {n: [0.5] * 6 for n in "abcde"})))
    assert "shares the best mean" in sentence
    assert sentence.count("(the same in all 6 seeds, so no interval)") == 3
    assert sentence.endswith("; equal to e.")


def test_a_win_by_signs_alone_is_not_claimed_of_a_t_test(compared: Compared, finished: Any) -> None:
    """Catches: "rests on the t-test" of a difference without a spread; a blank after the lead."""
    found = compared(matrix(finished.record, {"a": [0.75] * 6, "b": [0.25] * 6}))
    assert "(signs alone where the difference is the same in every seed)" in found.claim
    assert estimate(found)[0].endswith("(the same in all 6 seeds, so no interval).")


def test_a_small_exaggeration_is_no_factor_of_one(five: ComparisonRecord) -> None:
    """Catches: "likely 1 times the true one"."""
    selection = five.pairs[0].selection
    assert selection is not None
    assert exaggeration(selection).endswith("likely exaggerated by less than 5 %")
    larger = selection.model_copy(update={"factor": 1.31})
    assert exaggeration(larger).endswith("this one is likely 1.3 times the true one")


def test_a_key_number_of_a_pair_names_it(five: ComparisonRecord) -> None:
    """Catches: the size of one of ten differences that nobody can place."""
    pair = next(pair for pair in five.pairs if {pair.first, pair.second} == {"a_first", "b"})
    among, alone = (_difference_cards(pair, is_one=is_one) for is_one in (False, True))
    assert all(card.note.startswith("b over a_first, the furthest apart. ") for card in among)
    assert not any("furthest" in card.note for card in alone)
    assert float(among[0].value) > 0.29


def test_equal_differences_are_judged_by_their_signs(compared: Compared, finished: Any) -> None:
    """Catches: p < 0.001 and an interval of no width of two seeds, whose scores of two test clips
    are halves."""
    found = compared(matrix(finished.record, {"a": [0.25, 0.5], "b": [0.5, 0.75]}))
    assert "difference -0.25 in every seed, so without an interval, adjusted p 0.5," in (
        found.pairs[0].sentence
    )
    assert found.pairs[0].simultaneous is None
    spread = compared(matrix(finished.record, {"a": [0.25, 0.5], "b": [0.5, 0.8]}))
    assert "interval" in spread.pairs[0].sentence
    assert spread.pairs[0].simultaneous is not None
