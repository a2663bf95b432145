"""The device's part of an optimiser step, recorded once as a CUDA graph and played again.

A step is thousands of kernels that Python launches one by one; a graph launches them all at once.
What the step reads lies in buffers that are filled before each replay; what it leaves is cloned
after it. Both ways run the one function `TrainingStep.compute`.
"""

import logging
from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

import torch

from core.training.batches import StepBatch
from core.training.step import StepNumbers

_log = logging.getLogger(__name__)

PLAIN_STEPS = 3
"""Steps made one kernel at a time before recording: libraries choose and allocate in them."""

Compute = Callable[[StepBatch], StepNumbers]
Left = TypeVar("Left")
"""What a function leaves on the device."""


class Recorder(Protocol[Left]):
    """Records the kernels that a function launches."""

    def plain(self, function: Callable[[], Left]) -> Left:
        """Run it once, not recorded."""

    def record(self, function: Callable[[], Left]) -> Left:
        """Record it without running it; returns where a replay leaves what it makes."""

    def replay(self) -> None:
        """Run what was recorded."""

    def release(self) -> None:
        """Give the memory back; nothing is recorded any more."""


class CudaRecorder(Generic[Left]):
    """A CUDA graph; plain runs go by a side stream, as graphs ask."""

    def __init__(self) -> None:
        self._graph = torch.cuda.CUDAGraph()
        self._side = torch.cuda.Stream()

    def plain(self, function: Callable[[], Left]) -> Left:
        self._side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(self._side):
            left = function()
        torch.cuda.current_stream().wait_stream(self._side)
        return left

    def record(self, function: Callable[[], Left]) -> Left:
        with torch.cuda.graph(self._graph):
            return function()

    def replay(self) -> None:
        self._graph.replay()

    def release(self) -> None:
        torch.cuda.synchronize()
        self._graph.reset()
        torch.cuda.empty_cache()


class GraphedCompute:
    """`compute`, plain for the first steps and by replay from then on.

    Where recording fails every step is made plain, and the log says why.
    """

    def __init__(self, compute: Compute, *, recorder: Recorder[StepNumbers]) -> None:
        self._compute = compute
        self._recorder = recorder
        self._num_plain = 0
        self._buffers: StepBatch | None = None
        self._numbers: StepNumbers | None = None
        self.failure: str | None = None

    @property
    def is_recorded(self) -> bool:
        """Whether steps are replayed."""
        return self._numbers is not None

    def __call__(self, batch: StepBatch) -> StepNumbers:
        if self._num_plain < PLAIN_STEPS or self.failure is not None:
            self._num_plain += 1
            return self._recorder.plain(lambda: self._compute(batch))
        if self._numbers is None:
            return self._record_and_run(batch)
        return self._replay(batch)

    def release(self) -> None:
        """Forget what was recorded: a stage's graph would hold its memory through the next ones."""
        if self.is_recorded:
            self._buffers = self._numbers = None
            self._recorder.release()

    def _record_and_run(self, batch: StepBatch) -> StepNumbers:
        buffers = StepBatch.of({name: t.clone() for name, t in batch.tensors().items()})
        try:
            self._numbers = self._recorder.record(lambda: self._compute(buffers))
        except RuntimeError as error:
            self.failure = str(error).splitlines()[0]
            _log.warning(
                "the training step could not be recorded as a CUDA graph, so its kernels are "
                "launched one by one, which is slower and gives the same: %s",
                self.failure,
            )
            return self._compute(batch)
        self._buffers = buffers
        return self._replay(batch)

    def _replay(self, batch: StepBatch) -> StepNumbers:
        assert self._buffers is not None
        assert self._numbers is not None
        buffers = self._buffers.tensors()
        for name, tensor in batch.tensors().items():
            buffers[name].copy_(tensor)
        self._recorder.replay()
        numbers = self._numbers
        return StepNumbers(
            # The next replay writes to the same place.
            values=numbers.values.clone(),
            per_micro=numbers.per_micro,
            per_step=numbers.per_step,
            gates=numbers.gates,
        )
