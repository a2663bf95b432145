"""What other splits say: how much of the difference is the split that was drawn."""

import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from benchmarks.stand_in import METRIC, World, stand_in_runs
from core.data.splits.split import load_split
from core.errors import UsageError
from core.randomness import rng
from harness.comparison import over_splits
from harness.comparison.analysis import analyse
from harness.comparison.compare import Comparison
from harness.comparison.over_splits import compare_over_splits, requests_over_splits
from harness.comparison.record import ComparisonRecord, load_comparison
from harness.comparison.request import CompareOptions, CompareRequest
from harness.comparison.splits import split_shares, with_other_splits
from harness.data.source import prepare_split, split_as_prepared
from harness.report.terminal.over_splits import over_splits_view
from harness.settings.profile import DataSettings
from harness.wording.display import Display

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


def test_what_splits_say_comes_before_what_the_runs_say(tmp_path: Path) -> None:
    """Catches: a comparison of several splits whose bundle its own check refuses, since notices
    that do not follow from the runs are taken as given only where they come first."""
    first, second = compared(0, effect=0.5), compared(1, effect=0.5)
    second = second.model_copy(update={"notices": ["of the runs"]})
    first.save(tmp_path / "reports" / "first")
    found = with_other_splits(second, results=tmp_path).notices
    assert found[0].startswith("Other splits: ")
    assert found[-1] == "of the runs"


def test_a_spread_that_nothing_explains_is_still_told() -> None:
    """Catches: splits that disagree, without a word where trainings and clips explain nothing."""
    records = []
    for split in range(3):
        record = compared(split, effect=0.5)
        (pair,) = record.pairs
        bare = pair.model_copy(update={"variance": None, "other_clips": None})
        records.append(record.model_copy(update={"pairs": [bare]}))
    (found,) = split_shares(records)
    assert (found.share, found.explained_sd) == (None, None)
    assert "is not known: it takes two seeds" in found.sentence
    assert len(found.effects) == 3


def _request(results: Path, **changes: Any) -> CompareRequest:
    given = {
        "num_seeds": 6, "profile": "tiny", "overrides": ("stage1.steps=2",), "data": None,
        "options": CompareOptions(results, name="mine"), **changes,
    }  # fmt: skip
    return CompareRequest(("branch_a", "branch_b"), **given)


def test_each_split_is_a_comparison_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Catches: one folder for all splits, or an early comparison that never hears of later ones."""
    asked = []

    def fake(request: CompareRequest, *, display: Display) -> Comparison:
        asked.append(request)
        split = len(asked) - 1
        folder = tmp_path / "reports" / str(request.options.name)
        record = compared(split, effect=0.5 + split)
        record = with_other_splits(record, results=tmp_path)
        record.save(folder)
        return Comparison(record=record, folder=folder, finished=[], split=None)

    monkeypatch.setattr(over_splits, "compare", fake)
    found = compare_over_splits(_request(tmp_path), num_splits=3, display=Display())
    assert [one.overrides for one in asked] == [
        ("stage1.steps=2", f"data.split_seed={seed}") for seed in range(3)
    ]
    assert [one.options.name for one in asked] == ["mine-split0", "mine-split1", "mine-split2"]
    for comparison in found.comparisons:
        assert load_comparison(comparison.folder) == comparison.record
        assert comparison.record.notices[0].startswith("Other splits: on 3 splits")
    (pair,) = found.data()["pairs"]
    effects = list(pair["effects"].values())
    assert pair["mean"] == pytest.approx(np.mean(effects))
    assert pair["sd_over_splits"] == pytest.approx(np.std(effects, ddof=1))
    assert 0 <= pair["split_share_of_variance"] <= 1
    console = Console(width=80, file=io.StringIO())
    console.print(over_splits_view(found, reports=[Path(f"page{k}") for k in range(3)]))
    shown = " ".join(console.file.getvalue().split())
    assert "report of split 2 page2" in shown
    assert "On 3 splits (data.split_seed 0, 1 and 2), branch_a minus branch_b is" in shown


def test_splits_that_cannot_be_drawn_are_refused(tmp_path: Path) -> None:
    """Catches: K times the same comparison, or K times the hours that were allowed."""
    lock = tmp_path / "split.json"
    lock.write_text("{}")
    for request, number, words in (
        (_request(tmp_path), 1, "at least 2"),
        (_request(tmp_path, overrides=("data.split_seed=4",)), 2, "drop --set data.split_seed"),
        (_request(tmp_path, data=str(lock)), 2, "is a lock file"),
        (_request(tmp_path, max_hours=3.0), 2, "limit one comparison"),
    ):
        with pytest.raises(UsageError, match=words):
            requests_over_splits(request, num_splits=number)


def test_a_split_leaves_the_locks_of_other_seeds_alone(tmp_path: Path, small_corpus: Path) -> None:
    """Catches: an earlier comparison whose clips are gone once another split was drawn."""
    quiet = {"results": tmp_path, "progress": lambda *words: None}
    settings = [DataSettings(split_seed=seed, max_excluded_share=0.9) for seed in (0, 1)]
    first, second = (prepare_split(str(small_corpus), settings=one, **quiet) for one in settings)
    assert first.split.hash != second.split.hash
    assert [load_split(one.lock).hash for one in (first, second)] == [
        first.split.hash, second.split.hash,
    ]  # fmt: skip
    again = split_as_prepared(str(small_corpus), settings=settings[0], **quiet)
    assert (again.lock, again.split.hash) == (first.lock, first.split.hash)
