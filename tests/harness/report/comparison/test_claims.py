"""What a report claims, from simulated scores to the words on the page."""

from collections.abc import Callable
from dataclasses import replace
from html import unescape
from io import StringIO
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from benchmarks.stand_in import METRIC, World, experiment, stand_in_runs
from core.randomness import rng
from harness.comparison.analysis import analyse
from harness.comparison.earlier import variance_sentence
from harness.comparison.evidence import Looks
from harness.comparison.record import ComparisonRecord
from harness.report.comparison.write import write_comparison_report
from harness.report.terminal.comparison import comparison_view

WORLD = World(num_seeds=8, effects=(1.5, 0.0))
Judge = Callable[..., ComparisonRecord]
Shown = Callable[[ComparisonRecord], dict[str, str]]


@pytest.fixture
def judged(tmp_path: Path) -> Judge:
    """A comparison of simulated scores [branches, seeds, clips], through the code that judges."""

    def judge(
        scores: np.ndarray, *, margin: float | None = None, **looks: object
    ) -> ComparisonRecord:
        world = replace(WORLD, num_seeds=scores.shape[1], effects=(0.0,) * len(scores))
        return analyse(
            stand_in_runs(world, scores),
            metric=METRIC,
            margins={} if margin is None else {METRIC: margin},
            folder=tmp_path / "claims",
            command="harness compare --variants branch_a,branch_b --seeds 8",
            looks=Looks.model_validate(looks),
        )

    return judge


@pytest.fixture
def shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shown:
    """The words of the page, of its twin and of the terminal."""
    for module in ("differences", "scores", "training"):
        monkeypatch.setattr(
            f"harness.report.comparison.figures.{module}.both",
            lambda *args: ("<svg></svg>", "<svg></svg>"),
        )

    def words(record: ComparisonRecord) -> dict[str, str]:
        folder = tmp_path / "claims"
        record.save(folder)
        written = write_comparison_report(folder)
        out = StringIO()
        Console(file=out, width=10_000).print(comparison_view(record, width=60))
        return {
            "page": unescape(written.page.read_text(encoding="utf-8")),
            "twin": unescape(written.twin.read_text(encoding="utf-8").replace("\\", "")),
            "terminal": out.getvalue(),
        }

    return words


def everywhere(words: dict[str, str], sentence: str) -> bool:
    """Whether page, twin and terminal all say it; where not, which does not is in the failure."""
    assert [place for place, text in words.items() if sentence not in text] == []
    return True


def scores(*, repeat: int = 0, world: World = WORLD) -> np.ndarray:
    return world.scores(rng(repeat, "claims"))


def test_a_collapsed_training_is_counted_and_named(judged: Judge, shown: Shown) -> None:
    """Catches: a mean over trainings claimed where one failed; "none seen" where one was."""
    found = scores()
    found[0] += 10.0
    found[1, 2] -= 9.0
    record = judged(found)
    assert record.trainings is not None
    assert record.trainings.collapsed["branch_b"] == [2]
    words = shown(record)
    everywhere(words, "1 of 8 trainings of branch_b collapsed (seed 2)")
    everywhere(words, "far worse than the branch's own median")
    assert record.winner == "branch_a"
    everywhere(words, "It speaks of a typical training: some collapsed (1 of 8 of branch_b)")
    assert not any("without one being seen" in text for text in words.values())


def test_skewed_differences_are_said_to_be_skewed(judged: Judge, shown: Shown) -> None:
    """Catches: a claim about the mean from differences of which the t-test holds the median."""
    world = replace(WORLD, num_seeds=12)
    found = scores(world=world)
    found[0] += (rng(1, "skew").standard_exponential(12) ** 3)[:, None]
    record = judged(found)
    assert record.trainings is not None
    assert record.trainings.skewed == ["branch_a - branch_b"]
    everywhere(shown(record), "the differences over seeds are skewed (branch_a - branch_b)")


def test_a_win_says_how_much_it_exaggerates(judged: Judge, shown: Shown) -> None:
    """Catches: the size of a selected difference printed as if nothing had been selected."""
    small = replace(WORLD, effects=(0.5, 0.0))
    record = next(
        found
        for repeat in range(20)
        if (found := judged(scores(repeat=repeat, world=small))).winner
    )
    (pair,) = record.pairs
    assert pair.selection is not None
    assert pair.selection.factor > 1.05
    words = shown(record)
    everywhere(words, f"{pair.selection.factor:.2g} times the true one; shrunken, it is")
    large = judged(scores(world=replace(WORLD, effects=(5.0, 0.0))))
    everywhere(shown(large), "this one is likely exaggerated by less than 5 %")


