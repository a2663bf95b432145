"""What a number of seeds can find, told before any of them is trained, and with the sd seen."""

import math
from collections.abc import Mapping, Sequence

from harness.comparison.evidence import Interval
from harness.comparison.record import PowerRow
from harness.statistics.outcome import MIN_SEEDS_FOR_A_WIN
from harness.statistics.power import ClipShare, Target, detectable_win, sd_factors
from harness.statistics.power_of_ties import smallest_margin
from harness.statistics.verdict import PairVerdict

_NUM_SEEDS = (3, 5, 6, 8, 10, 12, 16, 20)


def power_table(
    num_seeds: int,
    *,
    num_branches: int,
    sds: Mapping[str, float | None] | None = None,
    looks: Sequence[int] = (),
    alpha: float = 0.05,
) -> list[PowerRow]:
    """A row for the usual numbers of seeds and for `num_seeds`.

    sds: paired seed standard deviation of each pair, once it is known. looks: planned numbers of
    seeds; where there are some, the rows from 6 seeds on are these, each for that look alone.
    """
    asked = {*_NUM_SEEDS, num_seeds} - {0}
    if looks:
        asked = {n for n in asked if n < MIN_SEEDS_FOR_A_WIN} | {*looks}
    return [
        _row(n, num_branches=max(2, num_branches), sds=sds or {}, looks=tuple(looks), alpha=alpha)
        for n in sorted(asked)
    ]


def power_sentence(num_seeds: int, *, num_branches: int = 2, looks: Sequence[int] = ()) -> str:
    """What this many seeds can find; at this look alone where it is one of the planned `looks`."""
    if num_seeds < 2:
        return "One seed cannot tell branches apart: there is no difference to pair it with."
    if num_seeds < MIN_SEEDS_FOR_A_WIN:
        return (
            f"{num_seeds} seeds are exploratory: no difference, however large, can be called a "
            f"win below {MIN_SEEDS_FOR_A_WIN} seeds, since the sign-flip test cannot reach .05."
        )
    planned, two_or_more = tuple(looks), max(2, num_branches)
    pair = detectable_win(num_seeds, num_branches=two_or_more, looks=planned)
    paid = ""
    if num_seeds in planned:
        paid = f", as one of the planned looks ({', '.join(map(str, planned))}),"
    sentence = (
        f"{num_seeds} seeds{paid} call a true difference of {pair:.2f} paired seed standard "
        "deviations a win in 80 % of cases"
    )
    if num_branches > 2:
        whole = detectable_win(
            num_seeds, num_branches=num_branches, target=Target.HEADLINE, looks=planned
        )
        sentence += (
            f" (one pair of {math.comb(num_branches, 2)}); one branch wins against all others as "
            f"often where it is {whole:.2f} ahead of each"
        )
    margin = smallest_margin(num_seeds, num_branches=two_or_more, looks=planned)
    return (
        f"{sentence}. Equal branches are shown to tie in 80 % of cases where the margin is "
        f"{margin:.2f} of these standard deviations. That is for these test clips. For other clips "
        "difference and margin must be larger, by how much the branches differ clip by clip; the "
        "finished runs will show it."
    )


def detectable(
    pair: PairVerdict, *, num_branches: int, alpha: float, looks: Sequence[int] = ()
) -> tuple[float | None, str | None]:
    """(True difference that a comparison like this one calls a win in 80 % of cases, in the
    metric's unit, why there is none).

    By the whole rule, at this look alone where it is one of the planned `looks`, for other clips
    where the pair's clips are known, and with the sd as uncertain as these seeds leave it.
    """
    found = pair.difference
    if found.n < MIN_SEEDS_FOR_A_WIN:
        counted = "1 seed" if found.n == 1 else f"{found.n} seeds"
        return None, f"{counted} cannot call a win, however large the difference"
    if not (math.isfinite(found.sd) and found.sd > 0):
        return None, "the trainings do not differ, so there is no scale to state it in"
    clips = None if pair.crossed is None else ClipShare.of(pair.crossed.components)
    effect = detectable_win(
        found.n,
        num_branches=num_branches,
        clips=clips,
        sd_is_known=False,
        looks=tuple(looks),
        alpha=alpha,
    )
    if not math.isfinite(effect):
        return None, "no difference is called a win in 80 % of cases"
    return effect * found.sd, None


def sd_interval(sd: float, *, num_seeds: int, level: float = 0.95) -> Interval | None:
    """Where the true paired seed sd lies, for normal trainings (chi-square); None without a spread,
    of which equal values on a coarse grid do not say how small it is."""
    if num_seeds < 2 or not math.isfinite(sd) or sd == 0:
        return None
    low, high = sd_factors(num_seeds, level=level)
    return Interval(low=low * sd, high=high * sd, level=level)


def _row(
    num_seeds: int,
    *,
    num_branches: int,
    sds: Mapping[str, float | None],
    looks: tuple[int, ...],
    alpha: float,
) -> PowerRow:
    can_win = num_seeds >= MIN_SEEDS_FOR_A_WIN
    known = detectable_win(num_seeds, num_branches=num_branches, looks=looks, alpha=alpha)
    headline = detectable_win(
        num_seeds, num_branches=num_branches, target=Target.HEADLINE, looks=looks, alpha=alpha
    )
    return PowerRow(
        num_seeds=num_seeds,
        win_sd=known if can_win else None,
        headline_sd=headline if can_win else None,
        tie_sd=smallest_margin(num_seeds, num_branches=num_branches, looks=looks, alpha=alpha)
        if can_win
        else None,
        detectable={pair: known * sd for pair, sd in sds.items() if can_win and sd},
        can_win=can_win,
    )
