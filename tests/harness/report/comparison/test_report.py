"""Reports from records alone: what they show, what they leave blank, what they never make up."""

import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from typer.testing import CliRunner

from core.errors import DataError, UsageError
from harness.cli.main import app
from harness.cli.report_targets import write_reports
from harness.comparison.record import load_comparison
from harness.metrics.arms import Arm
from harness.records.record import load_record
from harness.report.comparison.choice import NUM_EXTREME, Advantage, chosen_clips
from harness.report.comparison.write import write_comparison_report
from harness.report.draw import write_report
from harness.report.page.media import MediaStore
from harness.report.page.page import Written
from harness.report.page.render import md
from tests.harness.report.anatomy import Anatomy

SECTIONS = [
    "verdict",
    "sheet",
    "forest",
    "slopes",
    "listening",
    "classes",
    "metrics",
    "distances",
    "memorisation",
    "cost",
    "learning",
    "sweep",
    "eligibility",
    "limits",
    "runs",
]


@pytest.fixture(scope="session")
def page(written: Written) -> str:
    return written.page.read_text(encoding="utf-8")


def test_the_sections_stand_in_their_order(page: str) -> None:
    """Catches: a section that is missing, or evidence before the verdict."""
    assert Anatomy(page).sections == SECTIONS


def test_every_link_has_an_end_and_every_id_is_single(page: str, written: Written) -> None:
    """Catches: a number that leads nowhere; two plots whose clip paths share an id."""
    found = Anatomy(page)
    assert [name for name, times in Counter(found.ids).items() if times > 1] == []
    inner = {link[1:] for link in found.links if link.startswith("#")}
    assert inner - set(found.ids) == set()
    for link in {link for link in found.links if not link.startswith("#")}:
        assert (written.page.parent / link).is_file()


def test_each_run_is_linked_from_its_numbers(page: str, results: Any) -> None:
    """Catches: a number that does not say which run it is from."""
    links = Counter(Anatomy(page).links)
    for folder in results.runs:
        assert links[f"#run-{folder.name}"] >= 1
        assert links[f"../../runs/{folder.name}/record.json"] == 1


def test_the_same_records_give_the_same_page(copied: Path, written: Written) -> None:
    """Catches: a date, a random id, an absolute path, an order that changes from time to time."""
    assert write_report(copied).page.read_bytes() == written.page.read_bytes()


def test_every_number_of_the_records_is_in_the_table(written: Written, results: Any) -> None:
    """Catches: a metric, class or clip that the export forgets or changes."""
    table = pd.read_parquet(written.files["numbers_parquet"])
    for folder in results.runs:
        record = load_record(folder)
        own = table[table["run"] == record.run_id]
        for arm, scores in record.arms.items():
            for name, score in scores.items():
                rows = own[(own["arm"] == arm) & (own["metric"] == name) & (own["level"] == "run")]
                assert len(rows) == 1
                if score.value is None:
                    assert rows["value"].isna().all()
                    assert rows["reason"].item() == "no Inception weights"
                else:
                    assert rows["value"].item() == score.value
                    assert rows["n"].item() == score.n
        clips = pd.read_csv(folder / "per_clip.csv")
        exported = own[own["level"] == "clip"]
        assert len(exported) == len(clips)
        assert exported["value"].sum() == pytest.approx(clips["value"].sum())
    pairs = table[table["level"] == "pair"]
    found = load_comparison(written.page.parent).pairs[0]
    effect = pairs[(pairs["item"] == "difference") & (pairs["metric"] == found.metric)]
    assert effect["value"].item() == found.effect


def test_csv_and_parquet_hold_the_same(written: Written) -> None:
    """Catches: two exports that drift apart."""
    csv = pd.read_csv(
        written.files["numbers_csv"], keep_default_na=False, na_values={"value": [""]}
    )
    parquet = pd.read_parquet(written.files["numbers_parquet"])
    assert list(csv.columns) == list(parquet.columns)
    assert csv["item"].tolist() == parquet["item"].tolist()
    pd.testing.assert_series_equal(csv["value"], parquet["value"], check_exact=False, rtol=1e-12)


