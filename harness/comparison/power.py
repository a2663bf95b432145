"""What a number of seeds can find, told before any of them is trained."""

import math
from collections.abc import Mapping

from harness.comparison.record import PowerRow
from harness.statistics.outcome import MIN_SEEDS_FOR_A_WIN
from harness.statistics.paired import detectable_effect
from harness.statistics.power import detectable_win

_NUM_SEEDS = (2, 3, 5, 6, 8, 10, 12, 16, 20)


def power_table(
    num_seeds: int,
    *,
    num_pairs: int,
    sds: Mapping[str, float | None] | None = None,
    alpha: float = 0.05,
) -> list[PowerRow]:
    """A row for the usual numbers of seeds and for `num_seeds`.

    sds: paired seed standard deviation of each pair, once it is known.
    """
    asked = sorted({*_NUM_SEEDS, num_seeds} - {0})
    return [_row(n, num_pairs=num_pairs, sds=sds or {}, alpha=alpha) for n in asked]


def power_sentence(num_seeds: int, *, num_pairs: int = 1) -> str:
    """What this many seeds can find."""
    if num_seeds < 2:
        return "One seed cannot tell branches apart: there is no difference to pair it with."
    sentence = (
        f"{num_seeds} seeds find a difference of {detectable_effect(num_seeds):.2f} paired seed "
        "standard deviations in 80 % of cases"
    )
    if num_seeds < MIN_SEEDS_FOR_A_WIN:
        return f"{sentence}; they are exploratory, a win needs {MIN_SEEDS_FOR_A_WIN}."
    win = detectable_win(num_seeds, num_pairs=max(1, num_pairs))
    among = f" as one of {num_pairs} pairs" if num_pairs > 1 else ""
    return f"{sentence}; to be called a win{among} as often it takes {win:.2f}."


def _row(
    num_seeds: int, *, num_pairs: int, sds: Mapping[str, float | None], alpha: float
) -> PowerRow:
    alone = detectable_effect(num_seeds, alpha=alpha)
    hardest = detectable_effect(num_seeds, alpha=alpha / max(1, num_pairs))
    win = detectable_win(num_seeds, num_pairs=max(1, num_pairs), alpha=alpha)
    return PowerRow(
        num_seeds=num_seeds,
        detectable_sd=alone if math.isfinite(alone) else None,
        detectable_sd_all_pairs=hardest if math.isfinite(hardest) else None,
        win_sd=win if math.isfinite(win) else None,
        detectable={
            pair: alone * sd for pair, sd in sds.items() if sd is not None and math.isfinite(alone)
        },
        can_win=num_seeds >= MIN_SEEDS_FOR_A_WIN,
    )
