"""From paired differences to a verdict that states its own strength and what it speaks of."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd

from harness.statistics.crossed import CrossedTest, equivalence_p
from harness.statistics.looks import spent_p
from harness.statistics.multiplicity import hochberg, holm
from harness.statistics.outcome import MIN_SEEDS_FOR_A_WIN, Outcome, Population, Strength
from harness.statistics.paired import PairedDifference, paired_difference

CROSSED_P_FACTOR = 1.3
"""On the p of the crossed test: Satterthwaite's t is approximate, and finds up to 5.5 % at a stated
5 % where seeds and clips contribute alike. A claim on these clips, tried as well, adds wrong sides.
With the factor both together keep 5 % (docs/statistics.md)."""


@dataclass(frozen=True)
class PairVerdict:
    """One pair of branches on one metric."""

    first: str
    """Branch the difference is taken from."""
    second: str
    """Branch that is subtracted."""
    outcome: Outcome
    """Win, tie or undecided."""
    strength: Strength
    """Exploratory below 6 seeds; none where 6 or more leave the pair undecided."""
    population: Population
    """What the outcome speaks of, beyond the trainings that were made."""
    winner: str | None
    """The better branch of a win, else None."""
    ahead: str | None
    """The branch with the better mean, whatever the outcome; None when equal."""
    difference: PairedDifference
    """First minus second, in the metric's own unit and direction."""
    crossed: CrossedTest | None
    """The same for other clips; None where the metric has no value of single clips."""
    adjusted_p: float
    """t-test p after Holm over the pairs; NaN with one seed."""
    adjusted_both_p: float
    """The larger p of the t-test and the crossed test, after Holm; NaN without the latter."""
    margin: float
    """Differences within this are a tie; set before the runs."""


def verdict(
    difference: PairedDifference,
    *,
    first: str,
    second: str,
    higher_is_better: bool,
    margin: float = 0.0,
    adjusted_p: float | None = None,
    crossed: CrossedTest | None = None,
    adjusted_both_p: float | None = None,
    tie_p: float | None = None,
    tie_both_p: float | None = None,
    alpha: float = 0.05,
) -> PairVerdict:
    """What the difference allows one to say.

    Tie: two one-sided t-tests at `alpha` put the difference within the margin (Schuirmann 1987);
    it goes before a win, since a difference too small to matter is not a win. A tie needs a margin.
    Win: at least 6 seeds, the (Holm-)adjusted t-test p and the plain sign-flip p both at most
    `alpha`. The sign-flip p is not adjusted: with 3 pairs it could not reach .05 below 7 seeds.
    Undecided: anything else. A win or tie speaks of other clips if the crossed test, whose p is
    never below that over seeds alone, shows the same at `alpha`; otherwise of the clips at hand.

    adjusted_p, adjusted_both_p, tie_p, tie_both_p: as `compare_pairs` adjusts them; by default
    those of this pair alone.
    """
    p = difference.t_p if adjusted_p is None else adjusted_p
    both_p = _both(p, crossed) if adjusted_both_p is None else adjusted_both_p
    alone, both = tie_ps(difference, crossed=crossed, margin=margin)
    alone = alone if tie_p is None else tie_p
    both = both if tie_both_p is None else tie_both_p
    enough = difference.n >= MIN_SEEDS_FOR_A_WIN
    if difference.mean == 0:
        ahead = None
    else:
        ahead = first if (difference.mean > 0) == higher_is_better else second
    same_side = crossed is not None and (crossed.mean > 0) == (difference.mean > 0)
    may_win = enough and ahead is not None and difference.sign_flip_p <= alpha
    if both <= alpha or alone <= alpha:
        outcome, speaks_of_clips = Outcome.TIE, both <= alpha
    elif may_win and same_side and both_p <= alpha:
        outcome, speaks_of_clips = Outcome.WIN, True
    elif may_win and p <= alpha:
        outcome, speaks_of_clips = Outcome.WIN, False
    else:
        outcome, speaks_of_clips = Outcome.UNDECIDED, False
    return PairVerdict(
        first=first,
        second=second,
        outcome=outcome,
        strength=_strength(outcome, enough=enough, speaks_of_clips=speaks_of_clips),
        population=Population.CLIPS if speaks_of_clips else Population.THESE_CLIPS,
        winner=ahead if outcome is Outcome.WIN else None,
        ahead=ahead,
        difference=difference,
        crossed=crossed,
        adjusted_p=p,
        adjusted_both_p=both_p,
        margin=margin,
    )


