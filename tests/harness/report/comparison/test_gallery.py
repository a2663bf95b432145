"""Every clip of a run on one page, chosen without a script."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page

from harness.comparison.runs import load_run
from harness.report.comparison import clips as reading
from harness.report.comparison.write import write_runs_report
from harness.report.page.page import Written


@pytest.fixture(autouse=True, scope="module")
def without_plots() -> Iterator[None]:
    """Plots take seconds and have tests of their own."""
    patch = pytest.MonkeyPatch()
    for module in ("differences", "scores", "training"):
        patch.setattr(
            f"harness.report.comparison.figures.{module}.both",
            lambda *args: ("<svg></svg>", "<svg></svg>"),
        )
    yield
    patch.undo()


@pytest.fixture(scope="module")
def of_one_run(results: Any, tmp_path_factory: pytest.TempPathFactory) -> Written:
    out = tmp_path_factory.mktemp("gallery")
    return write_runs_report([load_run(results.runs[0])], results=results.root, out=out)


def test_every_test_clip_is_there_with_its_nearest_training_picture(
    of_one_run: Written, results: Any
) -> None:
    """Catches: a gallery of the clips that somebody chose; a copy that nobody can compare."""
    page = of_one_run.page.read_text(encoding="utf-8")
    wall = page[page.index('<ul class="tiles">') : page.index('<section id="forest"')]
    tiles = wall.split("<li class=")[1:]
    assert len(tiles) == len(results.split.test) == 8
    training = results.split.train[0]
    for tile in tiles:
        assert tile.count("<audio") == 1
        assert tile.count("<img") == 3
        assert f'alt="Training picture {training}"' in tile
    scores = [float(re.findall(r"<a [^>]*>([\d.]+)</a>", tile)[0]) for tile in tiles]
    assert scores == sorted(scores, reverse=True)


def test_a_reader_chooses_by_class_and_by_score(browser: Browser, of_one_run: Written) -> None:
    """Catches: a filter that needs the script which no report has, or shows the wrong clips."""
    page: Page = browser.new_page(viewport={"width": 390, "height": 844})
    page.goto(of_one_run.page.as_uri())
    page.evaluate("document.querySelectorAll('details').forEach(d => { d.open = true })")

    def shown() -> list[str]:
        return page.evaluate(
            "[...document.querySelectorAll('.tiles > li')].filter(t => t.offsetParent)"
            ".map(t => t.className)"
        )

    everything = shown()
    assert len(everything) == 8
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.get_by_label("dog barking", exact=True).check()
    assert len(shown()) == 4
    assert len({name.split()[0] for name in shown()}) == 1
    page.get_by_label("best 4", exact=True).check()
    assert shown() == everything[:4]
    page.get_by_label("worst 4", exact=True).check()
    assert shown() == everything[4:]
    page.get_by_label("all", exact=True).check()
    assert shown() == everything
    page.close()


def test_a_large_folder_costs_in_proportion(
    stand_in: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Catches: a file that is read for every clip again; a page that is drawn with everything
    inside, or a sheet that grows with the clips."""
    reads: list[Path] = []
    whole = reading.picture

    def counted(path: Path) -> Any:
        reads.append(path)
        return whole(path)

    monkeypatch.setattr(reading, "picture", counted)
    found = {}
    for size in (10, 20):
        made = stand_in.write_results(tmp_path / str(size), seeds=1, test_clips=size)
        runs = [load_run(path) for path in made.runs]
        reads.clear()
        written = write_runs_report(runs, results=made.root, max_bytes=10_000)
        assert written.data()["is_self_contained"] is False
        page = written.page.read_text(encoding="utf-8")
        assert "base64" not in page
        files = list((written.page.parent / "media").iterdir())
        wall = page[page.index('<ul class="tiles">') : page.index('<section id="forest"')]
        found[size] = (len(reads), wall.count("<img"), len(wall), len(page) - len(wall))
        # Each clip: a real picture, and two branches' images with the training picture near them.
        assert found[size][1] == 2 * size * (1 + 2 * 2)
        assert len([file for file in files if file.suffix == ".mp3"]) <= 2 * size
    (reads_10, _, wall_10, rest_10), (reads_20, _, wall_20, rest_20) = found[10], found[20]
    assert reads_20 - reads_10 <= 2 * 10 * 3 + 4  # each new clip: its real picture and two images
    assert wall_20 <= 2.1 * wall_10
    assert rest_20 <= 1.1 * rest_10
