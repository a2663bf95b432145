"""Does the verdict keep its word? Simulated comparisons with known truth, by the product's rule.

    python benchmarks/study.py [--full] [--out benchmarks/results/study.json]

The quick form takes about ten minutes on two cores; --full makes 20,000 experiments a cell. The
rule of many experiments at once is `harness.statistics.many`; tests/harness/comparison/
test_study.py holds `decided` to `analyse`, records in and verdict out, decision by decision.

Shape legend: R experiments, B branches, P pairs, S seeds, C clips, K looks.
"""

import argparse
import json
import math
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from core.randomness import rng
from harness.metrics.distribution import CMMD_SCALE, KernelDistance, cmmd_kernel, kid_kernel
from harness.statistics.looks import planned_levels
from harness.statistics.many import (
    holm_rows,
    is_flip_significant,
    mean_squares,
    seed_p,
)
from harness.statistics.power import ClipShare, Target, detectable_win, win_power
from harness.statistics.verdict import CROSSED_P_FACTOR

Array = NDArray[np.float64]
Ints = NDArray[np.int64]

CLASS_SIZES = (10, 10, 10, 10, 10, 9, 4, 3)
ALPHA = 0.05
_BATCH_BYTES = 200_000_000


@dataclass(frozen=True)
class Cell:
    """One world and one way of looking at it."""

    branches: int
    """Branches that are compared."""
    seeds: int
    """Trainings of each; at the last look."""
    seed_variance: float
    """Of a training, as a share of one image's variance."""
    interaction: float
    """Standard deviation of what a clip adds to the difference of two branches, in image sd."""
    looks: tuple[int, ...] = ()
    """Planned numbers of seeds; empty: one look."""
    shape: str = "normal"
    """Of the trainings: normal, collapsing (one in ten of the first branch) or skewed."""


@dataclass(frozen=True)
class Decided:
    """What the rule says of many experiments."""

    clips_RP: Ints
    """Claims for other clips: 1 the first branch of the pair wins, -1 the second, 0 neither."""
    seeds_RP: Ints
    """The same of claims on these clips alone; 0 where the stronger claim is made."""
    used_R: Ints
    """Seeds at which it ended."""


def decided(scores_RBSC: Array, *, looks: Sequence[int] = (), class_C: Ints) -> Decided:
    """The rule of `compare_pairs` without a margin, ended at the first look with a headline win."""
    num_branches, num_seeds = scores_RBSC.shape[1:3]
    first, second = np.triu_indices(num_branches, k=1)
    num_pairs = len(first)
    shape = (len(scores_RBSC), num_pairs)
    clips_RP, seeds_RP = np.zeros(shape, dtype=np.int64), np.zeros(shape, dtype=np.int64)
    used_R = np.full(len(scores_RBSC), num_seeds)
    open_R = np.ones(len(scores_RBSC), dtype=bool)
    for look in looks or (num_seeds,):
        t_RP, both_RP, mean_RP = (np.empty(shape) for _ in range(3))
        flips_RPS = np.empty((*shape, look))
        for pair in range(num_pairs):
            difference_RSC = (
                scores_RBSC[:, first[pair], :look] - scores_RBSC[:, second[pair], :look]
            )
            squares = mean_squares(difference_RSC, class_C)
            flips_RPS[:, pair] = difference_RSC.mean(axis=2, dtype=np.float64)
            mean_RP[:, pair] = squares.mean_R
            t_RP[:, pair] = seed_p(flips_RPS[:, pair])
            both = np.minimum(1.0, CROSSED_P_FACTOR * squares.p_R)
            both_RP[:, pair] = np.maximum(t_RP[:, pair], both)
        alone_RP = _holm_at(t_RP, look=look, looks=looks, alpha=ALPHA / 2)
        crossed_RP = _holm_at(both_RP, look=look, looks=looks, alpha=ALPHA)
        wins_RP = is_flip_significant(flips_RPS, asked_X=alone_RP | crossed_RP, alpha=ALPHA)
        sign_RP = np.sign(mean_RP).astype(np.int64)
        now_clips_RP = np.where(wins_RP & crossed_RP, sign_RP, 0)
        now_seeds_RP = np.where(wins_RP & ~crossed_RP, sign_RP, 0)
        # Any win ends a question that is looked at again: the worst case for false ones.
        ends_R = open_R & (wins_RP.any(axis=1) | (look == num_seeds))
        clips_RP[ends_R], seeds_RP[ends_R] = now_clips_RP[ends_R], now_seeds_RP[ends_R]
        used_R[ends_R] = look
        open_R &= ~ends_R
    return Decided(clips_RP, seeds_RP, used_R)


