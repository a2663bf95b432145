"""A sweep's report from records whose truth is known: what it says, leaves blank, never makes up.

The numbers expected here were computed by hand from the makers in `conftest.py`.
"""

import csv
import json
import math
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from core.errors import DataError, UsageError
from harness.cli import app
from harness.report.targets import write_reports
from harness.sweep.find import sweep_folder
from harness.sweep.record import (
    BranchSweep,
    Dimension,
    SweepRecord,
    TrialState,
    load_sweep,
)
from harness.sweep.report import WrittenSweep, write_sweep_report
from harness.sweep.report.facts import SweepFacts
from harness.sweep.report.importance import parameter_importances
from harness.sweep.report.sections import sections
from harness.sweep.report.words import (
    apart,
    branch_sentence,
    caution,
    relative,
    significant,
)

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


class Anatomy(HTMLParser):
    """Ids, links and elements of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.links: list[str] = []
        self.tags: set[str] = set()
        self.sections: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        named = dict(attrs)
        self.tags.add(tag)
        if named.get("id"):
            self.ids.append(str(named["id"]))
        if tag == "section":
            self.sections.append(str(named["id"]))
        if tag == "a":
            self.links.append(str(named.get("href")))


@pytest.fixture(scope="module")
def page(written: WrittenSweep) -> str:
    return written.page.read_text(encoding="utf-8")


@pytest.fixture
def facts(made: Any, tmp_path: Path) -> Callable[..., SweepFacts]:
    """Facts of a sweep of these branches, as if it lay in a results folder."""
    folder = tmp_path / "results" / "sweeps" / "first-search"
    return lambda *branches, **words: SweepFacts(made.sweep(*branches, **words), folder)


def test_the_sentence_has_the_numbers_of_best_and_defaults(made: Any, facts: Any) -> None:
    """Catches: a best or a relative change that is not that of the trials."""
    sentence = branch_sentence(facts(), made.sonic())
    assert sentence == (
        "sonic: the best of 24 trials, trial 17, has validation loss 0.08120 on validation, the "
        "defaults 0.08350 (2.8\u202f% lower)."
    )


def test_a_search_that_beats_nothing_says_so(made: Any, facts: Any) -> None:
    """Catches: the default trial praised as a find."""
    branch = made.sonic(best=0, trials=[made.default(0.0835), made.trial(1)])
    assert branch_sentence(facts(), branch) == (
        "sonic: none of 2 of 24 trials beats the defaults, which have validation loss 0.08350 on "
        "validation."
    )


@pytest.mark.parametrize(
    ("state", "reason"),
    [
        (TrialState.FAILED, "their trial failed (no room)"),
        (TrialState.RUNNING, "their trial is still running"),
        (TrialState.LOST, "their worker died"),
    ],
)
def test_defaults_without_a_value_are_blank_with_the_reason(
    made: Any, facts: Any, state: TrialState, reason: str
) -> None:
    """Catches: a best that is compared with nothing."""
    gone = made.default(None, state=state, error="no room")
    branch = made.sonic(best=1, trials=[gone, made.trial(1)])
    assert f"the defaults have none, because {reason}." in branch_sentence(facts(), branch)


def test_a_retried_default_speaks_for_the_defaults(made: Any, facts: Any) -> None:
    """Catches: the trial that died taken for the defaults although its retry has a value."""
    lost = made.default(None, state=TrialState.LOST)
    again = made.trial(2, is_default=True, retry_of=0, values={"validation_loss": 0.09})
    best = made.trial(1, values={"validation_loss": 0.081})
    branch = made.sonic(best=1, trials=[lost, best, again])
    assert "the defaults 0.09000 (10.0\u202f% lower)" in branch_sentence(facts(), branch)


def test_the_caution_counts_the_values_that_were_chosen_among(made: Any, facts: Any) -> None:
    """Catches: pruned and failed trials counted as draws of the winner's curse."""
    assert "The best of 18 noisy validation values looks better" in caution(facts())
    assert caution(facts(made.sonic(trials=[made.default(0.08)], best=0))) == ""


def test_numbers_show_what_tells_them_apart() -> None:
    """Catches: best and defaults that read the same although they differ."""
    assert apart(0.0812341, 0.0812344) == ("0.0812341", "0.0812344")
    assert (significant(50.0), significant(1.5), significant(None)) == ("50", "1.500", "")
    assert significant(123_456.7) == "123,457"
    assert (relative(1.0, than=0.0), relative(2.0, than=1.0)) == ("", "100\u202f% higher")


