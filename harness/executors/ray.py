"""Runs as tasks of a Ray cluster whose nodes share the results folder.

A task starts the same child process as on one machine, beside the node's own Ray worker, and
watches it; docs/decisions/0019 says why. Nothing but words, a node's name and an exit code goes
through Ray: checkpoints, logs and records lie in the shared folder.
"""

import logging
import os
import signal
import socket
import sys
import threading
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from core.errors import HarnessError, MismatchError
from harness.executors.base import LOST, Executor, Job, Task
from harness.executors.local import ChildProcess, runs_a_gpu
from harness.planning import code_of
from harness.progress import Display

try:
    import ray
    from ray import exceptions
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy
except ImportError as error:
    raise HarnessError(
        "--executor ray needs Ray, which is not installed: pip install 'branch-harness[ray]'"
    ) from error

_POLL_S = 0.5
_CONNECT_S = 10.0
_LOOPBACK = "127.0.0.2"  # Ray takes 127.0.0.1 to mean the address that others see
_OBJECT_STORE_BYTES = 100 * 2**20  # near the least that Ray takes; no object is ever large
_AS_HERE = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "TOKENIZERS_PARALLELISM", "HF_HUB_OFFLINE")
"""Variables of this process that the runs get too: Ray sets some of its own, and another number
of threads gives other roundings."""
_STOPPED = 128 + signal.SIGTERM


@dataclass(frozen=True)
class _Order:
    """What a node is told of a run."""

    key: str
    name: str
    words: list[str]
    working_folder: str
    log: str
    variant: str
    code: dict[str, str]
    environment: Mapping[str, str | None]


@dataclass(frozen=True)
class _Ended:
    """How the child of an order ended."""

    exit_code: int
    last_words: str


class _Mailbox:
    """An actor beside the coordinator: who runs where, and who is to stop."""

    def __init__(self) -> None:
        self._places: dict[str, str] = {}
        self._told: set[str] = set()

    def place(self, key: str, node: str) -> None:
        self._places[key] = node

    def place_of(self, key: str) -> str:
        return self._places.get(key, "")

    def stop(self, key: str) -> bool:
        """Whether the order runs somewhere."""
        self._told.add(key)
        return key in self._places

    def is_told(self, key: str) -> bool:
        return key in self._told


class RayExecutor(Executor):
    """One Ray task a run."""

    def __init__(
        self,
        *,
        address: str | None = None,
        jobs: int = 0,
        gpu_share: float = 1.0,
        num_threads: int = 1,
        display: Display,
    ) -> None:
        """Join the cluster and count what it has room for.

        address: `host:port` of its head, `auto`, or `ray://host:port`; None is what RAY_ADDRESS
        says, or else a cluster of this machine alone, which ends with this process.
        jobs: runs at a time; 0 is as many as the nodes have room for now.
        gpu_share: part of a GPU that a run takes, where the cluster has any.
        num_threads: CPUs that a run takes.

        Raises:
            HarnessError: the cluster does not answer, or has no room for a single run.
        """
        _join(address or os.environ.get("RAY_ADDRESS"))
        try:
            nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
            has_gpus = any(node.get("GPU", 0) for node in nodes)
            room = sum(
                _room(node, num_threads=num_threads, gpu_share=gpu_share if has_gpus else 0.0)
                for node in nodes
            )
            if not room:
                raise HarnessError(
                    f"no node of the Ray cluster has room for a run, which takes {num_threads} CPU"
                    + (f" and {gpu_share:g} GPU" if has_gpus else "")
                )
            display.say(f"Ray cluster of {len(nodes)} nodes, with room for {room} runs at a time.")
            self.capacity = jobs or room
            self._going: list[_RayJob] = []
            self._mailbox = _start_mailbox()
            self._make = ray.remote(_make_run).options(
                num_cpus=num_threads,
                num_gpus=gpu_share if has_gpus else 0,
                # `drive` starts it again and says so, as for a process of this machine.
                max_retries=0,
            )
        except BaseException:
            ray.shutdown()
            raise

    def start(self, task: Task) -> Job:
        """Give the run to a node that has room, now or later."""
        self._going = [job for job in self._going if job.poll() is None]
        key = uuid.uuid4().hex
        log = task.log.resolve()
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("a", encoding="utf-8") as file:
            # The node looks for this line: it is there only where the folder is shared.
            file.write(f"sent to the Ray cluster as {key}\n")
        order = _Order(
            key=key,
            name=task.name,
            words=task.planned.request.words[1:],
            working_folder=os.getcwd(),
            log=str(log),
            variant=task.planned.identity.variant,
            code=task.planned.identity.code,
            environment={name: os.environ.get(name) for name in _AS_HERE},
        )
        job = _RayJob(
            task, key=key, mailbox=self._mailbox, ref=self._make.remote(order, self._mailbox)
        )
        self._going.append(job)
        return job

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            for job in self._going:
                job.stop()
            while any(job.poll() is None for job in self._going):
                time.sleep(_POLL_S)
        finally:
            ray.shutdown()