def _holm_at(p_RP: Array, *, look: int, looks: Sequence[int], alpha: float) -> NDArray[np.bool_]:
    """Holm's rejections, at the level of this look for each step."""
    if not looks:
        return np.asarray(holm_rows(p_RP) <= alpha)
    num_pairs, place = p_RP.shape[1], list(looks).index(look)
    levels_P = [
        planned_levels(tuple(looks), alpha=alpha / (num_pairs - k))[place] for k in range(num_pairs)
    ]
    order_RP = np.argsort(p_RP, axis=1)
    kept_RP = np.logical_and.accumulate(
        np.take_along_axis(p_RP, order_RP, axis=1) <= levels_P, axis=1
    )
    found_RP = np.zeros(p_RP.shape, dtype=bool)
    np.put_along_axis(found_RP, order_RP, kept_RP, axis=1)
    return found_RP


def drawn(cell: Cell, *, effects: Sequence[float], count: int, draw: np.random.Generator) -> tuple[
    Array, Array
]:  # fmt: skip
    """([R, B, S, C] scores, [R, B] true value of each branch on the clips that were drawn)."""
    class_C = np.repeat(np.arange(len(CLASS_SIZES)), CLASS_SIZES)
    shape = (count, cell.branches, cell.seeds, len(class_C))
    training = draw.standard_normal(shape[:3]) * math.sqrt(cell.seed_variance)
    sd = math.sqrt(cell.seed_variance)
    if cell.shape == "collapsing":
        # One training in ten falls by 12 sd; the others are higher, so that the mean is the same.
        falls = draw.random((count, cell.seeds)) < 0.1
        training[:, 0] += np.where(falls, -12 * 0.9, 12 * 0.1) * sd
    elif cell.shape == "skewed":
        raw = np.exp(draw.standard_normal((count, cell.seeds)))
        training[:, 0] = -(raw - math.exp(0.5)) / math.sqrt((math.e - 1) * math.e) * 3 * sd
    clips = draw.standard_normal((count, cell.branches, 1, shape[3])) * cell.interaction
    clips = clips / math.sqrt(2)
    truth = np.asarray(effects)[None] + clips[:, :, 0].mean(axis=2)
    noise = draw.standard_normal(shape, dtype=np.float32)
    noise += (training[..., None] + clips + np.asarray(effects)[None, :, None, None]).astype(
        np.float32
    )
    return noise, truth