def test_a_class_mean_is_the_mean_of_its_clips(written: Written, results: Any) -> None:
    """Catches: classes averaged over the wrong arm or metric."""
    table = pd.read_parquet(written.files["numbers_parquet"])
    for run, own in table.groupby("run"):
        if not run:
            continue
        clips = pd.read_csv(results.root / "runs" / str(run) / "per_clip.csv")
        expected = clips.groupby(["arm", "metric", "class_name"])["value"].mean()
        shown = own[own["level"] == "class"].set_index(["arm", "metric", "item"])["value"]
        assert len(shown) == len(expected)
        for key, value in expected.items():
            assert shown[key] == pytest.approx(value)


def test_a_missing_number_is_blank_and_has_its_reason(page: str) -> None:
    """Catches: a zero, a dash or a nan where nothing was measured."""
    assert "no Inception weights" in page
    text = re.sub(r"<(style|svg).*?</\1>", " ", page, flags=re.DOTALL)
    text = re.sub(r'"data:[^"]*"', " ", text)
    assert not re.search(r"\b(nan|None|null|inf)\b", re.sub(r"<[^>]*>", " ", text))
    assert "no price per hour was recorded" in page
    assert "tuned by a sweep" in page


def test_the_page_says_what_tiny_does_not_show(page: str) -> None:
    """Catches: a report of the embedded models that passes for one of the real thing."""
    assert "listens, not which branch is better at full size" in page.replace("\n", " ")


def test_two_seeds_are_called_exploratory(page: str, written: Written) -> None:
    """Catches: a banner that is bolder than the comparison."""
    assert written.verdict.startswith("Undecided")
    assert "<li>Exploratory</li>" in page


def test_the_nearest_training_picture_stands_beside_its_image(written: Written) -> None:
    """Catches: a claim of memorisation, or of none, that nobody can look at."""
    text = written.page.read_text(encoding="utf-8")
    shown = text[text.index('<ul class="gallery">') : text.index('<section id="cost"')]
    assert shown.count('alt="Training picture clip05"') == 4
    assert shown.count(">0.900</a>") >= 4


@pytest.mark.usefixtures("without_plots")
def test_the_command_prints_one_object(copied: Path) -> None:
    """Catches: paths that do not exist, words beside the object, a name that is not found."""
    results = copied.parents[1]
    words = ["report", copied.name[:9], "--results", str(results), "--json"]
    done = CliRunner().invoke(app, words, catch_exceptions=False)
    assert done.exit_code == 0
    (report,) = json.loads(done.stdout)["reports"]
    assert report["verdict"].startswith("Undecided")
    assert report["is_self_contained"] is True
    for name in ("report", "markdown", "numbers_csv", "numbers_parquet", "comparison"):
        assert Path(report[name]).is_file()
    with pytest.raises(UsageError, match="nothing is named"):
        write_reports(["nothing-like-it"], results=results, max_bytes=1)
    with pytest.raises(DataError, match="no comparison"):
        write_comparison_report(results / "reports" / "none")


def test_the_twin_keeps_names_as_text(written: Written, results: Any) -> None:
    """Catches: a class that becomes HTML, breaks a table, or mentions someone on a pull request."""
    text = written.twin.read_text(encoding="utf-8")
    assert "# Undecided" in text
    assert "<img" not in text
    assert "&lt;img src=" in text
    assert re.findall(r"<(?!/?(?:details|summary)>)", text) == []
    widths: list[int] = []
    for line in text.splitlines():
        cells = len(re.findall(r"(?<!\\)\|", line)) if line.startswith("|") else 0
        if cells and widths:
            assert cells == widths[0]
        widths = [*widths, cells] if cells else []
    assert md(results.hostile_caption).count("\\|") == 1
    assert "@someone" not in md(results.hostile_caption)
    assert "http://" not in md(results.hostile_class)


def test_clips_are_chosen_by_hash_and_by_advantage(results: Any) -> None:
    """Catches: a hand-picked sheet, an order that follows the input, best and worst swapped."""
    samples = [results.split.samples[i] for i in results.split.test]
    values = pd.Series({s.id: float(n) for n, s in enumerate(samples)})
    chosen = chosen_clips(samples, gain=Advantage("w", values))
    assert chosen == chosen_clips(samples[::-1], gain=Advantage("w", values[::-1]))
    random = [c.sample.id for c in chosen if c.why == "random"]
    assert len({results.split.samples[i].class_name for i in random}) == 2
    left = [v for i, v in sorted(values.items(), key=lambda kv: -kv[1]) if i not in random]
    best = [c.advantage for c in chosen if c.why == "best"]
    worst = [c.advantage for c in chosen if c.why == "worst"]
    assert best == left[:NUM_EXTREME]
    assert worst == left[::-1][:NUM_EXTREME]
    assert {c.why for c in chosen_clips(samples, gain=None)} == {"random"}


