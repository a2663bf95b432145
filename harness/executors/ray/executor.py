"""Runs as tasks of a Ray cluster, gathered in a shared results folder or through a store.

A task starts the same child process as on one machine, beside the node's own Ray worker, and
watches it; docs/decisions/0019 says why. Nothing but words, a node's name and an exit code goes
through Ray: checkpoints, logs and records lie in the shared folder or go through the store.
"""

import os
import time
import uuid
from functools import partial
from types import TracebackType
from typing import Any

import ray
from ray import exceptions
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from core.errors import HarnessError
from harness.executors.base import LOST, STOPPED, Ended, Executor, Job, Task
from harness.executors.ray.cluster import join, room_on
from harness.executors.ray.gathered import GatheredJob
from harness.executors.ray.node import Mailbox, Order, make_run
from harness.executors.ray.parcel import parcel_of
from harness.wording.display import Display

_POLL_S = 0.5
_AS_HERE = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "TOKENIZERS_PARALLELISM", "HF_HUB_OFFLINE")
"""Variables of this process that the runs get too: Ray sets some of its own, and another number
of threads gives other roundings."""


class RayExecutor(Executor):
    """One Ray task a run."""

    def __init__(
        self,
        *,
        address: str | None = None,
        jobs: int = 0,
        gpu_share: float = 1.0,
        num_threads: int = 1,
        store: str | None = None,
        display: Display,
    ) -> None:
        """Join the cluster and count what it has room for.

        address: `host:port` of its head, `auto`, or `ray://host:port`; None is what RAY_ADDRESS
        says, or else a cluster of this machine alone, which ends with this process.
        jobs: runs at a time; 0 is as many as the nodes have room for now.
        gpu_share: part of a GPU that a run takes, where the cluster has any.
        num_threads: CPUs that a run takes.
        store: URL of where run folders are gathered; None: the nodes share the results folder.

        Raises:
            HarnessError: the cluster does not answer, or has no room for a single run.
        """
        join(address or os.environ.get("RAY_ADDRESS"))
        try:
            nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
            has_gpus = any(node.get("GPU", 0) for node in nodes)
            room = sum(
                room_on(node, num_threads=num_threads, gpu_share=gpu_share if has_gpus else 0.0)
                for node in nodes
            )
            if not room:
                raise HarnessError(
                    f"no node of the Ray cluster has room for a run, which requires {num_threads} "
                    "CPU" + (f" and {gpu_share:g} GPU" if has_gpus else "")
                )
            display.say(f"Ray cluster of {len(nodes)} nodes, with room for {room} runs at a time.")
            self.capacity = jobs or room
            self._store = store
            self._going: list[Job] = []
            self._mailbox = _start_mailbox()
            self._make = ray.remote(make_run).options(
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
        if self._store is None:
            job: Job = self._send(task, store=None)
        else:
            send = partial(self._send, task, store=self._store)
            job = GatheredJob(task, url=self._store, start=send)
        self._going.append(job)
        return job

    def _send(self, task: Task, *, store: str | None) -> "_RayJob":
        key = uuid.uuid4().hex
        planned = task.planned
        log = task.log.resolve()
        if store is None:
            log.parent.mkdir(parents=True, exist_ok=True)
            with log.open("a", encoding="utf-8") as file:
                # The node looks for this line: it is there only where the folder is shared.
                file.write(f"sent to the Ray cluster as {key}\n")
        order = Order(
            key=key,
            name=task.name,
            words=planned.request.words[1:],
            working_folder=os.getcwd(),
            log=str(log),
            variant=planned.identity.variant,
            code=planned.identity.code,
            environment={name: os.environ.get(name) for name in _AS_HERE},
            parcel=None if store is None else parcel_of(planned, store=store),
        )
        ref = self._make.remote(order, self._mailbox)
        return _RayJob(task, key=key, mailbox=self._mailbox, ref=ref)

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
        self._ended: Ended | None = None
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

    def _end(self) -> Ended:
        try:
            ended: Ended = ray.get(self._ref)
        except exceptions.TaskCancelledError:
            return Ended(STOPPED, "")
        except exceptions.RayTaskError as error:
            cause = error.cause
            code = cause.exit_code if isinstance(cause, HarnessError) else 1
            return Ended(code, f"harness: {cause}")
        except exceptions.RayError as error:
            return Ended(LOST, str(error).strip().splitlines()[0])
        return ended


def _start_mailbox() -> Any:
    here = ray.get_runtime_context().get_node_id()
    return (
        ray.remote(Mailbox)
        .options(num_cpus=0, scheduling_strategy=NodeAffinitySchedulingStrategy(here, soft=False))
        .remote()
    )
