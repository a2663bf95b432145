"""Reports of what is incomplete: runs gone or failed, media lost, no comparison."""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from core.errors import DataError
from harness.cli.report_targets import write_reports
from harness.comparison.record import load_comparison
from harness.records.folders import RECORD
from harness.records.record import load_record
from harness.report.comparison import write as writing
from harness.report.comparison.write import write_comparison_report
from harness.report.draw import write_report
from tests.harness.report.anatomy import Anatomy


@pytest.mark.usefixtures("without_plots")
def test_a_run_that_is_gone_is_named(copied: Path, results: Any) -> None:
    """Catches: a deleted run that drops out of a comparison unseen."""
    gone = results.runs[0].name
    shutil.rmtree(copied.parents[1] / "runs" / gone)
    text = write_report(copied).page.read_text(encoding="utf-8")
    assert f"{gone} is no longer on disk" in text
    found = Anatomy(text)
    assert {link[1:] for link in found.links if link.startswith("#")} <= set(found.ids)
    shutil.rmtree(copied.parents[1] / "runs")
    text = write_report(copied).page.read_text(encoding="utf-8")
    assert text.count("is no longer on disk") == len(results.runs)
    assert "<li>2 seeds</li>" in text


@pytest.mark.usefixtures("without_plots")
def test_a_bare_record_is_enough(copied: Path) -> None:
    """Catches: a report that needs the event log, the tables or what older records do not hold."""
    results = copied.parents[1]
    run = next((results / "runs").iterdir())
    for name in ("events.jsonl", "per_clip.csv", "nearest_training.csv"):
        (run / name).unlink()
    record = json.loads((run / "record.json").read_text())
    del record["checksum"]
    record.update(evaluation={}, cost={}, controls=[], stages=[], environment={})
    (run / "record.json").write_text(json.dumps(record))
    (written,) = write_reports([run.name], results=results, max_bytes=10**8)
    text = written.page.read_text(encoding="utf-8")
    for reason in (
        "No run left an event log",
        "no per-clip scores at",
        "No finished run recorded its time",
        "No run recorded a margin",
        "No run recorded how similar",
        "The runs recorded no distances at other numbers of images",
    ):
        assert reason in text


@pytest.mark.usefixtures("without_plots")
def test_the_time_of_a_resumed_run_is_that_of_all_its_processes(copied: Path) -> None:
    """Catches: a branch that looks cheap because its runs were interrupted."""
    runs = copied.parent.parent / "runs"
    paths = [runs / run.run_id / RECORD for run in load_comparison(copied).runs]
    for path in paths[1:]:
        data = json.loads(path.read_bytes())
        del data["checksum"]
        data["cost"] |= {"resumed_from_step": 5, "seconds": {"train": 1.0, "score": 2.0}}
        data["stages"] = [{**stage, "seconds": 100.0} for stage in data["stages"]]
        path.write_text(json.dumps(data))
    page = write_comparison_report(copied).page.read_text()
    num_stages = len(load_record(paths[0]).stages)
    assert num_stages
    assert f"{len(paths) - 1} runs of {len(paths)} resumed" in page
    times = pd.read_csv(copied / "numbers.csv").query("metric == 'seconds.train'")
    of_resumed = times[times["run"] != load_record(paths[0]).run_id]
    assert of_resumed["value"].tolist() == [100.0 * num_stages] * (len(paths) - 1)


@pytest.mark.usefixtures("without_plots")
def test_lost_media_are_said_to_be_lost(copied: Path) -> None:
    """Catches: a report that fails, or shows an empty frame, when the pairs have moved away."""
    results = copied.parents[1]
    for path in (results / "data" / "pairs" / "media").glob("clip1*"):
        path.unlink()
    for path in (results / "runs").glob("*/images/audio/clip1*"):
        path.unlink()
    text = write_report(copied).page.read_text(encoding="utf-8")
    assert "the sound cannot be read" in text
    sheet = text[text.index('<section id="sheet"') : text.index('<section id="forest"')]
    # Of each lost card: both real pictures (the partner is of the class), and with the matching
    # sound both branches.
    lost = len(re.findall(r'<h3 id="clip-\d-title">[^<]*<small>clip1', sheet))
    assert lost > 0
    assert sheet.count('class="gone"') == lost * (2 + 2)
    (results / "data" / "pairs" / "split.json").unlink()
    text = write_report(copied).page.read_text(encoding="utf-8")
    assert "The clips cannot be shown: the lock file" in text


@pytest.mark.usefixtures("without_plots")
def test_a_failed_run_is_shown_and_decides_nothing(tmp_path: Path, stand_in: Any) -> None:
    """Catches: a failure that is left out, or a report that falls over it."""
    folder = stand_in.write_comparison(stand_in.write_results(tmp_path / "results", fails=True))
    text = write_report(folder).page.read_text(encoding="utf-8")
    assert "undecided: runs of sonic failed" in text.lower()
    assert "the loss is NaN" in text
    assert "no pair could be formed" in text.lower()


@pytest.mark.usefixtures("without_plots")
def test_runs_without_a_comparison_get_no_verdict(copied: Path) -> None:
    """Catches: a difference between branches drawn from runs that nobody compared."""
    results = copied.parents[1]
    names = sorted(path.name for path in (results / "runs").iterdir())
    one = write_reports([names[0]], results=results, max_bytes=10**8)[0]
    assert one.page.parent.name == f"run-{names[0]}"
    assert one.verdict.startswith("One run of baseline")
    both = write_reports(names[:2], results=results, max_bytes=10**8)[0]
    assert both.counts["num_runs"] == 2
    text = both.page.read_text(encoding="utf-8")
    assert "These runs were not compared" in text
    assert "matching sound is furthest ahead" in text


def test_a_page_is_whole_or_not_there(copied: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Catches: a page that names companions which were never written."""

    def full(*args: object, **kwargs: object) -> None:
        raise DataError("the disk is full")

    monkeypatch.setattr(writing, "sections", lambda facts, media: ())
    monkeypatch.setattr(writing, "save_numbers", full)
    (copied / "index.html").unlink(missing_ok=True)
    with pytest.raises(DataError):
        write_report(copied)
    assert not (copied / "index.html").exists()
