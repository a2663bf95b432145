"""Section 11 of a report: each branch's search beside the other's."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from harness.cli.report_targets import write_reports
from harness.comparison.analysis import analyse
from harness.comparison.runs import load_run
from harness.report.draw import write_report
from harness.settings.branch_config import Tuning

HOSTILE = "</td><script>document.title='owned'</script>"


@pytest.fixture
def root(tmp_path: Path, stand_in: Any) -> Path:
    """Runs that a test may say were tuned."""
    return stand_in.write_results(tmp_path / "results", seeds=1).root


@pytest.fixture(autouse=True)
def without_plots(monkeypatch: pytest.MonkeyPatch) -> None:
    """Plots take seconds and have tests of their own."""
    for module in ("differences", "scores", "training"):
        monkeypatch.setattr(
            f"harness.report.comparison.figures.{module}.both",
            lambda *args: ("<svg></svg>", "<svg></svg>"),
        )


def tune(root: Path, by_branch: Mapping[str, Tuning]) -> list[Path]:
    """Say so in the records; returns the runs' folders."""
    folders = sorted((root / "runs").iterdir())
    for folder in folders:
        path = folder / "record.json"
        record = json.loads(path.read_text())
        del record["checksum"]
        tuning = by_branch.get(record["identity"]["variant"])
        record["tuning"] = None if tuning is None else tuning.model_dump(mode="json")
        path.write_text(json.dumps(record))
    return folders


def compared(root: Path, **known: Tuning) -> tuple[str, list[str]]:
    """The report of the comparison of all runs, as text, and its notices but of too few clips."""
    folder = root / "reports" / "compare-tuned"
    runs = [load_run(path) for path in sorted((root / "runs").iterdir())]
    record = analyse(
        runs, metric="listening_rank", folder=folder, command="harness compare", tuning=known
    )
    record.save(folder)
    of_tuning = [line for line in record.notices if "test clips in" not in line]
    return write_report(folder).page.read_text(encoding="utf-8"), of_tuning


def section(page: str, name: str) -> str:
    """A section of the page as words."""
    own = page[page.index(f'<section id="{name}"') :]
    text = re.sub(r"<[^>]*>", " ", own[: own.index("</section>")])
    return re.sub(r"\s+", " ", text)


def found(root: Path, **changes: Any) -> Tuning:
    """What a sweep of two trials wrote."""
    split = json.loads(next((root / "runs").glob("*/record.json")).read_text())["split"]["hash"]
    words: dict[str, Any] = {
        "sweep": "night",
        "study": "night-sonic",
        "trial": 17,
        "metric": "validation_loss",
        "num_trials": 30,
        "trials": {"complete": 20, "pruned": 8, "failed": 2},
        "default_value": 0.08312,
        "value": 0.08111,
        "split_hash": split,
        "num_validation": 66,
    }
    return Tuning(**{**words, **changes})


def test_equal_searches_stand_side_by_side(root: Path) -> None:
    """Catches: numbers of another branch's search, or a warning where all is alike."""
    tune(root, {"baseline": found(root, value=0.08222, trial=3), "sonic": found(root)})
    page, notices = compared(root)
    text = section(page, "sweep")
    assert notices == []
    assert "not tuned alike" not in page
    one = "trial 17 of night-sonic 30 20/8/2 validation loss 0.0831 → 0.0811 66"
    other = "trial 3 of night-sonic 30 20/8/2 validation loss 0.0831 → 0.0822 66"
    assert text.index(other) < text.index(f"sonic night {one}")  # baseline first


def test_a_tuned_branch_against_an_untuned_one_is_warned_of(root: Path) -> None:
    """Catches: a verdict whose reader does not learn that one branch alone was tuned."""
    tune(root, {"sonic": found(root)})
    page, notices = compared(root)
    warning = "so a difference between them may come from the tuning alone"
    assert [warning in notice for notice in notices] == [True]
    assert warning in section(page, "verdict")
    text = section(page, "sweep")
    assert warning in text
    assert "baseline defaults profile and command line" in text


def test_what_the_records_do_not_know_is_reported_too(root: Path) -> None:
    """Catches: a sweep that ends in settings which had been run before, and so goes unmentioned."""
    page, notices = compared(root, sonic=found(root), baseline=found(root, num_trials=9, trials={}))
    assert "(baseline 9, sonic 30)" in notices[0]
    assert "unequal numbers of trials" in section(page, "sweep")


def test_runs_that_were_not_compared_show_their_searches(root: Path) -> None:
    """Catches: a report of single runs that keeps quiet about their tuning."""
    folders = tune(root, {"sonic": found(root, sweep=HOSTILE, study=None, trial=None)})
    names = [folder.name for folder in folders]
    (both,) = write_reports(names, results=root, max_bytes=10**8)
    page = both.page.read_text(encoding="utf-8")
    assert "sonic by a sweep and baseline not at all" in section(page, "sweep")
    assert "<script" not in page
