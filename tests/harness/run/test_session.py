"""A run that another terminal pauses, and what is kept of its processes."""

import json
from collections.abc import Callable

import pytest

from core.errors import PausedError
from core.training.ledger import OTHER
from core.training.results import StepReport
from harness.records.control import Verb, ask
from harness.records.folders import RunFolder
from harness.run.plan import RunRequest, plan_run
from harness.run.run import run_planned
from harness.watch.reading import Records, run_status
from harness.watch.state import State
from harness.wording.display import Display


class Asking(Display):
    """Asks for a pause at a step, as another terminal would."""

    def __init__(self, planned: object) -> None:
        self.folder = planned.folder  # type: ignore[attr-defined]
        self.last = 0

    def step(self, report: StepReport) -> None:
        self.last = report.global_step
        if report.global_step == 1:
            ask(self.folder, Verb.PAUSE)


def test_a_paused_run_keeps_its_checkpoint_and_the_time_of_all_its_processes(
    small_request: Callable[..., RunRequest], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Catches: a pause that loses steps or is asked again at the next start; a resumed run that
    has the seconds and dollars of its last process alone."""
    monkeypatch.setattr("harness.records.control._LOOK_EVERY_S", 0.0)
    request = small_request("hardware.price_per_hour=3600", seed=41)
    planned = plan_run(request, display=Display())
    display = Asking(planned)
    with pytest.raises(PausedError, match="paused from another terminal, after a checkpoint"):
        run_planned(planned, display=display)
    assert display.last == 2  # the step in which it was seen
    assert run_status(planned.folder, records=Records()).state is State.PAUSED
    record = run_planned(plan_run(request, display=Display()), display=Display())
    assert record.cost.resumed_from_step == 2
    first, second = record.cost.sessions
    assert (first.how, first.step, second.how, second.step) == ("paused", 2, "finished", 5)
    assert record.cost.dollars == pytest.approx((first.seconds or 0) + (second.seconds or 0))
    lines = RunFolder(planned.folder).sessions.read_text().splitlines()
    assert [next(iter(json.loads(line))) for line in lines] == ["begun", "ended"] * 2
    for session in record.cost.sessions:
        # By two clocks, begun and ended one after the other.
        assert sum(session.parts.values()) == pytest.approx(session.seconds, rel=0.02, abs=0.05)
    assert record.cost.parts[OTHER] < 0.2 * record.cost.wall_seconds
    named = {"prepare", "features", "data", "forward", "backward", "optimiser", "sampling"}
    assert named | {"scoring", "checkpoint", "validation"} <= set(record.cost.parts)
