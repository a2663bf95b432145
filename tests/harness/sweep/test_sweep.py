"""Sweeps from end to end: real studies, real runs in processes, real kills."""

import json
import os
import shlex
import shutil
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from core.errors import MismatchError
from harness.cli.commands.options import SEARCH_SEED
from harness.cli.main import app
from harness.run.plan import RunRequest, Score, plan_run
from harness.run.run import run
from harness.settings.branch_config import load_run_config
from harness.sweep.record import SweepRecord, TrialState, load_sweep
from harness.sweep.space import plan_trial
from harness.wording.display import Display
from tests.harness.processes import HarnessProcess, harness

MakeRequest = Callable[..., RunRequest]
# With results of their own: who waits for a trial to train must not find it made already.
LONG = ("stage1.steps=20", "training.validate_every=8", "training.checkpoint_every=8")


def words(request: RunRequest, *more: str) -> list[str]:
    """The command line of a sweep like `request`."""
    settings = [word for item in request.overrides for word in ("--set", item)]
    place = ["--data", str(request.data), "--results", str(request.results)]
    return ["sweep", "--jobs", "1", *settings, *place, *more]


def sweep(request: RunRequest, *more: str) -> dict[str, Any]:
    """What a sweep prints with --json."""
    done = harness(*words(request, *more, "--json"))
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def begun(request: RunRequest, *more: str) -> HarnessProcess:
    """A sweep that goes on in the background."""
    return HarnessProcess(words(request, *more, "--json"))


def wait_for(condition: Callable[[], bool], process: HarnessProcess) -> None:
    """Until it holds, while the process lives."""
    until = time.monotonic() + 300
    while not condition():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < until
        time.sleep(0.05)


def holders(request: RunRequest) -> list[int]:
    """Processes that train trials now."""
    found = []
    for path in (request.results / "validation").glob("*/holder.json"):
        if (path.parent / "events.jsonl").is_file():
            found.append(int(json.loads(path.read_text())["pid"]))
    return found


def begun_runs(request: RunRequest) -> list[Path]:
    """Folders of the trials that processes of these results have had a hand in."""
    return list((request.results / "validation").glob("*/run.log"))


def counted(record: SweepRecord) -> list[int]:
    """Numbers of the trials that count."""
    return [trial.number for trial in record.branches[0].trials if trial.state.counts]


@pytest.fixture(scope="module")
def swept(small_request: MakeRequest) -> tuple[RunRequest, dict[str, Any]]:
    """Three trials of the baseline."""
    request = small_request()
    return request, sweep(request, "--variant", "baseline", "--trials", "3", "--name", "three")


def test_a_sweep_says_what_scripts_need(swept: tuple[RunRequest, dict[str, Any]]) -> None:
    """Catches: JSON without study, best settings or trials by state; a best that is not best."""
    request, printed = swept
    record = load_sweep(request.results / "sweeps" / "three")
    branch = record.branches[0]
    assert printed["study"] == branch.study
    assert printed["trials"]["complete"] + printed["trials"]["pruned"] == 3
    values = {t.number: t.values["validation_loss"] for t in branch.trials if t.values}
    assert printed["best"]["trial"] == min(values, key=lambda number: (values[number], number))
    assert printed["best"]["value"] == min(values.values())
    assert Path(printed["report"]).is_file()


def test_the_first_trial_is_the_branch_as_it_is(
    swept: tuple[RunRequest, dict[str, Any]], small_request: MakeRequest
) -> None:
    """Catches: defaults that are never tried, so that nobody knows what a search has gained."""
    request, _ = swept
    trials = load_sweep(request.results / "sweeps" / "three").branches[0].trials
    assert [trial.is_default for trial in trials] == [True, False, False]
    plain = plan_run(small_request(score=Score.LOSS, seed=SEARCH_SEED), display=Display())
    assert trials[0].run_id == plain.identity.run_id
    assert len({trial.run_id for trial in trials}) == 3


