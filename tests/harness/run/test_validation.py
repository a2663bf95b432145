"""Runs scored on the validation clips: the test clips stay shut, and the training is the same."""

import json
import math
import shutil
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor
from typer.testing import CliRunner

from core.data.splits.split import Split, load_split
from core.errors import MismatchError, UsageError
from core.training.interrupts import Interrupted
from core.training.results import StepReport
from harness.cli.main import app
from harness.comparison.compare import compare_existing
from harness.comparison.request import CompareOptions
from harness.metrics.fit import VALIDATION_LOSS
from harness.metrics.registry import METRICS, deciding_metric, metric
from harness.records.names import named_run
from harness.records.parts import MetricValue
from harness.records.record import Status, load_record
from harness.run import work
from harness.run.plan import RunRequest, Score, plan_run
from harness.run.prepare import PreparedModel
from harness.run.run import run
from harness.wording.display import Display

MakeRequest = Callable[..., RunRequest]
STOP_AFTER = 3
"""The first step of stage 2."""


class Stopping(Display):
    """Sends the run a SIGTERM, once, behind one of its steps."""

    def step(self, report: StepReport) -> None:
        super().step(report)
        if report.global_step == STOP_AFTER:
            signal.raise_signal(signal.SIGTERM)


@dataclass(frozen=True)
class Blind:
    """Runs on a copy of the corpus without its test clips, in results of their own."""

    split: Split
    request: RunRequest
    """Of a test run, which cannot be."""
    folders: dict[Score, Path]
    weights: dict[Score, dict[str, Tensor]]
    """The trained model of each, which no file keeps."""
    opened: list[str]
    """Every file that Python opened meanwhile."""
    left_by_interrupt: list[str]
    """Files of the interrupted run's folder before it went on."""


def media_of(split: Split, ids: tuple[str, ...]) -> list[Path]:
    samples = [split.samples[id_] for id_ in ids]
    return [
        split.root / path for sample in samples for path in (sample.audio_path, sample.image_path)
    ]


@pytest.fixture(scope="module")
def blind(
    finished: Any, small_request: MakeRequest, tmp_path_factory: pytest.TempPathFactory
) -> Blind:
    """A loss run that is stopped and resumed, and a validation run; the test clips are gone."""
    root = tmp_path_factory.mktemp("blind")
    lock = root / "split.json"
    shutil.copytree(finished.request.data, root / "media")
    split = load_split(Path(finished.record.split.lock), root=root / "media")
    split.save(lock)
    for path in media_of(split, split.test):
        path.unlink()

    opened: list[str] = []
    is_watching = True

    def watch(event: str, arguments: tuple[Any, ...]) -> None:  # an audit hook is never removed
        if is_watching and event == "open":
            opened.append(str(arguments[0]))

    request = small_request(data=str(lock), results=root / "results")
    weights: dict[Score, dict[str, Tensor]] = {}
    folders: dict[Score, Path] = {}
    measured = work.measured_loss

    def keeping(score: Score) -> Callable[..., MetricValue]:
        def measure(ready: PreparedModel, **planned: Any) -> MetricValue:
            weights[score] = {n: t.clone() for n, t in ready.model.state_dict().items()}
            return measured(ready, **planned)

        return measure

    left: list[str] = []
    sys.addaudithook(watch)
    with pytest.MonkeyPatch.context() as patch:
        for score in (Score.LOSS, Score.VALIDATION):
            patch.setattr(work, "measured_loss", keeping(score))
            scored = replace(request, score=score)
            if score is Score.LOSS:
                with pytest.raises(Interrupted):
                    run(scored, display=Stopping())
                (folder,) = (request.results / "validation").iterdir()
                left += [path.name for path in folder.iterdir()]
            record = run(scored, display=Display())
            folders[score] = request.results / "validation" / record.run_id
    is_watching = False
    return Blind(
        split=split,
        request=request,
        folders=folders,
        weights=weights,
        opened=opened,
        left_by_interrupt=left,
    )


