"""Metrics of other packages: found, refused in a sentence, run, recorded and reported."""

import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from typer.testing import CliRunner

from core.errors import UsageError
from harness.cli.main import app
from harness.comparison.compare import compare_existing
from harness.comparison.request import CompareOptions
from harness.metrics.registry import METRICS, computed_metrics, known_metrics, metric
from harness.records.record import load_record
from harness.report.comparison.draw import draw_comparison
from harness.report.terminal import tables
from harness.report.terminal.comparison import comparison_view
from harness.run.code import code_of
from harness.run.run import run
from harness.testing import MetricContract, violations
from harness.wording.display import Display

PAGE = Path(__file__).parents[3] / "docs" / "metrics.md"
(OWN,) = (
    block
    for block in re.findall(r"```python\n(.*?)```", PAGE.read_text(), flags=re.DOTALL)
    if "ClipMetric(" in block
)
LISTENER = """
from variants.baseline import VARIANT as BASELINE

class VARIANT(BASELINE):
    name = "listener"
    summary = "a branch of another package"
"""
Install = Callable[..., Path]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """Puts a package on the path with its entry points, as pip leaves it."""
    before = set(sys.modules)

    def make(package: str, *, metrics: str, variant: str | None = None) -> Path:
        site = tmp_path / f"site of {package}"
        folder = site / package
        folder.mkdir(parents=True)
        (folder / "__init__.py").touch()
        (folder / "metrics.py").write_text(metrics)
        points = f"[branch_harness.metrics]\nours = {package}.metrics:METRICS\n"
        if variant is not None:
            (folder / "variant.py").write_text(variant)
            points += f"[branch_harness.variants]\nlistener = {package}.variant:VARIANT\n"
        info = site / f"{package}-0.1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 0.1.0\n")
        (info / "entry_points.txt").write_text(points)
        monkeypatch.syspath_prepend(str(site))
        return folder

    yield make
    for name in set(sys.modules) - before:
        if name.split(".")[0] in {"lantern", "candle"}:
            del sys.modules[name]


def test_the_page_shows_a_whole_metric_that_keeps_the_contract() -> None:
    """Catches: an example that a reader copies and that does not work."""
    assert len(OWN.splitlines()) < 40
    space: dict[str, Any] = {}
    exec(compile(OWN, str(PAGE), "exec"), space)
    (own,) = space["METRICS"]
    assert violations(type("TestOwn", (MetricContract,), {"metric": own})) == {}


def test_a_metric_of_another_package_is_a_metric_like_any(install: Install) -> None:
    """Catches: a change of this repository for a metric, or a run that hides its code."""
    before = code_of("baseline")
    folder = install("lantern", metrics=OWN)
    assert list(computed_metrics()) == [*METRICS, "brightness_gap"]
    assert metric("brightness_gap").unit == "of full brightness"
    after = code_of("baseline")
    assert {name for name in after if after[name] != before[name]} == {"metrics"}
    (folder / "metrics.py").write_text(OWN + "\n# changed\n")
    assert code_of("baseline")["metrics"] != after["metrics"]


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("import a_module_that_is_not_there", "ModuleNotFoundError"),
        ("def broken(:", "SyntaxError"),
        ("METRICS = 3", "is 3; expected a ClipMetric or SetMetric"),
        ("METRICS = []", "is empty"),
        ("x = 1", "AttributeError"),
        ("import sys; sys.exit(3)", "SystemExit"),
        (OWN.replace('"brightness_gap"', '"kid"'), "the name 'kid' is taken"),
        (OWN.replace('"brightness_gap"', '"bright gap"'), "cannot name a metric"),
    ],
)
def test_a_broken_package_is_a_sentence_and_harms_no_other(
    install: Install, source: str, message: str
) -> None:
    """Catches: a traceback, `harness list` lost, or a run that leaves the metric out."""
    install("lantern", metrics=OWN)
    install("candle", metrics=source)
    with pytest.raises(UsageError, match=message):
        computed_metrics()
    assert set(known_metrics()) == {*METRICS, "brightness_gap"}
    console = Console(width=200)
    with console.capture() as said:
        console.print(tables.foreign_metrics())
    assert "brightness_gap" in said.get()
    assert "lantern 0.1.0" in said.get()
    assert message in said.get()
    done = CliRunner().invoke(app, ["run", "--variant", "baseline", "--dry-run"])
    assert isinstance(done.exception, UsageError)


def test_two_packages_with_one_name_are_both_named(install: Install) -> None:
    """Catches: the metric of one package in the column of the other's."""
    install("lantern", metrics=OWN)
    install("candle", metrics=OWN)
    with pytest.raises(
        UsageError, match=r"'brightness_gap': of candle.metrics and lantern.metrics"
    ):
        computed_metrics()


def test_a_foreign_metric_and_branch_are_run_compared_and_reported(
    install: Install, small_request: Any, monkeypatch: pytest.MonkeyPatch, one_thread: None
) -> None:
    """Catches: a report that knows its metrics by name, or needs the package to be read."""
    extra = OWN.replace("METRICS = [", "FIRST = [") + (
        "from dataclasses import replace\n"
        "def fails(batch):\n    raise RuntimeError('no luck')\n"
        "METRICS = [*FIRST, replace(FIRST[0], name='unlucky', compute=fails)]\n"
    )
    install("lantern", metrics=extra, variant=LISTENER)
    site = sys.path[0]
    records = [
        run(small_request(variant=variant), display=Display())
        for variant in ("baseline", "listener")
    ]
    for record in records:
        score = record.metrics["brightness_gap"]
        assert score.value is not None
        assert 0 < score.value < 1
        assert record.arms["real"]["brightness_gap"].value == 0
        assert record.metrics["unlucky"].reason == "its package failed: RuntimeError: no luck"
        held = record.evaluation.foreign_metrics["brightness_gap"]
        assert (held.module, held.distribution) == ("lantern.metrics", "lantern 0.1.0")
    results = small_request().results
    assert load_record(results / "runs" / records[0].run_id / "record.json") == records[0]
    options = CompareOptions(results=results, metric="brightness_gap", name="lantern")
    comparison = compare_existing([r.run_id for r in records], options=options)
    console = Console(width=200)
    with console.capture() as said:
        console.print(comparison_view(comparison.record))
        console.print(tables.record(records[1], folder=results))
    assert said.get().count("brightness_gap") >= 2
    monkeypatch.setattr(sys, "path", [place for place in sys.path if place != site])
    page = draw_comparison(comparison).report
    for text in (page.read_text(), page.with_name("report.md").read_text()):
        assert "brightness gap" in text
        assert "difference in mean brightness" in text.lower()
        assert "0 where both are equally bright" in text
        assert "unlucky" in text
