"""What a number of seeds is said to find, and the table of it in the documentation."""

from pathlib import Path

import pytest

from harness.statistics.power import Target, detectable_win
from harness.statistics.power_of_ties import smallest_margin

DOCS = Path(__file__).parents[3] / "docs" / "statistics.md"


def table_below(title: str) -> dict[int, list[float]]:
    """Rows of numbers, by seeds, of the first table after these words."""
    text = DOCS.read_text(encoding="utf-8")
    lines = text[text.index(title) :].split("\n\n| seeds |", 1)[1].split("\n\n", 1)[0].splitlines()
    cells = [[cell.strip() for cell in line.strip("| ").split("|")] for line in lines[2:]]
    return {int(row[0]): [float(value) for value in row[1:]] for row in cells if row[0].isdigit()}


@pytest.mark.parametrize("seeds", [6, 8, 10, 20])
def test_the_documented_power_is_the_printed_one(seeds: int) -> None:
    """Catches: a table that was made by another rule or other draws than what is printed."""
    asked = [(2, Target.PAIR)] + [(n, t) for n in (3, 5) for t in (Target.PAIR, Target.HEADLINE)]
    printed = [detectable_win(seeds, num_branches=n, target=t) for n, t in asked]
    documented = table_below("## What the seeds can find")[seeds]
    assert documented == pytest.approx(printed, abs=0.0051)
    margins = [smallest_margin(seeds, num_branches=n) for n in (2, 3, 5)]
    documented = table_below("Of the margin, for the tie of a whole comparison")[seeds]
    assert documented == pytest.approx(margins, abs=0.0051)