def test_spent_counts_every_trial_that_ended(made: Any, facts: Any) -> None:
    """Catches: pruned and failed trials that cost nothing; a best that gets worse."""
    found = facts().spent(made.sonic())
    # 18 complete x 80, 4 pruned x 20, 2 failed x 3; the running one, the lost one's retry, has not
    # ended.
    assert found[-1].steps == 18 * 80 + 4 * 20 + 2 * 3
    assert found[-1].device_seconds == pytest.approx(18 * 10 + 4 * 2.5 + 2 * 0.5)
    assert [f.best for f in found][:1] == [0.0835]
    bests = [f.best for f in found if f.best is not None]
    assert bests == sorted(bests, reverse=True)
    assert bests[-1] == 0.0812


def test_spent_follows_the_order_of_ending(made: Any, facts: Any) -> None:
    """Catches: a curve by trial number, which parallel workers do not keep."""
    late = made.trial(1, finished_at="2026-01-02T09:00:00+00:00")
    found = facts().spent(made.sonic(trials=[made.default(0.09), late, made.trial(2)], best=1))
    assert [f.trial.number for f in found] == [0, 2, 1]


def test_device_time_is_unknown_from_the_first_gap_on(made: Any, facts: Any) -> None:
    """Catches: a missing time counted as zero."""
    trials = [made.default(0.09), made.trial(1, device_seconds=None), made.trial(2)]
    found = facts().spent(made.sonic(trials=trials, best=0))
    assert [f.device_seconds for f in found] == [10.0, None, None]


def test_importance_finds_the_parameter_that_matters(made: Any, facts: Any) -> None:
    """Catches: a study rebuilt with shuffled parameters or with the wrong direction."""
    trials = [made.default(0.5)]
    for number in range(1, 60):
        one = made.trial(number)
        x = one.params["lr"]
        value = 0.1 if 1e-4 < x < 4e-4 else 0.2 + number / 1e4
        trials.append(made.trial(number, values={"validation_loss": value}))
    branch = made.sonic(trials=trials, best=1)
    found = parameter_importances(facts(), branch)
    assert max(found.shares, key=lambda name: found.shares[name]) == "lr"
    assert found.shares["lr"] > 0.5
    assert sum(found.shares.values()) == pytest.approx(1)
    assert set(found.shares) == {"lr", "num_tokens", "encoder"}
    assert "num_heads" in found.left_out[0]


def test_too_few_or_equal_trials_have_no_importance(made: Any, facts: Any) -> None:
    """Catches: shares made of nothing."""
    few = made.sonic(trials=[made.default(0.09), *(made.trial(n) for n in range(1, 9))], best=0)
    assert parameter_importances(facts(), few).reason.startswith("9 complete trials")
    same = [made.trial(n, values={"validation_loss": 0.1}) for n in range(1, 15)]
    equal = parameter_importances(facts(), made.sonic(trials=same, best=1))
    assert equal.reason == "all complete trials have the same validation loss"
    assert equal.shares == {}


def test_without_test_runs_the_page_says_what_is_not_known(made: Any, saved: Save) -> None:
    """Catches: a lead on validation sold as one on test; a command that does not exist."""
    folder = saved(made.sweep())
    written = write_sweep_report(folder)
    text = written.page.read_text(encoding="utf-8")
    assert "o run has put these settings on the test clips: what they mean there is not" in text
    assert "--name first-search --test-seeds 3" in text
    shared = "--set stage1.steps=30 --results &#39;the results&#39;"
    assert f"harness run --config {folder / 'sonic.toml'} --seed 1 {shared}" in text
    assert 'class="banner plain"' in text


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


def test_what_has_no_noise_is_not_called_lucky(made: Any, saved: Save) -> None:
    """Catches: a number of parameters measured "on validation", or won by luck."""
    trials = [
        made.trial(n, values={"trainable_parameters": 100.0 - n}, is_default=n == 0)
        for n in range(3)
    ]
    branch = made.sonic(trials=trials, best=2, config=None)
    record = made.sweep(branch, metrics=[made.parameters])
    facts = SweepFacts(record, saved(record))
    assert caution(facts) == ""
    assert "validation" not in branch_sentence(facts, branch)


