"""What it takes to say that a branch's images equal real pictures."""

from types import SimpleNamespace

import pandas as pd
import pytest

from benchmarks import study_near_real
from core.randomness import rng
from harness.comparison.evidence import NearReal
from harness.comparison.judging import Evidence
from harness.comparison.near_real import near_real_rows
from harness.statistics.crossed import crossed_test
from harness.statistics.near_real import NEAR_P_FACTOR, near_real_p


def rows(
    distances: dict[str, float], *, seeds: int = 6, clips: int = 40, margin: float = 0.1
) -> dict[str, NearReal]:
    """By branch, what is said of contributions around these distances."""
    draw = rng(0, "contributions", seeds, clips)
    index = pd.MultiIndex.from_arrays(
        [[f"clip{c}" for c in range(clips)], [f"class{c % 4}" for c in range(clips)]],
        names=["sample_id", "class_name"],
    )
    table = pd.DataFrame(index=index)
    records = []
    for branch, distance in distances.items():
        for seed in range(seeds):
            run_id = f"{branch}-s{seed}"
            table[run_id] = distance + 0.05 * draw.normal(size=clips)
            records.append(
                SimpleNamespace(run_id=run_id, identity=SimpleNamespace(variant=branch, seed=seed))
            )
    evidence = Evidence(records, {"kid": table, "frechet_clip": table})  # type: ignore[arg-type]
    margins = {"kid": margin, "frechet_clip": margin} if margin else {}
    found = near_real_rows(evidence, branches=list(distances), margins=margins)
    return {row.branch: row for row in found}


def test_only_a_branch_that_is_shown_to_lie_within_the_margin_equals_real_pictures() -> None:
    """Catches: "cannot be told from real pictures" for a branch at the margin, or for one whose
    distance merely does not differ from 0."""
    found = rows({"near": 0.01, "at_margin": 0.1, "far": 0.4})
    assert [row.is_shown for row in found.values()] == [True, False, False]
    assert "cannot be told from real pictures of other clips within the margin of 0.1" in (
        found["near"].sentence
    )
    for name in ("at_margin", "far"):
        assert "is not shown" in found[name].sentence
        assert "cannot be told" not in found[name].sentence
    assert {row.metric for row in found.values()} == {"kid"}  # a Frechet distance has no zero


@pytest.mark.parametrize(
    ("changes", "words"),
    [({"seeds": 5}, "5 seeds are exploratory"), ({"clips": 16}, "16 test clips are too few")],
)
def test_few_trainings_or_clips_show_no_equivalence(changes: dict[str, int], words: str) -> None:
    """Catches: a claim from trainings or clips too few for the test to keep its level."""
    (row,) = rows({"near": 0.0}, **changes).values()
    assert (row.is_shown, row.adjusted_p) == (False, None)
    assert words in row.sentence


def test_without_a_margin_nothing_is_tested() -> None:
    """Catches: an equivalence within a margin that nobody set."""
    assert rows({"near": 0.0}, margin=0.0) == {}


def test_all_branches_are_adjusted_together() -> None:
    """Catches: each of many branches claimed at 5 % by itself."""
    alone = rows({"near": 0.075})["near"].adjusted_p
    beside = rows({"near": 0.075, "far": 0.4})["near"].adjusted_p
    assert alone is not None
    assert beside == pytest.approx(2 * alone)


def test_the_p_is_that_of_the_crossed_test_times_its_factor() -> None:
    """Catches: the equivalence of trainings alone, which other clips need not show."""
    table = 0.03 + 0.2 * rng(1, "near").normal(size=(6, 40))
    found = crossed_test(table, classes=["a"] * 20 + ["b"] * 20)
    assert found is not None
    expected = min(1.0, NEAR_P_FACTOR * found.equivalence_p(0.1))
    assert near_real_p(found, margin=0.1) == expected
    assert near_real_p(found, margin=0.0) == 1.0


def test_a_generator_at_the_margin_is_rarely_claimed_equal_and_a_perfect_one_often(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Catches: a level that holds for normal contributions alone, or a test that shows nothing."""
    monkeypatch.setattr(study_near_real, "_TRUTHS", 4)  # each of 5 sets of 800 images
    found = study_near_real.near_cell("kid", 66, 0.6, 0.3, 100)
    study_near_real._truth.cache_clear()
    assert found["experiments"] == 100
    assert found["false_claims"] <= 0.05 + 3.5 * (0.05 * 0.95 / 100) ** 0.5
    assert found["power"] > 0.9
    assert found["margin"] > 0.3
