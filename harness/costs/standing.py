"""What is there already of a run that is asked for."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from core.training.committed import CHECKPOINT_NAME
from harness.run.budget import schedule_of
from harness.run.plan import PlannedRun
from harness.run.trained import checkpoints_of, donors_of


class Standing(StrEnum):
    """How much of a run is there."""

    FINISHED = "finished"
    """All of it: it is reused."""
    STARTED = "started"
    """It goes on from its newest checkpoint, or from its start where it has none."""
    TRAINED = "trained"
    """Another run of the same training has checkpoints, which it takes over."""
    NEW = "new"
    """Nothing."""


@dataclass(frozen=True, kw_only=True)
class RunStanding:
    """One run of a matrix and what is there of it."""

    variant: str
    seed: int
    run_id: str
    standing: Standing
    step: int
    """Optimiser steps that it need not make again."""
    total_steps: int
    """Of its schedule."""
    taken_from: str | None = None
    """The run whose training it takes over."""

    def data(self) -> dict[str, Any]:
        """For scripts."""
        return {
            "run_id": self.run_id,
            "variant": self.variant,
            "seed": self.seed,
            "status": self.standing.value,
            "step": self.step,
            "total_steps": self.total_steps,
            "taken_from": self.taken_from,
        }


def standing_of(planned: PlannedRun) -> RunStanding:
    """What is there of a planned run; reads its folder and those of the same branch.

    Raises:
        MismatchError: its folder holds a record that is damaged or of another run.
    """
    total = sum(schedule_of(planned.profile).values())
    standing, step, taken_from = Standing.NEW, 0, None
    if planned.finished_record is not None:
        standing, step = Standing.FINISHED, total
    elif own := checkpoints_of(planned.folder):
        standing, step = Standing.STARTED, _step(own[-1].name)
    elif donors := donors_of(planned):
        name, folder = donors[0]
        standing, step, taken_from = Standing.TRAINED, _step(name), folder.name
    elif planned.folder.is_dir():
        standing = Standing.STARTED
    identity = planned.identity
    return RunStanding(
        variant=identity.variant,
        seed=identity.seed,
        run_id=identity.run_id,
        standing=standing,
        step=step,
        total_steps=total,
        taken_from=taken_from,
    )


def _step(checkpoint: str) -> int:
    found = CHECKPOINT_NAME.match(checkpoint)
    return int(found[1]) if found else 0
