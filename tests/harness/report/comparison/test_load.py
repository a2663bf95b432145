"""A report of many clips and runs: what is read of them, and what its pages are made of."""

import re
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest

from harness.comparison.runs import load_run
from harness.report.comparison.write import write_comparison_report, write_runs_report

_MOST_PICTURE_READS = 6
"""A picture may be in a sheet, a gallery and among the nearest; never once a clip or run."""
_counting: list[tuple[Path, Counter[Path]]] = []


def _count(event: str, args: tuple[object, ...]) -> None:
    if event == "open" and _counting and isinstance(args[0], str | bytes | Path):
        root, opened = _counting[-1]
        path = Path(args[0].decode() if isinstance(args[0], bytes) else args[0])
        is_read = not isinstance(args[1], str) or "r" in args[1]
        if is_read and path.is_absolute() and path.is_relative_to(root) and path.is_file():
            opened[path] += 1


sys.addaudithook(_count)  # stays for the process, and counts inside the block below alone


@contextmanager
def opened_in(root: Path) -> Iterator[Counter[Path]]:
    """How often each file below is opened for reading meanwhile."""
    found: Counter[Path] = Counter()
    _counting.append((root, found))
    try:
        yield found
    finally:
        _counting.pop()


@pytest.mark.parametrize("has_comparison", [True, False])
def test_each_record_and_table_is_read_once_however_many_there_are(
    stand_in: SimpleNamespace, tmp_path: Path, has_comparison: bool
) -> None:
    """Catches: a section that reads a run again for each clip or each other run: squared time."""
    results = stand_in.write_results(tmp_path / "results", seeds=4, test_clips=12)
    if has_comparison:
        folder = stand_in.write_comparison(results)
        with opened_in(results.root) as opened:
            write_comparison_report(folder)
    else:
        with opened_in(results.root) as opened:
            runs = [load_run(path) for path in results.runs]
            write_runs_report(runs, results=results.root)
    assert {path for path in opened if path.name == "record.json"} == {
        run / "record.json" for run in results.runs
    }
    often = {p: n for p, n in opened.items() if n > (_MOST_PICTURE_READS if _is_medium(p) else 1)}
    assert not often


def _is_medium(path: Path) -> bool:
    return path.suffix in {".png", ".wav"}


def test_a_page_over_the_limit_grows_by_links_alone(
    stand_in: SimpleNamespace, tmp_path: Path
) -> None:
    """Catches: a page of hundreds of clips that holds its media and no longer opens.

    What lies below the first screen is fetched when a reader comes to it.
    """
    sizes = {}
    for test_clips in (5, 10, 15):
        results = stand_in.write_results(tmp_path / str(test_clips), seeds=2, test_clips=test_clips)
        out = tmp_path / f"page{test_clips}"
        runs = [load_run(path) for path in results.runs]
        written = write_runs_report(runs, results=results.root, out=out, max_bytes=1_000)
        assert not written.is_self_contained
        page = written.page.read_text(encoding="utf-8")
        wall = page[page.index('<ul class="tiles">') : page.index('<section id="forest"')]
        assert "data:" not in wall
        images = re.findall(r"<img[^>]*>", wall)
        assert images
        assert all('loading="lazy"' in image for image in images)
        assert all('preload="none"' in sound for sound in re.findall(r"<audio[^>]*>", wall))
        sizes[2 * test_clips] = len(wall)
    per_clip = [(sizes[20] - sizes[10]) / 10, (sizes[30] - sizes[20]) / 10]
    assert per_clip[1] <= 1.1 * per_clip[0]
    assert per_clip[1] < 10_000