def test_a_tie_says_its_margin(judged: Judge, shown: Shown) -> None:
    """Catches: "equal" where only "within the margin" was shown."""
    record = judged(scores(world=replace(WORLD, effects=(0.0, 0.0), training_sd=0.05)), margin=1.0)
    assert record.outcome.value == "tie"
    words = shown(record)
    everywhere(words, "branch_a and branch_b tie on listening_rank, within 1")
    everywhere(words, "two one-sided t-tests, which place every difference within the margin")


def test_a_win_on_these_clips_alone_says_so_everywhere(judged: Judge, shown: Shown) -> None:
    """Catches: a win that other clips may not repeat, in words that leave that out."""
    world = replace(WORLD, num_seeds=10, effects=(0.0, 0.0), interaction_sd=2.0, training_sd=0.02)
    record = next(
        found
        for repeat in range(60)
        if (found := judged(scores(repeat=repeat, world=world))).strength.value == "these_clips"
    )
    words = shown(record)
    everywhere(words, "on these clips")
    everywhere(words, "whether other clips would is not shown")
    everywhere(words, "It is decided on these clips.")
    everywhere(words, "For other clips of these classes too, the lead:")


def test_clips_that_the_interval_leaves_out_are_counted(judged: Judge, shown: Shown) -> None:
    """Catches: an interval for other clips of fewer clips than the lead beside it, unsaid."""
    record = judged(scores())
    assert not any(", without " in text for text in shown(record).values())
    (pair,) = record.pairs
    assert pair.other_clips is not None
    fewer = pair.other_clips.model_copy(update={"left_out": 3})
    fewer_pair = pair.model_copy(update={"other_clips": fewer})
    record = record.model_copy(update={"pairs": [fewer_pair]})
    everywhere(shown(record), ", without 3 clips that some run has no value for.")


def test_an_unplanned_look_is_no_confirmation(judged: Judge, shown: Shown) -> None:
    """Catches: a second look that reads like the first."""
    record = judged(scores(), earlier=[6], unplanned=[6], level=0.068)
    words = shown(record)
    everywhere(words, "Exploratory: it was also decided at 6 seeds, which no plan names")
    assert not any("Confirmed" in text for text in words.values())
    # Neither the headline, nor a pair by itself, weighs more than the comparison does.
    everywhere(words, "wins on listening_rank over 8 seeds (exploratory)")
    assert {pair.strength.value for pair in record.pairs} == {"exploratory"}


def test_one_decided_pair_is_not_nothing(shown: Shown) -> None:
    """Catches: "do not separate the branches" above a pair of which one beats the other."""
    world = World(num_seeds=6, effects=(0.3, 0.0, 0.0))
    record = next(
        found
        for repeat in range(40)
        if (found := experiment(world, repeat=repeat)).winner is None
        and any(pair.winner for pair in found.pairs)
    )
    num = sum(pair.winner is not None for pair in record.pairs)
    assert f"single out no branch on listening_rank; {num} of 3 pairs" in record.verdict
    words = shown(record)
    everywhere(words, f"No best branch is established: {num} of 3 pairs")
    assert not any("Nothing is established" in text for text in words.values())


def test_pairs_that_are_all_decided_leave_none_open(judged: Judge, shown: Shown) -> None:
    """Catches: "the others are not" where no other pair is left, "cannot be computed" for a reason
    that does not hold, and a tie on these clips alone that does not say so."""
    world = replace(WORLD, effects=(3.0, 2.9, 0.0), interaction_sd=2.0, training_sd=0.02)
    record = next(
        found
        for repeat in range(40)
        if (found := judged(scores(repeat=repeat, world=world), margin=0.6)).winner is None
        and sorted(pair.verdict.value for pair in found.pairs) == ["tie", "win", "win"]
        and found.pairs[0].population.value == "these_clips"
    )
    words = shown(record)
    everywhere(words, "all 3 pairs are decided")
    everywhere(words, "but no branch wins against every other.")
    everywhere(words, "Every pair is decided, and no branch wins against every other")
    tied = "branch_a and branch_b tie on listening_rank, within 0.6, on these clips ("
    assert tied in words["page"]
    assert "adjusted p of no difference" in record.pairs[0].sentence
    for text in words.values():
        assert "the others are not" not in text
        assert "cannot be computed" not in text


