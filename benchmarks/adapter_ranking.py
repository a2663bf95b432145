"""What a ranking by one training is worth: five adapters, six seeds, read from a comparison.

    python -m benchmarks.adapter_ranking RESULTS/reports/adapters

Reads a finished comparison of the branches of `adapter_arms.py`. For each metric it ranks the
adapters as one seed would and as all would, and, as peft's own comparison of image generation
does (`method_comparison/image-gen`: seed 0, four test images), by one seed on four clips. Writes
`results/adapter_ranking.json` and the figure of docs/variants.md.

Shape legend: A adapters, S seeds, C clips; values are turned so that higher is better.
"""

import argparse
import json
import math
from collections.abc import Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from benchmarks.adapter_arms import PREFIX
from core.randomness import rng
from harness.comparison.record import ComparisonRecord, MetricRow, load_comparison
from harness.comparison.runs import load_run
from harness.metrics.arms import Arm

Array = NDArray[np.float64]
HERE = Path(__file__).parent
METRICS = ("listening_rank", "attribute_error", "ais_win", "clip_score", "kid")
FEW_CLIPS, NUM_DRAWS = 4, 10_000
"""Clips of a ranking such as peft's, and how many such sets are drawn."""


def order(score_A: Array) -> tuple[int, ...]:
    """Places of the adapters, the best first; equal ones in the order given."""
    return tuple(int(place) for place in np.argsort(-score_A, kind="stable"))


def flipped(one_A: Array, other_A: Array) -> float:
    """Share of pairs of adapters that two scores order oppositely; a tie in either counts half.

    Kendall's tau is 1 - 2 x this.
    """
    pairs = list(combinations(range(len(one_A)), 2))
    agree = [np.sign(one_A[i] - one_A[k]) * np.sign(other_A[i] - other_A[k]) for i, k in pairs]
    return float(np.mean((1 - np.array(agree)) / 2))


def tau(one_A: Array, other_A: Array) -> float:
    """Kendall's tau-a of two scores."""
    return 1 - 2 * flipped(one_A, other_A)


def agreement(score_AS: Array, *, size: int) -> float:
    """Mean tau between the rankings of two sets of so many seeds that share none."""
    seeds = range(score_AS.shape[1])
    found = [
        tau(score_AS[:, one].mean(axis=1), score_AS[:, other].mean(axis=1))
        for one in combinations(seeds, size)
        for other in combinations(sorted(set(seeds) - set(one)), size)
        if one < other
    ]
    return float(np.mean(found))


def flipped_by_own_seeds(score_AS: Array) -> float:
    """Share of pairs ordered against the mean where each adapter has another seed than its rival,
    as numbers of different reports have."""
    mean_A, (num, num_seeds) = score_AS.mean(axis=1), score_AS.shape
    own = [(s, t) for s in range(num_seeds) for t in range(num_seeds) if s != t]
    return _mean(
        flipped(np.array([score_AS[i, s], score_AS[k, t]]), mean_A[[i, k]])
        for i, k in combinations(range(num), 2)
        for s, t in own
    )


