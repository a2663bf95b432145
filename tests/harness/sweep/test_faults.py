"""Sweeps whose processes and database die at random moments; minutes long, run by `make faults`."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harness.run.plan import RunRequest
from harness.sweep.record import BranchSweep, TrialState, load_sweep

pytestmark = pytest.mark.faults

MakeRequest = Callable[..., RunRequest]
SETTINGS = (
    "stage1.steps=40",
    "training.validate_every=10",
    "training.checkpoint_every=5",
    "sweep.startup_trials=2",
    "sweep.max_retries=99",  # every death is a kill of ours
)
NUM_KILLS = 12


class Fleet:
    """Processes that share a sweep, each killed and begun again now and then."""

    def __init__(self, requests: list[RunRequest], *, num_trials: int, more: tuple[str, ...]):
        self.lines = [
            [
                *(sys.executable, "-m", "harness", "sweep", "--jobs", "1"),
                *("--variant", "baseline", "--trials", str(num_trials), "--name", "shaken"),
                *(word for item in request.overrides for word in ("--set", item)),
                *("--data", str(request.data), "--results", str(request.results), *more, "--json"),
            ]
            for request in requests
        ]
        self.requests = requests
        self.processes = [self._start(line) for line in self.lines]

    def _start(self, line: list[str]) -> subprocess.Popen[str]:
        return subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def is_going(self) -> bool:
        return any(process.poll() is None for process in self.processes)

    def kill_leader(self, which: int) -> None:
        """Kill one of them and give its command again."""
        self.processes[which].kill()
        self.processes[which].communicate()
        self.processes[which] = self._start(self.lines[which])

    def kill_trainer(self, which: int) -> bool:
        """Kill a process that trains one of its trials, if there is one."""
        holders = (self.requests[which].results / "validation").glob("*/holder.json")
        for path in holders:
            try:
                pid = json.loads(path.read_text())["pid"]
                # Killed, a process leaves its number behind, which may be another's by now.
                if b"harness" in Path(f"/proc/{pid}/cmdline").read_bytes():
                    os.kill(pid, signal.SIGKILL)
                    return True
            except (FileNotFoundError, ProcessLookupError, ValueError):
                continue
        return False

    def end(self) -> None:
        """Wait for all, which must end well."""
        for process in self.processes:
            _, said = process.communicate(timeout=600)
            assert process.returncode == 0, said
            assert "Traceback" not in said

    def kill_all(self) -> None:
        for process in self.processes:
            process.kill()
            process.communicate()


def shake(fleet: Fleet, chance: random.Random, *, others: list[Callable[[], None]]) -> int:
    """Kill at random until enough died or all is done; how many died."""
    num_kills = 0
    while fleet.is_going() and num_kills < NUM_KILLS:
        # Short against a trial on an idle machine, of which there are few.
        time.sleep(chance.uniform(1, 5))
        which = chance.randrange(len(fleet.processes))
        what = chance.choice(["leader", "trainer", *others])
        if what == "leader":
            fleet.kill_leader(which)
        elif what == "trainer":
            num_kills += fleet.kill_trainer(which)
            continue
        else:
            what()
        num_kills += 1
    return num_kills


def shaken(request: RunRequest) -> BranchSweep:
    return load_sweep(request.results / "sweeps" / "shaken").branches[0]


def require_whole(branch: BranchSweep, *, num_trials: int) -> None:
    """Every trial once, none left over, every lost one tried again."""
    done = [trial for trial in branch.trials if trial.state.counts]
    states = {trial.state for trial in branch.trials}
    assert len(done) == num_trials
    assert len({trial.run_id for trial in done}) == num_trials
    assert sum(trial.is_default for trial in done) == 1
    assert states <= {TrialState.COMPLETE, TrialState.PRUNED, TrialState.LOST}
    retried = {trial.retry_of for trial in branch.trials}
    # A trial whose claim was never finished has no settings yet, and nothing to be tried again.
    lost = [trial for trial in branch.trials if trial.state is TrialState.LOST and trial.run_id]
    assert {trial.number for trial in lost} <= retried


def test_a_sweep_that_is_killed_at_random_proposes_and_finds_the_same(
    small_request: MakeRequest, tmp_path: Path
) -> None:
    """Catches: a search that depends on how often it died; a trial lost or counted twice."""
    chance = random.Random(2)
    calm = small_request(*SETTINGS, results=tmp_path / "calm")
    undisturbed = Fleet([calm], num_trials=6, more=())
    undisturbed.end()
    request = replace(calm, results=tmp_path / "killed")
    fleet = Fleet([request], num_trials=6, more=())
    try:
        num_kills = shake(fleet, chance, others=[])
        fleet.end()
    finally:
        fleet.kill_all()
    assert num_kills >= 3
    require_whole(shaken(request), num_trials=6)

    def told(branch: BranchSweep) -> list[tuple[Any, ...]]:
        return [
            (trial.state, trial.params, trial.values, trial.validation_losses)
            for trial in branch.trials
            if trial.state.counts
        ]

    assert told(shaken(request)) == told(shaken(calm))


@pytest.mark.parametrize("storage", ["journal", "postgresql"])
def test_processes_that_share_a_sweep_and_die_at_random_lose_and_double_nothing(
    small_request: MakeRequest, postgres: Any, tmp_path: Path, storage: str
) -> None:
    """Catches: a claim, a retry or a result that is half written where its process or its database
    dies, and a sweep that then waits for ever, ends short, or makes one trial too many.
    """
    chance = random.Random(3)
    here = small_request(*SETTINGS, "sweep.heartbeat_s=1", results=tmp_path / "here")
    there = replace(here, results=tmp_path / "there") if storage == "postgresql" else here
    url = postgres.create("shaken") if storage == "postgresql" else None

    def restart() -> None:
        postgres.stop()
        time.sleep(chance.uniform(0, 3))
        postgres.start()

    fleet = Fleet([here, there], num_trials=8, more=() if url is None else ("--storage", url))
    try:
        num_kills = shake(fleet, chance, others=[] if url is None else [restart])
        fleet.end()
    finally:
        fleet.kill_all()
    assert num_kills >= 3
    for request in (here, there):
        require_whole(shaken(request), num_trials=8)
