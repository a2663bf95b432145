"""What a number of seeds is said to find, and the table of it in the documentation."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from core.randomness import rng
from harness.comparison.power import power_sentence, power_table
from harness.statistics.exaggeration import exaggeration
from harness.statistics.power import Target, detectable_win
from harness.statistics.power_of_ties import smallest_margin
from harness.statistics.verdict import compare_pairs, leader

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


LOOKS = (6, 8, 10)


def share_at(look: int, *, effect: float, margin: float = 0.0, branches: int = 2) -> float:
    """How often the code that judges finds a winner, or with a margin a tie of all, at this look;
    in units of the paired sd."""
    draw, found = rng(look, "a planned look", branches), []
    for _ in range(150):
        values_BS = draw.standard_normal((branches, look)) / np.sqrt(2)
        values_BS[0] += effect
        table = pd.DataFrame(
            [(f"b{b}", s, v) for b, row in enumerate(values_BS) for s, v in enumerate(row)],
            columns=["branch", "seed", "value"],
        )
        pairs = compare_pairs(table, higher_is_better=True, margin=margin, looks=LOOKS)
        ties = all(pair.outcome.value == "tie" for pair in pairs)
        found.append(ties if margin else leader(pairs) == "b0")
    return float(np.mean(found))


@pytest.mark.parametrize(("look", "branches"), [(8, 2), (10, 2)])
def test_what_a_planned_look_is_said_to_find_is_found_there(look: int, branches: int) -> None:
    """Catches: the power of a test that no look is paid from, printed for one that is: of 80 %
    there were 69 and 64 (two branches, 8 and 10 seeds of 6, 8, 10)."""
    asked = {"num_branches": branches, "looks": LOOKS}
    effect = detectable_win(look, target=Target.HEADLINE, **asked)
    # 150 experiments: two standard errors are 6.5 points, the simulation behind the number 1.5.
    assert share_at(look, effect=effect, branches=branches) == pytest.approx(0.8, abs=0.075)
    margin = smallest_margin(look, **asked)
    tied = share_at(look, effect=0.0, margin=margin, branches=branches)
    assert tied == pytest.approx(0.8, abs=0.075)


def test_plans_and_reports_state_the_power_of_their_looks() -> None:
    """Catches: looks that are planned, and paid for, and forgotten where the power is printed."""
    alone, planned = power_sentence(6), power_sentence(6, looks=LOOKS)
    assert alone.startswith("6 seeds call a true difference of 1.82 ")
    said = "6 seeds, as one of the planned looks (6, 8, 10), call a true difference of "
    assert planned.startswith(f"{said}{detectable_win(6, looks=LOOKS):.2f} ")
    assert detectable_win(8, looks=LOOKS) > 1.1 * detectable_win(8)
    rows = {row.num_seeds: row for row in power_table(8, num_branches=2, looks=LOOKS)}
    assert list(rows) == [3, 5, *LOOKS]
    assert rows[8].win_sd == detectable_win(8, looks=LOOKS)
    assert rows[8].tie_sd == smallest_margin(8, looks=LOOKS)
    one = exaggeration(1.4, sd=1.0, num_seeds=8)
    other = exaggeration(1.4, sd=1.0, num_seeds=8, looks=LOOKS)
    assert one is not None
    assert other is not None
    assert other.factor > one.factor
