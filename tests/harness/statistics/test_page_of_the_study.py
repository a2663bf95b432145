"""docs/statistics.md against the result files that it quotes, table by table."""

import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "statistics.md").read_text(encoding="utf-8")
RESULTS = ROOT / "benchmarks" / "results"
STUDY: dict[str, list[dict[str, Any]]] = json.loads((RESULTS / "study.json").read_text())
AA: dict[str, list[dict[str, Any]]] = json.loads((RESULTS / "aa_study.json").read_text())
TRAININGS = {"collapsing": "one in ten collapses", "skewed": "lognormal, 3x sd"}


def rows_below(header: str) -> list[list[str]]:
    """Cells of the one table whose head begins with these words, without emphasis."""
    (table,) = re.findall(rf"^\| {re.escape(header)}.*\n\|[ -|]*\n((?:\|.*\n)+)", PAGE, re.M)
    return [[cell.strip() for cell in row.strip("| ").split(" | ")] for row in table.splitlines()]


def percent(value: float) -> str:
    return f"{100 * value:.1f}"


def least_to_most(values: Iterable[float], *, unit: str = " %", scale: float = 100) -> str:
    """`2.4 to 3.6 %`; one number where both round to it."""
    found = [scale * value for value in values]
    return f"{min(found):.1f} to {max(found):.1f}{unit}"


def worlds(name: str, **wanted: Any) -> list[dict[str, Any]]:
    """Cells of the study with these settings."""
    return [
        cell for cell in STUDY[name] if all(cell[key] == value for key, value in wanted.items())
    ]


def test_the_share_of_false_wins_is_the_measured_one() -> None:
    """Catches: the table of false wins, power and coverage of an earlier study."""
    rows = rows_below("branches | seeds | any false win, least")
    assert len(rows) == 12
    for branches, seeds, *said in rows:
        cells = worlds("cells", branches=int(branches), seeds=int(seeds), looks=[], shape="normal")
        assert len(cells) == 9
        worst = max(cells, key=lambda cell: cell["false_wins"])
        powers = [one["power"] for cell in cells for one in cell["powers"].values()]
        assert said == [
            f"{least_to_most(c['false_wins'] for c in cells)} ({percent(worst['upper_95'])})",
            least_to_most(powers),
            least_to_most(c["coverage_seeds"] for c in cells),
            least_to_most(c["coverage_clips"] for c in cells),
        ], (branches, seeds)


def test_the_share_of_false_ties_is_the_measured_one() -> None:
    """Catches: a level or power of ties that the study did not find."""
    rows = rows_below("seeds | branches | false, least")
    assert len(rows) == 12
    for seeds, branches, said, *rest in rows:
        cells = worlds("ties", branches=int(branches), seeds=int(seeds), looks=[])
        assert len(cells) == 6
        worst = max(cells, key=lambda cell: cell["false_ties"])
        level = least_to_most(c["false_ties"] for c in cells)
        assert said == f"{level} ({percent(worst['upper_95'])})", (seeds, branches)
        for which, written in zip(("these clips", "other clips"), rest[-2:], strict=True):
            assert written == least_to_most(c["powers"][which]["power"] for c in cells)


def test_odd_trainings_are_as_measured() -> None:
    """Catches: rates under collapsing or skewed trainings of an earlier rule."""
    for trainings, seeds, *said in rows_below("trainings of one branch, means equal"):
        shape = next(name for name, words in TRAININGS.items() if words == trainings)
        by_branches = [
            worlds("cells", branches=n, seeds=int(seeds), shape=shape)[0] for n in (2, 3, 5)
        ]
        two = by_branches[0]
        assert said == [
            " / ".join(percent(cell["false_wins"]) for cell in by_branches) + " %",
            f"{percent(two['false_claims_of_the_mean'])} %",
            f"{percent(two['coverage_seeds'])} %",
            f"{percent(two['coverage_typical'])} %",
        ], (trainings, seeds)


def test_claims_of_the_mean_are_as_measured() -> None:
    """Catches: a rate of false claims of the mean over trainings that nothing computed."""
    rows = rows_below("trainings of one branch; the other's are normal")
    said = sorted((int(row[1]), *row[2:]) for row in rows)
    found = sorted(
        (
            cell["seeds"],
            f"{percent(cell['false_wins'])} %",
            f"{100 * cell['speaks_of_the_mean']:.0f} %",
            f"{percent(cell['false_claims'])} % ({percent(cell['upper_95'])})",
        )
        for cell in STUDY["means"]
    )
    assert said == found


def test_collapses_are_called_as_often_as_measured() -> None:
    """Catches: false alarms, or falls that are found, of another bound than the one in force."""
    for seeds, bounds, level, wide, falls in rows_below("seeds | spreads below the median"):
        plain, spread = (
            [
                worlds("shapes", branches=n, seeds=int(seeds), widest=w, tails="normal")[0]
                for n in (2, 3, 5)
            ]
            for w in (1.0, 3.0)
        )
        for written, cell in zip(bounds.split(" / "), plain, strict=True):
            assert float(written) == pytest.approx(cell["bound"], abs=0.051)
        assert level == " / ".join(percent(cell["false_alarms"]) for cell in plain) + " %"
        assert wide == " / ".join(percent(cell["false_alarms"]) for cell in spread) + " %"
        found = [plain[0]["found"][size] for size in ("6", "12", "20")]
        assert falls == " / ".join(f"{100 * share:.0f}" for share in found) + " %"


