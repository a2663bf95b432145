"""A launched task loses no run, and stops its machine at the end, however often it vanishes."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from core.errors import UsageError
from harness.archive.write import Member, write_archive
from harness.cli.main import app
from harness.launch.clouds import Cloud
from harness.launch.start import start_task
from harness.launch.tasks import LaunchRequest, write_task
from harness.pack.contents import DataMode
from harness.pack.pack import PackRequest, make_pack
from harness.pack.script import TASK, script_text
from harness.records.record import load_record
from harness.run.plan import RunRequest
from harness.run.run import run
from harness.wording.display import Display

MakeRequest = Callable[..., RunRequest]


class Provider:
    """A machine that is rented, may vanish with its disk at any moment, and costs until stopped."""

    def __init__(self, folder: Path, *, pack: Path) -> None:
        self.machine, self.kept = folder / "machine", folder / "kept"
        self.stopped = folder / "stopped"
        self._pack = pack
        self.process: subprocess.Popen[bytes] | None = None
        self.log = folder / "log"

    def boot(self) -> None:
        """Rent it: unpack the pack and begin the task."""
        box = self.machine / "box"
        box.mkdir(parents=True)
        with tarfile.open(self._pack) as archive:
            archive.extractall(box, filter="data")
        harness = self.machine / "harness"
        harness.write_text(
            f'#!/bin/sh\nPYTHONPATH="{box}/project" exec {sys.executable} -m harness "$@"\n'
        )
        harness.chmod(0o755)
        env = {**os.environ, "HARNESS": str(harness), "STORE": f"file://{self.kept}"}
        env |= {"STOP": f"echo stopped >> {self.stopped}", "PYTHONPATH": str(box / "project")}
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                ["sh", str(box / "task.sh")], env=env, stdout=log, stderr=log,
                start_new_session=True,
            )  # fmt: skip

    def vanish(self) -> None:
        """Take it away without a word, disk and all."""
        assert self.process is not None
        while found := self._processes():  # a run is in a session of its own, and outlives its task
            for pid in found:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            self.process.poll()
        self.process.wait()
        shutil.rmtree(self.machine)

    def _processes(self) -> list[int]:
        """Everything that runs on it."""
        mark, found = f"HARNESS={self.machine}/".encode(), []
        for place in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                if mark in (place / "environ").read_bytes():
                    found.append(int(place.name))
        return found

    def wait_for(self, moment: "Moment | None") -> None:
        """Until that moment, or its process's end; None: the latter."""
        assert self.process is not None
        if moment is None:
            self.process.wait()
            return
        goal = step_of(self.checkpoints()) + moment.num_new
        while self.process.poll() is None and step_of(self.checkpoints()) < goal:
            time.sleep(0.02)
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(moment.further_s)

    @property
    def num_stops(self) -> int:
        return len(self.stopped.read_text().split()) if self.stopped.is_file() else 0

    def checkpoints(self) -> list[str]:
        """Whole ones in the store."""
        return sorted(path.parent.name for path in self.kept.rglob("checkpoints/*/sha256.json"))


def packed(request: RunRequest, out: Path) -> Path:
    """The run, not begun, with its data, so that it needs nothing of this machine."""
    words = tuple(request.words[1:])
    make_pack(
        PackRequest(words=words, runs=(), results=request.results, data=DataMode.MEDIA),
        out=out,
        display=Display(),
    )
    return out


def test_a_run_whose_machine_vanishes_twice_ends_as_the_undisturbed_one(
    small_request: MakeRequest, tmp_path: Path
) -> None:
    """Catches: a run that is lost or begins anew, a machine that goes on costing."""
    # Long enough to be training still when a second machine has kept what it went on to, and with
    # results of its own: a pack takes every half-finished run along.
    request = small_request(
        "stage1.steps=60", "training.checkpoint_every=1", results=tmp_path / "results"
    )
    provider = Provider(tmp_path, pack=packed(request, tmp_path / "box.tar"))
    for _ in range(2):
        before = step_of(provider.checkpoints())
        provider.boot()
        provider.wait_for(Moment(num_new=1, further_s=0))
        assert provider.process is not None
        assert provider.process.poll() is None, provider.log.read_text()
        provider.vanish()
        assert step_of(provider.checkpoints()) > before
    assert provider.num_stops == 0
    kept = step_of(provider.checkpoints())
    provider.boot()
    assert provider.process is not None
    assert provider.process.wait(600) == 0, provider.log.read_text()
    assert provider.num_stops == 1
    record = run(request, display=Display())
    here, there = (place / "runs" / record.run_id for place in (request.results, provider.kept))
    assert load_record(there).cost.resumed_from_step == kept, provider.log.read_text()
    for name in ("weights.safetensors", "per_clip.csv"):
        assert (there / name).read_bytes() == (here / name).read_bytes()


def step_of(checkpoints: list[str]) -> int:
    """Of the newest; 0 without one."""
    return int(checkpoints[-1].removeprefix("step-")) if checkpoints else 0


@dataclass(frozen=True)
class Moment:
    """When a machine vanishes."""

    num_new: int
    """So many steps further than at its boot."""
    further_s: float
    """And so long after that."""


