"""How far a run, a comparison or a sweep is: what `harness status` shows and scripts read."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any


class State(StrEnum):
    """What a run, a comparison or a sweep is doing."""

    RUNNING = "running"
    SILENT = "silent"
    """A process of another machine has it, and has not been heard of for long."""
    WAITING = "waiting"
    """Not begun: its comparison makes it."""
    INTERRUPTED = "interrupted"
    """No process works on it and it has not ended: the same command goes on with it."""
    PAUSED = "paused"
    """The same, because another terminal asked for it."""
    FAILED = "failed"
    FINISHED = "finished"
    UNREADABLE = "unreadable"


@dataclass(frozen=True)
class RunStatus:
    """One run; None: not known, or nothing of the kind."""

    run_id: str
    """Name of its folder."""
    state: State
    folder: str = ""
    variant: str = ""
    seed: int | None = None
    profile: str = ""
    score: str = ""
    """What follows training: test, validation or loss."""
    note: str = ""
    """How the state was judged, or what went wrong, in a sentence."""
    stage: str | None = None
    """Last stage that a step was made in."""
    phase: str | None = None
    """What is going on: a stage's name, `features`, `sampling`, `scoring`."""
    done: int | None = None
    """Of the phase: steps, clips, images or metrics."""
    total: int | None = None
    """Of the phase."""
    step: int | None = None
    """Optimiser steps of the whole schedule done."""
    total_steps: int | None = None
    """Optimiser steps of the whole schedule."""
    rate: float | None = None
    """Of the phase, done per second over the last minute."""
    seconds_left: float | None = None
    """Of `left_of`."""
    left_of: str | None = None
    """`training`, or the phase that goes on: what follows it is not counted."""
    loss: float | None = None
    validation_loss: float | None = None
    gates: tuple[float, float] | None = None
    """Smallest and largest."""
    device: str | None = None
    host: str | None = None
    """Machine of the process that has it, or had it last."""
    seconds: float | None = None
    """By the clock, over all processes."""
    dollars: float | None = None
    """Over all processes; None where the price of one is not known."""
    num_sessions: int = 0
    """Processes that have worked on it."""
    started_at: str | None = None
    finished_at: str | None = None
    last_sign_s: float | None = None
    """Seconds since its files last changed."""
    stuck_s: float | None = None
    """Seconds since it last advanced; of a running one."""
    value: float | None = None
    """Its headline score, once it is finished."""

    @property
    def is_open(self) -> bool:
        """Whether something is still to be made of it."""
        return self.state not in (State.FINISHED, State.FAILED, State.UNREADABLE)

    def data(self) -> dict[str, Any]:
        """For scripts."""
        return asdict(self)


@dataclass(frozen=True)
class ComparisonStatus:
    """One comparison and its runs."""

    name: str
    """Of its folder."""
    state: State
    note: str = ""
    runs: Sequence[RunStatus] = field(default_factory=tuple)
    """In the order in which they are made; empty where nobody wrote down which they are."""
    seconds_left: float | None = None
    """Until the last run ends; None where that cannot be told yet."""
    verdict: str | None = None
    """Of the last time that it was concluded."""
    command: str = ""

    @property
    def num_done(self) -> int:
        """Runs that ended, also failed ones."""
        return sum(run.state in (State.FINISHED, State.FAILED) for run in self.runs)

    @property
    def dollars(self) -> float | None:
        """Of the runs whose cost is known; None where none's is."""
        return _sum(run.dollars for run in self.runs)

    def data(self) -> dict[str, Any]:
        """For scripts; its runs by id, whole ones are listed for themselves."""
        return {
            "comparison": self.name,
            "state": self.state.value,
            "note": self.note,
            "runs": [run.run_id for run in self.runs],
            "num_runs": len(self.runs),
            "num_done": self.num_done,
            "seconds_left": self.seconds_left,
            "dollars": self.dollars,
            "verdict": self.verdict,
            "command": self.command,
        }


@dataclass(frozen=True)
class SweepStatus:
    """One sweep."""

    name: str
    state: State
    note: str = ""
    branches: dict[str, tuple[int, int]] = field(default_factory=dict)
    """By branch, trials that count and trials that were asked for."""
    trials: Sequence[RunStatus] = field(default_factory=tuple)
    """The trials that are going on."""
    trial_ids: Sequence[str] = field(default_factory=tuple)
    """The runs of all trials."""
    seconds_left: float | None = None
    dollars: float | None = None
    command: str = ""

    def data(self) -> dict[str, Any]:
        """For scripts."""
        return {
            "sweep": self.name,
            "state": self.state.value,
            "note": self.note,
            "branches": {
                name: {"counted": counted, "asked": asked}
                for name, (counted, asked) in self.branches.items()
            },
            "running": [trial.run_id for trial in self.trials],
            "seconds_left": self.seconds_left,
            "dollars": self.dollars,
            "command": self.command,
        }


@dataclass(frozen=True)
class Snapshot:
    """Everything in a results folder at one moment."""

    at: str
    """UTC."""
    results: str
    comparisons: Sequence[ComparisonStatus]
    sweeps: Sequence[SweepStatus]
    runs: Sequence[RunStatus]
    """Every run with a folder, also those of comparisons and sweeps."""

    def data(self) -> dict[str, Any]:
        """For scripts."""
        return {
            "at": self.at,
            "results": self.results,
            "comparisons": [comparison.data() for comparison in self.comparisons],
            "sweeps": [sweep.data() for sweep in self.sweeps],
            "runs": [run.data() for run in self.runs],
        }


def _sum(values: Any) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) if known else None
