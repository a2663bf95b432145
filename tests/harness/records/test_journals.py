"""The count of test openings."""

from pathlib import Path

from harness.records.journals import OpeningJournal


def test_openings_of_earlier_processes_count(tmp_path: Path) -> None:
    """Catches: a run that was resumed while sampling and says it opened the test split once."""
    first = OpeningJournal(tmp_path)
    assert first.count == 0
    first.note("2026-01-01T00:00:00+00:00")
    assert first.count == 1
    resumed = OpeningJournal(tmp_path)
    resumed.note("2026-01-02T00:00:00+00:00")
    assert (resumed.count, first.count) == (2, 2)


def test_a_line_cut_by_a_kill_is_an_opening(tmp_path: Path) -> None:
    """Catches: an opening lost, or two counted as one, where the last line has no end."""
    journal = OpeningJournal(tmp_path)
    journal.note("2026-01-01T00:00:00+00:00")
    path = tmp_path / "test_openings.jsonl"
    path.write_bytes(path.read_bytes() + b'{"at": "2026')
    journal.note("2026-01-02T00:00:00+00:00")
    assert journal.count == 3
