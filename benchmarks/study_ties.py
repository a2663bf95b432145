"""How often branches that differ by the margin are called a tie, and how often equal ones are.

Shape legend: R experiments, B branches, P pairs.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from enum import StrEnum
from typing import Any

import numpy as np
from scipy import stats

from benchmarks.study_worlds import (
    ALPHA,
    NUM_CLASSES,
    NUM_CLIPS,
    Array,
    Bools,
    Cell,
    Drawn,
    Ints,
    drawn,
)
from core.randomness import rng
from harness.statistics.looks import planned_levels
from harness.statistics.many import BranchSums, hochberg_rows
from harness.statistics.power import ClipShare
from harness.statistics.power_of_ties import smallest_margin, tie_power
from harness.statistics.verdict import CROSSED_P_FACTOR

THESE_CLIPS, OTHER_CLIPS = "these clips", "other clips"
_BATCH = 5_000
_LOOKS_BATCH = 500
_WIDE = 3.0
"""Times the printed margin at which the level is tried as well: there the spread no longer keeps a
false tie from being called, and each test has its full level."""


class Arrangement(StrEnum):
    """Where branches lie that do not tie."""

    ONE_AHEAD = "one ahead"  # the first by the margin; the others are equal
    STAIRS = "stairs"  # each by the margin ahead of the next


def tied(
    sums: Mapping[int, BranchSums], *, margin: float, looks: Sequence[int] = ()
) -> tuple[Bools, Bools]:
    """Ties for other clips, and those on these clips alone, [R, P] by the rule of `compare_pairs`;
    with planned looks those that some look calls.

    sums: by number of seeds. looks: the planned ones; none: one look.
    """
    last = sums[max(sums)]
    first_P, second_P = pairs(last)
    shape = (len(last.seeds_RBS), len(first_P))
    both_RP, alone_RP = np.zeros(shape, dtype=bool), np.zeros(shape, dtype=bool)
    for look in sorted(sums):
        squares = sums[look].squares(first_P, second_P)
        now_RP = _hochberg_at(
            squares.tie_p_X(margin, factor=CROSSED_P_FACTOR), look=look, looks=looks
        )
        both_RP |= now_RP
        alone_RP |= _hochberg_at(squares.seed_tie_p_X(margin), look=look, looks=looks) & ~now_RP
    return both_RP, alone_RP


def _hochberg_at(p_RP: Array, *, look: int, looks: Sequence[int]) -> Bools:
    """Hochberg's rejections, at the level of this look for each step."""
    if not looks:
        return np.asarray(hochberg_rows(p_RP) <= ALPHA)
    num_pairs, place = p_RP.shape[1], list(looks).index(look)
    # The levels of looks are two-sided, a tie's tests one-sided.
    levels_P = [
        planned_levels(tuple(looks), alpha=2 * ALPHA / (num_pairs - k))[place] / 2
        for k in range(num_pairs)
    ]
    order_RP = np.argsort(p_RP, axis=1)
    is_under_RP = np.take_along_axis(p_RP, order_RP, axis=1) <= levels_P
    kept_RP = np.logical_or.accumulate(is_under_RP[:, ::-1], axis=1)[:, ::-1]
    found_RP = np.zeros(p_RP.shape, dtype=bool)
    np.put_along_axis(found_RP, order_RP, kept_RP, axis=1)
    return found_RP


