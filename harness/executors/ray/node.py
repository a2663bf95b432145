"""What a node of a Ray cluster does: the child process of one run, watched until it ends.

Ray pickles these by the name of their module, which every node imports from its own installation.
"""

import os
import socket
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray
from ray import exceptions

from core.errors import MismatchError, StorageAwayError, UsageError
from harness.executors.base import STOPPED, UNGATHERED, Ended
from harness.executors.child import ChildProcess
from harness.executors.ray.parcel import NodeRun, Parcel
from harness.run.code import code_of

_POLL_S = 0.5


@dataclass(frozen=True)
class Order:
    """What a node is told of a run."""

    key: str
    """Of this start of it."""
    name: str
    """What a person reads."""
    words: list[str]
    """Of the command line, after `harness`, where the results folder is shared."""
    working_folder: str
    """In which the coordinator's command was given."""
    log: str
    """What the run's processes say, where the results folder is shared."""
    variant: str
    """The branch."""
    code: dict[str, str]
    """Hashes that this node's code must have."""
    environment: Mapping[str, str | None]
    """Variables of the coordinator; None: unset there."""
    parcel: Parcel | None
    """The run for a node that shares no folder; None: it does."""


class Mailbox:
    """An actor beside the coordinator: who runs where, and who is to stop."""

    def __init__(self) -> None:
        self._places: dict[str, str] = {}
        self._told: set[str] = set()

    def place(self, key: str, node: str) -> None:
        """Note that an order runs on a node."""
        self._places[key] = node

    def place_of(self, key: str) -> str:
        """The order's node; empty while it waits for one."""
        return self._places.get(key, "")

    def stop(self, key: str) -> bool:
        """Whether the order runs somewhere."""
        self._told.add(key)
        return key in self._places

    def is_told(self, key: str) -> bool:
        """Whether the order is to stop."""
        return key in self._told


def make_run(order: Order, mailbox: Any) -> Ended:
    """The child of an order, watched until it ends and, with a store, until all of it is there.

    Raises:
        MismatchError: this node sees another folder, or has other code, data or models.
    """
    node = socket.gethostname()
    ray.get(mailbox.place.remote(order.key, node))
    if ray.get(mailbox.is_told.remote(order.key)):
        return Ended(STOPPED, "")
    if order.parcel is None:
        _require_shared(order, node=node)
    _require_code(order, node=node)
    if order.parcel is not None:
        return _make_and_send(order, order.parcel, mailbox=mailbox, node=node)
    child = ChildProcess(
        order.words,
        log=Path(order.log),
        environment=_environment(order),
        working_folder=Path(order.working_folder),
    )
    return _watch(child, order, mailbox=mailbox)


def _make_and_send(order: Order, parcel: Parcel, *, mailbox: Any, node: str) -> Ended:
    run = NodeRun(parcel, results=_own_results(), key=order.key, node=node)
    try:
        words = run.fetch()
        child = ChildProcess(
            words,
            log=run.log,
            environment=_environment(order),
            working_folder=run.working_folder(order.working_folder),
        )
        pid = child.pid
        with run.sending():
            ended = _watch(
                child,
                order,
                mailbox=mailbox,
                check=lambda exit_code: run.require_own(pid, is_over=exit_code == 0),
            )
        run.hand_over()
    except StorageAwayError as error:
        return Ended(UNGATHERED, f"harness: on node {node}, {error}")
    return ended


def _own_results() -> Path:
    # By the node's id: of two nodes on one machine neither writes into the other's runs.
    of_user = Path(tempfile.gettempdir()) / f"branch-harness-{os.getuid()}"
    of_user.mkdir(mode=0o700, exist_ok=True)
    return of_user / ray.get_runtime_context().get_node_id()


def _environment(order: Order) -> dict[str, str]:
    environment = dict(os.environ)
    for name, value in order.environment.items():
        environment.pop(name, None)
        if value is not None:
            environment[name] = value
    return environment


def _watch(
    child: ChildProcess,
    order: Order,
    *,
    mailbox: Any,
    check: Callable[[int | None], None] = lambda exit_code: None,
) -> Ended:
    """The end of a child, which is stopped where the coordinator says so or is gone.

    check: called now and then, and with the exit code in the end; raises what ends the child.
    """
    try:
        while (exit_code := child.poll()) is None:
            time.sleep(_POLL_S)
            check(None)
            if _is_told(order, mailbox):
                child.stop()
        check(exit_code)
    finally:
        child.stop()
        child.wait()
    return Ended(exit_code, child.last_words())


def _require_code(order: Order, *, node: str) -> None:
    try:
        code = code_of(order.variant)
    except UsageError as error:
        raise MismatchError(
            f"on node {node}, {error}; a plug-in has to be installed on every node"
        ) from None
    if code != order.code:
        other = sorted(part for part in order.code if order.code[part] != code.get(part))
        raise MismatchError(
            f"node {node} has different {', '.join(other)} code from the coordinator; install the "
            "same version, and the same plug-ins, on every node"
        )


def _require_shared(order: Order, *, node: str) -> None:
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


def _is_told(order: Order, mailbox: Any) -> bool:
    try:
        return bool(ray.get(mailbox.is_told.remote(order.key)))
    except exceptions.RayError:
        return True  # the coordinator is gone: what it wanted can be resumed
