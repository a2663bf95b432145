"""What a run's seconds went into, and the advice on it."""

from harness.records.processes import Cost, SessionFacts
from harness.records.spending import advice, is_unsplit


def cost(*parts: dict[str, float]) -> Cost:
    sessions = [
        SessionFacts(
            started_at="2026-01-01T00:00:00+00:00",
            seconds=sum(own.values()),
            parts=own,
        )
        for own in parts
    ]
    return Cost(sessions=sessions)


def test_parts_and_time_are_those_of_every_process() -> None:
    """Catches: a resumed run that has its last process' time alone."""
    found = cost({"forward": 2.0, "other": 1.0}, {"forward": 3.0, "data": 1.0})
    assert found.parts == {"forward": 5.0, "other": 1.0, "data": 1.0}
    assert found.wall_seconds == 7.0


def test_advice_comes_where_it_is_due_and_nowhere_else() -> None:
    """Catches: advice on a run that waits for nothing, or none on one that waits for its disk."""
    assert advice(cost({"data": 0.5, "forward": 9.5}), share_of_peak=0.4) == []
    [line] = advice(cost({"data": 1.5, "transfer": 0.5, "forward": 8.0}))
    assert line.startswith("20% of the training steps' time")
    [line] = advice(cost({"forward": 8.0}), share_of_peak=0.03)
    assert line.startswith("training reached 3.0% of the device's peak")
    assert advice(Cost()) == []


def test_a_recorded_graph_is_told_from_a_step_with_parts() -> None:
    """Catches: a GPU's run that looks as if it had no backward pass."""
    assert is_unsplit({"step": 5.0, "data": 1.0})
    assert not is_unsplit({"step": 0.1, "forward": 5.0, "backward": 5.0})
