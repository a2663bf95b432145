"""The runs of a comparison in processes of their own: stopped, killed, and dead."""

import json
import os
import signal
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from harness.records.folders import RECORD
from harness.run.plan import RunRequest, plan_run
from harness.wording.display import Display
from tests.harness.processes import HarnessProcess

MakeRequest = Callable[..., RunRequest]


def test_sigterm_stops_the_children_after_a_checkpoint(
    small_request: MakeRequest,
) -> None:
    """Catches: children that train on unseen, or die before they have written a checkpoint."""
    request = small_request("stage1.steps=500", seed=0)
    folders = [
        plan_run(
            small_request("stage1.steps=500", variant=variant, seed=0), display=Display()
        ).folder
        for variant in ("baseline", "sonic")
    ]
    words = [word for item in request.overrides for word in ("--set", item)]
    words += ["--data", str(request.data), "--results", str(request.results)]
    branches = ["--variants", "baseline,sonic", "--seeds", "1", "--jobs", "1"]
    process = HarnessProcess(["compare", *branches, *words])
    events = folders[0] / "events.jsonl"
    until = time.monotonic() + 300
    while not (events.is_file() and events.read_bytes()):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < until
        time.sleep(0.05)
    child = json.loads((folders[0] / "holder.json").read_text())["pid"]
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=300)
    assert process.returncode == 143, err
    assert out == ""
    assert "Traceback" not in err
    with pytest.raises(ProcessLookupError):
        os.kill(child, 0)
    assert list((folders[0] / "checkpoints").glob("step-*"))
    assert not folders[1].exists()


def test_a_comparison_that_is_killed_leaves_no_child_behind(small_request: MakeRequest) -> None:
    """Catches: trainings that go on for hours, unseen, after `kill -9` of the comparison."""
    request = small_request("stage1.steps=501", seed=0)
    overrides = (*request.overrides, "training.checkpoint_every=499")
    folder = plan_run(replace(request, overrides=overrides), display=Display()).folder
    words = [word for item in overrides for word in ("--set", item)]
    words += ["--data", str(request.data), "--results", str(request.results)]
    branches = ["--variants", "baseline,sonic", "--seeds", "1", "--jobs", "1"]
    process = HarnessProcess(["compare", *branches, *words])
    events = folder / "events.jsonl"
    wait_until(lambda: events.is_file() and bool(events.read_bytes()))
    child = json.loads((folder / "holder.json").read_text())["pid"]
    process.kill()
    process.wait()
    wait_until(lambda: not is_running(child))
    assert list((folder / "checkpoints").glob("step-*"))
    assert not (folder / RECORD).exists()
    assert "stopped by SIGTERM" in (folder / "run.log").read_text()


def wait_until(condition: Callable[[], bool]) -> None:
    until = time.monotonic() + 300
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.05)


def is_running(pid: int) -> bool:
    """Whether the process runs: an orphan that ended may stay as a zombie where nobody reaps it."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"
