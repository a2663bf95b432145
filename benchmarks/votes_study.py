"""How often votes without a preference are called one, and how often a planned share is found.

Simulated listeners of known skill: a share of votes near one half with a part of each listener,
clip and training, each clip asked once, its training in turn. Rows: listeners, clips, trainings,
standard deviations of the three parts. `python benchmarks/votes_study.py [REPEATS]`, one core.
"""

import json
import math
import sys
from itertools import product
from pathlib import Path

import numpy as np

from core.randomness import rng
from harness.statistics.crossed_votes import VoteSpread, crossed_share, detectable_share

_SHAPES = ((3, 40, 3), (10, 40, 3), (10, 40, 6), (20, 40, 6), (5, 20, 2), (10, 40, 1))
_SPREADS = (VoteSpread(), VoteSpread(0, 0, 0), VoteSpread(0.1, 0.2, 0.1))


def found(
    true: float, *, shape: tuple[int, int, int], spread: VoteSpread, name: str
) -> tuple[bool, bool]:
    """Whether one experiment calls a preference, and whether for the first."""
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
    return result.p <= 0.05, result.mean > 0.5


def main(repeats: int) -> None:
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
    out = Path(__file__).parent / "results" / "votes_study.json"
    out.write_text(json.dumps({"repeats": repeats, "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 2_000)
