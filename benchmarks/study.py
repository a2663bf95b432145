"""Does the verdict keep its word? Simulated comparisons with known truth, by the product's rule.

    python benchmarks/study.py [--full] [--out FILE]

The quick form takes a few minutes on two cores; --full makes 20,000 experiments a cell in more
worlds, within the hour. The worlds and the rule over many experiments are in `study_worlds`.

Shape legend: R experiments, B branches, P pairs.
"""

import argparse
import json
import math
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

from benchmarks.study_bootstraps import BOOTSTRAPS, bootstrap_cell
from benchmarks.study_distances import DISTANCES, distance_cell, planted_cell
from benchmarks.study_means import mean_cell, mean_cells
from benchmarks.study_near_real import near_cell, near_cells
from benchmarks.study_shapes import shape_cell, shape_cells
from benchmarks.study_stopping import stopping_cell, stopping_rules
from benchmarks.study_ties import OTHER_CLIPS, THESE_CLIPS, tie_cell, tie_cells
from benchmarks.study_worlds import (
    NUM_CLASSES,
    NUM_CLIPS,
    Array,
    Bools,
    Cell,
    Decided,
    Drawn,
    decided,
    drawn,
)
from core.randomness import rng
from harness.statistics.crossed import Components
from harness.statistics.looks import interval_level
from harness.statistics.power import ClipShare, Target, detectable_win, win_power

_BATCH = 5_000
_LOOKS_BATCH = 500
_PAIR = f"{Target.PAIR.value}, {OTHER_CLIPS}"
Counts = dict[str, float]


FULL_OUT, QUICK_OUT = Path("benchmarks/results/study.json"), Path("build/study.json")


def run_cell(cell: Cell, experiments: int) -> dict[str, Any]:
    """Rates of one cell, with binomial intervals.

    false_wins: share of experiments with equal branches in which some claim is not true of what it
    speaks of. power: how often the first branch is called a win over the second, for other clips,
    where `printed_power` is printed; `powers` the same of each claim that a plan states. With looks
    that is at the last one, met or ended before, and `powers` has each look; `wins_at_some_look` is
    how often it is called a win where it is 1.5 paired sd ahead. coverage:
    of the first pair's intervals in all experiments with equal branches, and where no win is
    claimed: between equal branches, and with differences of all sizes up to twice the planted.
    """
    null = _counted(cell, _first_ahead(cell, 0.0), experiments)
    false = round(null["false"] * experiments)
    interval = stats.binomtest(false, experiments).proportion_ci(0.95)
    planted, printed = 1.5 * cell.paired_sd, math.nan
    powers: dict[str, Counts] = {}
    found: Counts = {}
    if cell.shape == "normal" and not cell.looks:
        powers = _powers(cell, experiments)
        found = powers[_PAIR]
        planted, printed = found["planted"], found["printed"]
    elif cell.shape == "normal":
        found = _counted(cell, _first_ahead(cell, planted), experiments, is_here=True)
        powers = _powers_at_looks(cell, experiments)
    spread = _counted(cell, _first_ahead(cell, (-2 * planted, 2 * planted)), experiments)
    told = powers[str(cell.looks[-1])] if cell.looks else {"power": found.get(_PAIR, math.nan)}
    return {
        **asdict(cell),
        "looks": list(cell.looks),
        "experiments": experiments,
        "false_wins": null["false"],
        "lower_95": float(interval.low),
        "upper_95": float(interval.high),
        "false_claims_of_the_mean": null["false_of_mean"],
        "these_clips_claims": null["seeds_claims"],
        "power": told["power"],
        "printed_power": told.get("printed", printed),
        "wins_at_some_look": found.get(_PAIR, math.nan) if cell.looks else math.nan,
        "planted": planted,
        "planted_recovered": found.get("recovered", math.nan),
        "powers": {
            claim: {
                "planted": p["planted"],
                "printed": p["printed"],
                "power": p["power"] if cell.looks else p[claim],
            }
            for claim, p in powers.items()
        },
        "mean_seeds_used": found.get("used", math.nan),
        "coverage_seeds": null["coverage_seeds"],
        "coverage_clips": null["coverage_clips"],
        "coverage_typical": null["coverage_typical"],
        "coverage_seeds_without_a_win": null["coverage_seeds_open"],
        "coverage_clips_without_a_win": null["coverage_clips_open"],
        "coverage_seeds_without_a_win_any_size": spread["coverage_seeds_open"],
        "coverage_clips_without_a_win_any_size": spread["coverage_clips_open"],
    }


