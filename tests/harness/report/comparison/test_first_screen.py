"""What a reader sees first, on the page, in its twin and in the terminal."""

import re
from collections.abc import Callable
from io import StringIO
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from rich.console import Console

from core.data.items import Sample
from core.data.splits.split import Part
from harness.comparison.evidence import Listening, Looks, ToAdd, Trainings
from harness.comparison.listening import listening_of
from harness.comparison.next_step import next_step
from harness.comparison.record import ComparisonRecord, load_comparison
from harness.comparison.summary import answers, listening
from harness.records.record import load_record
from harness.report.comparison.choice import NUM_EXTREME, NUM_RANDOM, Advantage, chosen_clips
from harness.report.page.page import Written
from harness.report.terminal.comparison import comparison_view
from harness.run.partners import shuffle_within_class
from harness.statistics.outcome import Outcome, Speaks, Strength

QUESTIONS = ("Best estimate", "Who listens", "The metric", "What would settle it")
TRAININGS = Trainings(collapsed={}, num_seeds=6, unseen_share=0.4, skewed=[], speaks=Speaks.TYPICAL)


@pytest.fixture(scope="module")
def record(comparison_folder: Path) -> ComparisonRecord:
    return load_comparison(comparison_folder)


@pytest.fixture(scope="module")
def changed(record: ComparisonRecord) -> Callable[..., ComparisonRecord]:
    """The record with other fields; six seeds that decided nothing, unless told."""

    def made(**fields: Any) -> ComparisonRecord:
        base = {
            "seeds": list(range(6)),
            "strength": Strength.NONE,
            "trainings": TRAININGS,
            "to_add": None,
            "looks": Looks(),
        }
        return record.model_copy(update=base | fields)

    return made


def to_add(*, seeds: int | None, clips: int | None = None) -> ToAdd:
    return ToAdd(
        seeds=seeds, clips=clips, seconds_for_seeds=None, seconds_for_clips=None, sentence="Add."
    )


def test_page_twin_and_terminal_answer_in_one_order(
    record: ComparisonRecord, written: Written
) -> None:
    """Catches: a terminal that shows no next step, a twin that starts with hashes."""
    out = StringIO()
    Console(file=out, width=120).print(comparison_view(record))
    page = written.page.read_text(encoding="utf-8")
    twin = written.twin.read_text(encoding="utf-8")
    for text, after in ((out.getvalue(), "paired over"), (twin, "## Paired"), (page, "<article")):
        places = [text.index(words) for words in (*QUESTIONS, after)]
        assert places == sorted(places)
    first = page[: page.index('<section id="sheet"')]
    for answer in answers(record):
        for sentence in answer.sentences:
            assert sentence in first.replace("&#39;", "'").replace("&lt;", "<")


def test_the_estimate_names_the_best_branch_with_its_interval(record: ComparisonRecord) -> None:
    """Catches: a sign that follows the order of the branches; a lead without its interval."""
    (pair,) = record.pairs
    assert pair.ahead == "sonic"
    assert pair.effect < 0
    assert pair.interval is not None
    sentence = answers(record)[0].sentences[0]
    assert sentence.startswith("sonic has the best mean on listening rank, ")
    assert f"{-pair.effect:.3f} ahead of baseline" in sentence
    low, high = -pair.interval.high, -pair.interval.low
    assert f"({low:+.3f} to {high:+.3f}".replace("-", "\u2212") in sentence
    assert ("which holds 0" in sentence) == (low <= 0 <= high)
    assert record.claim in answers(record)[0].sentences


def test_the_metric_has_its_chance_level(record: ComparisonRecord) -> None:
    """Catches: a number that nobody can place."""
    words = " ".join(answers(record)[2].sentences)
    assert "Chance, where the sound changes nothing: 0.500. Real pictures: 0.9" in words
    assert "A higher one is better" in words


def test_who_listens_is_counted_run_by_run(results: Any) -> None:
    """Catches: a branch called listening for its mean alone, or for a control other than sound."""
    records = [load_record(folder) for folder in results.runs]
    rows = listening_of(records, branches=["baseline", "sonic"], primary="listening_rank")
    assert [(row.branch, row.num_runs, row.num_above) for row in rows] == [
        ("baseline", 2, 2),
        ("sonic", 2, 2),
    ]
    silent = [
        r.model_copy(update={"controls": [c for c in r.controls if c.control != "shuffled"]})
        for r in records
    ]
    assert listening_of(silent, branches=["baseline"], primary="listening_rank") == []


def test_a_branch_is_never_said_not_to_listen() -> None:
    """Catches: "does not listen" where only no advantage was shown."""

    def row(branch: str, *, runs: int, above: int, below: int = 0) -> Listening:
        return Listening(
            branch=branch,
            metric="listening_rank",
            num_runs=runs,
            num_above=above,
            num_below=below,
            mean=None if runs == 0 else 0.1,
        )

    words = listening(
        [row("a", runs=2, above=2), row("b", runs=2, above=1), row("c", runs=2, above=0, below=1),
         row("d", runs=0, above=0)]
    )  # fmt: skip
    assert words[0] == "Shown in every training: a (2 of 2 runs, mean advantage +0.100)."
    assert words[1].startswith("In some trainings: b (1 of 2")
    assert words[2].startswith("Not shown: c (0 of 2")
    assert "mismatched ahead in 1" in words[2]
    assert words[3] == "Not tested, without a sound or a finished run: d."


