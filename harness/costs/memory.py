"""GPU memory of training, by micro-batch.

What a training holds is counted (weights, gradients, AdamW's moments, what checkpoints and the
best weights keep), and what a sample adds is fitted to two measurements at SD v1.5's size:
`sonic`, stage 2, bfloat16: 8.7 GiB at 4 samples and 14.5 at 8 (H100), 14.07 at 8 (H200).
"""

from dataclasses import dataclass

from core.choices import Precision
from harness.costs.cards import Card
from harness.costs.work import BranchWork

_PER_TRAINED = 24
"""Bytes: weight, gradient, two moments, the value before the stage and the best one, float32."""
_ENCODERS = 0.8e9
"""Bytes of VAE, text encoder and CLAP in bfloat16, which stay on the card."""
_SD15_UNET = 859_520_964
"""Parameters of the UNet that those encoders come with."""
_PER_FLOP = 0.79e-3
"""Bytes of a sample's activations per FLOP of its step in bfloat16: fitted, see above."""
_BESIDE = 1.6e9
"""Bytes beside tensors: CUDA's context, and the pool that a recorded step keeps while validation
takes its own. A guess from two cards; not measured since graphs are given back."""


@dataclass(frozen=True)
class MemoryNeed:
    """Bytes of GPU memory at one micro-batch."""

    micro_batch: int
    num_bytes: float

    def fits(self, card: Card) -> bool:
        """Whether a card has as much."""
        return self.num_bytes <= card.memory_gb * 1e9


def memory_need(work: BranchWork, *, precision: Precision, micro_batch: int) -> MemoryNeed:
    """GPU memory that training a branch takes."""
    width = 4 if precision is Precision.FLOAT32 else 2
    activations = max(s.flops for s in work.stages.values()) * _PER_FLOP * width / 2
    fixed = work.frozen * width + _ENCODERS * width / 2 + work.trainable * _PER_TRAINED + _BESIDE
    return MemoryNeed(micro_batch, fixed + activations * micro_batch)


def training_bytes(work: BranchWork, *, precision: Precision, micro_batch: int) -> float:
    """The same without what a card's driver takes, and with encoders in proportion to the UNet."""
    width = 4 if precision is Precision.FLOAT32 else 2
    activations = max(s.flops for s in work.stages.values()) * _PER_FLOP * width / 2
    encoders = _ENCODERS * work.frozen / _SD15_UNET
    fixed = work.frozen * width + encoders * width / 2 + work.trainable * _PER_TRAINED
    return fixed + activations * micro_batch


def largest_micro_batch(
    works: list[BranchWork], *, card: Card, precision: Precision, batch_size: int
) -> int | None:
    """The largest part of the batch at which every branch fits; None where one sample is too much.

    The product of micro-batch and accumulation, the batch, stays: a comparison keeps it.
    """
    for micro_batch in range(batch_size, 0, -1):
        if batch_size % micro_batch:
            continue
        needs = [memory_need(w, precision=precision, micro_batch=micro_batch) for w in works]
        if all(need.fits(card) for need in needs):
            return micro_batch
    return None
