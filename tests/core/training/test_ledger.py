"""Where a training's seconds go."""

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from core.conditioning.attached import AttachedVariant
from core.training.checkpoints import CheckpointFolder
from core.training.ledger import DATA, OTHER, STEP, HiddenWork, Ledger
from core.training.loop import train
from core.training.objective import TrainingData
from core.training.plan import TrainingPlan


class Clock:
    """Goes on by a second whenever it is looked at, or as told."""

    def __init__(self, *, tick: float = 0.0) -> None:
        self.now = 0.0
        self.tick = tick

    def __call__(self) -> float:
        self.now += self.tick
        return self.now


def test_every_second_is_booked_once_and_inner_parts_are_not_in_outer_ones() -> None:
    """Catches: a second counted twice, or lost between two parts, or by an error."""
    clock = Clock()
    ledger = Ledger(clock=clock)
    clock.now += 1
    with ledger.spending("outer"):
        clock.now += 2
        with suppress(ValueError), ledger.spending("inner"):
            clock.now += 4
            raise ValueError
        clock.now += 8
        assert ledger.seconds() == {OTHER: 1, "outer": 10, "inner": 4}
    clock.now += 16
    assert ledger.seconds() == {OTHER: 17, "outer": 10, "inner": 4}
    assert sum(ledger.seconds().values()) == clock.now


def test_batches_made_while_the_device_is_busy_are_no_wait_for_data() -> None:
    """Catches: data wait reported on a GPU that never stood idle, and none where it did."""
    clock = Clock()
    ledger = Ledger(clock=clock)
    hidden = HiddenWork(ledger, clock=clock)

    def step(*, batch_s: float, wait_s: float) -> None:
        with ledger.spending(DATA):
            clock.now += batch_s
        with ledger.spending(STEP):
            since = hidden.waiting()
            clock.now += wait_s
        hidden.waited(since)

    step(batch_s=2, wait_s=5)  # the device was the slower one
    assert ledger.seconds()[DATA] == 0
    step(batch_s=3, wait_s=0)  # the device was done before the batch was
    assert ledger.seconds()[DATA] == 3
    step(batch_s=2, wait_s=1)
    assert ledger.seconds()[DATA] == 3
    assert sum(ledger.seconds().values()) == clock.now == 13


def test_the_parts_of_a_training_sum_to_its_time(
    make_model: Callable[[], AttachedVariant],
    data: TrainingData,
    make_plan: Callable[..., TrainingPlan],
    scheduler: Any,
    tmp_path: Path,
) -> None:
    """Catches: work of the loop that no part names, or that two parts name."""
    clock = Clock(tick=1e-3)
    ledger = Ledger(clock=clock)
    opened = clock.now
    seen: list[float] = []

    def sleepy(report: SimpleNamespace) -> None:
        seen.append(report.global_step)

    train(
        make_model(),
        data=data,
        plan=make_plan(steps=(1, 1, 0)),
        scheduler=scheduler,
        latent_shape=(4, 4, 4),
        seed=0,
        checkpoints=CheckpointFolder(tmp_path / "checkpoints"),
        on_step=sleepy,  # type: ignore[arg-type]
        ledger=ledger,
    )
    parts = ledger.seconds()
    assert sum(parts.values()) == pytest.approx(clock.now - opened)
    named = {"data", "transfer", "encode", "forward", "backward", "optimiser", "step"}
    assert named | {"validation", "checkpoint", OTHER} == set(parts)
    assert len(seen) == 2