def test_the_best_settings_are_a_file_that_a_run_takes(
    swept: tuple[RunRequest, dict[str, Any]], small_request: MakeRequest
) -> None:
    """Catches: a written file whose run, or whose command, is another than the best trial."""
    request, printed = swept
    branch = load_sweep(request.results / "sweeps" / "three").branches[0]
    config = Path(printed["best"]["config"])
    command = shlex.split(config.read_text().splitlines()[1].removeprefix("# "))
    assert command[:4] == ["harness", "run", "--config", str(config)]
    seed = ("--seed", str(SEARCH_SEED), "--score", "loss")
    told = CliRunner().invoke(app, [*command[1:], *seed, "--dry-run", "--json"])
    assert json.loads(told.stdout)["run_id"] == branch.trial(printed["best"]["trial"]).run_id
    tuning = load_run_config(config).tuning
    assert tuning is not None
    assert (tuning.num_trials, tuning.value) == (3, printed["best"]["value"])
    assert tuning.default_value == branch.trials[0].values["validation_loss"]
    # Rates and stage lengths are searched for every branch, and the file says so.
    assert tuning.has_rates
    rates = [trial.params["lr_factor"] for trial in branch.trials]
    assert rates[0] == 1.0
    assert len(set(rates)) == 3


def test_a_trial_is_planned_as_its_process_plans_it(small_request: MakeRequest) -> None:
    """Catches: a trial watched in one folder while its process trains in another."""
    for variant, settings in (
        ("baseline", {"num_tokens": 16, "gate_init": 0.123456789}),
        ("sonic", {"projector": "paper", "num_tokens": None, "hidden_dim": None}),
        ("cutting_edge", {"audio": "none", "num_pooled_tokens": None, "adapt": "ia3"}),
    ):
        base = plan_run(small_request(variant=variant, score=Score.LOSS), display=Display())
        trial = plan_trial(base, settings)
        assert trial.identity == plan_run(trial.request, display=Display()).identity
        assert trial.identity.run_id != base.identity.run_id


def test_a_finished_sweep_goes_on_where_more_trials_are_asked(
    swept: tuple[RunRequest, dict[str, Any]], small_request: MakeRequest
) -> None:
    """Catches: trials made again, and features of the frozen models computed again."""
    request, _ = swept
    stores = request.results / "cache" / "features"
    before = {path: path.stat().st_mtime_ns for path in stores.rglob("*.safetensors")}
    assert before
    first = load_sweep(request.results / "sweeps" / "three").branches[0].trials
    sweep(request, "--variant", "baseline", "--trials", "4", "--name", "three")
    more = load_sweep(request.results / "sweeps" / "three").branches[0].trials
    assert more[:3] == first
    assert len(more) == 4
    assert {path: path.stat().st_mtime_ns for path in stores.rglob("*.safetensors")} == before


def test_another_sweep_does_not_take_a_sweeps_folder(
    swept: tuple[RunRequest, dict[str, Any]], small_request: MakeRequest
) -> None:
    """Catches: two searches mixed under one name."""
    request = small_request("sampling.steps=2")
    done = harness(*words(request, "--variant", "baseline", "--trials", "1", "--name", "three"))
    assert done.returncode == 78, done.stderr
    assert "another sweep (other: --set, --data or --results)" in done.stderr
    assert "Traceback" not in done.stderr


def test_two_sweeps_begun_at_once_do_not_share_a_name(
    small_request: MakeRequest, tmp_path: Path
) -> None:
    """Catches: a second search, begun before the first has ended a trial, in the same folder."""
    request = small_request(*LONG, results=tmp_path)
    line = ("--variant", "baseline", "--trials", "1", "--name", "mine")
    first = begun(request, *line)
    record = tmp_path / "sweeps" / "mine" / "sweep.json"
    try:
        wait_for(record.is_file, first)
        other = replace(request, overrides=(*request.overrides, "sampling.steps=2"))
        second = harness(*words(other, *line))
    finally:
        first.send_signal(signal.SIGTERM)
        first.communicate()
    assert second.returncode == 78, second.stderr
    assert "another sweep" in second.stderr


