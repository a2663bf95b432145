"""From paired differences to a verdict that states its own strength."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd
from scipy import stats

from harness.statistics.multiplicity import holm
from harness.statistics.outcome import MIN_SEEDS_FOR_A_WIN, Outcome, Strength
from harness.statistics.paired import PairedDifference, detectable_effect, paired_difference


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
    """Exploratory below 6 seeds."""
    winner: str | None
    """The better branch of a win, else None."""
    ahead: str | None
    """The branch with the better mean, whatever the outcome; None when equal."""
    difference: PairedDifference
    """First minus second, in the metric's own unit and direction."""
    adjusted_p: float
    """t-test p after Holm over the pairs; NaN with one seed."""
    margin: float
    """Differences within this are a tie; set before the runs."""
    detectable: float
    """True difference this many seeds would find in 80 % of cases, in the metric's unit; NaN with
    one seed."""


def verdict(
    difference: PairedDifference,
    *,
    first: str,
    second: str,
    higher_is_better: bool,
    margin: float = 0.0,
    adjusted_p: float | None = None,
    alpha: float = 0.05,
) -> PairVerdict:
    """What the difference allows one to say.

    Tie: two one-sided t-tests at `alpha` put the difference within the margin (Schuirmann 1987);
    it goes before a win, since a difference too small to matter is no win. A tie needs a margin.
    Win: at least 6 seeds, the (Holm-)adjusted t-test p and the plain sign-flip p both at most
    `alpha`. The sign-flip p is not adjusted: with 3 pairs it could not reach .05 below 7 seeds.
    Undecided: anything else.
    """
    p = difference.t_p if adjusted_p is None else adjusted_p
    enough = difference.n >= MIN_SEEDS_FOR_A_WIN
    if difference.mean == 0:
        ahead = None
    else:
        ahead = first if (difference.mean > 0) == higher_is_better else second
    if _is_tie(difference, margin=margin, alpha=alpha):
        outcome = Outcome.TIE
    elif enough and ahead and p <= alpha and difference.sign_flip_p <= alpha:
        outcome = Outcome.WIN
    else:
        outcome = Outcome.UNDECIDED
    return PairVerdict(
        first=first,
        second=second,
        outcome=outcome,
        strength=Strength.CONFIRMED if enough else Strength.EXPLORATORY,
        winner=ahead if outcome is Outcome.WIN else None,
        ahead=ahead,
        difference=difference,
        adjusted_p=p,
        margin=margin,
        detectable=detectable_effect(difference.n) * difference.sd,
    )


def _is_tie(difference: PairedDifference, *, margin: float, alpha: float) -> bool:
    if difference.n < 2 or margin <= 0:
        return False
    error = difference.sd / math.sqrt(difference.n)
    half = float(stats.t.isf(alpha, difference.n - 1)) * error
    return difference.mean - half >= -margin and difference.mean + half <= margin


def compare_pairs(
    seed_values: pd.DataFrame,
    *,
    higher_is_better: bool,
    margin: float = 0.0,
    alpha: float = 0.05,
    level: float = 0.95,
) -> list[PairVerdict]:
    """Verdicts of all pairs of branches on one metric, Holm-adjusted over the pairs.

    seed_values: columns branch, seed, value; one value a branch and seed. A pair uses the seeds
    that both have. The pairs keep the order in which the branches first appear.
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
    adjusted = holm([difference.t_p for difference in differences]) if pairs else np.array([])
    return [
        verdict(
            difference,
            first=first,
            second=second,
            higher_is_better=higher_is_better,
            margin=margin,
            adjusted_p=float(p),
            alpha=alpha,
        )
        for (first, second), difference, p in zip(pairs, differences, adjusted, strict=True)
    ]


def leader(pairs: Sequence[PairVerdict]) -> str | None:
    """The branch that wins against every other one, or None."""
    branches = {name for pair in pairs for name in (pair.first, pair.second)}
    for name in sorted(branches):
        own = [pair for pair in pairs if name in (pair.first, pair.second)]
        if all(pair.winner == name for pair in own):
            return name
    return None
