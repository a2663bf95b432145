"""A comparison that is asked again: nothing is computed that is known."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from core.errors import MismatchError
from harness.comparison import stored
from harness.comparison.compare import Comparison, compare_existing
from harness.comparison.looks import read_question
from harness.comparison.request import CompareOptions
from harness.records.record import load_record
from harness.report.comparison.draw import draw_comparison

Asked = Callable[..., Comparison]


@pytest.fixture
def asked(two_runs: tuple[Path, Path], tmp_path: Path) -> Asked:
    """Compares copies of the two runs, in one folder of results."""
    copies = [shutil.copytree(run, tmp_path / "runs" / run.name) for run in two_runs]

    def ask(*, margin: float = 0.5) -> Comparison:
        options = CompareOptions(tmp_path / "results", metric="aic", margin=margin, name="mine")
        return compare_existing([str(copy) for copy in copies], options=options)

    return ask


def test_asked_again_the_stored_record_returns(asked: Asked) -> None:
    """Catches: intervals drawn again, and one more look in the journal, for a known answer."""
    first = asked()
    before = (first.folder / "comparison.json").read_bytes()
    again = asked()
    assert (first.is_stored, again.is_stored) == (False, True)
    assert again.record == first.record
    assert (again.folder / "comparison.json").read_bytes() == before
    assert len(read_question(first.folder)["looks"]) == 1


def test_a_page_that_is_there_stays_and_one_that_is_gone_is_drawn(asked: Asked) -> None:
    """Catches: a page drawn again for the same numbers, or none after a stop before it was."""
    drawn = draw_comparison(asked())
    page = drawn.report
    written = page.stat().st_mtime_ns
    again = draw_comparison(asked())
    assert (again.sheet, again.report, again.data()) == (drawn.sheet, page, drawn.data())
    assert page.stat().st_mtime_ns == written
    page.unlink()
    assert draw_comparison(asked()).report.is_file()


def test_what_has_changed_is_compared_again(
    asked: Asked, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Catches: yesterday's verdict for another margin, other numbers, or mended code."""
    assert asked().record.pairs[0].margin == 0.5
    assert asked(margin=0.25).record.pairs[0].margin == 0.25
    assert asked(margin=0.25).is_stored
    run = tmp_path / "runs" / "one"
    load_record(run).model_copy(update={"notices": ["repaired"]}).save(run)
    assert not asked(margin=0.25).is_stored
    monkeypatch.setattr(stored, "code_hash", lambda roots: "mended")
    assert not asked(margin=0.25).is_stored
    assert asked(margin=0.25).is_stored
    (tmp_path / "results" / "reports" / "mine" / "comparison.json").write_text("{ damaged")
    assert not asked(margin=0.25).is_stored


def test_altered_scores_are_refused_although_the_answer_is_known(
    asked: Asked, tmp_path: Path
) -> None:
    """Catches: a stored verdict on tables that nobody can check any more."""
    asked()
    table = tmp_path / "runs" / "one" / "per_clip.csv"
    table.write_text(table.read_text() + " ")
    with pytest.raises(MismatchError, match="is not as the run"):
        asked()


def test_a_known_answer_returns_without_the_heavy_libraries(
    two_runs: tuple[Path, Path], tmp_path: Path, loaded_by: Callable[..., list[str]]
) -> None:
    """Catches: fifteen seconds of imports for a record that lies on the disk."""
    options = CompareOptions(tmp_path, metric="aic")
    draw_comparison(compare_existing([str(run) for run in two_runs], options=options))
    words = ["--from", *map(str, two_runs), "--metric", "aic", "--results", str(tmp_path)]
    assert loaded_by("compare", *words) == []
