"""The page of a sweep, its twin and its table: whole, safe, and blank where nothing is known."""

import csv
import json
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness.report.page.page import Written
from harness.report.sweep.sections import sections
from harness.report.sweep.write import write_sweep_report
from harness.sweep.record import (
    BranchSweep,
    Dimension,
    SweepRecord,
    TrialState,
    load_sweep,
)
from tests.harness.report.anatomy import Anatomy

Save = Callable[[SweepRecord], Path]
ORDER = [
    "verdict",
    "best",
    "test",
    "progress",
    "importances",
    "slices",
    "coordinates",
    "front",
    "curves",
    "fairness",
    "limits",
    "trials",
]


@pytest.fixture(scope="module")
def page(written: Written) -> str:
    return written.page.read_text(encoding="utf-8")


def test_without_test_runs_the_page_says_what_is_not_known(made: Any, saved: Save) -> None:
    """Catches: a lead on validation sold as one on test; a command that does not exist."""
    folder = saved(made.sweep())
    written = write_sweep_report(folder)
    text = written.page.read_text(encoding="utf-8")
    assert "o run has scored these settings on the test clips, so their effect there is" in text
    assert "--name first-search --test-seeds 3" in text
    shared = "--set stage1.steps=30 --results &#39;the results&#39;"
    assert f"harness run --config {folder / 'sonic.toml'} --seed 1 {shared}" in text
    assert 'class="banner plain"' in text


def test_the_command_for_the_test_clips_is_read_from_fields(facts: Any) -> None:
    """Catches: facts parsed out of a command line, where a name can look like an option."""
    named = "harness sweep --variants sonic --trials 24 --name=a --test-seeds-later"
    assert facts(command=named).test_command == f"{named} --test-seeds 3"
    asked = "harness sweep --variants sonic --trials 24 --test-seeds 2"
    assert facts(command=asked, test_seeds=2).test_command == asked


def test_a_loss_that_is_no_number_is_read_back(made: Any, saved: Save) -> None:
    """Catches: a record that nobody can read again, for ever."""
    trials = list(made.sonic().trials)
    losses = [(20, math.nan), (40, math.inf), (60, -math.inf)]
    trials[7] = made.trial(7, state=TrialState.FAILED, validation_losses=losses)
    folder = saved(made.sweep(made.sonic(trials=trials)))
    again = load_sweep(folder).branches[0].trials[7].validation_losses
    assert [step for step, _ in again] == [20, 40, 60]
    assert math.isnan(again[0][1])
    assert [loss for _, loss in again[1:]] == [math.inf, -math.inf]
    assert "nan" not in write_sweep_report(folder).page.read_text().lower().split("<main")[1][:2000]


def test_the_page_has_all_sections_and_every_link_leads_somewhere(
    page: str, written: Written
) -> None:
    """Catches: a section that is lost, an id twice, a link to a trial without a row."""
    found = Anatomy(page)
    assert found.sections == ORDER
    assert len(found.ids) == len(set(found.ids))
    inside = [link[1:] for link in found.links if link.startswith("#")]
    assert set(inside) <= set(found.ids)
    outside = {link for link in found.links if not link.startswith("#")}
    run = "../../validation/sonic-s0-000000000017/"
    assert outside == {run, "trials.csv", "report.md"}  # only one run lies on disk
    assert (written.page.parent / run).is_dir()


def test_what_users_wrote_stays_text(made: Any, saved: Save) -> None:
    """Catches: an error, a name or a setting that becomes an element, a table cell or a mention."""
    hostile = made.hostile
    space = [
        Dimension(name=hostile, kind="categorical", choices=[hostile, "b"]),
        Dimension(name="lr", kind="float", low=1e-5, high=1e-2, is_log=True),
    ]
    trials = [
        made.trial(n, params={hostile: (hostile, "b")[n % 2], "lr": 1e-4 * (n + 1)})
        for n in range(12)
    ]
    trials[5] = made.trial(5, state=TrialState.FAILED, error=hostile, values={})
    branch = BranchSweep(variant=hostile, study=hostile, space=space, trials=trials, best=1,
                         config=hostile.replace("/", "-"))  # fmt: skip
    record = made.sweep(branch, command=hostile, sampler=hostile, num_trials=12)
    written = write_sweep_report(saved(record))
    text = written.page.read_text(encoding="utf-8")
    assert "script" not in Anatomy(text).elements
    assert text.count("</style>") == text.count("<style")
    assert "&lt;script&gt;" in text
    twin = written.twin.read_text(encoding="utf-8")
    prose = "\n".join(line for line in twin.splitlines() if not line.startswith("    "))
    assert "<script" not in prose
    assert "| @someone" not in prose
    assert "*b*" not in prose.replace("\\*b\\*", "")
    assert "\\| @&#8203;someone" in prose


