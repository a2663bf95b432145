"""A real Ray cluster of two nodes on this machine: a node is lost, nothing else is."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from core.errors import HarnessError
from harness.executors.local import LocalExecutor
from harness.executors.opening import ExecutorKind, ExecutorOptions, open_executor
from harness.executors.run_all import run_all
from harness.records.folders import RECORD, RunFolder
from harness.records.record import RunRecord, Status, load_record
from harness.run.plan import PlannedRun, RunRequest, plan_run
from harness.wording.display import Display
from tests.harness.processes import HarnessProcess

MakeRequest = Callable[..., RunRequest]
FACTS = ("identity", "metrics", "arms", "controls", "evaluation", "parameters", "guards_passed")
OVERRIDES = ("stage1.steps=20", "training.checkpoint_every=5")
CLUSTER = """
import sys
from ray.cluster_utils import Cluster

# On loopback; Ray takes 127.0.0.1 to mean the address that others see.
node = {"num_cpus": 1, "object_store_memory": 80 * 2**20}
cluster = Cluster(
    initialize_head=True,
    head_node_args={
        **node,
        "node_ip_address": "127.0.0.2",
        "include_dashboard": False,
        # So that a lost node is missed in seconds.
        "_system_config": {"health_check_period_ms": 500, "health_check_failure_threshold": 4},
    },
)
second = cluster.add_node(**node, node_ip_address="127.0.0.3")
raylets = [n.all_processes["raylet"][0].process.pid for n in (cluster.head_node, second)]
print(cluster.address, *raylets, flush=True)
for address in sys.stdin:
    added = cluster.add_node(**node, node_ip_address=address.strip())
    print(added.all_processes["raylet"][0].process.pid, flush=True)
cluster.shutdown()
"""


class TwoNodes:
    """A head and a second node, with one CPU each."""

    def __init__(self, folder: Path) -> None:
        self._log = folder / "cluster.log"
        self.scratch = folder / "scratch"
        self.scratch.mkdir()
        self._num_lost = 0
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-c", CLUSTER],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                start_new_session=True,
                env={
                    **os.environ,
                    "RAY_USAGE_STATS_ENABLED": "0",
                    "RAY_TMPDIR": "/tmp",
                    "TMPDIR": str(self.scratch),
                },
            )

    def wait(self) -> None:
        """Until both nodes are there."""
        assert self.process.stdout is not None
        said = self.process.stdout.readline().split()
        assert len(said) == 3, self._log.read_text()
        self.address = said[0]
        self.head, self.second = map(int, said[1:])

    def lose_second(self) -> None:
        """As a machine is lost: at once, with all of its processes."""
        for pid in [self.second, *descendants(self.second)]:
            os.kill(pid, signal.SIGKILL)
        self._num_lost += 1

    def replace_second(self) -> None:
        """Another node in place of one that was lost."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        print(f"127.0.0.{3 + self._num_lost}", file=self.process.stdin, flush=True)
        self.second = int(self.process.stdout.readline())

    def end(self) -> None:
        """End every process of it, also where the cluster does not end itself."""
        started = descendants(self.process.pid)
        try:
            self.process.communicate("", timeout=30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.communicate()
        for pid in started:
            if is_running(pid):
                os.kill(pid, signal.SIGKILL)


@pytest.fixture(scope="module")
def whole_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TwoNodes]:
    nodes = TwoNodes(tmp_path_factory.mktemp("ray"))
    try:
        nodes.wait()
        yield nodes
    finally:
        nodes.end()


@pytest.fixture
def cluster(whole_cluster: TwoNodes) -> TwoNodes:
    """Two nodes, whatever an earlier test took away."""
    if not is_running(whole_cluster.second):
        whole_cluster.replace_second()
    return whole_cluster


@pytest.fixture(scope="module")
def near(small_request: MakeRequest, tmp_path_factory: pytest.TempPathFactory) -> list[PlannedRun]:
    """The runs of `OVERRIDES`, made by processes of this machine."""
    runs = planned_runs(small_request(*OVERRIDES, seed=0, results=tmp_path_factory.mktemp("near")))
    with LocalExecutor(jobs=2) as executor:
        run_all(runs, executor=executor, metric="aic", display=Display())
    return runs