def test_distances_are_as_measured() -> None:
    """Catches: a bias or printed error of KID and CMMD of an earlier estimator."""
    rows = rows_below("distance | n | correlation with the own picture | perfect")
    for row, plain, off in zip(rows, STUDY["distances"], STUDY["planted"], strict=True):
        assert row == [
            plain["metric"],
            str(plain["n"]),
            f"{plain['correlation']:g}",
            f"{plain['mean']:+.4f}",
            f"{plain['sd']:.4f}",
            f"{plain['printed_error']:.4f}",
            f"{off['mean']:.3f} ± {off['error_of_mean']:.3f}",
            f"{off['truth']:.3f} ± {off['error_of_truth']:.3f}",
        ]
    rows = rows_below("distance | n | correlation with the own picture | margin")
    for row, cell in zip(rows, STUDY["near_real"], strict=True):
        assert row == [
            cell["metric"],
            str(cell["n"]),
            f"{cell['correlation']:g}",
            f"{cell['margin']:.3f}",
            f"{percent(cell['false_claims'])} % ({percent(cell['upper_95'])})",
            f"{100 * cell['power']:.0f} %",
        ]


def test_the_remaining_tables_are_as_measured() -> None:
    """Catches: coverage of the bootstrap, power afterwards or the A/A rates of other files."""
    coverage = [row[-1] for row in rows_below("seeds | variance between trainings | sd between")]
    assert coverage == [f"{percent(cell['coverage'])} %" for cell in STUDY["bootstraps"]]
    found = [row[-1] for row in rows_below("seeds | sd of a clip's difference")]
    assert found == [f"{percent(cell['power'])} %" for cell in STUDY["printed_afterwards"]]
    for row, world in zip(
        rows_below("variance between trainings, of one image's"), AA["false_wins"], strict=True
    ):
        assert float(row[0].removesuffix(" %")) == 100 * world["training_variance"]
        names = ("naive", "2 names", "3 names")
        assert row[1:] == [f"{percent(world[name]['rate'])} %" for name in names]


def test_planned_looks_are_as_measured() -> None:
    """Catches: levels, seeds on average and coverage of looks that were never simulated so."""
    rows = rows_below("looks | branches | any false win")
    assert rows
    for looks, branches, level, seeds, coverage in rows:
        plan = [*range(6, 21, 2)] if "..." in looks else [int(look) for look in looks.split(", ")]
        cells = worlds("cells", looks=plan, branches=int(branches), shape="normal")
        worst = max(cells, key=lambda cell: cell["false_wins"])
        assert level == f"{percent(worst['false_wins'])} % ({percent(worst['upper_95'])})"
        used = [cell["mean_seeds_used"] for cell in cells]
        both = dict.fromkeys(f"{number:.2f}" for number in (min(used), max(used)))
        assert seeds == " to ".join(both)
        kinds = [cell[key] for cell in cells for key in ("coverage_seeds", "coverage_clips")]
        assert coverage == least_to_most(kinds)


RULES = {
    "the product's": "spent as log(1 + (e - 1) t), the product's",
    "alpha spent evenly": "spent as the share t of the seeds",
    "most of it at the first look, as 1 - exp(-2 t)": "spent as 1 - exp(-2 t)",
    "nearly all of it, as 1 - exp(-4 t)": "spent as 1 - exp(-4 t), nearly all at once",
    "the largest t of all pairs under sign flips, instead of Holm": "largest t by sign flips",
    "looks that are not paid for": "not paid for",
    "one sd for all branches (Tukey)": "one sd for all branches",
}


def test_rules_of_stopping_are_as_measured() -> None:
    """Catches: a rule praised or refused by numbers that nothing computed."""
    for rule, used, saved, level, wide in rows_below("rule | seeds on average"):
        cells = [worlds("stopping", branches=n, rule=RULES[rule])[0] for n in (2, 3, 5)]
        assert used == " / ".join(f"{cell['mean_seeds_used']:.2f}" for cell in cells)
        assert saved == f"{round(10 * (10 - cells[-1]['mean_seeds_used']))} %"
        assert level == f"{percent(cells[-1]['false_wins'])} %"
        assert wide == f"{percent(cells[-1]['false_wins_one_wide'])} %"


def test_the_price_of_looks_is_as_measured() -> None:
    """Catches: a share of wins for other clips at an early end that no world gave."""
    rows = rows_below("branches | a win for other clips at the end")
    assert [row[0] for row in rows] == ["2", "3", "5"]
    for branches, usual, hardest, _ in rows:
        cells = [c for c in worlds("cells", branches=int(branches)) if c["looks"]]
        by_world: dict[bool, list[float]] = {True: [], False: []}
        for cell in cells:
            is_hard = (cell["seed_variance"], cell["interaction"]) == (0.005, 1.0)
            by_world[is_hard].append(100 * cell["wins_at_some_look"])
        for written, found in ((usual, by_world[False]), (hardest, by_world[True])):
            both = dict.fromkeys(f"{share:.0f}" for share in (min(found), max(found)))
            assert written == " to ".join(both) + " %", branches
    shares = [
        100 * power["power"]
        for cell in STUDY["cells"]
        if cell["looks"]
        for power in cell["powers"].values()
    ]
    said = f"it was found in {least_to_most(shares, scale=1)} at each of the {len(shares)} looks"
    assert said in " ".join(PAGE.split())
