"""The whole suite runs on the CPU, offline, and treats warnings as errors (see pyproject)."""

import os
import socket
from collections.abc import Iterator
from typing import Any

import pytest

# Before any import of torch or a hub client; child processes inherit them.
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["CUDA_VISIBLE_DEVICES"] = ""
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ["COLUMNS"] = "160"


@pytest.fixture(autouse=True, scope="session")
def no_network() -> Iterator[None]:
    """Refuse every connection that could leave this machine."""
    connect = socket.socket.connect

    def guarded(self: socket.socket, address: Any) -> None:
        is_local = self.family == socket.AF_UNIX or address[0] in {"127.0.0.1", "::1", "localhost"}
        if not is_local:
            raise AssertionError(f"a test tried to reach {address}; the suite is offline")
        connect(self, address)

    patch = pytest.MonkeyPatch()
    patch.setattr(socket.socket, "connect", guarded)
    yield
    patch.undo()


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> None:
    """One thread a process, as in a run, so that roundings repeat."""
    import torch

    torch.set_num_threads(1)
