"""A sampler's passes through the UNet, recorded once as a CUDA graph and played for every step.

A pass is some two thousand kernels that Python launches one by one; a graph launches them at once.
Under one conditioning nothing but the latents and the timestep changes from step to step. Both ways
run the one function `Guided.__call__`.

Shape legend: B batch, C latent channels, H W latent height and width.
"""

import logging
from collections.abc import Callable
from functools import cache

import torch
from torch import Tensor

from core.training.graphed import CudaRecorder, Recorder

_log = logging.getLogger(__name__)

FEWEST_STEPS = 5
"""Of a sampling that is worth recording: a plain pass, the recording and its check come first."""

Pass = Callable[[Tensor, Tensor], Tensor]


class RecordedPass:
    """`compute`, plain at the first step and by replay from then on.

    The first replay repeats the plain pass and has to give the same bits; where it does not, or
    nothing can be recorded, passes stay plain and the log says why, once.
    """

    def __init__(self, compute: Pass, *, recorder: Recorder[Tensor]) -> None:
        self._compute = compute
        self._recorder = recorder
        self._is_plain = False
        self._noisy_BCHW: Tensor | None = None
        self._timestep: Tensor | None = None
        self._out_BCHW: Tensor | None = None

    @property
    def is_recorded(self) -> bool:
        """Whether passes are replayed."""
        return self._out_BCHW is not None

    def __call__(self, noisy_BCHW: Tensor, timestep: Tensor) -> Tensor:
        """Guided prediction [B, C, H, W]."""
        if self._is_plain:
            return self._compute(noisy_BCHW, timestep)
        if self._out_BCHW is None:
            plain_BCHW = self._recorder.plain(lambda: self._compute(noisy_BCHW, timestep))
            self._record(noisy_BCHW, timestep, expected_BCHW=plain_BCHW)
            return plain_BCHW
        return self._replay(noisy_BCHW, timestep)

    def release(self) -> None:
        """Give the graph's memory back."""
        if self.is_recorded:
            self._noisy_BCHW = self._timestep = self._out_BCHW = None
            self._recorder.release()

    def _record(self, noisy_BCHW: Tensor, timestep: Tensor, *, expected_BCHW: Tensor) -> None:
        buffers = noisy_BCHW.clone(), timestep.clone()
        try:
            self._out_BCHW = self._recorder.record(lambda: self._compute(*buffers))
        except torch.OutOfMemoryError:
            raise  # a smaller batch is the cure, whoever made this one knows how
        except RuntimeError as error:
            self._stay_plain(f"it could not be recorded: {str(error).splitlines()[0]}")
            return
        self._noisy_BCHW, self._timestep = buffers
        if not torch.equal(self._replay(noisy_BCHW, timestep), expected_BCHW):
            self.release()
            self._stay_plain(
                "a replay gave other numbers, as where a branch counts its passes (it was asked "
                "for one more than there are steps)"
            )

    def _replay(self, noisy_BCHW: Tensor, timestep: Tensor) -> Tensor:
        assert self._noisy_BCHW is not None
        assert self._timestep is not None
        assert self._out_BCHW is not None
        self._noisy_BCHW.copy_(noisy_BCHW)
        self._timestep.copy_(timestep)
        self._recorder.replay()
        return self._out_BCHW.clone()  # the next replay writes to the same place

    def _stay_plain(self, reason: str) -> None:
        self._is_plain = True
        _say(reason)


@cache
def _say(reason: str) -> None:
    _log.warning(
        "sampling launches the kernels of each pass one by one, not as one CUDA graph, which is "
        "slower: %s",
        reason,
    )


def recorded(compute: Pass, *, device: torch.device, steps: int) -> RecordedPass | None:
    """`compute` to be recorded; None where that does not pay or there is no GPU."""
    if device.type != "cuda" or steps < FEWEST_STEPS:
        return None
    return RecordedPass(compute, recorder=CudaRecorder())
