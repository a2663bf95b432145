"""Does the verdict keep its word? Simulated comparisons with known truth.

    PYTHONPATH=. python benchmarks/aa_study.py [--repeats 10000] [--out docs/images/aa_study.svg]

Prints one JSON object and draws the figure of docs/statistics.md. Under a minute on a core.
"""

import argparse
import json
from pathlib import Path
from typing import Any

from scipy import stats

from benchmarks.stand_in import World, naive_rate
from benchmarks.study import Cell, run_cell

_TRAINING_VARIANCES = (0.0, 0.01, 0.05, 0.1, 0.2)


def _rate(share: float, repeats: int) -> dict[str, float]:
    """A share with its 95 % Clopper-Pearson interval."""
    found = stats.binomtest(round(share * repeats), repeats).proportion_ci(0.95)
    return {"rate": share, "low": float(found.low), "high": float(found.high), "repeats": repeats}


def study(repeats: int) -> dict[str, Any]:
    """False wins of the product's rule and of the naive test."""
    false_wins = []
    for variance in _TRAINING_VARIANCES:
        row: dict[str, Any] = {"training_variance": variance}
        world = World(training_sd=variance**0.5)
        row["naive"] = _rate(naive_rate(world, repeats=repeats), repeats)
        for names in (2, 3):
            cell = run_cell(Cell(names, 6, variance, 0.0), repeats)
            row[f"{names} names"] = _rate(cell["false_wins"], repeats)
        false_wins.append(row)
    return {"false_wins": false_wins}


def draw(found: dict[str, Any], *, out: Path) -> None:
    """False wins against how much trainings differ: naive and paired by seed."""
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams["svg.hashsalt"] = "aa-study"
    import matplotlib.pyplot as plt

    rows = found["false_wins"]
    share = [100 * row["training_variance"] for row in rows]
    figure, axes = plt.subplots(figsize=(6.4, 3.6), layout="constrained")
    series = {
        "naive": "images of one training, paired by clip",
        "2 names": "this harness, 6 seeds, two names",
        "3 names": "this harness, 6 seeds, three names",
    }
    for key, label in series.items():
        middle = [100 * row[key]["rate"] for row in rows]
        ends = [
            [100 * abs(row[key]["rate"] - row[key][end]) for row in rows] for end in ("low", "high")
        ]
        axes.errorbar(share, middle, yerr=ends, label=label, marker="o", capsize=3)
    axes.axhline(5, color="grey", linestyle="--", linewidth=1)
    axes.annotate("stated level", (20, 5), va="bottom", ha="right", color="grey")
    axes.set_xlabel("variance between trainings, in % of one image's")
    axes.set_ylabel("equal branches called a win, %")
    axes.set_ylim(bottom=0)
    axes.legend(frameon=False, loc="upper left")
    out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out, metadata={"Date": None})


def main() -> None:
    """Run the study from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=10_000)
    parser.add_argument("--out", type=Path, default=Path("docs/images/aa_study.svg"))
    options = parser.parse_args()
    found = study(options.repeats)
    draw(found, out=options.out)
    print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
