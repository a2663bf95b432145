"""Ties: what the study counts is the rule, it keeps its level, and the plan states its power."""

from itertools import combinations

import numpy as np
import pandas as pd
import pytest

from benchmarks.stand_in import World
from benchmarks.study_ties import pairs, tie_cell, tied
from benchmarks.study_worlds import CLASS_SIZES, Cell
from core.randomness import rng
from harness.statistics import power_of_ties
from harness.statistics.crossed import crossed_test
from harness.statistics.many import branch_sums
from harness.statistics.outcome import Outcome, Population
from harness.statistics.power_of_ties import smallest_margin, tie_power
from harness.statistics.verdict import compare_pairs

CLASS_C = np.repeat(np.arange(len(CLASS_SIZES)), CLASS_SIZES)


def _table(values_BS: np.ndarray) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {"branch": str(b), "seed": s, "value": value}
            for b, of_branch in enumerate(values_BS)
            for s, value in enumerate(of_branch)
        ]
    )


@pytest.mark.parametrize(("names", "looks"), [(2, ()), (3, ()), (3, (6, 8))])
def test_the_ties_of_the_big_study_are_those_of_the_rule(
    names: int, looks: tuple[int, ...]
) -> None:
    """Catches: figures of docs/statistics.md by another rule than the one that judges records."""
    world = World(num_seeds=8, effects=(0.0,) * names, interaction_sd=0.8, training_sd=0.3)
    scores = np.stack([world.scores(rng(repeat, "tie rule")) for repeat in range(12)])
    classes = [str(number) for number in CLASS_C]
    seen = {"both": 0, "alone": 0, "open": 0}
    for look in looks or (8,):
        sums = {look: branch_sums(scores[:, :, :look], CLASS_C)}
        both_RP, alone_RP = tied(sums, margin=0.55, looks=looks)
        for one_BSC, both, alone in zip(scores[:, :, :look], both_RP, alone_RP, strict=True):
            found = compare_pairs(
                _table(one_BSC.mean(axis=2)),
                higher_is_better=True,
                margin=0.55,
                crossed={
                    (str(a), str(b)): crossed_test(one_BSC[a] - one_BSC[b], classes=classes)
                    for a, b in combinations(range(names), 2)
                },
                looks=looks,
            )
            ties = [pair.outcome is Outcome.TIE for pair in found]
            wide = [pair.population is Population.CLIPS for pair in found]
            assert [t and w for t, w in zip(ties, wide, strict=True)] == both.tolist()
            assert [t and not w for t, w in zip(ties, wide, strict=True)] == alone.tolist()
            seen["both"] += int(both.sum())
            seen["alone"] += int(alone.sum())
            seen["open"] += int((~both & ~alone).sum())
    assert all(seen.values()), seen


@pytest.mark.parametrize(
    "cell", [Cell(2, 6, 0.05, 0.45), Cell(3, 10, 0.005, 0.0), Cell(2, 8, 0.05, 0.0, looks=(6, 8))]
)
def test_branches_at_the_margin_rarely_tie_and_equal_ones_do_as_often_as_planned(
    cell: Cell,
) -> None:
    """Catches: equivalence that is claimed because no difference was found, and a margin said to
    be in reach of seeds that cannot show it."""
    experiments = 1_000 if cell.looks else 2_500
    found = tie_cell(cell, experiments)
    assert found["false_ties"] <= 0.05 + 3.5 * (0.05 * 0.95 / experiments) ** 0.5
    for claim, row in found["powers"].items():
        if not cell.looks:
            assert row["power"] == pytest.approx(row["printed"], abs=0.035), claim
        assert row["margin"] > 0


@pytest.mark.parametrize(("seeds", "branches"), [(6, 2), (9, 3)])
def test_the_power_of_a_tie_is_that_of_the_rule(
    seeds: int, branches: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Catches: a second rule, for planning, that differs from the one that decides."""
    noise = rng(2, "tie", seeds).normal(0, 1, (100, branches, seeds))
    monkeypatch.setattr(power_of_ties, "drawn_noise", lambda purpose, shape: noise)
    every = 0
    for values in noise / 2**0.5:
        ties = [
            pair.outcome is Outcome.TIE
            for pair in compare_pairs(_table(values), higher_is_better=True, margin=1.3)
        ]
        every += all(ties)
    power_of_ties._enough.cache_clear()
    got = tie_power(1.3, num_seeds=seeds, num_branches=branches)
    power_of_ties._enough.cache_clear()
    assert got == pytest.approx(every / 100)
    assert 0 < every < 100


def test_more_branches_and_fewer_seeds_ask_for_a_wider_margin() -> None:
    """Catches: a plan for one pair printed for all of them."""
    assert smallest_margin(1) == float("inf")
    assert smallest_margin(6) > smallest_margin(10) > smallest_margin(20)
    assert smallest_margin(8, num_branches=3) > 1.1 * smallest_margin(8)
    # The t-test's own: P(two one-sided t-tests at 5 %, 6 seeds, no difference) = .8 at 1.39.
    assert smallest_margin(6) == pytest.approx(1.39, abs=0.03)


def test_sums_name_each_pair_once() -> None:
    """Catches: a branch that ties with itself."""
    sums = branch_sums(rng(0, "p").normal(size=(2, 3, 4, len(CLASS_C))), CLASS_C)
    first, second = pairs(sums)
    assert list(zip(first, second, strict=True)) == [(0, 1), (0, 2), (1, 2)]
