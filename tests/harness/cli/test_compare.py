"""`harness compare` as scripts and people meet it: what it prints, promises and writes."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from typer.testing import CliRunner

from benchmarks.stand_in import World, experiment
from core.choices import BudgetKind
from core.errors import MismatchError, UsageError
from harness.cli.commands.runs import list_, show_
from harness.cli.main import app
from harness.comparison.analysis import analyse
from harness.comparison.budgeting import equal_budget
from harness.comparison.compare import compare, compare_existing
from harness.comparison.forecast import Forecast, forecast
from harness.comparison.power import power_sentence, power_table
from harness.comparison.record import load_comparison
from harness.comparison.request import CompareOptions, CompareRequest, settle_question
from harness.comparison.runs import LoadedRun
from harness.executors.opening import ExecutorKind, ExecutorOptions
from harness.records.record import Status, load_record
from harness.report.comparison.draw import draw_comparison
from harness.report.terminal.comparison import comparison_view
from harness.run.plan import RunRequest, plan_run
from harness.settings.load import load_profile
from harness.settings.profile import ComparisonSettings
from harness.wording.display import Display

MakeRequest = Callable[..., RunRequest]


def test_runs_that_were_moved_compare_and_the_command_says_how(
    two_runs: tuple[Path, Path], tmp_path: Path
) -> None:
    """Catches: a comparison that looks for its runs where they were made, or trains."""
    options = CompareOptions(tmp_path, metric="aic", margin=0.5, name="mine")
    found = compare_existing([str(folder) for folder in two_runs], options=options)
    told = draw_comparison(found).data()
    assert Path(told["comparison"]) == tmp_path / "reports" / "mine" / "comparison.json"
    assert Path(told["report"]).is_file()
    assert told["verdict"].startswith("undecided: 1 seed is exploratory")
    record = load_comparison(Path(told["comparison"]))
    assert [run.branch for run in record.runs] == ["baseline", "sonic"]
    folders = [record.run_folder(run, folder=found.folder) for run in record.runs]
    assert [folder.resolve() for folder in folders] == [folder.resolve() for folder in two_runs]
    (pair,) = record.pairs
    assert (pair.effect, pair.margin) == (0.0, 0.5)
    for word in ("--from", str(two_runs[0]), "--metric aic", "--margin 0.5", "--name mine"):
        assert word in record.command
    late = [notice for notice in record.notices if "after these runs were made" in notice]
    assert [notice.split()[0] for notice in late] == ["--metric", "--margin"]


def test_one_run_twice_is_refused(two_runs: tuple[Path, Path], tmp_path: Path) -> None:
    """Catches: a run compared with itself, or counted twice."""
    options = CompareOptions(tmp_path, metric="aic")
    with pytest.raises(MismatchError, match="two runs of seed 0"):
        compare_existing([str(path) for path in (*two_runs, two_runs[0])], options=options)
    with pytest.raises(UsageError, match="is not a comparison"):
        compare_existing([str(two_runs[0])], options=options)


def test_seconds_of_this_machine_are_no_budget_for_a_cluster(tmp_path: Path) -> None:
    """Catches: GPU runs whose steps were counted out by the seconds of a laptop."""
    request = CompareRequest(
        ("baseline", "sonic"), num_seeds=1, profile="tiny", overrides=(), data=None,
        options=CompareOptions(tmp_path), executor=ExecutorOptions(ExecutorKind.RAY),
        budget=BudgetKind.GPU_SECONDS,
    )  # fmt: skip
    with pytest.raises(UsageError, match="use --budget flops"):
        compare(request, display=Display())


def test_the_profile_says_what_decides_and_an_option_says_otherwise() -> None:
    """Catches: a margin or metric chosen after the runs, or an option that is not heard."""
    tiny = load_profile("tiny").comparison
    plain = settle_question(CompareOptions(Path()), settings=tiny)
    assert (plain.metric, plain.margins) == ("listening_rank", {"listening_rank": 0.02})
    asked = CompareOptions(Path(), metric="kid", margin=0.1)
    assert settle_question(asked, settings=tiny).metric == "kid"
    assert settle_question(asked, settings=tiny).margins["kid"] == 0.1
    with pytest.raises(UsageError, match="expected more than 0"):
        settle_question(CompareOptions(Path(), margin=0.0), settings=tiny)
    with pytest.raises(UsageError, match="no metric named"):
        settle_question(CompareOptions(Path()), settings=ComparisonSettings(metric="kidd"))


@pytest.mark.parametrize("name", ["../x", "a/b", "/tmp/x", "..", ".hidden", "", "a\nb"])
def test_the_name_of_a_comparison_is_no_path(name: str) -> None:
    """Catches: a report written outside results/reports, where no command finds it again."""
    with pytest.raises(UsageError, match="expected the name of one folder"):
        settle_question(CompareOptions(Path(), name=name), settings=ComparisonSettings())
    for good in ("v1.2-kid_only", "6"):
        settle_question(CompareOptions(Path(), name=good), settings=ComparisonSettings())


def test_what_decides_is_no_part_of_a_run(small_request: MakeRequest) -> None:
    """Catches: runs trained again because the comparison asks another question of them."""
    plain = plan_run(small_request(), display=Display()).identity.run_id
    other = plan_run(small_request("comparison.metric=kid"), display=Display()).identity.run_id
    assert plain == other


def test_a_metric_that_may_not_rank_decides_nothing(finished: Any) -> None:
    """Catches: FID at 66 images that names a winner."""
    runs = []
    for branch, value in (("a", 9.0), ("b", 1.0)):
        for seed in range(6):
            identity = finished.record.identity.model_copy(update={"variant": branch, "seed": seed})
            score = finished.record.metrics["kid"].model_copy(
                update={
                    "value": value + 0.01 * seed,
                    "is_rankable": branch == "a",
                    "caution": "too few images",
                }
            )
            record = finished.record.model_copy(
                update={
                    "identity": identity,
                    "run_id": identity.run_id,
                    "metrics": {**finished.record.metrics, "kid": score},
                }
            )
            runs.append(LoadedRun(record, finished.folder))
    found = analyse(runs, metric="kid", folder=Path("x"), command="")
    assert found.verdict == "undecided: kid cannot rank here (too few images)"
    assert (found.winner, found.pairs[0].winner) == (None, None)
    assert found.pairs[0].ahead == "b"


def test_the_forecast_speaks_only_of_what_was_measured(
    finished: Any, small_request: MakeRequest, tmp_path: Path
) -> None:
    """Catches: hours made up for a branch that never ran, a schedule's passed for another's."""
    results = tmp_path / "of this run alone"
    shutil.copytree(finished.folder, results / "runs" / finished.folder.name)

    def told(*overrides: str, **changes: Any) -> Forecast:
        planned = [
            plan_run(replace(small_request(*overrides, **changes), seed=seed), display=Display())
            for seed in (7, 8, 9)
        ]
        return forecast(planned, results=results, jobs=2, price_per_hour=3.0)

    known = told()
    seconds = finished.record.total_seconds
    assert known.hours == pytest.approx(3 * seconds / 2 / 3600)
    assert "2 at a time, by the finished runs (on cpu)" in known.sentence()
    assert "at 3 an hour" in known.sentence()
    assert told("stage1.lr=0.5").hours == pytest.approx(known.hours)
    longer = told("stage1.steps=9")
    per_step = finished.record.stages[0].seconds / finished.record.stages[0].steps_done
    assert longer.hours == pytest.approx(known.hours + 3 * 7 * per_step / 2 / 3600, rel=0.2)
    assert "by an estimate (1 finished run on cpu)" in longer.sentence()
    assert " to " in longer.sentence()
    # Another rank is in no table, and nothing is counted for a forecast.
    unknown = told("lora.rank=3")
    assert unknown.hours is None
    assert "is unknown" in unknown.sentence()
    nothing = forecast([], results=results, jobs=1, price_per_hour=None)
    assert nothing.sentence() == "Nothing is left to run."


def test_the_plan_of_power_speaks_of_wins_by_the_whole_rule() -> None:
    """Catches: a plan for the t-test alone, found in 37 to 61 % of cases; a win promised where
    none is possible."""
    rows = {row.num_seeds: row for row in power_table(4, num_branches=3, sds={"a - b": 0.5})}
    assert 4 in rows
    for seeds in (3, 4, 5):
        assert (rows[seeds].can_win, rows[seeds].win_sd, rows[seeds].detectable) == (
            False,
            None,
            {},
        )
    assert rows[8].headline_sd > rows[8].win_sd > 1.3
    assert rows[8].detectable["a - b"] == pytest.approx(0.5 * rows[8].win_sd)
    assert (rows[3].tie_sd, rows[8].tie_sd) == (None, pytest.approx(1.33, abs=0.03))
    assert "exploratory: no difference, however large" in power_sentence(3, num_branches=3)
    said = power_sentence(8, num_branches=3)
    assert f"tie in 80 % of cases where the margin is {rows[8].tie_sd:.2f}" in said
    assert "a true difference of 1.3" in said
    assert "one branch wins against all others as often where it is 1.5" in said


def test_the_real_profile_decides_by_listening_where_a_scorer_hears() -> None:
    """Catches: a verdict at full size on a distance that rewards no listening and knows no tie."""
    deaf = load_profile("sd15").deciding
    hearing = load_profile("sd15", overrides=["scorers.wav2clip=folder"]).deciding
    assert (deaf.metric, hearing.metric) == ("iis_win", "listening_rank")
    assert {deaf.metric, hearing.metric} <= set(deaf.margins)
    assert load_profile("tiny").deciding.metric == "listening_rank"


@pytest.mark.parametrize("width", [50, 80, 120])
def test_a_comparison_reads_at_any_width(width: int) -> None:
    """Catches: a number broken in the middle, or cut by a column, on a narrow terminal."""
    record = experiment(World(num_seeds=6, effects=(1.0, 0.0, 0.0)), repeat=0)
    console = Console(width=width, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    with console.file:
        console.print(comparison_view(record, files=[("report", Path("x.html"))], width=width))
        text = console.export_text()
    assert max(map(len, text.splitlines())) <= width
    assert "…" not in text
    for pair in record.pairs:
        shown = f"{pair.effect:+.3g}" if width < 116 else f"{pair.effect:+.3f}"
        assert shown in text
    assert "branch_a wins on listening_rank over 6 seeds" in " ".join(text.split())


def test_an_equal_budget_of_device_seconds_is_measured_once(small_request: MakeRequest) -> None:
    """Catches: another measurement, and so another schedule, each time a comparison goes on."""
    base = small_request("stage1.steps=30", "stage2.steps=20", "stage3.steps=10")
    names = ("baseline", "sonic")
    found = equal_budget(BudgetKind.GPU_SECONDS, base=base, variants=names, display=Display())
    assert {len(costs) for costs in found.step_cost.values()} == {3}
    assert all(cost > 0 for costs in found.step_cost.values() for cost in costs.values())
    full = {"stage1": 30, "stage2": 20, "stage3": 10}
    assert full in found.steps.values()
    for own in found.steps.values():
        assert all(own[name] <= full[name] for name in full)
    again = equal_budget(BudgetKind.GPU_SECONDS, base=base, variants=names, display=Display())
    assert again == found
    kept = sorted((base.results / "calibrations").glob("*.json"))
    assert [path.name.split("-")[0] for path in kept] == ["baseline", "sonic"]
    assert json.loads(kept[0].read_text())["device"] == "cpu"
    planned = plan_run(
        replace(base, overrides=(*base.overrides, *found.overrides("baseline"))), display=Display()
    )
    assert {s.name: s.steps for s in planned.plan.stages} == found.steps["baseline"]
    assert planned.identity.settings["budget"]["schedule"] == full
    assert not planned.folder.exists()


def test_show_takes_a_comparison_by_name_or_place(
    two_runs: tuple[Path, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Catches: a comparison that can be seen in a browser alone, or a run's folder misnamed."""
    options = CompareOptions(tmp_path, metric="aic", name="mine")
    compare_existing([str(folder) for folder in two_runs], options=options)
    capsys.readouterr()
    folder = tmp_path / "reports" / "mine"
    for name in ("mine", str(folder), str(folder / "comparison.json")):
        show_(name, results=tmp_path, as_json=False)
        assert "undecided: 1 seed is exploratory" in capsys.readouterr().out
    show_("mine", results=tmp_path, as_json=True)
    assert json.loads(capsys.readouterr().out)["metric"] == "aic"
    monkeypatch.setenv("COLUMNS", "200")
    show_(str(two_runs[1]), results=tmp_path, as_json=False)
    assert f"folder {two_runs[1]}" in capsys.readouterr().out


def test_run_ids_are_whole_on_a_narrow_terminal(
    finished: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Catches: ids that end in an ellipsis and so name no run."""
    monkeypatch.setenv("COLUMNS", "60")
    list_(results=finished.request.results, runs=True, as_json=False)
    out = capsys.readouterr().out
    assert "…" not in out
    assert max(map(len, out.splitlines())) <= 60


def test_a_branch_that_failed_in_every_seed_is_no_success(
    two_runs: tuple[Path, Path], tmp_path: Path
) -> None:
    """Catches: exit code 0, and a script that goes on, where one of two branches has no number."""
    folders = []
    for folder in two_runs:
        folders.append(shutil.copytree(folder, tmp_path / "runs" / folder.name))
    record = load_record(folders[1])
    record.model_copy(update={"status": Status.FAILED, "error": "NaN"}).save(folders[1])
    line = ["compare", "--from", *map(str, folders), "--metric", "aic", "--results", str(tmp_path)]
    done = CliRunner().invoke(app, line)
    assert done.exit_code == 1, done.output
    assert f"every run of {record.identity.variant} failed" in done.output