def _first_ahead(
    cell: Cell, by: float | tuple[float, float]
) -> Callable[[np.random.Generator, int], Array]:
    """True values with the first branch ahead of the others by a number or any between two."""

    def values(draw: np.random.Generator, count: int) -> Array:
        found = np.zeros((count, cell.branches))
        found[:, 0] = by if isinstance(by, float) else draw.uniform(*by, count)
        return found

    return values


def clip_share(cell: Cell) -> ClipShare:
    """What the clips truly add to the error of a mean in this world."""
    clips = math.sqrt(NUM_CLIPS) * cell.paired_sd
    return ClipShare(cell.interaction / clips, math.sqrt(2) / clips, NUM_CLIPS - NUM_CLASSES)


def _powers(cell: Cell, experiments: int) -> dict[str, Counts]:
    """By each claim that a plan states: what happens where it states 80 %."""
    found = {}
    for target in Target:
        for what, clips in ((THESE_CLIPS, None), (OTHER_CLIPS, clip_share(cell))):
            effect = detectable_win(
                cell.seeds, num_branches=cell.branches, clips=clips, target=target
            )
            printed = win_power(
                effect, num_seeds=cell.seeds, num_branches=cell.branches, clips=clips, target=target
            )
            key, planted = f"{target.value}, {what}", effect * cell.paired_sd
            # On the clips that are drawn the difference is what is planted.
            is_here = clips is None
            seen = _counted(cell, _first_ahead(cell, planted), experiments, is_here=is_here)
            found[key] = {**seen, "planted": planted, "printed": printed}
    return found


def _powers_at_looks(cell: Cell, experiments: int) -> dict[str, Counts]:
    """By each planned look: how often its own test calls the first pair a win for other clips,
    whether or not it has ended before, where 80 % are printed."""
    found = {}
    words: dict[str, Any] = {
        "num_branches": cell.branches, "clips": clip_share(cell), "looks": cell.looks,
    }  # fmt: skip
    for look in cell.looks:
        effect = detectable_win(look, **words)
        draw, won, done = rng(0, "study of a look", repr(cell), look), 0, 0
        while done < experiments:
            count = min(_LOOKS_BATCH, experiments - done)
            ahead_RB = _first_ahead(cell, effect * cell.paired_sd)(draw, count)
            made = drawn(cell, effects_RB=ahead_RB, draw=draw)
            rule = decided({look: made.sums[look]}, looks=cell.looks)
            won += int((rule.clips_RP[:, 0] == 1).sum())
            done += count
        found[str(look)] = {
            "planted": effect * cell.paired_sd,
            "printed": win_power(effect, num_seeds=look, **words),
            "power": won / experiments,
        }
    return found


def _counted(
    cell: Cell,
    effects: Callable[[np.random.Generator, int], Array],
    total: int,
    *,
    is_here: bool = False,
) -> Counts:
    """Shares of experiments, made in batches.

    is_here: whether the true values are those on the clips that are drawn.
    """
    draw = rng(0, "study", repr(cell), repr(effects(rng(0, "name"), 1)), str(is_here))
    sums: Counts = {}
    done = 0
    while done < total:
        count = min(_LOOKS_BATCH if cell.looks else _BATCH, total - done)
        made = drawn(cell, effects_RB=effects(draw, count), draw=draw, is_here=is_here)
        for name, value in _of_batch(cell, made, decided(made.sums, looks=cell.looks)).items():
            sums[name] = sums.get(name, 0.0) + value
        done += count
    shares = {name: value / total for name, value in sums.items()}
    for name in ("coverage_seeds_open", "coverage_clips_open"):
        shares[name] = sums[name] / max(1.0, sums["open"])
    return shares


