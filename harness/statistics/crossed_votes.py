"""Means of votes whose listeners, clips and trainings are all samples. float64.

Shape legend: V votes, G groups of a factor.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from harness.statistics.outcome import MIN_LISTENERS

Array = NDArray[np.float64]

P_FACTOR = 1.5
"""On p, and in the interval alike: with three trainings Satterthwaite's t finds up to 6 % at a
stated 5 % (benchmarks/votes_study.py)."""


@dataclass(frozen=True, kw_only=True)
class CrossedShare:
    """A mean with every factor that varies drawn anew."""

    mean: float
    """Over the votes."""
    error: float
    """Its standard error; NaN where no factor has two groups."""
    freedom: float
    """Degrees of freedom of t (Satterthwaite 1946); NaN as above."""
    low: float
    """Lower end of the interval; NaN as above."""
    high: float
    """Upper end; NaN as above."""
    p: float
    """Two-sided p against `null`; NaN as above."""
    num_votes: int
    """Votes."""
    groups: Mapping[str, int]
    """Groups of each factor; a factor of one group is taken as given."""


def crossed_share(
    votes_V: ArrayLike,
    *,
    factors: Mapping[str, Sequence[object]],
    null: float = 0.5,
    level: float = 0.95,
) -> CrossedShare:
    """Mean of votes in [0, 1] for other listeners, clips and trainings than these.

    Variance clustered by each factor (Cameron, Gelbach and Miller 2011), each part widened by
    G / (G - 1), and the votes' own noise, which every part holds, counted once. We leave out
    their terms of two factors at a time: what they subtract is small, and without them the
    variance is never too small. It is never taken below the largest part. Where all votes are
    alike, the interval is never narrower than the exact one of as many successes in as many tries
    (Clopper and Pearson 1934), and p never smaller than a sign test's.

    Raises: ValueError without votes, or where a factor does not name every vote's group.
    """
    values_V = np.asarray(votes_V, dtype=np.float64)
    if values_V.size == 0 or any(len(of_V) != values_V.size for of_V in factors.values()):
        raise ValueError("expected at least one vote, and every factor's group of each")
    num = values_V.size
    mean = float(values_V.mean())
    centred_V = values_V - mean
    groups: dict[str, int] = {}
    parts: list[tuple[float, float]] = []
    for name, of_V in factors.items():
        _, group_V = np.unique(np.asarray([str(g) for g in of_V]), return_inverse=True)
        sizes_G = np.bincount(group_V)
        groups[name] = len(sizes_G)
        if len(sizes_G) > 1:
            total_G = np.bincount(group_V, weights=centred_V)
            wide = len(sizes_G) / (len(sizes_G) - 1)
            # Unequal groups count as fewer: (sum w^2)^2 / sum w^4 for shares w.
            share_G = sizes_G / num
            effective = float((share_G**2).sum() ** 2 / (share_G**4).sum())
            parts.append((wide * float((total_G**2).sum()) / num**2, max(1.0, effective - 1)))
    if not parts:
        nan = math.nan
        return CrossedShare(
            mean=mean,
            error=nan,
            freedom=nan,
            low=nan,
            high=nan,
            p=nan,
            num_votes=num,
            groups=groups,
        )
    own = float((centred_V**2).sum()) / num**2 * num / max(1, num - 1)
    total = sum(part for part, _ in parts) - (len(parts) - 1) * own
    variance = max(total, *(part for part, _ in parts))
    # Where every vote is alike the sample says nothing of its spread: as if one more differed.
    variance = max(variance, (num + 1) * 0.25 / (num + 2) ** 3)
    spread = sum(part**2 / freedom for part, freedom in parts)
    freedom = variance**2 / spread if spread > 0 else min(f for _, f in parts)
    freedom = max(min(f for _, f in parts), min(freedom, float(num - 1)))
    error = math.sqrt(variance)
    half = float(stats.t.ppf(1 - (1 - level) / 2 / P_FACTOR, freedom)) * error
    p = min(1.0, P_FACTOR * float(2 * stats.t.sf(abs(mean - null) / error, freedom)))
    if own == 0 and mean in (0.0, 1.0):
        half = max(half, 1 - ((1 - level) / 2 / P_FACTOR) ** (1 / num))
        alike = null if mean == 1 else 1 - null
        p = max(p, min(1.0, P_FACTOR * 2 * alike**num))
    return CrossedShare(
        mean=mean,
        error=error,
        freedom=freedom,
        low=max(0.0, mean - half),
        high=min(1.0, mean + half),
        p=p,
        num_votes=num,
        groups=groups,
    )


@dataclass(frozen=True)
class VoteSpread:
    """What is assumed before votes are in: standard deviations on the scale of a share."""

    listeners: float = 0.08
    """Of listeners: how far one's share lies from another's."""
    clips: float = 0.15
    """Of clips: how far one clip's share lies from another's."""
    trainings: float = 0.05
    """Of trainings."""


def planned_error(
    *, listeners: int, clips: int, trainings: int, votes_per_listener: int, spread: VoteSpread
) -> float:
    """Standard error of a share near one half, before votes are in."""
    parts = (
        spread.listeners**2 / listeners,
        spread.clips**2 / clips,
        spread.trainings**2 / trainings if trainings > 1 else 0.0,
        0.25 / (listeners * votes_per_listener),
    )
    return math.sqrt(math.fsum(parts))


def listeners_for(
    share: float,
    *,
    clips: int,
    trainings: int,
    votes_per_listener: int,
    spread: VoteSpread,
    num_branches: int = 2,
    most: int = 500,
) -> int | None:
    """Fewest listeners with whom a branch whose true share against every other one is `share`
    wins in 80 % of cases; None where no number up to `most` does, since clips and trainings bound
    what listeners can find.
    """

    def is_found(listeners: int) -> bool:
        found = winning_share(
            num_branches=num_branches,
            listeners=listeners,
            clips=clips,
            trainings=trainings,
            votes_per_listener=votes_per_listener,
            spread=spread,
        )
        return found <= share

    low, high = MIN_LISTENERS, most
    if not is_found(high):
        return None
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if is_found(middle) else (middle + 1, high)
    return low


def winning_share(
    *,
    num_branches: int,
    listeners: int,
    clips: int,
    trainings: int,
    votes_per_listener: int,
    spread: VoteSpread,
) -> float:
    """True share against every other branch with which one wins in 80 % of cases; at most 1.

    By the whole rule: every pair at the level that Holm's first step leaves it, and the branch's
    pairs together as if independent. Both are careful, so that more than 80 % are found.
    """
    return detectable_share(
        listeners=listeners,
        clips=clips,
        trainings=trainings,
        votes_per_listener=votes_per_listener,
        spread=spread,
        power=0.8 ** (1 / (num_branches - 1)),
        alpha=0.05 / math.comb(num_branches, 2),
    )


def detectable_share(
    *,
    listeners: int,
    clips: int,
    trainings: int,
    votes_per_listener: int,
    spread: VoteSpread,
    power: float = 0.8,
    alpha: float = 0.05,
) -> float:
    """True share above one half that `crossed_share` finds with this power; at most 1.

    Each clip is asked of one training, so that what clips vary is also in the part of trainings,
    and the test counts it twice: its error is larger than the true one, and it is this error that
    has to be overcome. The result is right to about two points (benchmarks/votes_study.py).
    """
    error = planned_error(
        listeners=listeners,
        clips=clips,
        trainings=trainings,
        votes_per_listener=votes_per_listener,
        spread=spread,
    )
    own = 0.25 / (listeners * votes_per_listener)
    of_clips = (spread.clips**2 + (spread.trainings**2 if trainings > 1 else 0.0)) / clips + own
    parts = [(of_clips, clips - 1), (spread.listeners**2 / listeners + own, listeners - 1)]
    if trainings > 1:
        of_trainings = spread.trainings**2 / trainings + spread.clips**2 / clips + own
        parts.append((of_trainings, trainings - 1))
    drawn = [(part, freedom) for part, freedom in parts if freedom > 0]
    if not drawn:
        return 1.0
    # The larger of several estimates is larger than any of them is on average.
    least = max(part * (1 + math.sqrt(2 / freedom) / 2) for part, freedom in drawn)
    tested = max(sum(part for part, _ in drawn) - (len(drawn) - 1) * own, least)
    freedom = tested**2 / sum(part**2 / f for part, f in drawn)
    freedom = max(freedom, float(min(f for _, f in drawn)))
    critical = float(stats.t.ppf(1 - alpha / 2 / P_FACTOR, freedom)) * math.sqrt(tested) / error
    # Power of a noncentral t (Cohen 1988): solved for its centre.
    low, high = 0.0, 100.0
    for _ in range(60):
        middle = (low + high) / 2
        found = float(stats.nct.sf(critical, freedom, middle))
        low, high = (middle, high) if found < power else (low, middle)
    return min(1.0, 0.5 + high * error)