def test_defaults_that_are_best_have_no_lead_to_doubt(made: Any, saved: Save) -> None:
    """Catches: a warning of the luck in a lead that there is not."""
    trials = [made.default(0.01), *made.sonic().trials[1:]]
    record = made.sweep(made.sonic(trials=trials, best=0))
    facts = SweepFacts(record, saved(record))
    assert "none of 24 trials beats the defaults" in branch_sentence(facts, facts.branches[0])
    assert caution(facts) == ""


def test_the_page_has_all_sections_and_every_link_leads_somewhere(
    page: str, written: WrittenSweep
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
    assert "script" not in Anatomy(text).tags
    assert text.count("</style>") == text.count("<style")
    assert "&lt;script&gt;" in text
    twin = written.twin.read_text(encoding="utf-8")
    prose = "\n".join(line for line in twin.splitlines() if not line.startswith("    "))
    assert "<script" not in prose
    assert "| @someone" not in prose
    assert "*b*" not in prose.replace("\\*b\\*", "")
    assert "\\| @&#8203;someone" in prose


def test_the_twin_is_brief_and_has_the_verdict(written: WrittenSweep) -> None:
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


def test_every_trial_is_a_row_of_the_csv(written: WrittenSweep) -> None:
    """Catches: a trial left out; a text and a number that look the same; a lost error."""
    with written.csv.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == written.num_trials == 26 + 2
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


def test_unequal_branches_are_warned_of(written: WrittenSweep, page: str) -> None:
    """Catches: two branches set side by side although one had more chances."""
    assert "The sweep is not finished: sonic 24 and cutting_edge 2 of 24 trials each." in page
    assert "so that their best values do not compare" in page
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
        assert "none of 0 of 24 trials has a value, so nothing is known" in text


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
    from harness.sweep.report.figures.axis import held, limits

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


def test_a_sweep_is_named_by_the_start_of_its_name(made: Any, saved: Save) -> None:
    """Catches: a name that is ambiguous, or not found, silently taken for another."""
    folder = saved(made.sweep())
    saved(made.sweep(name="first-other"))
    results = folder.parent.parent
    assert sweep_folder("first-s", results=results) == folder
    assert sweep_folder(str(folder / "sweep.json"), results=results) == folder
    assert sweep_folder("second", results=results) is None
    with pytest.raises(UsageError, match="names 2 sweeps"):
        sweep_folder("first", results=results)


def test_sweeps_are_listed(made: Any, saved: Save, tmp_path: Path) -> None:
    """Catches: sweeps that only a look into the folder finds; a bad one that hides the rest."""
    results = str(tmp_path / "results")
    none = CliRunner().invoke(app, ["list", "--sweeps", "--results", results])
    assert "no sweeps in" in none.output
    saved(made.sweep())
    bad = saved(made.sweep(name="bad"))
    (bad / "sweep.json").write_text("{}")
    shown = CliRunner().invoke(app, ["list", "--sweeps", "--results", results])
    assert "sonic 24 of 24" in shown.output
    told = CliRunner().invoke(app, ["list", "--sweeps", "--results", results, "--json"])
    rows = json.loads(told.output)
    assert [(row["sweep"], row["status"]) for row in rows] == [
        ("bad", "unreadable"),
        ("first-search", "finished"),
    ]


def test_report_and_show_take_a_sweep(made: Any, saved: Save) -> None:
    """Catches: `report` and `show` that look for a run of that name alone."""
    folder = saved(made.sweep())
    results = folder.parent.parent
    (written,) = write_reports(["first-search"], results=results, max_bytes=10**6)
    assert isinstance(written, WrittenSweep)
    assert written.page == folder / "index.html"
    shown = CliRunner().invoke(app, ["show", "first-search", "--results", str(results)])
    assert shown.exit_code == 0, shown.output
    assert "trial 17, has validation loss 0.08120" in shown.output
    assert re.search(r"sonic\s+24 of 24\s+18\s+4\s+2\s+1\s+1\s+1,546", shown.output)
    as_json = CliRunner().invoke(app, ["show", "first", "--results", str(results), "--json"])
    assert json.loads(as_json.output)["branches"][0]["best"] == 17


def test_a_folder_without_a_sweep_is_refused(tmp_path: Path) -> None:
    """Catches: a page about nothing."""
    with pytest.raises(DataError, match="no sweep at"):
        write_sweep_report(tmp_path)
