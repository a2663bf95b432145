"""Cleaning and the log-mel of a pair against librosa and Pillow used plainly.

`benchmarks/data_cleaning.py` says what each side does; this takes its ratio into the table.
"""

from benchmarks.data_cleaning import measure_ratio
from benchmarks.speed.table import Row

MIN_RATIO = 1.4


def rows(*, pairs: int) -> list[Row]:
    """Ratios of CPU time a pair of media."""
    found = measure_ratio(rounds=pairs)
    names = {
        "clean_and_mel": ("librosa and Pillow unchecked over cleaning with the log-mel", MIN_RATIO),
        "clean_and_prepare": ("the same over all that a run does before the first encoder", None),
    }
    rows = []
    for key, (name, goal) in names.items():
        side = found[key]
        assert isinstance(side, dict)
        ratios = side["ratios"]
        rows.append(
            Row(
                name,
                side["ratio"],
                "x",
                goal,
                spread=(min(ratios), max(ratios)),
                about=__doc__ or "",
                numbers={"cpu_ms_a_pair": found["cpu_ms_a_pair"]},
            )
        )
    return rows