def descendants(pid: int) -> list[int]:
    """The processes under a process, by the parents that /proc names."""
    parents: dict[int, int] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            parents[int(stat.parent.name)] = int(stat.read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
    found = [pid]
    for parent in found:
        found += [child for child, its in parents.items() if its == parent]
    return found[1:]


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def wait_until(condition: Callable[[], object], process: HarnessProcess) -> None:
    until = time.monotonic() + 300
    while not condition():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < until
        time.sleep(0.05)


def compare(address: str, request: RunRequest, *more: str) -> HarnessProcess:
    """`harness compare --executor ray` of two branches, in a process."""
    words = [word for item in request.overrides for word in ("--set", item)]
    words += ["--data", str(request.data), "--results", str(request.results), "--seeds", "1"]
    words += ["--variants", "baseline,sonic", "--executor", "ray", "--ray-address", address]
    return HarnessProcess(["compare", *words, *more])


def planned_runs(request: RunRequest) -> list[PlannedRun]:
    return [
        plan_run(replace(request, variant=variant), display=Display())
        for variant in ("baseline", "sonic")
    ]


def holder(planned: PlannedRun) -> int | None:
    """The process that works on a run."""
    try:
        return int(json.loads((planned.folder / "holder.json").read_text())["pid"])
    except (OSError, ValueError):
        return None


def num_steps(planned: PlannedRun) -> int:
    events = planned.folder / "events.jsonl"
    return len(events.read_bytes().splitlines()) if events.is_file() else 0


@pytest.mark.faults
def test_sigterm_ends_the_tasks_of_a_cluster_after_a_checkpoint(
    cluster: TwoNodes, small_request: MakeRequest
) -> None:
    """Catches: runs that go on unseen on the nodes, or stop without a checkpoint."""
    request = small_request("stage1.steps=5000", "training.checkpoint_every=4999", seed=0)
    runs = planned_runs(request)
    process = compare(cluster.address, request)
    wait_until(lambda: all(num_steps(run) for run in runs), process)
    children = [holder(run) for run in runs]
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 143, err
    assert out == ""
    assert "Ray cluster of 2 nodes, with room for 2 runs at a time." in err
    assert "Traceback" not in err
    for run, child in zip(runs, children, strict=True):
        assert child is not None
        assert not is_running(child)
        assert list((run.folder / "checkpoints").glob("step-*"))
        assert not (run.folder / RECORD).exists()


@pytest.mark.faults
def test_a_lost_node_changes_no_number(
    cluster: TwoNodes, small_request: MakeRequest, near: list[PlannedRun]
) -> None:
    """Catches: a run lost with its node, begun anew, or made with other numbers than locally."""
    request = small_request(*OVERRIDES, seed=0)
    runs = planned_runs(request)
    process = compare(cluster.address, request)
    wait_until(lambda: all(num_steps(run) > 5 for run in runs), process)
    under = descendants(cluster.second)
    (lost,) = [run for run in runs if holder(run) in under]
    os.kill(cluster.second, signal.SIGKILL)
    _, err = process.communicate(timeout=400)
    assert process.returncode == 0, err
    require_said_lost(lost, err)
    for far, its in zip(runs, near, strict=True):
        require_same(far, its)
        assert (load_record(far.folder).cost.resumed_from_step is not None) == (far is lost)


def test_a_lost_node_without_a_shared_folder_changes_no_number(
    cluster: TwoNodes, small_request: MakeRequest, near: list[PlannedRun], tmp_path: Path
) -> None:
    """Catches: steps lost that were in the store, results left on a node, or counted twice."""
    request = small_request(*OVERRIDES, seed=0, results=tmp_path / "results")
    runs, bucket = planned_runs(request), tmp_path / "bucket"
    process = compare(cluster.address, request, "--store", f"file://{bucket}")
    wait_until(lambda: children(cluster.head) and children(cluster.second), process)
    (head,), (second,) = children(cluster.head), children(cluster.second)
    places = [Path(option(words, "--results")) for words in (head, second)]
    assert len({request.results, *places}) == 3
    (lost,) = [run for run in runs if run.request.variant == option(second, "--variant")]
    wait_until(lambda: pushed_steps(bucket, lost) and num_steps(lost), process)
    cluster.lose_second()
    (*_, newest) = pushed_steps(bucket, lost)
    opened = pushed_openings(bucket, lost)  # one, where it had come to the test clips already
    assert not (lost.folder / "checkpoints").exists()
    _, err = process.communicate(timeout=400)
    assert process.returncode == 0, err
    require_said_lost(lost, err)
    for far, its in zip(runs, near, strict=True):
        require_same(far, its)
        record = load_record(far.folder)
        assert record.cost.resumed_from_step == (newest if far is lost else None)
        assert record.command == far.request.command
        assert record.split.lock == str(far.prepared.lock)
        assert record.test_openings == 1 + (opened if far is lost else 0)
        assert record == load_record(bucket / "runs" / far.folder.name)
    assert {path.name for path in (bucket / "runs").iterdir()} == {run.folder.name for run in runs}
    for folder in (bucket, request.results / "runs"):
        for path in folder.rglob("*"):
            assert not path.is_file() or str(cluster.scratch).encode() not in path.read_bytes()
    assert not [path for path in (bucket / "claims").rglob("*") if path.is_file()]
    assert not list((places[0] / "runs").iterdir())
    assert (places[0] / "cache").is_dir()


def children(raylet: int) -> list[list[str]]:
    """The command lines of the runs on a node."""
    found = []
    for pid in descendants(raylet):
        try:
            words = Path(f"/proc/{pid}/cmdline").read_text().split("\0")
        except OSError:
            continue
        if "harness.cli.child" in words:
            found.append(words)
    return found


def option(words: list[str], name: str) -> str:
    return words[words.index(name) + 1]


def pushed_steps(bucket: Path, run: PlannedRun) -> list[int]:
    """Of the whole checkpoints in the store, in order."""
    found = (bucket / "runs" / run.folder.name / "checkpoints").glob("step-*/sha256.json")
    return sorted(int(path.parent.name.removeprefix("step-")) for path in found)


def pushed_openings(bucket: Path, run: PlannedRun) -> int:
    """How often the run had read the test clips, as far as the store knows."""
    path = RunFolder(bucket / "runs" / run.folder.name).openings
    return len(path.read_text().splitlines()) if path.is_file() else 0


def require_said_lost(run: PlannedRun, err: str) -> None:
    assert re.search(
        rf"{run.identity.variant} seed 0 was ended by the loss of its node; it resumes from its "
        r"checkpoint \(retry 1 of 3\)",
        err,
    ), err


def require_same(far: PlannedRun, near: PlannedRun) -> None:
    """The run's numbers are those of a run that was made on this machine."""
    records = [load_record(run.folder) for run in (far, near)]
    assert records[0].status is Status.FINISHED
    for fact in FACTS:
        assert getattr(records[0], fact) == getattr(records[1], fact), fact
    assert without_clock(records[0]) == without_clock(records[1])
    for name in ("weights.safetensors", "per_clip.csv", "events.jsonl"):
        assert (far.folder / name).read_bytes() == (near.folder / name).read_bytes(), name


def without_clock(record: RunRecord) -> list[dict[str, object]]:
    return [
        {k: v for k, v in stage.model_dump().items() if "seconds" not in k}
        for stage in record.stages
    ]


def test_a_cluster_that_does_not_answer_is_a_sentence() -> None:
    """Catches: minutes of Ray's own attempts, and a traceback after them."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{unused.getsockname()[1]}"
    options = ExecutorOptions(ExecutorKind.RAY, ray_address=address)
    with pytest.raises(HarnessError, match=f"no Ray cluster answers at {address}"):
        open_executor(options, num_threads=1, display=Display())
    words = ExecutorOptions(ExecutorKind.RAY, ray_address="nowhere")
    with pytest.raises(HarnessError, match="expected HOST:PORT"):
        open_executor(words, num_threads=1, display=Display())


def test_without_ray_the_sentence_names_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """Catches: a traceback where the extra is not installed."""
    for name in [name for name in sys.modules if name == "ray" or name.startswith("ray.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.delitem(sys.modules, "harness.executors.ray.executor", raising=False)
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(HarnessError, match=r"pip install 'branch-harness\[ray\]'"):
        open_executor(ExecutorOptions(ExecutorKind.RAY), num_threads=1, display=Display())
