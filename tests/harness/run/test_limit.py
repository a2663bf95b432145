"""A limit on hours or dollars is never passed, and the run goes on from where it stopped."""

import time
from collections.abc import Callable
from typing import Any

import pytest

from core.errors import LimitReachedError, UsageError
from core.training.interrupts import InterruptFlag
from harness.records.folders import RunFolder
from harness.records.processes import SessionFacts
from harness.run import run as runs
from harness.run.limit import SpendingLimit, Spent, spent_before
from harness.run.plan import plan_run
from harness.settings.profile import HardwareSettings
from harness.wording.display import Display


class Clock:
    """Told, not read."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


NOTHING = Spent(0.0, 0.0)


def limit_of(clock: Clock, before: Spent = NOTHING, **settings: Any) -> SpendingLimit:
    hardware = HardwareSettings(price_per_hour=3.6, **settings)
    return SpendingLimit(
        hardware, before=before, started=clock.now, flag=InterruptFlag(), clock=clock
    )


@pytest.mark.parametrize("settings", [{"max_hours": 1000 / 3600}, {"max_cost": 1.0}])
def test_training_is_asked_to_stop_before_the_next_steps_pass_the_limit(
    settings: dict[str, float],
) -> None:
    """Catches: a limit that is noticed when it is behind; the price of a second taken for a
    thousandth of an hour."""
    clock = Clock()
    limit = limit_of(clock, **settings)
    gaps = [10.0, 10.0, 100.0, 10.0]  # one of them a checkpoint
    steps = 0
    while not limit.flag.is_set:
        clock.now += gaps[steps % 4]
        limit.note_step()
        steps += 1
    assert clock.now - 1000.0 + max(gaps) < 1000.0
    assert clock.now - 1000.0 > 700.0
    with pytest.raises(LimitReachedError, match="higher limit"):
        limit.flag.raise_if_set()


def test_what_earlier_processes_took_counts() -> None:
    """Catches: a limit that begins anew with each process."""
    sessions = [
        SessionFacts(started_at="", seconds=600.0, price_per_hour=6.0),
        SessionFacts(started_at="", seconds=200.0),
        SessionFacts(started_at=""),
    ]
    before = spent_before(sessions, price_per_hour=3.6)
    assert before == Spent(800.0, pytest.approx(1.2))
    assert spent_before(sessions, price_per_hour=None) == Spent(800.0, None)
    clock = Clock()
    assert limit_of(clock, before, max_cost=2.0).allowed_seconds == pytest.approx(800.0)
    assert limit_of(clock, before, max_hours=0.25).allowed_seconds == pytest.approx(100.0)
    with pytest.raises(LimitReachedError), limit_of(clock, before, max_cost=1.0).watching():
        raise AssertionError("begun all the same")


def test_what_is_no_training_is_broken_off() -> None:
    """Catches: an hour of scoring after the last dollar."""
    hardware = HardwareSettings(max_hours=0.02 / 3600)
    limit = SpendingLimit(
        hardware, before=Spent(0.0, None), started=time.monotonic(), flag=InterruptFlag()
    )
    with pytest.raises(LimitReachedError), limit.watching():
        time.sleep(60)


def test_dollars_without_a_price_are_refused() -> None:
    """Catches: a limit that can never be reached."""
    with pytest.raises(UsageError, match="--price-per-hour"):
        SpendingLimit(
            HardwareSettings(max_cost=1.0),
            before=Spent(0.0, None),
            started=0.0,
            flag=InterruptFlag(),
        )


def test_without_a_limit_nothing_is_asked() -> None:
    """Catches: a run without a limit that stops."""
    clock = Clock()
    limit = limit_of(clock)
    clock.now += 1e9
    limit.note_step()
    assert not limit.flag.is_set
    with limit.watching():
        pass


def test_a_run_stops_at_its_limit_and_goes_on_to_the_same_weights(
    finished: Any, small_request: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Catches: a stop without a checkpoint, a record that calls the run failed, a limit that is
    part of what the run is."""
    request = small_request("hardware.max_hours=1", seed=95)
    noted = []

    def soon(self: SpendingLimit) -> None:
        noted.append(1)
        if len(noted) == 2:
            self.flag.ask(self.error())

    with monkeypatch.context() as patch:
        patch.setattr(SpendingLimit, "note_step", soon)
        with pytest.raises(LimitReachedError):
            runs.run(request, display=Display())
    planned = plan_run(request, display=Display())
    files = RunFolder(planned.folder)
    assert not files.record.exists()
    assert len(list(files.checkpoints.glob("step-*"))) == 1
    record = runs.run(small_request(seed=95), display=Display())
    assert record.run_id == planned.identity.run_id
    assert record.cost.resumed_from_step == 2
    assert [session.how for session in record.cost.sessions] == ["stopped", "finished"]