def moment_of(chance: random.Random, kept: list[str], longest_s: float) -> Moment:
    """Anywhere in what is left of a run, however slowly it goes: by its checkpoints, not the clock.

    While it starts or trains, and once it is trained at any time of all that follows. The latter
    takes the longest, so that whoever waits for it to survive kills one run all the time.
    """
    if step_of(kept) == NUM_STEPS:
        return Moment(0, chance.uniform(0, longest_s))
    return Moment(chance.randrange(5), chance.uniform(0, 4))


NUM_STEPS = 12 + 12 + 6
MOST_AFTER_TRAINING = 4
"""Losses of one run once it is trained; then it may end."""


@pytest.mark.faults
@pytest.mark.timeout(7200)
def test_fifty_lost_machines_lose_no_run(small_request: MakeRequest, tmp_path: Path) -> None:
    """Catches: the one moment between a checkpoint and its copy at which everything is lost."""
    request = small_request(
        *("stage1.steps=12", "stage2.steps=12", "stage3.steps=6", "training.checkpoint_every=1"),
        results=tmp_path / "results",
    )
    pack = packed(request, tmp_path / "box.tar")
    undisturbed = Provider(tmp_path / "undisturbed", pack=pack)
    (tmp_path / "undisturbed").mkdir()
    began = time.monotonic()
    undisturbed.boot()
    assert undisturbed.process is not None
    assert undisturbed.process.wait() == 0
    longest = time.monotonic() - began
    chance, kills, rounds = random.Random(16), 0, 0
    while kills < 50:
        rounds += 1
        place = tmp_path / f"round-{rounds}"
        place.mkdir()
        provider, num_after = Provider(place, pack=pack), 0
        while True:
            provider.boot()
            assert provider.process is not None
            furthest = provider.checkpoints()
            is_spared = kills == 50 or num_after == MOST_AFTER_TRAINING
            booted = time.monotonic()
            provider.wait_for(None if is_spared else moment_of(chance, furthest, longest))
            if provider.process.poll() is None:
                after_s = time.monotonic() - booted
                provider.vanish()
                kills += 1
                num_after += step_of(furthest) == NUM_STEPS
                print(
                    f"{kills} machines lost, run {rounds} from step {step_of(furthest)} to "
                    f"{step_of(provider.checkpoints())}, {after_s:.1f} s after its boot",
                    flush=True,
                )
                assert not furthest or provider.checkpoints()[-1] >= furthest[-1]
                continue
            assert provider.process.returncode == 0, provider.log.read_text()
            break
        assert provider.num_stops >= 1
        for path in sorted((undisturbed.kept / "runs").rglob("*")):
            if path.suffix in {".safetensors", ".csv", ".png"} and "checkpoints" not in path.parts:
                same = provider.kept / path.relative_to(undisturbed.kept)
                assert same.read_bytes() == path.read_bytes(), path


