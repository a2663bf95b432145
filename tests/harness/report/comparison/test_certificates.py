"""What a report leaves blank because the scorers are at chance, and what it shows of them."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from harness.comparison.analysis import analyse
from harness.comparison.runs import load_run
from harness.records.certificate import Certificate, Task, Told
from harness.report.comparison.write import write_comparison_report


@pytest.fixture(scope="module")
def page(stand_in: SimpleNamespace, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A comparison whose judge tells classes and not clips."""
    results = stand_in.write_results(tmp_path_factory.mktemp("certified") / "results")
    runs = [load_run(path) for path in results.runs]
    certificate = Certificate(
        task=Task.SOUND,
        scorer="embedded:clip",
        scorer_hash="3" * 64,
        split_hash=results.split.hash,
        part="test",
        window_s=0.5,
        num_clips=8,
        num_classes=2,
        across=Told(rate=0.78, low=0.7, high=0.86, p=0.001, num_clips=8, is_told=True),
        within=Told(rate=0.49, low=0.41, high=0.57, p=0.6, num_clips=8),
        code="c",
        created_at="2026-01-01T00:00:00+00:00",
    )
    folder: Path = results.root / "reports" / "compare-test"
    analyse(
        runs,
        metric="listening_rank",
        folder=folder,
        command="harness compare",
        certificates=[certificate],
    ).save(folder)
    return write_comparison_report(folder).twin.read_text(encoding="utf-8")


def test_the_margin_over_a_mismatched_sound_is_blank_with_the_reason(page: str) -> None:
    """Catches: a refused claim that still stands as a number in a table below."""
    start = page.index("## Listening controls")
    section = page[start : page.index("\n## ", start)]
    assert "Listening rank over every control is blank" in section  # it compares within a class
    assert "0.49, 95% interval 0.41 to 0.57, 8 clips; chance 0.50" in section
    assert "of 2 |" not in section
    assert "Not claimed of any branch" in page


def test_the_scorers_are_shown_with_what_they_tell(page: str) -> None:
    """Catches: a certificate that nobody sees where the numbers stand."""
    (row,) = [line for line in page.splitlines() if line.startswith("| embedded:clip | sound")]
    assert "0.780" in row
    assert "at chance" in row


def test_an_unchecked_scorer_is_said_to_be_unchecked(written: SimpleNamespace) -> None:
    """Catches: the absence of a check read as a pass."""
    assert "(harness scorers check)" in written.twin.read_text(encoding="utf-8")