def test_tests_of_an_earlier_best_are_not_the_new_bests(
    small_request: MakeRequest, tmp_path: Path
) -> None:
    """Catches: a longer search whose better settings are shown with the test runs of the old ones,
    and a test with the seed that the settings were chosen with.
    """
    request = small_request("variant.num_tokens=16", results=tmp_path)
    line = ("--variant", "baseline", "--metric", "trainable_parameters", "--name", "longer")
    sweep(request, *line, "--trials", "1", "--seed", "0", "--test-seeds", "1")
    folder = tmp_path / "sweeps" / "longer"
    (pair,) = load_sweep(folder).branches[0].test_runs
    assert (pair.seed, pair.best) == (1, 0)
    sweep(request, *line, "--trials", "3", "--seed", "0")
    branch = load_sweep(folder).branches[0]
    assert branch.best == 2  # the first with fewer than 16 tokens
    assert branch.test_runs == []


@pytest.mark.faults
def test_killed_processes_lose_no_trial_and_double_none(
    small_request: MakeRequest, tmp_path: Path
) -> None:
    """Catches: a study that waits for ever for a trial whose process is gone, or counts it twice.

    First the process that trains is killed, then the one that leads the sweep, then the same
    command is given again.
    """
    request = small_request(*LONG, results=tmp_path)
    line = ("--variant", "baseline", "--trials", "3", "--name", "killed")
    process = begun(request, *line)
    wait_for(lambda: bool(holders(request)), process)
    trainer = holders(request)[0]
    os.kill(trainer, signal.SIGKILL)
    wait_for(lambda: holders(request) not in ([], [trainer]), process)
    assert process.poll() is None
    process.kill()
    process.wait()
    process.communicate()
    sweep(request, *line)
    record = load_sweep(request.results / "sweeps" / "killed")
    assert len(counted(record)) == 3
    states = [trial.state for trial in record.branches[0].trials]
    assert states.count(TrialState.LOST) == 1
    assert TrialState.RUNNING not in states
    assert TrialState.WAITING not in states
    retry = next(t for t in record.branches[0].trials if t.retry_of is not None)
    assert retry.run_id == record.branches[0].trial(retry.retry_of or 0).run_id


def test_a_stopped_sweep_ends_as_an_undisturbed_one(
    small_request: MakeRequest, tmp_path: Path
) -> None:
    """Catches: a resumed search that proposes other settings, or counts a stopped trial."""
    request = small_request(*LONG, "sweep.startup_trials=1", results=tmp_path / "one")
    line = ("--variant", "baseline", "--trials", "3")
    process = begun(request, *line, "--name", "stopped")
    wait_for(lambda: bool(holders(request)), process)
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=300)
    assert process.returncode == 143, said
    assert "Traceback" not in said
    assert not holders(request)
    sweep(request, *line, "--name", "stopped")
    stopped = load_sweep(request.results / "sweeps" / "stopped").branches[0]
    alone = replace(request, results=tmp_path / "two")
    sweep(alone, *line, "--name", "undisturbed")
    undisturbed = load_sweep(alone.results / "sweeps" / "undisturbed").branches[0]

    def outcome(trial: Any) -> tuple[Any, ...]:
        return trial.state, trial.params, trial.values, trial.validation_losses

    assert [outcome(t) for t in stopped.trials if t.state.counts] == [
        outcome(t) for t in undisturbed.trials
    ]