class _RayJob(Job):
    def __init__(self, task: Task, *, key: str, mailbox: Any, ref: Any) -> None:
        self.task = task
        self._key = key
        self._mailbox = mailbox
        self._ref = ref
        self._place = ""
        self._ended: _Ended | None = None
        self._is_told = False

    @property
    def place(self) -> str:
        if not self._place and self._ended is None:
            self._place = ray.get(self._mailbox.place_of.remote(self._key))
        return self._place

    def poll(self) -> int | None:
        if self._ended is None and ray.wait([self._ref], timeout=0)[0]:
            self._ended = self._end()
        return None if self._ended is None else self._ended.exit_code

    def stop(self) -> None:
        if self._is_told or self.poll() is not None:
            return
        self._is_told = True
        # One that waits for room has no child to write a checkpoint.
        if not ray.get(self._mailbox.stop.remote(self._key)):
            ray.cancel(self._ref)

    def last_words(self) -> str:
        return "" if self._ended is None else self._ended.last_words

    def _end(self) -> _Ended:
        try:
            ended: _Ended = ray.get(self._ref)
        except exceptions.TaskCancelledError:
            return _Ended(_STOPPED, "")
        except exceptions.RayTaskError as error:
            cause = error.cause
            code = cause.exit_code if isinstance(cause, HarnessError) else 1
            return _Ended(code, f"harness: {cause}")
        except exceptions.RayError as error:
            return _Ended(LOST, str(error).strip().splitlines()[0])
        return ended


def _make_run(order: _Order, mailbox: Any) -> _Ended:
    """On the node: the child of an order, watched until it ends.

    Raises:
        MismatchError: this node sees another folder, or has other code.
    """
    node = socket.gethostname()
    ray.get(mailbox.place.remote(order.key, node))
    if ray.get(mailbox.is_told.remote(order.key)):
        return _Ended(_STOPPED, "")
    _require_shared(order, node=node)
    code = code_of(order.variant)
    if code != order.code:
        other = sorted(part for part in order.code if order.code[part] != code.get(part))
        raise MismatchError(
            f"node {node} has another {', '.join(other)} code than the coordinator: install the "
            "same version on every node"
        )
    environment = dict(os.environ)
    for name, value in order.environment.items():
        environment.pop(name, None)
        if value is not None:
            environment[name] = value
    child = ChildProcess(
        order.words,
        log=Path(order.log),
        environment=environment,
        working_folder=Path(order.working_folder),
    )
    try:
        while (exit_code := child.poll()) is None:
            time.sleep(_POLL_S)
            if _is_told(order, mailbox):
                child.stop()
    finally:
        child.stop()
        child.process.wait()
    return _Ended(exit_code, child.last_words())


def _require_shared(order: _Order, *, node: str) -> None:
    advice = "every node must see the results folder, the data and the models under the same paths"
    if not Path(order.working_folder).is_dir():
        raise MismatchError(f"node {node} has no folder {order.working_folder}; {advice}")
    try:
        is_shared = order.key in Path(order.log).read_text(encoding="utf-8", errors="replace")
    except OSError:
        is_shared = False
    if not is_shared:
        raise MismatchError(
            f"node {node} does not see what the coordinator wrote to {order.log}; {advice}"
        )


def _is_told(order: _Order, mailbox: Any) -> bool:
    try:
        return bool(ray.get(mailbox.is_told.remote(order.key)))
    except exceptions.RayError:
        return True  # the coordinator is gone: what it wanted can be resumed


def _start_mailbox() -> Any:
    here = ray.get_runtime_context().get_node_id()
    return (
        ray.remote(_Mailbox)
        .options(num_cpus=0, scheduling_strategy=NodeAffinitySchedulingStrategy(here, soft=False))
        .remote()
    )


def _room(node: Mapping[str, float], *, num_threads: int, gpu_share: float) -> int:
    room = int(node.get("CPU", 0) // num_threads)
    return min(room, int(node.get("GPU", 0)) * runs_a_gpu(gpu_share)) if gpu_share else room


def _join(address: str | None) -> None:
    own: dict[str, Any] = {}
    if address in (None, "local"):
        os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
        own = {
            "include_dashboard": False,
            "object_store_memory": _OBJECT_STORE_BYTES,
        }
        if sys.platform == "linux":
            own["_node_ip_address"] = _LOOPBACK
    elif address != "auto":
        _require_answer(str(address))
    try:
        with _own_signals():
            ray.init(address or "local", log_to_driver=False, logging_level=logging.ERROR, **own)
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise HarnessError(
            f"the Ray cluster at {address or 'this machine'} cannot be joined: "
            f"{str(error).strip().splitlines()[0]}"
        ) from error


def _require_answer(address: str) -> None:
    # Ray itself tries for minutes.
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not host or not port.isdecimal():
        raise HarnessError(f"--ray-address {address}; expected HOST:PORT of the cluster's head")
    try:
        socket.create_connection((host, int(port)), timeout=_CONNECT_S).close()
    except OSError as error:
        raise HarnessError(
            f"no Ray cluster answers at {address} ({error}); start one there with "
            f"`ray start --head --port={port}`"
        ) from error


@contextmanager
def _own_signals() -> Iterator[None]:
    """Keep our handlers: Ray puts its own, which would end us before the children."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    kept = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in kept.items():
            signal.signal(number, handler)
