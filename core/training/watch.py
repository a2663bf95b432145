"""Watches what a stage trains in its first steps, so that what cannot move is said at once.

AdamW moves an element by lr * m / (sqrt(v) + eps): one whose gradient lies far below eps keeps
still, however long the stage is.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from core.conditioning.stage import Stage
from core.errors import GuardError

WATCH_STEPS = 8
"""Optimiser steps after which a stage is judged."""
STEPS_TO_REACH = 4
"""Behind a shut gate or a zero LoRA factor a gradient takes two steps; a chain of them more."""
SMALLEST_SHARE = 0.1
"""Of the learning rate; a tensor none of whose elements moves by more is as good as frozen."""
# A gradient that rose by this factor in the last step is still on its way up.
_STILL_GROWING = 1.5


class GradientWatch:
    """The largest absolute gradient of each trained tensor; kept on the device.

    largest_N: over all steps noted. last_N: of the last one. before_N: of all before the last.
    """

    def __init__(self, names: Sequence[str], *, device: torch.device) -> None:
        self.names = tuple(names)
        self.largest_N = torch.zeros(len(self.names), device=device)
        self.last_N = torch.zeros_like(self.largest_N)
        self.before_N = torch.zeros_like(self.largest_N)
        self.in_graph: set[str] = set()
        self.is_over = False
        """Whether the gradients of later steps are left unread."""

    def note(self, parameters: Sequence[nn.Parameter], *, is_finite: Tensor) -> None:
        """Look at the gradients of a step, in the names' order; does not wait for the device."""
        if self.is_over:
            return
        present = {i: p.grad for i, p in enumerate(parameters) if p.grad is not None}
        self.in_graph |= {self.names[i] for i in present}
        norms = torch._foreach_norm(list(present.values()), ord=torch.inf)
        now: list[Tensor] = [torch.zeros_like(self.last_N[0])] * len(parameters)
        for index, norm in zip(present, norms, strict=True):
            now[index] = norm.to(self.last_N.dtype)
        now_N = torch.where(is_finite, torch.stack(now), self.last_N)
        self.before_N.copy_(self.largest_N)
        self.last_N.copy_(now_N)
        self.largest_N.copy_(torch.maximum(self.largest_N, now_N))

    def reached(self) -> set[str]:
        """Names that have had a gradient other than zero; waits for the device."""
        largest = self.largest_N.tolist()
        return {name for name, value in zip(self.names, largest, strict=True) if value > 0}

    def tensors(self) -> dict[str, Tensor]:
        """What a checkpoint holds of it."""
        return {"largest": self.largest_N, "last": self.last_N, "before": self.before_N}

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """Put back what `tensors` gave."""
        self.largest_N.copy_(tensors["largest"])
        self.last_N.copy_(tensors["last"])
        self.before_N.copy_(tensors["before"])

    def unreached(self, *, steps_done: int) -> list[str]:
        """Names that must have had a gradient by now and have had none."""
        reached = self.reached()
        return [
            name
            for name in self.names
            if name not in reached and (steps_done >= STEPS_TO_REACH or name not in self.in_graph)
        ]

    def too_small(self, *, eps: float) -> dict[str, float]:
        """Largest gradients of what AdamW moves by less than `SMALLEST_SHARE` of the rate."""
        rows = zip(
            self.names,
            self.largest_N.tolist(),
            self.last_N.tolist(),
            self.before_N.tolist(),
            strict=True,
        )
        return {
            name: largest
            for name, largest, last, before in rows
            if 0 < largest < eps * SMALLEST_SHARE / (1 - SMALLEST_SHARE)
            and last <= _STILL_GROWING * before
        }


def length_of(stage: Stage) -> str:
    """How long a stage is, for a sentence on what did not happen in it."""
    warm_up = f", {stage.warmup_steps:,} of them warm-up" if stage.warmup_steps else ""
    return f"{stage.name} ({stage.steps:,} steps{warm_up})"


def check_effective_steps(too_small: Mapping[str, float], *, eps: float, stage: Stage) -> None:
    """Raises GuardError naming what AdamW's eps keeps from moving."""
    if too_small:
        name, largest = max(too_small.items(), key=lambda item: item[1])
        named = ", ".join(sorted(too_small)[:4])
        raise GuardError(
            f"{length_of(stage)} trains {len(too_small)} parameters whose gradients lie far below "
            f"AdamW's eps of {eps:.0e}, so that they hardly move: {named}"
            f"{' ...' if len(too_small) > 4 else ''}. The largest gradient among them is "
            f"{largest:.1e} ({name}), which moves by {largest / (largest + eps):.1%} of the "
            f"learning rate. Lower it: --set training.adam_eps={largest / 1e3:.0e}"
        )


def check_loss_terms(largest: Mapping[str, float], *, stage: Stage, batch_size: int) -> None:
    """Raises GuardError naming a term of the loss that was 0 in every step so far."""
    silent = sorted(name for name, value in largest.items() if value == 0)
    if silent:
        raise GuardError(
            f"{length_of(stage)}: the loss's term {', '.join(silent)} was exactly 0 in each of the "
            f"first {WATCH_STEPS} steps of {batch_size} samples, so the stage trains without it. "
            "A term that compares samples needs several of them, of more than one class, in a "
            "step (training.micro_batch x training.accumulation); or set its weight to 0"
        )
