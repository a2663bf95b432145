"""Kills at random moments and a disk that is really full; minutes long, run by `make faults`."""

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from core.files import file_sha256
from harness.records.folders import RECORD
from harness.records.record import load_record
from harness.run.plan import RunRequest, plan_run
from harness.wording.display import Display

pytestmark = pytest.mark.faults

MakeRequest = Callable[..., RunRequest]
# Half of the time goes into checkpoints, so that many kills fall into one.
SETTINGS = (
    "stage1.steps=40",
    "stage2.steps=40",
    "stage3.steps=20",
    "training.checkpoint_every=1",
    "training.validate_every=7",
)
ROUNDS = 4
KILLS_OF_A_COMPARISON = 12


def words(request: RunRequest) -> list[str]:
    settings = [word for item in request.overrides for word in ("--set", item)]
    return [*settings, "--data", str(request.data), "--results", str(request.results)]


def start(command: str, *more: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "harness", command, *more, "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def holder_of(folder: Path) -> int | None:
    """The process that works on a run."""
    try:
        return int(json.loads((folder / "holder.json").read_text())["pid"])
    except (FileNotFoundError, ValueError):
        return None


def live_through(process: subprocess.Popen[str], seconds: float) -> bool:
    """Whether it still runs after that time."""
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        return True
    return False


def outcome(folder: Path) -> dict[str, Any]:
    """What of a run must be the same however often it was killed."""
    record = load_record(folder)
    lines = (folder / "events.jsonl").read_text().splitlines()
    return {
        "files": {
            path.relative_to(folder).as_posix(): file_sha256(path)
            for path in sorted(folder.rglob("*"))
            if path.suffix in {".png", ".csv", ".safetensors"} and "checkpoints" not in path.parts
        },
        "arms": record.arms,
        "controls": record.controls,
        "losses": [stage.last_loss for stage in record.stages],
        "validation": [stage.validation_loss for stage in record.stages],
        "steps": [json.loads(line)["global_step"] for line in lines],
    }


def test_a_run_killed_at_random_moments_ends_as_the_undisturbed_one(
    small_request: MakeRequest, tmp_path: Path
) -> None:
    """Catches: a checkpoint, ledger or picture that a kill leaves half done and a resume takes for
    whole; a step made twice. Each round begins anew and is killed until it gets through.
    """
    chance = random.Random(0)
    request = small_request(*SETTINGS, variant="sonic", results=tmp_path)
    folder = plan_run(request, display=Display()).folder
    line = ("--variant", "sonic", *words(request))
    undisturbed = start("run", *line)
    while holder_of(folder) != undisturbed.pid:
        assert live_through(undisturbed, 0.02)
    began = time.monotonic()
    _, said = undisturbed.communicate()
    assert undisturbed.returncode == 0, said
    longest = 0.4 * (time.monotonic() - began)
    expected = outcome(folder)
    assert expected["steps"] == list(range(1, 101))
    num_kills = 0
    for number in range(ROUNDS):
        folder.rename(tmp_path / f"before-{number}")
        while True:
            process = start("run", *line)
            while holder_of(folder) != process.pid and live_through(process, 0.02):
                pass
            if live_through(process, chance.uniform(0, longest)):
                process.kill()
                process.communicate()
                num_kills += 1
                continue
            _, said = process.communicate()
            assert process.returncode == 0, said
            break
        assert outcome(folder) == expected
    assert num_kills >= 2 * ROUNDS  # no process may live long enough to make it in two


def test_a_comparison_whose_processes_are_killed_compares_the_same_runs(
    small_request: MakeRequest, tmp_path: Path
) -> None:
    """Catches: a run lost, made twice or left half done where the leader or its children die."""
    chance = random.Random(1)
    request = small_request(*SETTINGS, results=tmp_path / "killed")
    branches = ("--variants", "baseline,sonic", "--seeds", "2", "--jobs", "2")
    calm = replace(request, results=tmp_path / "calm")
    undisturbed = start("compare", *branches, *words(calm))
    _, said = undisturbed.communicate()
    assert undisturbed.returncode == 0, said
    num_kills = 0
    process = start("compare", *branches, *words(request))
    while live_through(process, chance.uniform(2, 12)):
        if num_kills < KILLS_OF_A_COMPARISON:
            holders = [holder_of(path) for path in (request.results / "runs").glob("*")]
            children = [pid for pid in holders if pid is not None and is_ours(pid)]
            if children and chance.random() < 0.6:
                os.kill(chance.choice(children), signal.SIGKILL)
            else:
                process.kill()
                process.communicate()
                process = start("compare", *branches, *words(request))
            num_kills += 1
    _, said = process.communicate()
    assert process.returncode == 0, said
    assert num_kills >= 3
    ids = {path.name for path in (calm.results / "runs").iterdir()}
    assert {path.parent.name for path in (request.results / "runs").glob(f"*/{RECORD}")} == ids
    assert len(ids) == 4
    for run_id in ids:
        found = outcome(request.results / "runs" / run_id)
        assert found == outcome(calm.results / "runs" / run_id)


def is_ours(pid: int) -> bool:
    """Whether a process that left its number behind when it was killed still lives."""
    try:
        return b"harness" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except FileNotFoundError:
        return False


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 256 MiB; only root may mount one, others skip, aloud."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounting = ["mount", "-t", "tmpfs", "-o", "size=256m", "tmpfs", str(folder)]
    if subprocess.run(mounting, capture_output=True).returncode:
        pytest.skip("a small file system cannot be mounted by this user")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_ends_a_run_that_goes_on_once_there_is_room(
    small_request: MakeRequest, small_disk: Path, tmp_path: Path
) -> None:
    """Catches: a traceback, a lost checkpoint, or other numbers where a disk ran full midway."""
    request = small_request(*SETTINGS, variant="sonic", results=tmp_path / "roomy")
    roomy = start("run", "--variant", "sonic", *words(request))
    _, said = roomy.communicate()
    assert roomy.returncode == 0, said
    tight = replace(request, results=small_disk / "results")
    folder = plan_run(tight, display=Display()).folder
    line = ("--variant", "sonic", *words(tight))
    process = start("run", *line)
    try:
        while not list((folder / "checkpoints").glob("step-*")):
            assert live_through(process, 0.02), process.communicate()
        fill(small_disk / "filler")
        _, said = process.communicate()
    finally:
        process.kill()
    assert process.returncode == 74, said
    assert "Traceback" not in said
    (small_disk / "filler").unlink()
    again = start("run", *line)
    _, said = again.communicate()
    assert again.returncode == 0, said
    assert load_record(folder).cost.resumed_from_step
    assert outcome(folder) == outcome(request.results / "runs" / folder.name)


def fill(path: Path) -> None:
    """Take all the room there is."""
    with contextlib.suppress(OSError), path.open("wb", buffering=0) as file:
        while True:
            file.write(b"\0" * 4096)