def task(tmp_path: Path, *, body: str, stop: str, **env: str) -> subprocess.CompletedProcess[str]:
    """The task around another continue.sh."""
    (tmp_path / "task.sh").write_text(TASK)
    (tmp_path / "continue.sh").write_text(body)
    return subprocess.run(
        ["sh", str(tmp_path / "task.sh")],
        env={**os.environ, "STOP": stop, "STOP_PAUSE": "0", **env},
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip


@pytest.mark.parametrize("body", ["exit 0", "exit 65", "kill -9 $$", "no_such_command"])
def test_the_machine_is_stopped_however_the_work_ends(tmp_path: Path, body: str) -> None:
    """Catches: a machine that costs all night since an install failed."""
    done = task(tmp_path, body=body, stop=f"echo x >> {tmp_path}/stopped")
    assert (tmp_path / "stopped").read_text() == "x\n"
    assert (done.returncode == 0) == (body == "exit 0")
    assert f"ended with exit code {done.returncode}" in done.stdout


def test_a_provider_that_does_not_answer_is_asked_again(tmp_path: Path) -> None:
    """Catches: one refused call, and a machine that is never stopped."""
    stop = f"echo x >> {tmp_path}/asked; [ $(wc -l < {tmp_path}/asked) -ge 3 ]"
    task(tmp_path, body="exit 0", stop=stop)
    assert (tmp_path / "asked").read_text() == "x\nx\nx\n"


def test_a_signal_reaches_the_work_and_the_machine_is_stopped(tmp_path: Path) -> None:
    """Catches: a preemption notice that kills the shell and leaves the training without a word."""
    (tmp_path / "task.sh").write_text(TASK)
    head = script_text(weights=[], commands=[["run"]])
    (tmp_path / "work").mkdir()
    (tmp_path / "continue.sh").write_text(head)
    harness = tmp_path / "harness"
    harness.write_text(
        f"#!/bin/sh\ntrap 'echo checkpoint > {tmp_path}/saved; exit 143' TERM\n"
        f"echo up > {tmp_path}/up\nwhile :; do sleep 0.05; done\n"
    )
    harness.chmod(0o755)
    process = subprocess.Popen(
        ["sh", str(tmp_path / "task.sh")],
        env={**os.environ, "HARNESS": str(harness), "STOP": f"echo x >> {tmp_path}/stopped"},
    )
    while not (tmp_path / "up").is_file():
        time.sleep(0.02)
    process.terminate()
    assert process.wait(30) == 143
    assert (tmp_path / "saved").is_file()
    assert (tmp_path / "stopped").read_text() == "x\n"


@pytest.fixture
def any_pack(tmp_path: Path) -> Path:
    """A file that has the parts of a pack."""
    members = [Member("pack.json", b"{}"), Member("task.sh", TASK.encode(), is_program=True)]
    write_archive(tmp_path / "box.tar", members=members)
    return tmp_path / "box.tar"


def request_for(pack: Path, cloud: Cloud, **changes: Any) -> LaunchRequest:
    words = {"gpu": "RTX4090", "disk_gb": 40, "is_spot": True, "store": "s3://mine/runs"}
    return LaunchRequest(pack=pack, cloud=cloud, **{**words, **changes})


def test_each_cloud_gets_a_task_of_its_own_form(any_pack: Path, tmp_path: Path) -> None:
    """Catches: a task file that its tool cannot read, or that never stops the machine."""
    sky = write_task(request_for(any_pack, Cloud.SKYPILOT), out=tmp_path / "t")
    text = sky.file.read_text()
    assert 'accelerators: "RTX4090:1"' in text
    assert "use_spot: true" in text
    assert 'source: "s3://mine/runs"' in text
    assert "STORE=file:///kept" in text
    pod = write_task(request_for(any_pack, Cloud.RUNPOD, store=None), out=tmp_path / "t")
    body = json.loads(pod.file.read_text())
    assert body["gpuTypeIds"] == ["NVIDIA GeForce RTX 4090"]
    assert body["interruptible"]
    assert subprocess.run(["sh", "-n", "-c", body["dockerStartCmd"][2]]).returncode == 0
    assert "runpodctl stop pod" in body["dockerStartCmd"][2]
    shell = write_task(request_for(any_pack, Cloud.SHELL), out=tmp_path / "t")
    assert subprocess.run(["sh", "-n", str(shell.file)]).returncode == 0
    assert "task.sh" in shell.file.read_text()


def test_a_pod_waits_to_be_told_and_keeps_its_weights(any_pack: Path, tmp_path: Path) -> None:
    """Catches: a matrix that starts while its smoke run does, weights fetched after each stop."""
    pod = write_task(request_for(any_pack, Cloud.RUNPOD, store=None), out=tmp_path / "t")
    boot = json.loads(pod.file.read_text())["dockerStartCmd"][2]
    volume = tmp_path / "volume"
    (volume / "box").mkdir(parents=True)
    task = volume / "box" / "task.sh"
    task.write_text(f"echo $HF_HOME > {volume}/ran\n")
    words = ["sh", "-c", boot.replace("/workspace", str(volume)).replace("sleep 5", "sleep 0.1")]
    process = subprocess.Popen(words)
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(1)
    assert not (volume / "ran").exists()
    (volume / "box.ready").touch()
    assert process.wait(30) == 0
    assert (volume / "ran").read_text() == f"{volume}/huggingface\n"
    (volume / "ran").unlink()
    assert subprocess.run(words, timeout=30).returncode == 0  # the machine is back
    assert (volume / "ran").exists()


def test_what_cannot_go_on_or_start_is_refused(any_pack: Path, tmp_path: Path) -> None:
    """Catches: a spot machine that leaves nothing behind, a --start that starts nothing."""
    with pytest.raises(UsageError, match="--store"):
        write_task(request_for(any_pack, Cloud.SKYPILOT, store=None), out=tmp_path)
    with pytest.raises(UsageError, match="skypilot alone"):
        start_task(write_task(request_for(any_pack, Cloud.SHELL), out=tmp_path))
    write_archive(tmp_path / "other.tar", members=[Member("a", b"")])
    with pytest.raises(UsageError, match="not a pack"):
        write_task(request_for(tmp_path / "other.tar", Cloud.SHELL), out=tmp_path)


def test_start_hands_the_task_to_skypilot(
    any_pack: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Catches: a task that is never started, or started without being asked."""
    sky = tmp_path / "bin" / "sky"
    sky.parent.mkdir()
    sky.write_text(f'#!/bin/sh\necho "$@" > {tmp_path}/given\n')
    sky.chmod(0o755)
    words = ["launch", str(any_pack), "--cloud", "skypilot", "--store", "s3://mine/runs",
             "--out", str(tmp_path / "t")]  # fmt: skip
    assert CliRunner().invoke(app, [*words, "--start"]).exit_code != 0  # no sky here
    monkeypatch.setenv("PATH", f"{sky.parent}:{os.environ['PATH']}")
    assert CliRunner().invoke(app, words).exit_code == 0
    assert not (tmp_path / "given").exists()
    assert CliRunner().invoke(app, [*words, "--start"]).exit_code == 0
    assert (tmp_path / "given").read_text().startswith("jobs launch -y")