def tie_cell(cell: Cell, experiments: int) -> dict[str, Any]:
    """Level and power of a tie in one world.

    false_ties: the largest share, of all arrangements of branches, of experiments in which some
    pair at the margin is called a tie; by arrangement in `levels`. power: how often equal branches
    all tie for other clips, at the margin where `printed_power` is printed; `powers` the same of
    each claim. With planned looks the margins are those of the last one, and a power is that of any
    look, of which nothing is printed.
    """
    clips = math.sqrt(NUM_CLIPS) * cell.paired_sd
    share = ClipShare(cell.interaction / clips, math.sqrt(2) / clips, NUM_CLIPS - NUM_CLASSES)
    levels: dict[str, float] = {}
    powers: dict[str, dict[str, float]] = {}
    asked: dict[str, Any]
    for is_here, what, known in ((True, THESE_CLIPS, None), (False, OTHER_CLIPS, share)):
        asked = {"num_seeds": cell.seeds, "num_branches": cell.branches, "clips": known}
        sds = smallest_margin(**asked)
        margin = sds * cell.paired_sd
        powers[what] = {
            "margin": margin,
            "printed": math.nan if cell.looks else tie_power(sds, **asked),
            "power": _power(cell, margin, experiments, is_here=is_here),
        }
        for arrangement in Arrangement:
            for factor in (1.0, _WIDE):
                name = f"{arrangement.value}, {what}, {factor:g} x the printed margin"
                levels[name] = _false(
                    cell, factor * margin, experiments, arrangement, is_here=is_here
                )
    worst = max(levels.values())
    interval = stats.binomtest(round(worst * experiments), experiments).proportion_ci(0.95)
    shown = powers[OTHER_CLIPS]
    return {
        **asdict(cell),
        "looks": list(cell.looks),
        "experiments": experiments,
        "false_ties": worst,
        "upper_95": float(interval.high),
        "levels": levels,
        "margin": shown["margin"],
        "power": shown["power"],
        "printed_power": shown["printed"],
        "powers": powers,
    }


def tie_cells(*, full: bool) -> list[Cell]:
    """The worlds."""
    seeds = (6, 8, 10, 20) if full else (6, 10)
    found = [
        Cell(b, s, v, i)
        for b in (2, 3, 5)
        for s in seeds
        for v in (0.005, 0.2)
        for i in (0.0, 0.45, 1.0)
    ]
    return found + [Cell(b, 10, 0.05, i, (6, 8, 10)) for b in (2, 3) for i in (0.0, 0.45)]


def _false(
    cell: Cell, margin: float, experiments: int, arrangement: Arrangement, *, is_here: bool
) -> float:
    """Share of experiments with a tie that is not true of what it speaks of.

    is_here: whether it is on the clips that are drawn that branches differ by the margin.
    """
    steps_B = np.arange(cell.branches, dtype=float)
    if arrangement is Arrangement.ONE_AHEAD:
        steps_B = np.minimum(steps_B, 1.0)
    # At the margin is not within it; differences of sums of steps differ in the last digits.
    edge = margin * (1 - 1e-9)

    def count(made: Drawn) -> int:
        first_P, second_P = cell.pairs
        both_RP, alone_RP = tied(made.sums, margin=margin, looks=cell.looks)
        for_any_RP = np.abs(made.true_RB[:, first_P] - made.true_RB[:, second_P]) >= edge
        here_RP = np.abs(made.here_RB[:, first_P] - made.here_RB[:, second_P]) >= edge
        return int(((both_RP & for_any_RP) | (alone_RP & here_RP)).any(axis=1).sum())

    return _share(cell, -steps_B * margin, experiments, count, is_here=is_here)


def _power(cell: Cell, margin: float, experiments: int, *, is_here: bool) -> float:
    """Share of experiments with equal branches that all tie."""

    def count(made: Drawn) -> int:
        both_RP, alone_RP = tied(made.sums, margin=margin, looks=cell.looks)
        found_RP = both_RP | alone_RP if is_here else both_RP
        return int(found_RP.all(axis=1).sum())

    return _share(cell, np.zeros(cell.branches), experiments, count, is_here=is_here)


def _share(
    cell: Cell,
    values_B: Array,
    experiments: int,
    count: Callable[[Drawn], int],
    *,
    is_here: bool,
) -> float:
    """Share of experiments with these true values that are counted, made in batches."""
    draw = rng(0, "study of ties", repr(cell), repr(values_B), str(is_here))
    found = done = 0
    while done < experiments:
        size = min(_LOOKS_BATCH if cell.looks else _BATCH, experiments - done)
        effects_RB = np.broadcast_to(values_B, (size, cell.branches))
        found += count(drawn(cell, effects_RB=effects_RB, draw=draw, is_here=is_here))
        done += size
    return found / experiments


def pairs(sums: BranchSums) -> tuple[Ints, Ints]:
    """First and second branch of each pair."""
    first, second = np.triu_indices(sums.seeds_RBS.shape[1], k=1)
    return first.astype(np.int64), second.astype(np.int64)