def _of_batch(cell: Cell, made: Drawn, rule: Decided) -> Counts:
    """Numbers of experiments."""
    first_P, second_P = cell.pairs
    true_RP = made.true_RB[:, first_P] - made.true_RB[:, second_P]
    here_RP = made.here_RB[:, first_P] - made.here_RB[:, second_P]
    # What is claimed is the typical training.
    typical_P = (first_P == 0) * cell.typical_lead
    mean_R, half_R, half_clips_R = _intervals(cell, made, rule)
    covers_here_R = np.abs(mean_R - here_RP[:, 0]) <= half_R
    covers_clips_R = np.abs(mean_R - true_RP[:, 0]) <= half_clips_R
    covers_typical_R = np.abs(mean_R - here_RP[:, 0] - typical_P[0]) <= half_R
    is_open_R = (rule.clips_RP[:, 0] == 0) & (rule.seeds_RP[:, 0] == 0)
    false_RP = _false(rule, true_RP=true_RP + typical_P, here_RP=here_RP + typical_P)
    found: dict[str, Bools] = {
        "false": false_RP.any(axis=1),
        "false_of_mean": _false(rule, true_RP=true_RP, here_RP=here_RP).any(axis=1),
        "seeds_claims": (rule.seeds_RP != 0).any(axis=1),
        "coverage_seeds": covers_here_R,
        "coverage_clips": covers_clips_R,
        "coverage_typical": covers_typical_R,
        "open": is_open_R,
        "coverage_seeds_open": covers_here_R & is_open_R,
        "coverage_clips_open": covers_clips_R & is_open_R,
    }
    of_first_P = first_P == 0
    any_RP = rule.clips_RP + rule.seeds_RP
    for what, claims_RP in ((OTHER_CLIPS, rule.clips_RP), (THESE_CLIPS, any_RP)):
        found[f"{Target.PAIR.value}, {what}"] = claims_RP[:, 0] == 1
        found[f"{Target.HEADLINE.value}, {what}"] = (claims_RP[:, of_first_P] == 1).all(axis=1)
    counts = {name: float(values.sum()) for name, values in found.items()}
    # Of the difference that was planted: 1 where it is found in full.
    planted = float(np.abs(true_RP[:, 0]).sum()) / len(true_RP)
    counts["recovered"] = float(mean_R.sum()) / planted if planted > 0 else math.nan
    counts["used"] = float(rule.used_R.sum())
    return counts


def _false(rule: Decided, *, true_RP: Array, here_RP: Array) -> Bools:
    """Claims that are not true of what they speak of."""
    of_clips_RP = (rule.clips_RP != 0) & (rule.clips_RP != np.sign(true_RP))
    of_these_RP = (rule.seeds_RP != 0) & (rule.seeds_RP != np.sign(here_RP))
    return np.asarray(of_clips_RP | of_these_RP)


def _intervals(cell: Cell, made: Drawn, rule: Decided) -> tuple[Array, Array, Array]:
    """(Mean, half width on these clips, half width for other clips) [R] of the first pair, at the
    look at which each experiment ended; planned looks hold together."""
    found = np.empty((3, len(rule.used_R)))
    for seeds, sums in made.sums.items():
        at_R = rule.used_R == seeds
        level = interval_level(cell.looks, num_seeds=seeds)
        squares = sums.squares(np.array([0]), np.array([1]))
        for row, values in enumerate(
            (squares.mean_X, squares.seed_half_width_X(level), squares.half_width_X(level))
        ):
            found[row, at_R] = values[at_R, 0]
    mean_R, here_R, clips_R = found
    return mean_R, here_R, clips_R


def after_cell(cell: Cell, pilots: int, experiments: int) -> dict[str, Any]:
    """How often the detectable difference that a report prints, by the sd and the components it
    has found, is found by another comparison like it."""
    draw = rng(0, "study of what is printed afterwards", repr(cell))
    first, second = np.array([0]), np.array([1])
    seen = drawn(cell, effects_RB=np.zeros((pilots, cell.branches)), draw=draw)
    squares = seen.sums[cell.seeds].squares(first, second)
    effects = []
    for seeds, clips, rest in zip(
        squares.seeds_X[:, 0], squares.clips_X[:, 0], squares.rest_X[:, 0], strict=True
    ):
        parts = Components(
            seeds=max(0.0, seeds - rest) / NUM_CLIPS,
            clips=max(0.0, clips - rest) / cell.seeds,
            rest=rest,
            num_seeds=cell.seeds,
            num_clips=NUM_CLIPS,
            num_classes=NUM_CLASSES,
        )
        factor = detectable_win(
            cell.seeds, num_branches=cell.branches, clips=ClipShare.of(parts), sd_is_known=False
        )
        effects.append(factor * math.sqrt(seeds / NUM_CLIPS))
    ahead = np.zeros((pilots * experiments, cell.branches))
    ahead[:, 0] = np.repeat(effects, experiments)
    rule = decided(drawn(cell, effects_RB=ahead, draw=draw).sums)
    return {
        **asdict(cell),
        "pilots": pilots,
        "experiments": pilots * experiments,
        "printed_power": 0.8,
        "power": float((rule.clips_RP[:, 0] == 1).mean()),
    }


