"""Where the seconds of a run go: at each moment exactly one thing is being done.

Parts are measured by the host's clock alone and never wait for a device, so that they cost
microseconds a step and sum to the time that has gone by. On a GPU a step is one recorded graph that
the host hands over and waits for: there its forward pass, backward pass and optimiser are one part.
"""

import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from types import TracebackType

PREPARE = "prepare"
"""Verifying files, loading models, the guards before and after training."""
FEATURES = "features"
"""What the frozen encoders make of the clips, once for all runs on a split."""
DATA = "data"
"""Putting a batch together while the device has nothing to do."""
TRANSFER = "transfer"
"""Handing a batch to the device, while it has nothing else to do."""
ENCODE = "encode"
"""The branch's own encoders and projectors: a batch becomes its conditioning."""
FORWARD = "forward"
"""The UNet, and the loss."""
BACKWARD = "backward"
"""Gradients."""
OPTIMISER = "optimiser"
"""Clipping, the watch on the gradients, the update."""
STEP = "step"
"""What is left of a step; on a GPU all of it."""
VALIDATION = "validation"
CHECKPOINT = "checkpoint"
PREVIEW = "preview"
SAMPLING = "sampling"
SCORING = "scoring"
OTHER = "other"
"""Logs, progress, and what has no name."""
OF_A_STEP = (DATA, TRANSFER, ENCODE, FORWARD, BACKWARD, OPTIMISER, STEP)
"""What recurs with each optimiser step."""


class Ledger:
    """Seconds by part, of one process."""

    def __init__(self, *, clock: Callable[[], float] = time.perf_counter) -> None:
        self._clock = clock
        self._parts: dict[str, float] = {}
        self._stack = [OTHER]
        self._since = clock()

    def spending(self, part: str) -> AbstractContextManager[None]:
        """Book the block's time to a part; what a block inside books to another is not in it."""
        return _Spending(self, part)

    def seconds(self) -> dict[str, float]:
        """By part, the present one up to now; they sum to the time since the ledger was opened."""
        found = dict(self._parts)
        part = self._stack[-1]
        found[part] = found.get(part, 0.0) + self._clock() - self._since
        return found

    def reassign(self, part: str, *, to: str, seconds: float) -> None:
        """Book seconds that a part has to another."""
        moved = min(seconds, self._parts.get(part, 0.0))
        if moved > 0:
            self._parts[part] -= moved
            self._parts[to] = self._parts.get(to, 0.0) + moved

    def _enter(self, part: str) -> None:
        self._book()
        self._stack.append(part)

    def _leave(self) -> None:
        self._book()
        self._stack.pop()

    def _book(self) -> None:
        now = self._clock()
        part = self._stack[-1]
        self._parts[part] = self._parts.get(part, 0.0) + now - self._since
        self._since = now


class _Spending(AbstractContextManager[None]):
    def __init__(self, ledger: Ledger, part: str) -> None:
        self._ledger = ledger
        self._part = part

    def __enter__(self) -> None:
        self._ledger._enter(self._part)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._ledger._leave()


_WAITED_S = 1e-4


class HiddenWork:
    """Batches that were made while a device was busy kept nobody waiting.

    The host makes the next batch while the device is at the step before. Where it then still has to
    wait for that step, the device never stood idle: the time is the step's.
    """

    def __init__(self, ledger: Ledger, *, clock: Callable[[], float] = time.perf_counter) -> None:
        self._ledger = ledger
        self._clock = clock
        self._seen = self._made()

    def waiting(self) -> float:
        """The clock before a wait for the device."""
        return self._clock()

    def waited(self, since: float) -> None:
        """Take note that the wait is over."""
        made = self._made()
        if self._clock() - since > _WAITED_S:
            for part, seconds in made.items():
                self._ledger.reassign(part, to=STEP, seconds=seconds - self._seen[part])
            made = self._made()
        self._seen = made

    def _made(self) -> dict[str, float]:
        seconds = self._ledger.seconds()
        return {part: seconds.get(part, 0.0) for part in (DATA, TRANSFER)}