def test_the_test_clips_are_never_opened(blind: Blind) -> None:
    """Catches: a test sound or picture that a trial hashes, encodes or scores."""
    assert all(load_record(folder).status is Status.FINISHED for folder in blind.folders.values())
    opened = {Path(path).resolve() for path in blind.opened}
    assert opened >= {path.resolve() for path in media_of(blind.split, blind.split.val)}
    assert not opened & {path.resolve() for path in media_of(blind.split, blind.split.test)}
    for folder in blind.folders.values():
        assert load_record(folder).test_openings == 0
        assert not (folder / "test_openings.jsonl").exists()


def test_a_test_run_of_the_same_data_is_refused(blind: Blind) -> None:
    """Catches: a test run that leaves out the clips it cannot read."""
    with pytest.raises(MismatchError, match="cannot be read"):
        run(blind.request, display=Display())


@pytest.mark.parametrize("score", [Score.LOSS, Score.VALIDATION])
def test_training_is_that_of_a_test_run(finished: Any, blind: Blind, score: Score) -> None:
    """Catches: a trial whose data order, class weights or features differ from the final run's,
    also where it was stopped and went on."""
    expected = load_file(finished.folder / "weights.safetensors")
    assert blind.weights[score].keys() == expected.keys()
    assert all(torch.equal(blind.weights[score][name], expected[name]) for name in expected)
    events = [(f / "events.jsonl").read_bytes() for f in (finished.folder, blind.folders[score])]
    assert events[0] == events[1]


def test_a_loss_run_records_its_validation_loss_and_no_image(blind: Blind) -> None:
    """Catches: a loss of other clips than the loop's, or a value that no table can print."""
    folder = blind.folders[Score.LOSS]
    record = load_record(folder)
    assert record.metrics.keys() == {VALIDATION_LOSS}
    assert record.arms == {"audio": record.metrics}
    value = record.metrics[VALIDATION_LOSS]
    assert value.value == record.stages[-1].validation_loss
    assert (value.n, value.split_hash) == (len(blind.split.val), blind.split.hash)
    assert (value.higher_is_better, value.extractor) == (False, "denoising loss")
    assert "validate" in record.cost.seconds
    assert {path.name for path in folder.iterdir()} == {
        "record.json",
        "identity.json",
        "events.jsonl",
        "progress.json",
        "sessions.jsonl",
        "run.lock",
    }


def test_a_validation_run_scores_the_own_sound_on_the_validation_clips(blind: Blind) -> None:
    """Catches: control arms painted for nothing, a clip left out, or a score of another part."""
    folder = blind.folders[Score.VALIDATION]
    record = load_record(folder)
    assert record.metrics.keys() >= {VALIDATION_LOSS, "listening_rank", "kid", "clip_score"}
    loss = load_record(blind.folders[Score.LOSS]).metrics
    assert {VALIDATION_LOSS: record.metrics[VALIDATION_LOSS]} == loss
    assert record.metrics["clip_score"].n == len(blind.split.val)
    assert record.metrics == record.arms["audio"]
    assert record.arms.keys() == {"audio", "real"}
    assert VALIDATION_LOSS not in record.arms["real"]
    painted = {path.relative_to(folder / "images") for path in folder.glob("images/*/*")}
    assert painted == {Path("audio") / f"{id_}-0.png" for id_ in blind.split.val}
    assert not {"weights.safetensors", "checkpoints"} & {path.name for path in folder.iterdir()}


def test_a_variant_that_hears_nothing_is_scored_in_its_only_arm(
    blind: Blind, small_request: MakeRequest
) -> None:
    """Catches: a control without an own-sound arm that paints nothing, or crashes."""
    request = replace(blind.request, variant="text_only", score=Score.VALIDATION)
    record = run(request, display=Display())
    assert record.arms.keys() == {"text_only", "real"}
    assert record.metrics == record.arms["text_only"]
    assert record.metrics[VALIDATION_LOSS].arm == "text_only"


def test_the_cost_of_a_resumed_run_is_that_of_all_its_processes(blind: Blind) -> None:
    """Catches: a trial that seems cheap since it was interrupted; checkpoints that stay."""
    record = load_record(blind.folders[Score.LOSS])
    assert "checkpoints" in blind.left_by_interrupt
    assert "record.json" not in blind.left_by_interrupt
    assert record.cost.resumed_from_step == STOP_AFTER
    seconds = [stage.device_seconds for stage in record.stages]
    assert min(seconds) > 0  # the first stage was trained by the process that was stopped
    assert record.cost.train_device_seconds == math.fsum(seconds)


