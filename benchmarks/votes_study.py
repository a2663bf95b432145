"""How often votes without a preference are called one, and how often a planned share is found.

Simulated listeners of known skill: a share of votes near one half with a part of each listener,
clip and training, each clip asked once, its training in turn. Rows: listeners, clips, trainings,
standard deviations of the three parts. Then the whole rule between several branches: how often any
wins where none is preferred, and how often the one that is preferred by the planned share wins.
`python benchmarks/votes_study.py [REPEATS] [rule]`, one core; `rule` makes its rows alone.
"""

import json
import math
import sys
from itertools import combinations, product
from pathlib import Path

import numpy as np

from core.randomness import rng
from harness.statistics.crossed_votes import (
    VoteSpread,
    crossed_share,
    detectable_share,
    winning_share,
)
from harness.statistics.multiplicity import holm

_SHAPES = ((3, 40, 3), (10, 40, 3), (10, 40, 6), (20, 40, 6), (5, 20, 2), (10, 40, 1))
_RULES = ((2, 10, 40, 6), (3, 16, 24, 6), (3, 20, 40, 6), (3, 20, 40, 12), (5, 20, 40, 6))
"""Branches, listeners, clips of each pair, trainings."""
_SPREADS = (VoteSpread(), VoteSpread(0, 0, 0), VoteSpread(0.1, 0.2, 0.1))


def found(
    true: float, *, shape: tuple[int, int, int], spread: VoteSpread, name: str
) -> tuple[bool, bool]:
    """Whether one experiment calls a preference, and whether for the first."""
    p, mean = tested(true, shape=shape, spread=spread, name=name)
    return p <= 0.05, mean > 0.5


def winner(
    true: float, *, rule: tuple[int, int, int, int], spread: VoteSpread, name: str
) -> int | None:
    """The branch that one experiment calls the winner; `true` is the share of branch 0."""
    branches, *shape = rule
    pairs = list(combinations(range(branches), 2))
    results = [
        tested(
            true if first == 0 else 0.5,
            shape=tuple(shape),
            spread=spread,
            name=f"{name} {first} {second}",
        )
        for first, second in pairs
    ]
    adjusted = holm([p for p, _ in results])
    wins: dict[int, int] = {}
    for (first, second), (_, mean), p in zip(pairs, results, adjusted, strict=True):
        if p <= 0.05:
            better = first if mean > 0.5 else second
            wins[better] = wins.get(better, 0) + 1
    return next((one for one, num in wins.items() if num == branches - 1), None)


def tested(
    true: float, *, shape: tuple[int, int, int], spread: VoteSpread, name: str
) -> tuple[float, float]:
    """(p, share of the first) of one experiment."""
    listeners, clips, trainings = shape
    draw = rng(0, "votes study", name)
    of_clip = draw.permutation(clips) % trainings
    share = (
        true
        + draw.normal(0, spread.listeners, listeners)[:, None]
        + draw.normal(0, spread.clips, clips)
        + draw.normal(0, spread.trainings, trainings)[of_clip] * (trainings > 1)
    )
    votes = (draw.random((listeners, clips)) < share).astype(float)
    result = crossed_share(
        votes.ravel(),
        factors={
            "listener": np.repeat(np.arange(listeners), clips).tolist(),
            "clip": np.tile(np.arange(clips), listeners).tolist(),
            "training": np.tile(of_clip, listeners).tolist(),
        },
    )
    return result.p, result.mean


def rule_rows(repeats: int) -> list[dict[str, object]]:
    """Of the whole rule."""
    rows = []
    for rule, spread in product(_RULES, _SPREADS):
        branches, listeners, clips, trainings = rule
        share = winning_share(
            num_branches=branches,
            listeners=listeners,
            clips=clips,
            trainings=trainings,
            votes_per_listener=clips,
            spread=spread,
        )
        words = f"rule {rule} {spread}"
        equal = [
            winner(0.5, rule=rule, spread=spread, name=f"{words} null {k}") for k in range(repeats)
        ]
        real = [
            winner(share, rule=rule, spread=spread, name=f"{words} real {k}")
            for k in range(repeats)
        ]
        row = {
            "branches": branches,
            "listeners": listeners,
            "clips": clips,
            "trainings": trainings,
            "spread": [spread.listeners, spread.clips, spread.trainings],
            "false": sum(one is not None for one in equal) / repeats,
            "planned_share": share,
            "power": sum(one == 0 for one in real) / repeats,
        }
        rows.append(row)
        print(
            f"{words}: false {row['false']:.3f}, share {share:.3f}: {row['power']:.3f}", flush=True
        )
    return rows


def single_rows(repeats: int) -> list[dict[str, object]]:
    """Of one question."""
    rows = []
    for shape, spread in product(_SHAPES, _SPREADS):
        listeners, clips, trainings = shape
        share = detectable_share(
            listeners=listeners,
            clips=clips,
            trainings=trainings,
            votes_per_listener=clips,
            spread=spread,
        )
        words = f"{shape} {spread}"
        null = [
            found(0.5, shape=shape, spread=spread, name=f"{words} null {k}") for k in range(repeats)
        ]
        real = [
            found(share, shape=shape, spread=spread, name=f"{words} real {k}")
            for k in range(repeats)
        ]
        false = sum(is_found for is_found, _ in null) / repeats
        power = sum(is_found and is_first for is_found, is_first in real) / repeats
        error = math.sqrt(0.05 * 0.95 / repeats)
        rows.append(
            {
                "listeners": listeners,
                "clips": clips,
                "trainings": trainings,
                "spread": [spread.listeners, spread.clips, spread.trainings],
                "false": false,
                "planned_share": share,
                "power": power,
            }
        )
        print(
            f"{words}: false {false:.3f} (se {error:.3f}), share {share:.3f}: {power:.3f}",
            flush=True,
        )
    return rows


def main(repeats: int, *, is_rule_alone: bool) -> None:
    """Write the rows into `benchmarks/results`."""
    out = Path(__file__).parent / "results" / "votes_study.json"
    content = json.loads(out.read_text()) if out.is_file() else {}
    if not is_rule_alone:
        content |= {"repeats": repeats, "rows": single_rows(repeats)}
    content |= {"rule_repeats": repeats, "rule": rule_rows(repeats)}
    out.write_text(json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 2_000, is_rule_alone="rule" in sys.argv)
