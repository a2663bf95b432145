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
