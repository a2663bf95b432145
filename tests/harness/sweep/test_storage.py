"""Real processes share a journal or a PostgreSQL, and are killed at it."""

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from optuna.trial import TrialState as OptunaState

from core.errors import MismatchError, StorageAwayError, UsageError
from harness.sweep.record import Metric, TrialRecord, TrialState
from tests.harness.sweep import worker
from tests.harness.sweep.made_trials import read

WORKER = Path(worker.__file__)
KID = Metric(name="kid", is_higher_better=False)
CLAP = Metric(name="clap_score", is_higher_better=True)
LOSS = Metric(name="validation_loss", is_higher_better=False)


@pytest.fixture(params=["journal", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty storage for several processes."""
    if request.param == "journal":
        return f"journal:{tmp_path / 'journal.log'}"
    name = f"d{abs(hash(request.node.nodeid))}"
    return str(request.getfixturevalue("postgres").create(name))


@pytest.fixture
def start() -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start workers as processes, none of which outlives the test."""
    processes = []

    def make(*words: object) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-W", "error", str(WORKER), *map(str, words)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        processes.append(process)
        return process

    yield make
    for process in processes:
        if process.poll() is None:
            process.kill()
        process.communicate()


def assert_whole(trials: list[TrialRecord], num_trials: int) -> None:
    """Exactly the asked number, none under way, one default, no settings tried twice."""
    assert [trial.number for trial in trials] == list(range(len(trials)))
    counted = [trial for trial in trials if trial.state.counts]
    assert len(counted) == num_trials
    assert {t.state for t in trials} <= {TrialState.LOST, TrialState.COMPLETE, TrialState.PRUNED}
    assert sum(trial.is_default for trial in counted) == 1
    assert len({str(trial.params) for trial in counted}) == num_trials
    assert all(trial.run_id == f"run-{trial.number}" for trial in counted)


def test_two_processes_make_exactly_the_asked_number(url: str, start: Any) -> None:
    """Catches: N + 1 trials, a trial claimed twice, two defaults, tables made by two at once."""
    processes = [start(url, 24) for _ in range(2)]
    outputs = [process.communicate(timeout=100) for process in processes]
    assert [process.returncode for process in processes] == [0, 0], outputs
    trials = read(url)
    assert_whole(trials, 24)
    claimed = [line.split()[1] for out, _ in outputs for line in out.splitlines()]
    assert sorted(map(int, claimed)) == list(range(24))
    assert len({trial.state for trial in trials}) == 2  # some were pruned


def test_a_killed_worker_s_trial_is_tried_again_by_another(url: str, start: Any) -> None:
    """Catches: a trial lost, or counted, or tried with other settings after kill -9."""
    doomed = start(url, 6, "pause_s=30")
    assert doomed.stdout.readline() == "claimed 0\n"
    with worker.open_storage(url) as storage:
        study = worker.open_study(storage, num_trials=2)
        mine = study.claim()
        assert mine.number == 1
        assert study.claim() is None  # the other lives
        doomed.send_signal(signal.SIGKILL)
        doomed.wait()
        assert study.complete(mine, [1.0])
        assert not study.note(mine, run_id="too late")
        deadline = time.monotonic() + 30
        while (claim := study.claim()) is None and time.monotonic() < deadline:
            time.sleep(0.2)
        assert (claim.retry_of, claim.is_default, claim.settings) == (0, True, {})
        assert claim.params == study.records()[0].params
        assert study.complete(claim, [2.0])
        assert study.claim() is None
        assert study.is_over()
        trials = study.records()
    assert trials[0].state is TrialState.LOST
    assert sum(trial.state.counts for trial in trials) == 2


def test_a_restart_of_the_database_loses_no_trial(postgres: Any, start: Any) -> None:
    """Catches: a sweep that dies with its database, or makes more or fewer trials than asked."""
    url = postgres.create("restarted")
    processes = [start(url, 16, "pause_s=0.05") for _ in range(2)]
    for process in processes:
        process.stdout.readline()
    postgres.stop()
    time.sleep(1)
    postgres.start()
    outputs = [process.communicate(timeout=120) for process in processes]
    assert [process.returncode for process in processes] == [0, 0], outputs
    assert any("is away" in out and "is back" in out for out, _ in outputs)
    assert not any("p@ss" in text or "p%40ss" in text for pair in outputs for text in pair)
    trials = read(url)
    counted = [trial for trial in trials if trial.state.counts]
    assert len(counted) == 16
    assert not [t for t in trials if t.state in (TrialState.RUNNING, TrialState.WAITING)]
    assert sum(trial.is_default for trial in counted) == 1


def test_an_unfinished_claim_does_not_count(url: str) -> None:
    """Catches: an orphan of a lost answer counted for ever, or retried without params."""
    with worker.open_storage(url) as storage:
        study = worker.open_study(storage, num_trials=3)
        study.complete(study.claim(), [1.0])
        study_id = storage.storage.get_study_id_from_name("sweep/tested branch")
        storage.storage.create_new_trial(study_id)
        worker.work(study)
        states = [trial.state for trial in study.records()]
    assert states[1] is TrialState.LOST
    assert sum(state.counts for state in states) == 3
    assert len(states) == 4


def test_a_trial_given_back_twice_is_tried_again_once(url: str) -> None:
    """Catches: a second retry that waits for ever, where the answer to the first was lost."""
    with worker.open_storage(url) as storage:
        study = worker.open_study(storage, num_trials=2)
        study.complete(study.claim(), [1.0])
        claim = study.claim()
        study.release(claim)
        study.release(claim)
        worker.work(study)
        trials = study.records()
    assert [trial.state for trial in trials] == [
        TrialState.COMPLETE,
        TrialState.LOST,
        TrialState.COMPLETE,
    ]
    assert trials[2].retry_of == 1


def test_a_resumed_search_proposes_what_an_uninterrupted_one_does(tmp_path: Path) -> None:
    """Catches: a sampler whose draws depend on when a process started or what was lost."""

    def outcome(url: str, *, stop_at: tuple[int, ...]) -> list[tuple[Any, ...]]:
        made = 0
        while True:
            with worker.open_storage(url) as storage:
                study = worker.open_study(storage)
                while not study.is_over():
                    claim = study.claim()
                    made += 1
                    if made in stop_at[::2]:
                        study.release(claim)
                        break
                    if made in stop_at[1::2]:
                        break  # as if killed
                    study.complete(claim, [worker.loss_of(claim.params)])
                else:
                    trials = [trial for trial in study.records() if trial.state.counts]
                    return [(trial.params, trial.values) for trial in trials]

    plain = outcome(f"journal:{tmp_path / 'plain.log'}", stop_at=())
    assert len(plain) == 12
    assert outcome(f"journal:{tmp_path / 'stopped.log'}", stop_at=(2, 5, 9)) == plain


def test_a_trial_whose_workers_keep_dying_fails_and_counts(tmp_path: Path) -> None:
    """Catches: settings that kill every worker tried for ever; a stop counted as a death."""
    url = f"journal:{tmp_path / 'journal.log'}"
    for is_stopped in (False, True, False, False):
        with worker.open_storage(url) as storage:
            study = worker.open_study(storage, num_trials=1)
            claim = study.claim()
            assert claim is not None
            if is_stopped:
                study.release(claim)
    with worker.open_storage(url) as storage:
        study = worker.open_study(storage, num_trials=1)
        assert study.claim() is None
        assert study.is_over()
        last = study.records()[-1]
    assert (last.state, last.error) == (TrialState.FAILED, "its worker died 3 times")


def test_a_tell_whose_answer_was_lost_is_reported_once(url: str) -> None:
    """Catches: a crash or a second value where the database restarted between tell and answer."""
    with worker.open_storage(url) as storage:
        study = worker.open_study(storage)
        claim = study.claim()
        study.note(claim, run_id="run")
        assert study.complete(claim, [1.5])
        assert study.complete(claim, [1.5])
        assert not study.complete(claim, [2.5])
        assert study.records()[0].values == {"kid": 1.5}

        taken = study.claim()
        storage.storage.set_trial_state_values(taken.trial_id, OptunaState.FAIL)
        assert not study.complete(taken, [0.1])
        assert not study.report(taken, step=0, loss=9.0)
        assert study.best() == 0


def test_an_sqlite_address_is_refused_with_the_storages_there_are(tmp_path: Path) -> None:
    """Catches: a file for one process taken for a storage that processes share."""
    path = tmp_path / "trials.db"
    with pytest.raises(UsageError, match="no storage of the kind 'sqlite'") as refused:
        worker.open_storage(f"sqlite:///{path}")
    assert "journal:PATH" in str(refused.value)
    assert "postgresql://USER@HOST/DATABASE" in str(refused.value)
    assert not path.exists()


def test_no_message_holds_the_password(postgres: Any) -> None:
    """Catches: a password in a record, a log or an error."""
    url = postgres.create("secret")
    with worker.open_storage(url + "?application_name=sweep") as storage:
        assert storage.display_url == (
            f"postgresql://sweeper@127.0.0.1:{postgres.port}/secret?application_name=sweep"
        )
    for wrong in (url.replace("/secret", "/absent"), url.replace("%40", "%41")):
        with pytest.raises(StorageAwayError) as caught:
            worker.open_storage(wrong)
        assert "p@ss" not in str(caught.value)
        assert "p%4" not in str(caught.value)
    with pytest.raises(UsageError) as unreadable:
        worker.open_storage("postgresql://me:hidden@host:port/x")
    assert "hidden" not in str(unreadable.value)
    with pytest.raises(UsageError, match="no storage of the kind 'mysql'"):
        worker.open_storage("mysql://me:hidden@host/x")


def test_patience_ends_in_a_sentence(postgres: Any) -> None:
    """Catches: a traceback, or waiting for ever, where a database does not come back."""
    said: list[str] = []
    with worker.open_storage(postgres.create("gone"), say=said.append, patience_s=1.0) as storage:
        study = worker.open_study(storage)
        postgres.stop()
        try:
            with pytest.raises(StorageAwayError, match="the same command continues"):
                study.claim()
            assert len(said) == 1
            assert "is away" in said[0]
        finally:
            postgres.start()


def test_several_metrics_have_a_front_and_no_pruning(tmp_path: Path) -> None:
    """Catches: values under the wrong metric's name, pruning by one of several metrics."""
    with worker.open_storage(f"journal:{tmp_path / 'journal.log'}") as storage:
        study = worker.open_study(storage, metrics=[KID, CLAP], startup_trials=0, num_trials=4)
        for values in ([2.0, 0.5], [1.0, 0.1], [3.0, 0.4], [1.0, float("nan")]):
            claim = study.claim()
            assert not study.report(claim, step=1, loss=99.0)
            study.complete(claim, values)
        records = study.records()
        assert records[0].values == {"kid": 2.0, "clap_score": 0.5}
        assert records[3].error == "its clap_score is nan"
        assert (study.best(), study.front()) == (1, [0, 1])
        with pytest.raises(MismatchError, match="'minimize', 'maximize'"):
            worker.open_study(storage)


def test_a_bad_loss_prunes_whichever_way_the_metric_points(tmp_path: Path) -> None:
    """Catches: good trials pruned where higher is better; a default pruned; a loss negated."""
    for metric in (KID, CLAP):
        with worker.open_storage(f"journal:{tmp_path / metric.name}.log") as storage:
            study = worker.open_study(storage, metrics=[metric], startup_trials=1)
            default, good, bad = (study.claim() for _ in range(3))
            assert not study.report(good, step=1, loss=0.5)
            study.complete(good, [1.0])
            assert not study.report(default, step=1, loss=2.0)
            assert study.report(bad, step=1, loss=2.0)
            study.prune(bad)
            assert study.records()[2].validation_losses == [(1, 2.0)]
            assert study.records()[2].state is TrialState.PRUNED


def test_a_cost_is_searched_for_without_pruning(tmp_path: Path) -> None:
    """Catches: what is cheap ended for its loss; a loss drawn as a value of another metric."""
    cost = Metric(name="trainable_parameters", is_higher_better=False)
    for metric, is_pruned, values in ((cost, False, None), (KID, True, None), (LOSS, True, [2.0])):
        with worker.open_storage(f"journal:{tmp_path / metric.name}.log") as storage:
            study = worker.open_study(storage, metrics=[metric], startup_trials=1)
            _, good, bad = (study.claim() for _ in range(3))
            study.report(good, step=1, loss=0.5)
            study.complete(good, [1.0])
            assert study.report(bad, step=1, loss=2.0) == is_pruned
            study.prune(bad)
            assert study._trials()[2].values == values
            assert study._study.metric_names == [metric.name]


def test_a_claim_that_broke_off_is_not_kept_alive(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Catches: a trial that nobody works on, running for as long as its process lives."""

    def breaks() -> bool:
        raise ConnectionResetError("in the last step of a claim")

    with worker.open_storage(f"journal:{tmp_path / 'journal.log'}") as storage:
        study = worker.open_study(storage)
        study.complete(study.claim(), [1.0])
        for _ in range(2):  # a new trial, then its retry
            with monkeypatch.context() as patch:
                patch.setattr(storage, "still_exclusive", breaks)
                with pytest.raises(ConnectionResetError):
                    study.claim()
        claim = study.claim()
        assert (claim.number, claim.retry_of) == (3, 2)


def test_threads_of_beats_end_with_the_storage(postgres: Any) -> None:
    """Catches: a process that cannot end, or beats for trials that it gave up."""
    with worker.open_storage(postgres.create("beats")) as storage:
        worker.open_study(storage).claim()
        assert "heartbeat" in {thread.name for thread in threading.enumerate()}
    assert "heartbeat" not in {thread.name for thread in threading.enumerate()}