def test_several_metrics_are_traded_and_read_from_validation_images(
    small_request: MakeRequest,
) -> None:
    """Catches: a search by an image metric that trains without making images, or prunes."""
    request = small_request()
    printed = sweep(
        request, "--variant", "baseline", "--trials", "2", "--metric", "kid,gpu_seconds"
    )
    branch = load_sweep(Path(printed["record"]).parent).branches[0]
    assert [trial.state for trial in branch.trials] == [TrialState.COMPLETE] * 2
    assert all(set(trial.values) == {"kid", "gpu_seconds"} for trial in branch.trials)
    assert all(trial.values["gpu_seconds"] > 0 for trial in branch.trials)
    assert [one["trial"] for one in printed["front"]] == branch.front != []
    assert branch.best == min(branch.trials, key=lambda t: (t.values["kid"], t.number)).number


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (("--trials", "2"), "no branch was given"),
        (("--variant", "sonik"), "did you mean 'sonic'"),
        (("--variant", "sonic", "--metric", "kidd"), "did you mean 'kid'"),
        (("--variant", "sonic", "--metric", "fid"), "ranks nothing"),
        (("--variant", "sonic", "--name", "../x"), "name of one folder"),
        (("--variants", "sonic,sonic"), "named twice"),
        (("--variant", "text_only"), "no search space"),
    ],
)
def test_a_mistake_is_reported_in_a_sentence(
    small_request: MakeRequest,
    more: tuple[str, ...],
    said: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Catches: a traceback, or a search that trains for hours before it finds the mistake."""
    from harness.cli import main as cli

    request = small_request()
    monkeypatch.setattr(sys, "argv", ["harness", *words(request, *more)])
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        with pytest.raises(SystemExit) as stop:
            cli.main()
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
    assert stop.value.code == 2
    assert said in capsys.readouterr().err


def test_a_sweep_never_reads_the_test_split(
    small_request: MakeRequest, small_corpus: Path, tmp_path: Path
) -> None:
    """Catches: settings tuned on what they will be judged by. The test clips are not even there."""
    media = tmp_path / "media"
    shutil.copytree(small_corpus, media)
    request = small_request(data=str(media), results=tmp_path / "results")
    prepared = plan_run(request, display=Display()).prepared
    for sample_id in prepared.split.test:
        sample = prepared.split.samples[sample_id]
        (media / sample.audio_path).unlink()
        (media / sample.image_path).unlink()
    request = replace(request, data=str(prepared.lock))
    printed = sweep(
        request, "--variant", "sonic", "--trials", "2", "--metric", "listening_rank,validation_loss"
    )
    assert printed["trials"]["complete"] == 2
    assert not (request.results / "runs").exists()
    assert not list(request.results.rglob("test_openings.jsonl"))
    with pytest.raises(MismatchError, match="cannot be read"):
        run(replace(request, variant="sonic"), display=Display())


@pytest.mark.faults
def test_two_machines_share_a_sweep_through_a_database_that_restarts(
    small_request: MakeRequest, postgres: Any, tmp_path: Path
) -> None:
    """Catches: trials lost, doubled or left over where a database goes away under two workers.

    Each machine is a results folder of its own: only the database is shared.
    """
    url = postgres.create("two_machines")
    here = small_request(*LONG, "sweep.heartbeat_s=1", results=tmp_path / "here")
    there = replace(here, results=tmp_path / "there")
    line = ("--variant", "baseline", "--trials", "4", "--name", "shared", "--storage", url)
    processes = [begun(here, *line), begun(there, *line)]
    try:
        wait_for(lambda: bool(holders(here)) and bool(begun_runs(there)), processes[0])
        postgres.stop()
        time.sleep(2)
        postgres.start()
        for process in processes:
            out, said = process.communicate(timeout=600)
            assert process.returncode == 0, said
            assert "Traceback" not in said
            assert "p@ss" not in said + out
            assert json.loads(out)["trials"]["complete"] == 4
    finally:
        for process in processes:
            process.kill()
            process.communicate()
    records = [load_sweep(r.results / "sweeps" / "shared") for r in (here, there)]
    assert [len(counted(record)) for record in records] == [4, 4]
    assert len({t.run_id for t in records[0].branches[0].trials if t.state.counts}) == 4
    for request, record in zip((here, there), records, strict=True):
        text = (request.results / "sweeps" / "shared" / "sweep.json").read_text()
        assert record.storage == "postgresql"
        assert "p@ss" not in text
        assert "p%40ss" not in text
