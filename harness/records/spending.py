"""What a run's seconds went into, and what to do about it."""

from collections.abc import Mapping

from core.training.ledger import (
    BACKWARD,
    DATA,
    ENCODE,
    FORWARD,
    OF_A_STEP,
    OPTIMISER,
    STEP,
    TRANSFER,
)
from harness.records.processes import Cost

DATA_WAIT = 0.1
"""Share of the training steps' time that may pass while nothing but data is made."""
LOW_PEAK = 0.05
"""Share of the device's peak below which it is hardly used."""
ONE_GRAPH = (
    "on a GPU a step is one recorded graph, whose forward pass, backward pass and optimiser cannot "
    "be told apart"
)


def is_unsplit(parts: Mapping[str, float]) -> bool:
    """Whether steps were made as one recorded graph, so that their parts are not known."""
    split = sum(parts.get(part, 0.0) for part in (FORWARD, BACKWARD, OPTIMISER, ENCODE))
    return split == 0.0 and parts.get(STEP, 0.0) > 0.0


def data_share(parts: Mapping[str, float]) -> float | None:
    """Share of the steps' time in which the device waited for data; None without steps."""
    whole = sum(parts.get(part, 0.0) for part in OF_A_STEP)
    waited = parts.get(DATA, 0.0) + parts.get(TRANSFER, 0.0)
    return waited / whole if whole > 0 else None


def advice(cost: Cost, *, share_of_peak: float | None = None) -> list[str]:
    """What would make the run shorter, a sentence each; none where nothing stands out.

    share_of_peak: of the device's peak that training reached; None where that is not known.
    """
    found = []
    share = data_share(cost.parts)
    if share is not None and share > DATA_WAIT:
        found.append(
            f"{share:.0%} of the training steps' time went by while batches were put together: "
            "put the results folder on a faster disk, give the run more CPU cores "
            "(training.num_threads makes other runs), or raise training.micro_batch"
        )
    if share_of_peak is not None and share_of_peak < LOW_PEAK:
        found.append(
            f"training reached {share_of_peak:.1%} of the device's peak: raise "
            "training.micro_batch and lower training.accumulation by the same factor, use "
            "training.precision = bfloat16, or put several runs on the device (--gpu-share)"
        )
    return found