def cells(*, full: bool) -> list[Cell]:
    """The worlds of the study."""
    seeds, branches = (6, 8, 10, 20), (2, 3, 5)
    variances, interactions = (0.005, 0.05, 0.2), (0.0, 0.45, 1.0)
    found = [
        Cell(b, s, v, i) for b in branches for s in seeds for v in variances for i in interactions
    ]
    every, some = tuple(range(6, 11)), (6, 8, 10)
    found += [
        Cell(b, 10, 0.05, i, looks) for looks in (some, every) for b in (2, 3) for i in (0.0, 0.45)
    ]
    if full:
        found += [Cell(b, 10, v, 1.0, looks=some) for b in branches for v in (0.005, 0.2)]
        found += [Cell(2, 20, 0.05, 0.0, looks=tuple(range(6, 21, 2)))]
    for shape in ("collapsing", "skewed"):
        found += [Cell(b, s, 0.05, 0.0, shape=shape) for b in branches for s in seeds]
    return found


def main() -> None:
    """Run the study from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--full", action="store_true", help="20,000 experiments a cell")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--experiments", type=int, help="of each cell, instead of the form's")
    parser.add_argument(
        "--out",
        type=Path,
        help=f"where the numbers go ({FULL_OUT} with --full, which docs/statistics.md quotes, "
        f"else {QUICK_OUT})",
    )
    parser.add_argument(
        "--parts",
        nargs="+",
        metavar="PART",
        help="only these parts of the study; the others stay in --out as they are",
    )
    options = parser.parse_args()
    out = options.out or (FULL_OUT if options.full else QUICK_OUT)
    experiments = options.experiments or (20_000 if options.full else 4_000)
    started = time.monotonic()
    few = max(40, experiments // 20)
    full = options.full
    after = [Cell(2, s, 0.05, i) for s in ((6, 10) if full else (6,)) for i in (0.0, 0.45, 1.0)]
    wanted: dict[str, list[tuple[Callable[..., dict[str, Any]], tuple[Any, ...]]]] = {
        "cells": [(run_cell, (c, experiments)) for c in cells(full=full)],
        "ties": [(tie_cell, (c, experiments)) for c in tie_cells(full=full)],
        "stopping": [(stopping_cell, (*r, experiments)) for r in stopping_rules()],
        "shapes": [(shape_cell, (c, experiments // 2)) for c in shape_cells()],
        "distances": [(distance_cell, (*d, experiments)) for d in DISTANCES],
        "planted": [(planted_cell, (*d, experiments)) for d in DISTANCES],
        "means": [(mean_cell, (*c, experiments)) for c in mean_cells()],
        "near_real": [
            (near_cell, (*c, experiments if full else experiments // 4))
            for c in near_cells(full=full)
        ],
        "bootstraps": [(bootstrap_cell, (*b, few)) for b in BOOTSTRAPS],
        "printed_afterwards": [(after_cell, (c, few // 4, 50)) for c in after],
    }
    if unknown := set(options.parts or ()) - set(wanted):
        parser.error(f"no part {', '.join(sorted(unknown))}; known: {', '.join(wanted)}")
    rows: dict[str, Any] = {"experiments": experiments, "full": full}
    if options.parts:
        rows = json.loads(out.read_bytes())
        if (rows["experiments"], rows["full"]) != (experiments, full):
            parser.error(f"{out} is of another form; run all of the study again")
    with ProcessPoolExecutor(options.jobs) as pool:
        parts = {
            name: [pool.submit(make, *words) for make, words in tasks]
            for name, tasks in wanted.items()
            if not options.parts or name in options.parts
        }
        for name, running in parts.items():
            rows[name] = []
            for cell in running:
                rows[name].append(cell.result())
                print(json.dumps(rows[name][-1]), flush=True)
    if not options.parts:
        rows["seconds"] = round(time.monotonic() - started)
    out.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(_without_nan(rows), indent=1, allow_nan=False) + "\n"
    out.write_text(text, encoding="utf-8")


def _without_nan(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nan(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_without_nan(one) for one in value]
    return None if isinstance(value, float) and math.isnan(value) else value


if __name__ == "__main__":
    main()