def test_the_advantage_is_better_minus_worse(results: Any, comparison_folder: Path) -> None:
    """Catches: a sign that follows the order of the branches instead of who is ahead."""
    from harness.comparison.runs import load_run
    from harness.report.comparison.choice import advantage
    from harness.report.comparison.facts import Facts, ReportRun

    comparison = load_comparison(comparison_folder)
    runs = tuple(ReportRun(load_run(path)) for path in results.runs)
    found = advantage(
        Facts(
            name="n",
            folder=comparison_folder,
            runs=runs,
            comparison=comparison,
            rows=comparison.metrics,
        )
    )
    assert found is not None
    assert found.values.mean() == pytest.approx(abs(comparison.pairs[0].effect))
    assert found.words.startswith("where sonic is furthest ahead of and behind baseline")
    alone = advantage(Facts(name="n", folder=comparison_folder, runs=runs[:1]))
    assert alone is not None
    own = runs[0].scores("listening_rank", arm=Arm.AUDIO)
    other = runs[0].scores("listening_rank", arm=Arm.SHUFFLED)
    assert alone.values.mean() == pytest.approx((own - other).mean())


def test_the_plan_says_what_a_win_takes(page: str, written: Written) -> None:
    """Catches: the t-test's 1.43 read as enough at 6 seeds, where the whole rule takes more."""
    plan = {row.num_seeds: row for row in load_comparison(written.page.parent).power}
    (row,) = re.findall(r'<th scope="row">6</th>(.*?)</tr>', page, re.DOTALL)
    shown = re.findall(r"<td[^>]*>([\d.]+)</td>", row)
    assert shown[0] == f"{plan[6].win_sd:.2f}"
    assert shown[1:3] == [f"{plan[6].headline_sd:.2f}", f"{plan[6].tie_sd:.2f}"]
    assert float(shown[0]) > 1.8


@pytest.mark.usefixtures("without_plots")
def test_a_report_elsewhere_leaves_the_results_as_they_are(copied: Path, tmp_path: Path) -> None:
    """Catches: a file written into a read-only folder, a page without its links or its sheet."""
    results, out = copied.parents[1], tmp_path / "else" / "where"
    (copied / "contact_sheet.png").write_bytes(b"a sheet")
    before = {path: path.stat().st_mtime_ns for path in results.rglob("*")}
    words = ["report", copied.name, "--results", str(results), "--out", str(out), "--json"]
    done = CliRunner().invoke(app, words, catch_exceptions=False)
    assert done.exit_code == 0
    (report,) = json.loads(done.stdout)["reports"]
    assert Path(report["report"]) == out / "index.html"
    assert {path: path.stat().st_mtime_ns for path in results.rglob("*")} == before
    assert (out / "contact_sheet.png").read_bytes() == b"a sheet"
    links = {link for link in Anatomy((out / "index.html").read_text()).links if link[0] != "#"}
    assert [link for link in links if not (out / link).is_file()] == []
    run = next((results / "runs").iterdir()).name
    both = write_reports([copied.name, run], results=results, max_bytes=10**8, out=out / "both")
    assert [written.page.parent for written in both] == [
        out / "both" / copied.name,
        out / "both" / "runs",
    ]
    assert {path: path.stat().st_mtime_ns for path in results.rglob("*")} == before
    with pytest.raises(UsageError, match="is a file; name a folder"):
        write_reports([run], results=results, max_bytes=1, out=out / "index.html")


def test_pictures_of_others_in_the_folder_are_left(tmp_path: Path) -> None:
    """Catches: a user's pictures deleted from the folder that a report is written to."""
    (tmp_path / "media").mkdir()
    (tmp_path / "media" / "holiday.jpg").write_bytes(b"mine")
    (tmp_path / "media" / f"{'a' * 16}.png").write_bytes(b"an earlier report's")
    MediaStore().save(tmp_path)
    assert [path.name for path in (tmp_path / "media").iterdir()] == ["holiday.jpg"]
