"""Curves and scores at a tracker: each step once, the end once, and the run never touched."""

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import pytest
from typer.testing import CliRunner

from core.errors import DataError, UsageError
from harness.cli.main import app
from harness.mirror.copy import copy_runs, score_values
from harness.mirror.sinks import SINKS, Sink, Target, Values


@dataclass
class Tracker:
    """What a tracker was given."""

    settings: Mapping[str, str] = field(default_factory=dict)
    steps: list[tuple[int, dict[str, float]]] = field(default_factory=list)
    ends: list[tuple[dict[str, float], str]] = field(default_factory=list)
    num_open: int = 0


class Recording(Sink):
    trackers: ClassVar[dict[str, Tracker]] = {}

    def __init__(self, run_id: str, *, settings: Mapping[str, str], target: Target) -> None:
        self._tracker = self.trackers.setdefault(run_id, Tracker())
        self._tracker.settings = settings
        self._tracker.num_open += 1
        self.last_step = max((step for step, _ in self._tracker.steps), default=0)

    def log(self, values: Values, *, step: int) -> None:
        self._tracker.steps.append((step, dict(values)))

    def finish(self, scores: Values, *, status: str) -> None:
        self._tracker.ends.append((dict(scores), status))

    def close(self) -> None:
        self._tracker.num_open -= 1


@pytest.fixture
def run_folder(finished: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(Recording, "trackers", {})
    folder = tmp_path / "runs" / finished.folder.name
    shutil.copytree(finished.folder, folder)
    return folder


def copied(folder: Path, *, follow: bool = False, sleep: Any = None) -> dict[str, int]:
    return copy_runs(
        [folder],
        kind=Recording,
        target=Target("p", folder),
        follow=follow,
        say=lambda line: None,
        sleep=sleep,
    )


def test_a_run_is_copied_once_however_often_it_is_asked_for(
    finished: Any, run_folder: Path
) -> None:
    """Catches: curves drawn twice, scores left out, or a setting that no tracker can filter by."""
    steps = finished.record.steps_done
    assert copied(run_folder) == {run_folder.name: steps}
    assert copied(run_folder) == {run_folder.name: 0}
    tracker = Recording.trackers[run_folder.name]
    assert [step for step, _ in tracker.steps] == list(range(1, steps + 1))
    first = json.loads((run_folder / "events.jsonl").read_text().splitlines()[0])
    assert tracker.steps[0][1]["train/loss"] == first["loss"]
    assert tracker.steps[0][1]["gates/gate"] == first["gates"]["gate"]
    assert any("validation/loss" in values for _, values in tracker.steps)
    scores, status = tracker.ends[0]
    assert status == "finished"
    assert scores["kid"] == finished.record.metrics["kid"].value
    assert any(name.startswith("real/") for name in scores)
    assert tracker.settings["seed"] == "0"
    assert tracker.settings["stage1.steps"] == "2"
    assert tracker.num_open == 0


def test_a_run_that_goes_on_is_followed_to_its_end(run_folder: Path) -> None:
    """Catches: a follower that stops early, misses steps written between two looks, or hangs."""
    events, record = run_folder / "events.jsonl", run_folder / "record.json"
    lines, ended = events.read_text().splitlines(keepends=True), record.read_text()
    record.unlink()
    events.write_text(lines[0] + lines[1][:10])
    written = iter(["".join(lines[:3]), "".join(lines)])

    def go_on(seconds: float) -> None:
        text = next(written)
        events.write_text(text)
        if text == "".join(lines):
            record.write_text(ended)

    assert copied(run_folder, follow=True, sleep=go_on) == {run_folder.name: len(lines)}
    tracker = Recording.trackers[run_folder.name]
    assert [step for step, _ in tracker.steps] == list(range(1, len(lines) + 1))
    assert (len(tracker.ends), tracker.num_open) == (1, 0)


def test_what_is_not_finite_is_left_out(finished: Any, run_folder: Path) -> None:
    """Catches: a NaN that a tracker refuses together with the whole step."""
    event = json.loads((run_folder / "events.jsonl").read_text().splitlines()[0])
    event |= {"loss": float("nan"), "grad_norm": None}
    (run_folder / "events.jsonl").write_text(json.dumps(event) + "\n")
    copied(run_folder)
    ((_, values),) = Recording.trackers[run_folder.name].steps
    assert "train/loss" not in values
    assert "train/grad_norm" not in values
    assert values["train/lr"] == event["lr"]
    score = finished.record.metrics["kid"].model_copy(update={"value": None})
    record = finished.record.model_copy(update={"metrics": {"kid": score}, "arms": {}})
    assert score_values(record) == {}


def test_a_folder_that_is_not_a_run_is_a_sentence(tmp_path: Path) -> None:
    """Catches: a traceback for a folder without an identity."""
    with pytest.raises(DataError, match="does not say which run this is"):
        copied(tmp_path)


@pytest.mark.parametrize("name", sorted(SINKS))
def test_a_tracker_that_is_not_installed_names_its_package(
    name: str, run_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Catches: a traceback instead of what to install."""

    def absent(module: str) -> None:
        raise ModuleNotFoundError(f"No module named {name!r}", name=name)

    monkeypatch.setattr("harness.mirror.sinks.import_module", absent)
    words = ["mirror", run_folder.name[:11], "--to", name, "--results", str(run_folder.parents[1])]
    with pytest.raises(UsageError, match=f"pip install {name}"):
        CliRunner().invoke(app, words, catch_exceptions=False)
