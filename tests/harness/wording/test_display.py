"""Progress off a terminal."""

import pytest

from harness.wording.display import PlainDisplay


def test_phases_side_by_side_do_not_flood_the_log(capsys: pytest.CaptureFixture[str]) -> None:
    """Catches: a start line for each switch between two runs that go on at once."""
    display = PlainDisplay()
    for done in range(50):
        display.phase("baseline seed 0", done, 530)
        display.phase("sonic seed 0", done, 530)
    lines = capsys.readouterr().err.splitlines()
    assert lines == ["baseline seed 0: 530", "sonic seed 0: 530"]


def test_a_line_that_says_nothing_new_is_seldom_said_again(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Catches: a rented machine's log of hours in which one line is there a thousand times."""
    clock = [0.0]
    monkeypatch.setattr("harness.wording.display.time.monotonic", lambda: clock[0])
    display = PlainDisplay()
    for second in range(1300):
        clock[0] = float(second)
        display.phase("sonic seed 0", 4 if second < 1220 else 5, 9, "sampling, scoring")
    lines = capsys.readouterr().err.splitlines()
    same = "sonic seed 0: 4/9 sampling, scoring"
    assert lines == [same, same, same, "sonic seed 0: 5/9 sampling, scoring"]