def test_the_score_is_a_part_of_what_a_run_is(blind: Blind) -> None:
    """Catches: a trial that is taken for the test run of the same settings, or for another kind."""
    ids = {
        score: plan_run(replace(blind.request, score=score), display=Display()).identity.run_id
        for score in Score
    }
    assert len(set(ids.values())) == len(Score)
    assert {s: blind.folders[s].name for s in blind.folders} == {s: ids[s] for s in blind.folders}
    assert json.loads((blind.folders[Score.LOSS] / "identity.json").read_text())["score"] == "loss"
    assert "--score loss" in replace(blind.request, score=Score.LOSS).command
    assert "--score" not in blind.request.command


def test_the_same_command_finds_a_finished_trial(
    blind: Blind, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Catches: a trial trained again, or leftovers of a kill that nothing ever removes."""
    folder = blind.folders[Score.LOSS]
    (folder / "checkpoints").mkdir()
    monkeypatch.setattr(work, "prepare_model", lambda *args, **kw: pytest.fail("a model was built"))
    found = run(replace(blind.request, score=Score.LOSS), display=Display())
    assert found == load_record(folder)
    assert not (folder / "checkpoints").exists()


def test_a_failed_trial_keeps_its_record_alone(
    blind: Blind, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Catches: gigabytes of checkpoints of settings that never worked."""

    def fail(*args: Any, **kwargs: Any) -> None:
        raise UsageError("no loss today")

    monkeypatch.setattr(work, "measured_loss", fail)
    request = replace(blind.request, score=Score.LOSS, seed=9)
    with pytest.raises(UsageError, match="no loss today"):
        run(request, display=Display())
    folder = plan_run(request, display=Display()).folder
    assert load_record(folder).status is Status.FAILED
    assert not (folder / "checkpoints").exists()


def test_a_trial_is_shown_and_reported_by_its_id(blind: Blind) -> None:
    """Catches: numbers that can only be read as JSON, or a report that dies without images."""
    results = blind.request.results
    assert named_run(blind.folders[Score.LOSS].name, results=results) == (blind.folders[Score.LOSS])
    for command in ("show", "report"):
        for folder in blind.folders.values():
            told = CliRunner().invoke(app, [command, folder.name, "--results", str(results)])
            assert told.exit_code == 0, told.output
    listed = CliRunner().invoke(app, ["list", "--runs", "--results", str(results)])
    for folder in blind.folders.values():
        assert folder.name not in listed.output


def test_a_report_of_a_trial_shows_validation_clips(blind: Blind) -> None:
    """Catches: test clips read, played and named by the report of a trial."""
    results = blind.request.results
    folder = blind.folders[Score.VALIDATION]
    told = CliRunner().invoke(app, ["report", folder.name, "--results", str(results)])
    assert told.exit_code == 0, told.output
    text = (results / "reports" / f"run-{folder.name}" / "index.html").read_text()
    sheet = text.split('id="sheet"')[1].split("</section>")[0]
    assert "validation clips, images of seed" in sheet
    assert "test clip" not in sheet
    assert any(id_ in text for id_ in blind.split.val)
    assert not any(id_ in text for id_ in blind.split.test)


def test_comparisons_refuse_trials(finished: Any, blind: Blind, tmp_path: Path) -> None:
    """Catches: a verdict on the validation clips, or one that pairs them with test clips."""
    for score, folder in blind.folders.items():
        with pytest.raises(MismatchError, match=rf"--score {score.value}: its scores are for the"):
            compare_existing([str(finished.folder), str(folder)], options=CompareOptions(tmp_path))


def test_the_validation_loss_decides_no_comparison() -> None:
    """Catches: a comparison that rests on what the settings were chosen by."""
    assert VALIDATION_LOSS not in METRICS
    assert metric(VALIDATION_LOSS).higher_is_better is False
    assert deciding_metric("kid") == METRICS["kid"]
    with pytest.raises(UsageError, match="compares no branches"):
        deciding_metric(VALIDATION_LOSS)
