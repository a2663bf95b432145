"""What a number of seeds can find, told before any of them is trained."""

import math
from collections.abc import Mapping, Sequence

from harness.comparison.record import PowerRow
from harness.statistics import MIN_SEEDS_FOR_A_WIN, detectable_effect

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
    if num_pairs > 1:
        hardest = detectable_effect(num_seeds, alpha=0.05 / num_pairs)
        sentence += f" ({hardest:.2f} where it is the first of {num_pairs} pairs under Holm)"
    if num_seeds < MIN_SEEDS_FOR_A_WIN:
        sentence += f"; they are exploratory, a win needs {MIN_SEEDS_FOR_A_WIN}"
    return sentence + "."


def seeds_needed(effect_sd: float, *, most: int = 1_000) -> int | None:
    """Fewest seeds that find `effect_sd` paired seed sd in 80 % of cases and may claim a win."""
    if not effect_sd > 0:
        return None
    low, high = MIN_SEEDS_FOR_A_WIN, most
    if detectable_effect(high) > effect_sd:
        return None
    while low < high:
        middle = (low + high) // 2
        if detectable_effect(middle) <= effect_sd:
            high = middle
        else:
            low = middle + 1
    return low


def _row(
    num_seeds: int, *, num_pairs: int, sds: Mapping[str, float | None], alpha: float
) -> PowerRow:
    alone = detectable_effect(num_seeds, alpha=alpha)
    hardest = detectable_effect(num_seeds, alpha=alpha / max(1, num_pairs))
    return PowerRow(
        num_seeds=num_seeds,
        detectable_sd=alone if math.isfinite(alone) else None,
        detectable_sd_all_pairs=hardest if math.isfinite(hardest) else None,
        detectable={
            pair: alone * sd for pair, sd in sds.items() if sd is not None and math.isfinite(alone)
        },
        can_win=num_seeds >= MIN_SEEDS_FOR_A_WIN,
    )


def view_rows(rows: Sequence[PowerRow]) -> list[tuple[str, str, str]]:
    """Seeds, detectable alone, detectable under Holm; as text for a table."""
    return [
        (
            str(row.num_seeds),
            "" if row.detectable_sd is None else f"{row.detectable_sd:.2f}",
            "" if row.detectable_sd_all_pairs is None else f"{row.detectable_sd_all_pairs:.2f}",
        )
        for row in rows
    ]