def by_single_seeds(score_AS: Array) -> dict[str, Any]:
    """What single seeds say beside the mean over all, and beside each other."""
    mean_A, num_seeds = score_AS.mean(axis=1), score_AS.shape[1]
    best = order(mean_A)[0]
    of_others = [np.delete(score_AS, s, axis=1).mean(axis=1) for s in range(num_seeds)]
    seeds = range(num_seeds)
    return {
        "seeds_with_another_winner": sum(order(score_AS[:, s])[0] != best for s in seeds),
        "seeds_with_another_order": sum(order(score_AS[:, s]) != order(mean_A) for s in seeds),
        "different_winners": len({order(score_AS[:, s])[0] for s in seeds}),
        "tau_with_all_seeds": [round(tau(score_AS[:, s], mean_A), 3) for s in seeds],
        "tau_with_the_other_seeds": [round(tau(score_AS[:, s], of_others[s]), 3) for s in seeds],
        "pairs_flipped_against_all": _mean(flipped(score_AS[:, s], mean_A) for s in seeds),
        "pairs_flipped_between_two_seeds": _mean(
            flipped(score_AS[:, s], score_AS[:, t]) for s, t in combinations(seeds, 2)
        ),
        "pairs_flipped_against_all_by_own_seeds": flipped_by_own_seeds(score_AS),
        "mean_tau_between_sets_of_seeds": {
            str(size): round(agreement(score_AS, size=size), 3)
            for size in range(1, num_seeds // 2 + 1)
        },
    }


def by_few_clips(
    score_ASC: Array, *, num_clips: int = FEW_CLIPS, num_draws: int = NUM_DRAWS
) -> dict[str, Any]:
    """Rankings by one seed, drawn, on a few clips, drawn, beside that of all seeds and clips."""
    _, num_seeds, num_all = score_ASC.shape
    mean_A, draw = score_ASC.mean(axis=(1, 2)), rng(0, "adapter ranking", "few clips")
    best = order(mean_A)[0]
    winners, flips = [], []
    for _ in range(num_draws):
        seed = int(draw.integers(num_seeds))
        clips = draw.choice(num_all, size=num_clips, replace=False)
        few_A = score_ASC[:, seed, clips].mean(axis=1)
        winners.append(order(few_A)[0] != best)
        flips.append(flipped(few_A, mean_A))
    return {
        "clips": num_clips,
        "another_winner": _mean(winners),
        "pairs_flipped": _mean(flips),
        "mean_tau": round(1 - 2 * float(np.mean(flips)), 3),
    }


def interval(value_S: Array) -> tuple[float, float]:
    """Student's t interval of the mean over seeds, 95 %."""
    reach = stats.t.ppf(0.975, len(value_S) - 1) * value_S.std(ddof=1) / math.sqrt(len(value_S))
    return float(value_S.mean() - reach), float(value_S.mean() + reach)


def of_metric(row: MetricRow, *, seeds: Sequence[int]) -> dict[str, Any]:
    """Values by seed, the order and what single seeds make of it. Raises: ValueError on a gap."""
    names = list(row.branches)
    value_AS = np.array(
        [[row.branches[name].values[seed] for seed in seeds] for name in names], dtype=np.float64
    )
    if np.isnan(value_AS).any():
        raise ValueError(f"{row.metric} has no value for some seed")
    score_AS = value_AS if row.higher_is_better else -value_AS
    ranked = order(score_AS.mean(axis=1))
    return {
        "higher_is_better": row.higher_is_better,
        "adapters": {
            _kind(names[place]): {
                "mean": round(float(value_AS[place].mean()), 4),
                "interval_95": [round(end, 4) for end in interval(value_AS[place])],
                "by_seed": [round(float(value), 4) for value in value_AS[place]],
            }
            for place in ranked
        },
        "winner_by_seed": [_kind(names[order(score_AS[:, s])[0]]) for s in range(len(seeds))],
        "order_by_seed": [
            [_kind(names[place]) for place in order(score_AS[:, s])] for s in range(len(seeds))
        ],
        **by_single_seeds(score_AS),
    }


def clip_values(record: ComparisonRecord, *, folder: Path) -> Array:
    """[A, S, C] of the primary metric with the matching sound, on clips that all runs scored."""
    column: dict[tuple[str, int], Mapping[str, float]] = {}
    for run in record.runs:
        table = load_run(record.run_folder(run, folder=folder)).per_clip
        rows = table[(table["metric"] == record.metric) & (table["arm"] == Arm.AUDIO.value)]
        column[run.branch, run.seed] = rows.groupby("sample_id")["value"].mean().dropna().to_dict()
    clips = sorted(set.intersection(*(set(values) for values in column.values())))
    sign = 1.0 if record.higher_is_better else -1.0
    return sign * np.array(
        [
            [[column[name, seed][clip] for clip in clips] for seed in record.seeds]
            for name in record.branches
        ]
    )


def study(folder: Path) -> dict[str, Any]:
    """Everything that is kept of a comparison in its folder."""
    record = load_comparison(folder)
    trained = {run.branch: run.parameters for run in record.runs}
    return {
        "metric": record.metric,
        "seeds": record.seeds,
        "test_clips": record.row(record.metric).n,
        "settings": record.eligibility.settings,
        "parameters": {_kind(name): found for name, found in trained.items()},
        "verdict": record.verdict,
        "pairs": [
            {
                "first": _kind(pair.first),
                "second": _kind(pair.second),
                "effect": round(pair.effect, 4),
                "sd": None if pair.sd is None else round(pair.sd, 4),
                "simultaneous_95": None
                if pair.simultaneous is None
                else [round(pair.simultaneous.low, 4), round(pair.simultaneous.high, 4)],
                "adjusted_p": None if pair.adjusted_p is None else float(f"{pair.adjusted_p:.2g}"),
                "verdict": pair.verdict.value,
            }
            for pair in record.pairs
        ],
        "one_seed_few_clips": by_few_clips(clip_values(record, folder=folder)),
        "metrics": {
            name: of_metric(record.row(name), seeds=record.seeds)
            for name in dict.fromkeys((record.metric, *METRICS))
        },
    }


def draw(found: Mapping[str, Any], *, out: Path) -> None:
    """A row per adapter, a dot per seed; at the right less what the seed gave to all five."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    name, num_seeds = found["metric"], len(found["seeds"])
    adapters = found["metrics"][name]["adapters"]
    value_AS = np.array([adapter["by_seed"] for adapter in adapters.values()])
    figure, (left, right) = plt.subplots(
        1, 2, sharey=True, figsize=(8.6, 0.56 * len(adapters) + 1.2), dpi=110
    )
    _panel(left, value_AS, has_lines=True)
    _panel(right, value_AS - value_AS.mean(axis=0), has_lines=False)
    right.axvline(0, color="black", linewidth=0.8, zorder=0)
    left.set_yticks(range(len(adapters) - 1, -1, -1), list(adapters), fontsize=9.5)
    left.set_xlabel(
        f"{name}, {found['test_clips']} clips\ndot: one training; line: one seed", fontsize=8.5
    )
    right.set_xlabel(
        f"the same less the seed's mean over all\nbar: mean of {num_seeds} seeds, 95 % interval",
        fontsize=8.5,
    )
    figure.tight_layout()
    out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out, metadata={"Software": None})
    plt.close(figure)


def _panel(axes: Any, value_AS: Array, *, has_lines: bool) -> None:
    ink, faint = "#1b4965", "#c9d6df"
    rows = list(range(len(value_AS) - 1, -1, -1))
    for value_A in value_AS.T:
        if has_lines:
            axes.plot(value_A, rows, color=faint, linewidth=1.1, zorder=1)
        axes.scatter(value_A, rows, s=26, color="white", edgecolors=ink, linewidths=1.1, zorder=3)
    for row, value_S in zip(rows, value_AS, strict=True):
        axes.hlines(row - 0.26, *interval(value_S), color=ink, linewidth=2.4, zorder=4)
        axes.vlines(value_S.mean(), row - 0.36, row - 0.16, color=ink, linewidth=2.4, zorder=4)
    axes.tick_params(axis="y", length=0)
    axes.set_ylim(-0.6, len(rows) - 0.5)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)


def _kind(name: str) -> str:
    return name.removeprefix(PREFIX)


def _mean(values: Any) -> float:
    return round(float(np.mean(list(values))), 3)


def main() -> None:
    """Read a comparison, write and draw."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("comparison", type=Path)
    parser.add_argument("--out", type=Path, default=HERE / "results" / "adapter_ranking.json")
    images = HERE.parent / "docs" / "images"
    parser.add_argument("--figure", type=Path, default=images / "adapter_ranking.png")
    given = parser.parse_args()
    found = study(given.comparison)
    given.out.write_text(json.dumps(found, indent=1) + "\n")
    draw(found, out=given.figure)


if __name__ == "__main__":
    main()
