"""What other splits say: how much of the difference is the split that was drawn."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks.stand_in import METRIC, World, stand_in_runs
from core.randomness import rng
from harness.comparison.analysis import analyse
from harness.comparison.record import ComparisonRecord
from harness.comparison.splits import split_shares, with_other_splits

WORLD = World(num_seeds=6, effects=(0.5, 0.0))


def compared(split: int, *, effect: float, world: World = WORLD) -> ComparisonRecord:
    """A comparison on one split, its settings and hash as a real one has them."""
    world = replace(world, effects=(effect, 0.0))
    scores = world.scores(rng(split, "splits"))
    found = analyse(
        stand_in_runs(world, scores), metric=METRIC, folder=Path(f"split{split}"), command=""
    )
    shared = found.eligibility.model_copy(
        update={"settings": {"data": {"split_seed": split}}, "split_hash": f"hash{split}"}
    )
    return found.model_copy(update={"eligibility": shared})


def test_the_share_of_the_split_is_what_trainings_and_clips_leave() -> None:
    """Catches: the spread of trainings and clips of one split taken for that of splits."""
    draw = rng(0, "true effects")
    still = [split_shares([compared(k, effect=0.5) for k in range(9 * n, 9 * n + 9)])[0]
             for n in range(4)]  # fmt: skip
    moved = split_shares([compared(k, effect=0.5 + draw.normal()) for k in range(12)])[0]
    assert np.mean([found.share for found in still]) < 0.5
    assert moved.share > 0.8
    assert moved.sd > 2 * moved.explained_sd
    assert list(moved.effects) == list(range(12))
    assert moved.effects[3] == pytest.approx(compared(3, effect=0.0).pairs[0].effect, abs=4)


def test_a_comparison_says_what_other_splits_found(tmp_path: Path) -> None:
    """Catches: a claim about the task from one split, where others lie beside it unread."""
    first, second = compared(0, effect=3.0), compared(1, effect=-3.0)
    first.save(tmp_path / "reports" / "first")
    assert with_other_splits(first, results=tmp_path) is first
    found = with_other_splits(second, results=tmp_path)
    (said,) = [text for text in found.notices if text.startswith("Other splits: ")]
    assert "on 2 splits (data.split_seed 0 and 1), branch_a minus branch_b is +2.84 and" in said
    assert "the same side on 1, and branch_a wins on 1 and branch_b wins on 1" in said
    assert with_other_splits(found, results=tmp_path) is found
    # Another question, or the same split once more, is no other split.
    other = compared(2, effect=0.0).model_copy(update={"metric": "kid"})
    assert with_other_splits(other, results=tmp_path) is other