def test_the_twin_is_brief_and_has_the_verdict(written: Written) -> None:
    """Catches: a twin with every trial, or without the caution."""
    twin = written.twin.read_text(encoding="utf-8")
    titles = re.findall(r"^## (.*)$", twin, flags=re.MULTILINE)
    assert titles == [
        "Verdict",
        "Best settings",
        "Importance of the parameters",
        "Pareto front",
        "Fairness across branches",
    ]
    assert "winner's curse" in twin
    assert "unequal numbers of trials (sonic 24 and cutting\\_edge 2)" in twin


def test_every_trial_is_a_row_of_the_csv(written: Written) -> None:
    """Catches: a trial left out; a text and a number that look the same; a lost error."""
    with written.files["trials_csv"].open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == written.counts["num_trials"] == 26 + 2
    best = [row for row in rows if row["is_best"] == "True"]
    assert [(row["branch"], row["trial"]) for row in best] == [
        ("sonic", "17"),
        ("cutting_edge", "1"),
    ]
    assert float(best[0]["value.validation_loss"]) == 0.0812
    assert json.loads(rows[0]["param.encoder"]) == "mean"
    assert rows[2]["param.encoder"] == "null"
    assert rows[2]["param.num_heads"] == ""
    assert rows[7]["state"] == "failed"
    assert rows[7]["error"].startswith("<script>")
    assert rows[25]["retry_of"] == "24"


def test_unequal_branches_are_warned_of(written: Written, page: str) -> None:
    """Catches: two branches set side by side although one had more chances."""
    assert "The sweep is not finished: sonic 24 and cutting_edge 2 of 24 trials each." in page
    assert "so their best values are not comparable" in page
    assert "Not finished" in page


@pytest.mark.parametrize("trials", ["none", "defaults", "running"])
def test_a_sweep_that_has_hardly_begun_is_reported(made: Any, saved: Save, trials: str) -> None:
    """Catches: a page that needs a best trial, a curve or a space."""
    found = {
        "none": [],
        "defaults": [made.default(0.0835)],
        "running": [made.default(None, state=TrialState.RUNNING, validation_losses=[],
                                 finished_at=None)],
    }[trials]  # fmt: skip
    branch = made.sonic(
        trials=found, space=[], config=None, best=0 if trials == "defaults" else None
    )
    written = write_sweep_report(saved(made.sweep(branch)))
    text = written.page.read_text(encoding="utf-8")
    assert Anatomy(text).sections == [name for name in ORDER if name not in ("front", "test")]
    assert 'class="blank"' in text
    if trials != "defaults":
        assert "none of 0 of 24 trials has a value: no conclusion" in text


def test_values_that_are_not_finite_are_no_values(made: Any, facts: Any) -> None:
    """Catches: a NaN that is drawn, ranked or averaged."""
    bad = made.trial(2, values={"validation_loss": float("inf")},
                     validation_losses=[(20, float("nan")), (40, 0.3)])  # fmt: skip
    found = facts(made.sonic(trials=[made.default(0.09), made.trial(1), bad], best=1))
    assert [t.number for t in found.complete(found.branches[0])] == [0, 1]
    drawn = sections(found)
    assert [one.id for one in drawn] == [n for n in ORDER if n not in ("front", "test")]


def test_one_diverged_trial_does_not_hide_the_others() -> None:
    """Catches: an axis from .08 to 1,000 on which all trials lie on one line."""
    from harness.report.sweep.figures.axis import held, limits

    values = [0.080, 0.081, 0.082, 0.083, 0.084, 0.085, 1_000.0]
    low, high = limits(values, is_higher_better=False)
    assert low < 0.080
    assert 0.085 < high < 0.11
    assert held(1_000.0, (low, high)) == (high, True)
    assert limits(values, keep=[1_000.0], is_higher_better=False)[1] > 1_000


def test_a_diverged_trial_is_drawn_at_the_edge(made: Any, facts: Any) -> None:
    """Catches: a plot that warns or breaks on a value outside it."""
    far = made.trial(12, values={"validation_loss": 1_000.0})
    trials = [made.default(0.09), *(made.trial(n) for n in range(1, 12)), far]
    found = sections(facts(made.sonic(trials=trials, best=4)))
    plots = {p.id: p.wide for s in found for p in s.parts if p.kind == "figure"}
    assert "\u2265 " in plots["coordinates-0-plot"]
    assert "1000" not in plots["slices-0-plot"]
    assert "1000" not in plots["progress-plot"].replace("1000</text>", "", 1)  # steps spent