def _strength(outcome: Outcome, *, enough: bool, speaks_of_clips: bool) -> Strength:
    if not enough:
        return Strength.EXPLORATORY
    if outcome is Outcome.UNDECIDED:
        return Strength.NONE
    return Strength.CONFIRMED if speaks_of_clips else Strength.THESE_CLIPS


def _both(p: float, crossed: CrossedTest | None) -> float:
    return math.nan if crossed is None else max(p, min(1.0, CROSSED_P_FACTOR * crossed.p))


def tie_ps(
    difference: PairedDifference, *, crossed: CrossedTest | None, margin: float
) -> tuple[float, float]:
    """p of a tie for other trainings, and for other clips too; 1 where there is none to claim."""
    if difference.n < 2 or margin <= 0:
        return 1.0, 1.0
    alone = equivalence_p(
        difference.mean,
        error=difference.sd / math.sqrt(difference.n),
        freedom=difference.n - 1,
        margin=margin,
    )
    if crossed is None:
        return alone, 1.0
    return alone, max(alone, min(1.0, CROSSED_P_FACTOR * crossed.equivalence_p(margin)))


def compare_pairs(
    seed_values: pd.DataFrame,
    *,
    higher_is_better: bool,
    margin: float = 0.0,
    crossed: Mapping[tuple[str, str], CrossedTest | None] | None = None,
    looks: Sequence[int] = (),
    alpha: float = 0.05,
    level: float = 0.95,
) -> list[PairVerdict]:
    """Verdicts of all pairs of branches on one metric, adjusted over the pairs.

    Wins by Holm, ties by Hochberg, and both first for the planned looks. A pair uses the seeds
    that both have. The pairs keep the order in which the branches first appear.

    seed_values: columns branch, seed, value; one value a branch and seed. crossed: by pair, in
    that order, the test for other clips. looks: the planned numbers of seeds, of which this is
    one; none: this look is the only one.

    Raises: ValueError for a doubled branch and seed, or a pair without a common seed.
    """
    if seed_values.duplicated(["branch", "seed"]).any():
        raise ValueError("a branch has two values for one seed; expected one")
    by_branch = seed_values.pivot(index="seed", columns="branch", values="value")
    branches = list(dict.fromkeys(seed_values["branch"]))
    pairs = list(combinations(branches, 2))
    differences = []
    for first, second in pairs:
        common = by_branch[[first, second]].dropna()
        if common.empty:
            raise ValueError(f"{first} and {second} have no seed in common")
        differences.append(
            paired_difference(
                common[first].to_numpy(), second=common[second].to_numpy(), level=level
            )
        )
    if not pairs:
        return []
    tests = [(crossed or {}).get(pair) for pair in pairs]

    def spent(p: float, n: int, *, sides: int = 2) -> float:
        if not looks or math.isnan(p):
            return p
        # The levels of looks are two-sided.
        return spent_p(min(1.0, p * 2 / sides), looks=looks, num_seeds=n) * sides / 2

    t_p = [spent(d.t_p, d.n) for d in differences]
    both_p = [
        spent(_both(d.t_p, test), d.n) if test is not None else 1.0
        for d, test in zip(differences, tests, strict=True)
    ]
    ties = [
        tuple(spent(p, d.n, sides=1) for p in tie_ps(d, crossed=test, margin=margin))
        for d, test in zip(differences, tests, strict=True)
    ]
    adjusted, adjusted_both = holm(t_p), holm(np.nan_to_num(both_p, nan=1.0))
    tie_p, tie_both_p = hochberg([t[0] for t in ties]), hochberg([t[1] for t in ties])
    return [
        verdict(
            differences[k],
            first=first,
            second=second,
            higher_is_better=higher_is_better,
            margin=margin,
            adjusted_p=float(adjusted[k]),
            crossed=tests[k],
            adjusted_both_p=math.nan if tests[k] is None else float(adjusted_both[k]),
            tie_p=float(tie_p[k]),
            tie_both_p=float(tie_both_p[k]),
            alpha=alpha,
        )
        for k, (first, second) in enumerate(pairs)
    ]


def leader(pairs: Sequence[PairVerdict]) -> str | None:
    """The branch that wins against every other one, or None."""
    branches = {name for pair in pairs for name in (pair.first, pair.second)}
    for name in sorted(branches):
        own = [pair for pair in pairs if name in (pair.first, pair.second)]
        if all(pair.winner == name for pair in own):
            return name
    return None