def run_cell(cell: Cell, experiments: int) -> dict[str, Any]:
    """Rates of one cell, with binomial intervals."""
    class_C = np.repeat(np.arange(len(CLASS_SIZES)), CLASS_SIZES)
    draw = rng(0, "study", repr(cell))
    null = _counted(cell, effects=(0.0,) * cell.branches, total=experiments, draw=draw,
                    class_C=class_C)  # fmt: skip
    planted, printed = _planted(cell)
    found = {"wins": 0.0, "used": math.nan, "pair": math.nan, "experiments": 1}
    if cell.shape == "normal":
        effects = (planted, *(0.0,) * (cell.branches - 1))
        total = max(500, experiments // 4)
        found = _counted(cell, effects=effects, total=total, draw=draw, class_C=class_C)
    false = round(null["false"] * experiments)
    interval = stats.binomtest(false, experiments).proportion_ci(0.95)
    return {
        **asdict(cell),
        "looks": list(cell.looks),
        "experiments": experiments,
        "false_wins": null["false"],
        "lower_95": float(interval.low),
        "upper_95": float(interval.high),
        "these_clips_claims": null["seeds_claims"],
        "power": found["pair"],
        "printed_power": printed,
        "planted": planted,
        "mean_seeds_used": found["used"],
        "coverage_seeds": null["coverage_seeds"],
        "coverage_clips": null["coverage_clips"],
        "coverage_seeds_without_a_win": null["coverage_seeds_open"],
        "coverage_clips_without_a_win": null["coverage_clips_open"],
    }


def _planted(cell: Cell) -> tuple[float, float]:
    """(A difference that is called a win, for other clips, in 80 % of cases; the power printed)."""
    clips = sum(CLASS_SIZES)
    seed_sd = math.sqrt(2 * (cell.seed_variance + 1 / clips))
    share = ClipShare(
        clips=cell.interaction / math.sqrt(clips) / seed_sd,
        rest=math.sqrt(2 / clips) / seed_sd,
        freedom=clips - len(CLASS_SIZES),
    )
    if cell.looks or cell.shape != "normal":
        return 1.5 * seed_sd, math.nan
    effect = detectable_win(cell.seeds, num_branches=cell.branches, clips=share, target=Target.PAIR)
    printed = win_power(effect, num_seeds=cell.seeds, num_branches=cell.branches, clips=share)
    return effect * seed_sd, printed


def _counted(
    cell: Cell,
    *,
    effects: Sequence[float],
    total: int,
    draw: np.random.Generator,
    class_C: Ints,
) -> dict[str, float]:
    """Shares of experiments, made in batches."""
    one = cell.branches * cell.seeds * len(class_C) * 4 * 6
    batch = max(50, min(total, _BATCH_BYTES // one))
    first, second = np.triu_indices(cell.branches, k=1)
    sums: dict[str, float] = {}
    done = 0
    while done < total:
        count = min(batch, total - done)
        scores_RBSC, truth_RB = drawn(cell, effects=effects, count=count, draw=draw)
        rule = decided(scores_RBSC, looks=cell.looks, class_C=class_C)
        true_RP = np.asarray(effects)[first] - np.asarray(effects)[second]
        true_RP = np.broadcast_to(true_RP, rule.clips_RP.shape)
        here_RP = truth_RB[:, first] - truth_RB[:, second]
        if cell.shape != "normal":
            # What is claimed is the typical training: there the first branch is ahead.
            typical = {"collapsing": 1.2, "skewed": 0.898}[cell.shape]
            typical_P = (first == 0) * typical * math.sqrt(cell.seed_variance)
            true_RP, here_RP = true_RP + typical_P, here_RP + typical_P
        false_RP = (rule.clips_RP != 0) & (rule.clips_RP != np.sign(true_RP))
        false_RP |= (rule.seeds_RP != 0) & (rule.seeds_RP != np.sign(here_RP))
        covers = _covered(scores_RBSC, true_R=true_RP[:, 0], here_R=here_RP[:, 0], class_C=class_C)
        is_open_R = (rule.clips_RP[:, 0] == 0) & (rule.seeds_RP[:, 0] == 0)
        batch_sums = {
            "false": float(false_RP.any(axis=1).sum()),
            "seeds_claims": float((rule.seeds_RP != 0).any(axis=1).sum()),
            "pair": float((rule.clips_RP[:, 0] == 1).sum()),
            "used": float(rule.used_R.sum()),
            "coverage_seeds": float(covers[0].sum()),
            "coverage_clips": float(covers[1].sum()),
            "open": float(is_open_R.sum()),
            "coverage_seeds_open": float((covers[0] & is_open_R).sum()),
            "coverage_clips_open": float((covers[1] & is_open_R).sum()),
        }
        for name, value in batch_sums.items():
            sums[name] = sums.get(name, 0.0) + value
        done += count
    shares = {name: value / total for name, value in sums.items()}
    opened = max(1.0, sums["open"])
    shares["coverage_seeds_open"] = sums["coverage_seeds_open"] / opened
    shares["coverage_clips_open"] = sums["coverage_clips_open"] / opened
    return shares


def _covered(
    scores_RBSC: Array, *, true_R: Array, here_R: Array, class_C: Ints
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Whether the first pair's intervals hold the truth: on these clips, and for other clips."""
    difference_RSC = scores_RBSC[:, 0] - scores_RBSC[:, 1]
    num_seeds = difference_RSC.shape[1]
    seeds_RS = difference_RSC.mean(axis=2, dtype=np.float64)
    half_R = stats.t.ppf(0.975, num_seeds - 1) * seeds_RS.std(axis=1, ddof=1) / math.sqrt(num_seeds)
    squares = mean_squares(difference_RSC, class_C)
    wide_R = stats.t.ppf(0.975, squares.freedom_R) * squares.error_R
    off_R = np.abs(seeds_RS.mean(axis=1) - here_R)
    return off_R <= half_R, np.abs(squares.mean_R - true_R) <= wide_R


def distance_cell(metric: str, n: int, correlation: float, repeats: int) -> dict[str, Any]:
    """A perfect generator's distance: images and real pictures of the same clips and 8 classes."""
    draw = rng(0, "study of distances", metric, n, str(correlation))
    kernel, scale = {"kid": (kid_kernel, 1.0), "cmmd": (cmmd_kernel, CMMD_SCALE)}[metric]
    values, errors = [], []
    counts = rng(0, "resamples", n).multinomial(n, np.full(n, 1 / n), size=100).astype(float)
    for _ in range(repeats):
        of_class = draw.normal(size=(8, 64))[np.arange(n) % 8]
        shared = math.sqrt(correlation) * draw.normal(size=(n, 64))
        own = math.sqrt(1 - correlation)
        x, y = (of_class + shared + own * draw.normal(size=(n, 64)) for _ in range(2))
        distance = KernelDistance.of(x, y_MD=y, kernel=kernel, scale=scale, is_matched=True)
        values.append(distance.between())
        if len(errors) < 20:
            errors.append(float(distance.resampled(counts, counts_y_BM=counts).std(ddof=1)))
    return {
        "metric": metric,
        "n": n,
        "correlation": correlation,
        "mean": float(np.mean(values)),
        "sd": float(np.std(values, ddof=1)),
        "printed_error": float(np.mean(errors)),
        "experiments": repeats,
    }


def cells(*, full: bool) -> list[Cell]:
    """The worlds of the study."""
    if not full:
        seeds, branches = (6, 10), (2, 3)
        variances, interactions = (0.005, 0.05), (0.0, 0.45, 1.0)
    else:
        seeds, branches = (6, 8, 10, 20), (2, 3, 5)
        variances, interactions = (0.005, 0.05, 0.2), (0.0, 0.45, 1.0)
    found = [
        Cell(b, s, v, i) for b in branches for s in seeds for v in variances for i in interactions
    ]
    one = Cell(2, 10, 0.05, 0.45)
    found += [replace(one, looks=(6, 8, 10), branches=b) for b in ((2, 3) if full else (2,))]
    found += [replace(one, looks=(6, 8, 10), interaction=0.0)]
    if full:
        found += [replace(one, looks=tuple(range(6, 21, 2)), seeds=20, interaction=0.0)]
    for shape in ("collapsing", "skewed"):
        found += [replace(one, shape=shape, interaction=0.0, seeds=s) for s in seeds]
    return found


def main() -> None:
    """Run the study from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--full", action="store_true", help="20,000 experiments a cell")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--experiments", type=int, help="of each cell, instead of the form's")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/study.json"))
    options = parser.parse_args()
    experiments = options.experiments or (20_000 if options.full else 4_000)
    started = time.monotonic()
    planned = cells(full=options.full)
    sizes = [(m, n, c) for m in ("kid", "cmmd") for n in (16, 66, 500) for c in (0.0, 0.3, 0.6)]
    with ProcessPoolExecutor(options.jobs) as pool:
        running = [pool.submit(run_cell, cell, experiments) for cell in planned]
        distances = [
            pool.submit(distance_cell, m, n, c, max(40, min(experiments // 10, 40_000 // n)))
            for m, n, c in sizes
        ]
        rows = []
        for cell in running:
            rows.append(cell.result())
            print(json.dumps(rows[-1]), flush=True)
        found = {
            "experiments": experiments,
            "full": options.full,
            "cells": rows,
            "distances": [cell.result() for cell in distances],
        }
    found["seconds"] = round(time.monotonic() - started)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(_without_nan(found), indent=1, allow_nan=False) + "\n"
    options.out.write_text(text, encoding="utf-8")


def _without_nan(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nan(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_without_nan(one) for one in value]
    return None if isinstance(value, float) and math.isnan(value) else value


if __name__ == "__main__":
    main()
