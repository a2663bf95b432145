"""Joining a Ray cluster, or starting one of this machine alone."""

import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import ray

from core.errors import HarnessError
from harness.executors.local import runs_a_gpu

_CONNECT_S = 10.0
_LOOPBACK = "127.0.0.2"  # Ray takes 127.0.0.1 to mean the address that others see
_OBJECT_STORE_BYTES = 100 * 2**20  # near the least that Ray takes; no object is ever large


def join(address: str | None) -> None:
    """Join the cluster at an address, or start one that ends with this process.

    Raises:
        HarnessError: none answers there.
    """
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


def room_on(node: Mapping[str, float], *, num_threads: int, gpu_share: float) -> int:
    """Runs at a time on a node of these resources. gpu_share: 0 where no GPU is asked for."""
    room = int(node.get("CPU", 0) // num_threads)
    return min(room, int(node.get("GPU", 0)) * runs_a_gpu(gpu_share)) if gpu_share else room


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