def test_below_six_seeds_the_next_step_adds_them(record: ComparisonRecord) -> None:
    """Catches: a command whose total is the number to add, or below what a win takes."""
    step = next_step(record)
    words = (step.command or "").split()
    wanted = record.to_add.seeds if record.to_add is not None else None
    total = 6 if wanted is None else len(record.seeds) + wanted
    assert total >= 6
    assert words[words.index("--seeds") + 1] == str(total)


def test_a_tie_of_few_seeds_takes_more_of_them(changed: Callable[..., ComparisonRecord]) -> None:
    """Catches: another split recommended where more seeds are still free."""
    tie = changed(outcome=Outcome.TIE, strength=Strength.EXPLORATORY, seeds=[0, 1, 2, 3])
    assert "--seeds 6" in (next_step(tie).command or "")
    assert "no look has counted" in next_step(tie).sentence


def test_the_next_step_is_paid_for(changed: Callable[..., ComparisonRecord]) -> None:
    """Catches: advice to look again without saying what it costs; a look that no plan names."""
    free = next_step(changed(to_add=to_add(seeds=4)))
    assert "--seeds 10" in (free.command or "")
    assert "no plan names" in free.sentence
    assert "exploratory" in free.sentence
    level = float(re.findall(r"up to ([\d.]+)%", free.sentence)[0])
    assert 5 < level < 15
    planned = changed(to_add=to_add(seeds=9), looks=Looks(planned=[6, 8, 10]))
    assert "--seeds 8" in (next_step(planned).command or "")
    last = changed(to_add=to_add(seeds=9), seeds=list(range(10)), looks=Looks(planned=[6, 8, 10]))
    assert next_step(last).command is None
    assert "used up" in next_step(last).sentence


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"failed": ["sonic-s1"]}, "Run it again"),
        ({"pairs": []}, "choose another metric"),
        ({"trainings": None}, "compare by another --metric"),
        ({"to_add": None}, "cannot be computed"),
        ({"to_add": to_add(seeds=None, clips=90)}, "Add."),
        ({"outcome": Outcome.WIN, "strength": Strength.CONFIRMED}, "other splits"),
        ({"outcome": Outcome.WIN, "strength": Strength.THESE_CLIPS}, "more test clips"),
        ({"outcome": Outcome.WIN, "strength": Strength.EXPLORATORY}, "nobody has looked at"),
        (
            {"to_add": to_add(seeds=4), "command": "harness compare --from a b"},
            "name them all with --from",
        ),
    ],
)
def test_each_outcome_has_a_next_step(
    changed: Callable[..., ComparisonRecord], fields: dict[str, Any], words: str
) -> None:
    """Catches: an outcome that leaves its reader without one, or with a command for another."""
    assert words in next_step(changed(**fields)).sentence


def test_a_decided_comparison_is_repeated_on_other_splits_by_one_command(
    changed: Callable[..., ComparisonRecord],
) -> None:
    """Catches: a command that trains the same split again, or one for runs that were named."""
    decided = {"outcome": Outcome.WIN, "strength": Strength.CONFIRMED}
    asked = "harness compare --variants a,b --seeds 6"
    assert next_step(changed(**decided, command=asked)).command == f"{asked} --split-seeds 4"
    for other in ("harness compare --from a b", f"{asked} --set data.split_seed=2"):
        assert next_step(changed(**decided, command=other)).command is None


def test_a_card_plays_the_sound_that_the_mismatched_images_were_given(
    written: Written, results: Any
) -> None:
    """Catches: a second row that nobody can check, or one with some other clip's sound."""
    page = written.page.read_text(encoding="utf-8")
    split = results.split
    partners = shuffle_within_class(split, ids=split.parts[Part.TEST])
    cards = re.findall(r'<article class="clip".*?</article>', page, re.DOTALL)
    plain_cards = [card for card in cards if "<small>clip1" in card]
    assert plain_cards
    for card in plain_cards:
        (own,) = re.findall(r"<h3[^>]*>[^<]*<small>(clip1\d)</small>", card)
        heard = re.findall(r'<audio[^>]*aria-label="Sound of [^"]*, clip (\w+)"', card)
        real = re.findall(r'alt="Real picture of [^"]*, clip (\w+)"', card)
        assert heard == real == [own, partners[own]]
        for arm in ("matching sound", "mismatched sound", "caption only", "silence"):
            assert f'alt="sonic with {arm}, dog barking, clip {own}"' in card


def test_a_long_hash_is_folded_away(written: Written, results: Any) -> None:
    """Catches: run ids and digests across the page that a reader looks at."""
    page = written.page.read_text(encoding="utf-8")
    shown = re.sub(r"<(style|svg|head)\b.*?</\1>", "", page, flags=re.DOTALL)
    while "<details" in shown:  # the innermost first
        shown = re.sub(r"<details(?:(?!<details).)*?</details>", "", shown, flags=re.DOTALL)
    text = re.sub(r"<[^>]*>", " ", shown)
    assert not re.findall(r"\b[0-9a-f]{16,}\b", text)
    for folder in results.runs:
        assert folder.name not in text
        assert folder.name in page


def test_many_classes_still_fit_a_sheet() -> None:
    """Catches: a page of three hundred cards for a corpus of three hundred classes."""
    samples = [
        Sample(
            id=f"{name}-{number}", class_name=f"class {name:03}", caption="", source="",
            audio_path="", image_path="", audio_sha256="", image_sha256="", duration_s=1.0,
        )
        for name in range(300)
        for number in range(2)
    ]  # fmt: skip
    gain = Advantage("w", pd.Series({s.id: float(n) for n, s in enumerate(samples)}))
    chosen = chosen_clips(samples, gain=gain)
    assert len(chosen) == NUM_RANDOM + 2 * NUM_EXTREME
    assert chosen == chosen_clips(samples[::-1], gain=gain)
