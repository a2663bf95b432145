"""Which coordinator has a run of a store, where no file lock can say so."""

import json
import os
import socket
import uuid
from collections.abc import Callable

from core.errors import BusyError
from harness.executors.store.remote import RemoteFolder

RENEW_S = 3.0
_PATIENCE_S = 5 * RENEW_S
"""How long somebody else's claim may stay unchanged before its coordinator passes for dead."""


class Claim:
    """A small file in the store, which its owner changes every few seconds.

    Clocks of two machines are never compared: whoever meets a claim watches whether it changes.
    """

    def __init__(self, remote: RemoteFolder, name: str) -> None:
        self._remote = remote
        self._name = name
        self._key = uuid.uuid4().hex
        self._num_renewals = 0

    def take(self, *, wait: Callable[[float], bool]) -> bool:
        """Own the run, after a pause where somebody else did; whether it is owned.

        wait: sleeps so many seconds; True where it was cut short, and nothing is taken then.

        Raises:
            BusyError: another coordinator works on it.
        """
        before = self._remote.read(self._name)
        if before is not None:
            if wait(_PATIENCE_S):
                return False
            now = self._remote.read(self._name)
            if now not in (before, None):
                raise BusyError(self._sentence(now))
        self._write()
        return True

    def renew(self) -> None:
        """Show that the owner lives.

        Raises:
            BusyError: another coordinator took the run over.
        """
        found = self._remote.read(self._name)
        if found is not None and _facts(found).get("key") != self._key:
            raise BusyError(self._sentence(found))
        self._write()

    def drop(self) -> None:
        """Leave the run to others."""
        found = self._remote.read(self._name)
        if found is not None and _facts(found).get("key") == self._key:
            self._remote.remove(self._name)

    def _write(self) -> None:
        self._num_renewals += 1
        content = {
            "key": self._key,
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "renewals": self._num_renewals,
        }
        self._remote.write(self._name, content=json.dumps(content).encode())

    def _sentence(self, found: bytes | None) -> str:
        facts = _facts(found or b"")
        run = self._name.rpartition("/")[2].removesuffix(".json")
        return (
            f"{run} is being worked on in the store by process {facts.get('pid', '?')} on "
            f"{facts.get('host', 'another machine')}; wait for it, or stop it and run the same "
            "command again"
        )


def _facts(content: bytes) -> dict[str, object]:
    try:
        return dict(json.loads(content))
    except (ValueError, TypeError):
        return {}