def test_no_sentence_of_a_report_equals_photographs(judged: Judge, shown: Shown) -> None:
    """Catches: a claim of indistinguishable images, which no test here makes."""
    for text in shown(judged(scores())).values():
        assert "cannot be told" not in text
        assert "indistinguishable" not in text


def test_the_report_says_what_would_narrow_the_interval(judged: Judge, shown: Shown) -> None:
    """Catches: variance components that stay in the record; advice that is not the best of them."""
    record = judged(scores(world=replace(WORLD, interaction_sd=2.0)))
    (pair,) = record.pairs
    assert pair.variance is not None
    assert pair.variance.best == "clips"
    page = shown(record)["page"]
    row = page[page.index("doubled, narrows it most") :]
    row = row[row.index("<tbody>") : row.index("</tbody>")]
    assert ">clips</td>" in row


def test_the_plan_knows_what_an_earlier_comparison_found(judged: Judge, tmp_path: Path) -> None:
    """Catches: advice before training that ignores the runs there are, or takes other ones."""
    record = judged(scores(world=replace(WORLD, interaction_sd=2.0)))
    record.save(tmp_path / "results" / "reports" / "claims")
    asked = {"metric": METRIC, "variants": record.branches, "profile": record.profile}
    sentence = variance_sentence(tmp_path / "results", **asked)
    assert sentence.startswith("By reports/claims (8 seeds, 66 clips), branch_a minus branch_b")
    assert sentence.endswith("so more clips narrow it most.")
    assert variance_sentence(tmp_path / "results", **asked | {"metric": "aic"}) == ""
    assert variance_sentence(tmp_path / "results", **asked | {"variants": ["branch_a", "c"]}) == ""
    assert variance_sentence(tmp_path / "none", **asked) == ""


@pytest.mark.parametrize(
    ("sizes", "said"),
    [
        ((2, 2, 2, 2, 2), "other trainings, clips and classes, from 10 clips of 5 classes"),
        ((4, 4, 4, 4), "other trainings and other clips of these 4 classes, not of other classes"),
        ((2, 2, 2, 2), "how clips of a class differ is known from 4 comparisons alone"),
        ((1, 1, 1), "clips and classes cannot be told apart"),
    ],
)
def test_the_legend_says_of_which_clips_and_classes_the_interval_speaks(
    sizes: tuple[int, ...], said: str, shown: Shown, tmp_path: Path
) -> None:
    """Catches: "seeds, classes and clips" under an interval that knows nothing of other classes."""
    world = World(num_seeds=3, effects=(1.0, 0.0), class_sizes=sizes)
    record = analyse(
        stand_in_runs(world, world.scores(rng(0, "legend"))),
        metric=METRIC,
        folder=tmp_path / "claims",
        command="",
    )
    page = shown(record)["page"]
    assert said in page
    assert ("the line is widened for that" in page) == ("4 comparisons" in said)


def test_the_intervals_of_all_pairs_and_looks_hold_together(judged: Judge, shown: Shown) -> None:
    """Catches: a forest of equal branches with a line off 0 in 13 to 33 % of reports, or looks
    that the intervals do not pay for."""
    world = replace(WORLD, effects=(0.0, 0.0, 0.0))
    alone = judged(scores(world=world)).pairs[0]
    assert alone.simultaneous is not None
    assert alone.simultaneous.level == pytest.approx(1 - 0.05 / 3)
    record = judged(scores(world=world), planned=[6, 8, 10])
    (looked, *_) = record.pairs
    assert looked.simultaneous is not None
    assert looked.other_clips is not None
    assert alone.other_clips is not None
    for wide, narrow in (
        (looked.simultaneous, alone.simultaneous),
        (looked.other_clips.interval, alone.other_clips.interval),
    ):
        assert wide.level > narrow.level
        assert wide.high - wide.low > narrow.high - narrow.low
    everywhere(shown(record), "so that those of all pairs and planned looks hold together")


def test_rates_that_no_search_tuned_are_named(judged: Judge, shown: Shown) -> None:
    """Catches: a win confirmed over a branch whose learning rate is off, and not a word of it."""
    record = judged(scores())
    assert record.claim.startswith("Confirmed")
    everywhere(shown(record), "learning rates and stage lengths among them, which no search tuned")
