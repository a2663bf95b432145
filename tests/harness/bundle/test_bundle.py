"""A bundle's verdict follows from it, and nothing in it can be edited without being named."""

import json
import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from core.errors import DataError, HarnessError, MismatchError
from core.files import json_sha256
from harness.archive.read import extract_archive
from harness.archive.write import Member, write_archive
from harness.bundle.contents import load_facts, results_of
from harness.bundle.differences import differences, num_numbers
from harness.bundle.make import Bundle, make_bundle
from harness.bundle.pages import of_pages
from harness.bundle.recompute import bundled_looks, bundled_runs, recomputed
from harness.bundle.verify import Verification, comparable, verify_bundle
from harness.cli.main import app
from harness.comparison.record import load_comparison
from harness.records.folders import ReportFolder
from harness.report.comparison.write import write_comparison_report
from harness.report.page import style
from harness.votes.answers import FORMAT as VOTES
from harness.votes.of_comparison import score_comparison
from harness.votes.plan import Kind, Shown, Trial, VotePlan
from harness.votes.record import load_votes


def leaves(value: Any, place: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Places of all numbers in a JSON value."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from leaves(inner, (*place, key))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from leaves(inner, (*place, index))
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield place


def edited(value: Any, place: tuple[Any, ...]) -> Any:
    """A copy with one number moved a little."""
    found = json.loads(json.dumps(value))
    part = found
    for key in place[:-1]:
        part = part[key]
    old = part[place[-1]]
    part[place[-1]] = old + 1 if isinstance(old, int) else old * (1 + 1e-5) + 1e-7
    return found


@pytest.fixture
def repack(tmp_path: Path) -> Callable[..., Path]:
    """The unpacked bundle in `root` with one file changed, and every hash in it made to fit."""

    def make(root: Path, name: str, change: Callable[[Any], Any]) -> Path:
        path = root / name
        before = path.read_bytes()
        if path.suffix == ".json":
            found = change(json.loads(before))
            if "checksum" in found:  # as whoever knows the format would seal it again
                found.pop("checksum")
                found["checksum"] = json_sha256(found)
            path.write_text(json.dumps(found, indent=2))
        else:
            path.write_text(change(before.decode()))
        members = [
            Member(file.relative_to(root).as_posix(), file)
            for file in root.rglob("*")
            if file.is_file() and file.name != "SHA256SUMS"
        ]
        write_archive(tmp_path / "edited.tar", members=members)
        path.write_bytes(before)
        return tmp_path / "edited.tar"

    return make


@pytest.fixture
def repacked(
    bundled: Bundle, repack: Callable[..., Path], tmp_path: Path
) -> Callable[[str, Callable[[Any], Any]], Path]:
    """The bundle with one file of it changed."""
    extract_archive(bundled.path, tmp_path / "root")
    return lambda name, change: repack(tmp_path / "root", name, change)


def refused(path: Path) -> str:
    """What verify says of a bundle that must not pass."""
    try:
        found: Verification = verify_bundle(path)
    except HarnessError as error:
        return str(error)
    assert found.differences, "it was not found"
    return found.differences[0].sentence()


def test_a_bundle_says_what_it_shows_and_what_not(bundled: Bundle, comparison_folder: Path) -> None:
    """Catches: a check that computes nothing, or that claims what no file can show."""
    found = bundled.verification
    record = load_comparison(comparison_folder)
    assert (found.differences, found.verdict) == ((), record.verdict)
    assert "wins" in found.verdict
    assert found.num_runs == 12
    assert found.num_numbers > 200
    said = " ".join(found.unchecked)
    assert "no run was trained again" in said
    assert "images" in said


def test_sampled_changed_bytes_are_found(bundled: Bundle, tmp_path: Path) -> None:
    """Catches: a byte that no hash covers."""
    content = bundled.path.read_bytes()
    rng = random.Random(16)
    for place in rng.sample(range(len(content)), 60):
        changed = bytearray(content)
        changed[place] ^= 1 << rng.randrange(8)
        (tmp_path / "changed.tar").write_bytes(changed)
        with pytest.raises(HarnessError):
            verify_bundle(tmp_path / "changed.tar")


def test_every_number_of_the_comparison_follows_from_the_runs(
    bundled: Bundle, tmp_path: Path
) -> None:
    """Catches: a number of the comparison that the check takes from the comparison itself."""
    extract_archive(bundled.path, tmp_path / "root")
    root = tmp_path / "root"
    facts = load_facts(root)
    folder = results_of(root).report("mine").path
    record = load_comparison(folder)
    said = json.loads((folder / "comparison.json").read_text())
    places = [place for place in leaves(said) if place != ("schema_version",)]
    again = recomputed(
        bundled_runs(root, record=record), record=record, facts=facts, looks=bundled_looks(root)
    )
    expected = comparable(again)
    assert len(places) == num_numbers(said) - 1 > 200
    for place in places:
        found = comparable(type(record).model_validate(edited(said, place)))
        assert list(differences(found, expected, where="")), place


def test_an_edited_comparison_is_named(repacked: Callable[..., Path]) -> None:
    """Catches: a verdict or a number that was improved and hashed again."""
    name = "results/reports/mine/comparison.json"
    said = refused(repacked(name, lambda record: {**record, "verdict": "baseline wins"}))
    assert "baseline wins" in said
    assert "sonic wins" in said


def test_an_edited_record_is_named(repacked: Callable[..., Path], comparison_folder: Path) -> None:
    """Catches: a run's number, read by the decision or not, edited and sealed again."""
    run = next(path for path in (comparison_folder.parents[1] / "runs").iterdir())
    name = f"results/runs/{run.name}/record.json"
    places = list(leaves(json.loads((run / "record.json").read_text())))
    rng = random.Random(3)
    for place in rng.sample(places, 2):
        assert refused(repacked(name, lambda record, place=place: edited(record, place)))


@pytest.mark.parametrize("table", ["per_clip.csv", "distance_contributions.csv"])
def test_an_edited_table_is_named(
    repacked: Callable[..., Path], comparison_folder: Path, table: str
) -> None:
    """Catches: the score of one clip that was changed."""
    run = next(path for path in (comparison_folder.parents[1] / "runs").iterdir())

    def change(text: str) -> str:
        *rest, last = text.rstrip("\n").split("\n")
        head, _, value = last.rpartition(",")
        return "\n".join([*rest, f"{head},{float(value) + 1e-4!r}"]) + "\n"

    assert table in refused(repacked(f"results/runs/{run.name}/{table}", change))


def test_edited_questions_and_locks_are_named(repacked: Callable[..., Path]) -> None:
    """Catches: another margin or another test part than was decided by."""
    assert "margin" in refused(
        repacked("bundle.json", lambda facts: edited(facts, ("margins", "listening_rank")))
    )
    assert refused(repacked("lock_of_split.json", lambda lock: {**lock, "notices": ["x"]}))


def test_edited_tables_and_headlines_of_the_report_are_named(
    bundled: Bundle, tmp_path: Path
) -> None:
    """Catches: a report that says something else than the comparison it was drawn of."""
    extract_archive(bundled.path, tmp_path / "root")
    folder = results_of(tmp_path / "root").report("mine").path
    record = load_comparison(folder)
    runs = bundled_runs(tmp_path / "root", record=record)
    for name, old, new in (
        ("numbers.csv", "kid,run,,0.", "kid,run,,1."),
        ("report.md", "sonic wins", "baseline wins"),
    ):
        text = (folder / name).read_text()
        assert old in text
        (folder / name).write_text(text.replace(old, new, 1))
    found = list(of_pages(record, runs, folder=folder, with_pages=False))
    assert [difference.where.split(",")[0] for difference in found] == ["numbers.csv", "report.md"]


def test_the_text_of_the_report_is_drawn_again(
    repacked: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Catches: a number in the report's text that is not the comparison's."""
    monkeypatch.setattr(style, "_svg", lambda *_, **__: "<svg></svg>")  # no plot is compared
    changed = repacked(
        "results/reports/mine/report.md", lambda text: text.replace("\n## ", "\nNever.\n## ", 1)
    )
    found = verify_bundle(changed, with_pages=True).differences
    assert "Never." in found[0].sentence()
    assert {difference.where.split(",")[0] for difference in found} == {"report.md"}


@pytest.fixture
def voted(comparison_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The comparison on which three listeners have voted, four in five times for sonic."""
    results = tmp_path / "voted" / "results"
    shutil.copytree(comparison_folder.parent.parent, results)
    folder = results / "reports" / comparison_folder.name
    trials = [
        Trial(
            id=f"{number:012x}",
            kind=Kind.BRANCHES,
            sample_id=f"{number % 12:03d}",
            class_name=("rain", "siren")[number % 2],
            seed=number % 6,
            draw=0,
            first=Shown(name="sonic", path=f"{number}-a.png"),
            second=Shown(name="baseline", path=f"{number}-b.png"),
            is_first_left=number % 2 == 0,
        )
        for number in range(24)
    ]
    plan = VotePlan(
        comparison=folder.name,
        created_at="2026-01-02T05:00:00+00:00",
        seed=0,
        trials=tuple(trials),
        most_catch_misses=-1,
        hashes={},
    )
    plan.save(ReportFolder(folder).vote_plan(plan.plan_id))
    paths = []
    for name in ("Ann", "Ben", "Cem"):
        sides = [
            "left" if trial.is_first_left == ((number + len(paths)) % 5 > 0) else "right"
            for number, trial in enumerate(trials)
        ]
        answers = [
            {"trial": trial.id, "side": side, "seconds": 2.0, "plays": 1}
            for trial, side in zip(trials, sides, strict=True)
        ]
        content = {"format": VOTES, "plan": plan.plan_id, "listener": name, "started_at": ""}
        paths.append(tmp_path / f"{name}.json")
        paths[-1].write_text(json.dumps({**content, "answers": answers}))
    score_comparison(folder, paths=paths, decides=True)
    monkeypatch.setattr(style, "_svg", lambda *_, **__: "<svg></svg>")
    write_comparison_report(folder)
    return folder


def test_a_verdict_by_votes_follows_from_the_listeners_answers(
    voted: Path, tmp_path: Path, repack: Callable[..., Path]
) -> None:
    """Catches: a verdict that a bundle gives by the metric while the comparison gives it by votes,
    and votes that were edited after they were counted."""
    record = load_votes(ReportFolder(voted).votes)
    assert record.verdict is not None
    bundle = make_bundle(voted, out=tmp_path / "voted.tar")
    assert bundle.verification.verdict == record.verdict.sentence
    place = f"results/reports/{voted.name}"

    def more_votes(votes: Any) -> Any:
        votes["questions"][0]["share"] = 0.99
        return votes

    def another_answer(votes: Any) -> Any:
        votes["answers"][0]["side"] = {"left": "right", "right": "left"}[
            votes["answers"][0]["side"]
        ]
        return votes

    root = tmp_path / "root"
    extract_archive(bundle.path, root)
    assert "votes.json.questions[0].share" in refused(
        repack(root, f"{place}/votes.json", more_votes)
    )
    answers = f"{place}/votes/{record.plan_id}/{record.listeners[1].sha256}.json"
    assert "votes.json." in refused(repack(root, answers, another_answer))


def test_votes_without_the_listeners_answers_are_said_to_be_unchecked(
    voted: Path, tmp_path: Path
) -> None:
    """Catches: numbers that pass for checked where the answers behind them were never kept, and
    answers that were kept and are gone."""
    place = ReportFolder(voted).votes
    votes = load_votes(place)
    kept = ReportFolder(voted).vote_answers(votes.plan_id, sha256=votes.listeners[0].sha256 or "")
    kept.unlink()
    with pytest.raises(HarnessError, match="cannot be read"):
        make_bundle(voted, out=tmp_path / "voted.tar")
    before = [one.model_copy(update={"sha256": None}) for one in votes.listeners]
    votes.model_copy(update={"listeners": tuple(before)}).save(place)
    found = make_bundle(voted, out=tmp_path / "voted.tar").verification
    assert any("scored before answers were kept" in sentence for sentence in found.unchecked)


def test_votes_on_other_runs_decide_nothing_in_a_bundle(voted: Path, tmp_path: Path) -> None:
    """Catches: a comparison that was given more seeds after its votes, and has no bundle since."""
    place = ReportFolder(voted).votes
    votes = load_votes(place)
    assert votes.verdict is not None
    fewer = votes.verdict.model_copy(update={"run_ids": votes.verdict.run_ids[:-1]})
    votes.model_copy(update={"verdict": fewer}).save(place)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(style, "_svg", lambda *_, **__: "<svg></svg>")
        write_comparison_report(voted)
    found = make_bundle(voted, out=tmp_path / "voted.tar").verification
    assert found.verdict == load_comparison(voted).verdict
    assert any("decided on other runs" in sentence for sentence in found.unchecked)


def test_votes_that_do_not_follow_are_counted_again_and_not_compared_again(
    voted: Path, tmp_path: Path
) -> None:
    """Catches: a remedy that leaves the votes as they are."""
    place = ReportFolder(voted).votes
    votes = load_votes(place)
    votes.model_copy(update={"num_repeats": votes.num_repeats + 1}).save(place)
    with pytest.raises(MismatchError, match=r"count them again: harness report mine --votes FILE"):
        make_bundle(voted, out=tmp_path / "voted.tar")


def test_answers_stay_where_fewer_of_them_are_counted_again(voted: Path) -> None:
    """Catches: a listener's only copy lost by a count of the others, and kept files that are
    read where they lie."""
    place = ReportFolder(voted).votes
    votes = load_votes(place)
    kept = [
        ReportFolder(voted).vote_answers(votes.plan_id, sha256=one.sha256 or "")
        for one in votes.listeners
    ]
    before = [path.read_bytes() for path in kept]
    score_comparison(voted, paths=kept[1:])
    assert [path.read_bytes() for path in kept] == before
    assert [one.name for one in load_votes(place).listeners] == ["Ben", "Cem"]


def test_a_comparison_whose_runs_changed_is_not_bundled(
    comparison_folder: Path, tmp_path: Path
) -> None:
    """Catches: evidence for another verdict than the one that was printed."""
    results = tmp_path / "results"
    shutil.copytree(comparison_folder.parents[1], results)
    folder = results / "reports" / "mine"
    record = json.loads((folder / "comparison.json").read_text())
    (folder / "comparison.json").write_text(json.dumps({**record, "winner": "baseline"}))
    with pytest.raises(MismatchError, match="no longer follows from its runs"):
        make_bundle(folder, out=tmp_path / "x.tar")
    (results / "data" / "pairs" / "split.json").unlink()
    with pytest.raises(DataError, match="lock file"):
        make_bundle(folder, out=tmp_path / "x.tar")
    assert [path.name for path in tmp_path.iterdir()] == ["results"]


def test_the_commands_say_what_was_checked_and_end_by_code(
    bundled: Bundle, comparison_folder: Path, repacked: Callable[..., Path], tmp_path: Path
) -> None:
    """Catches: a difference that ends with 0, a script that must read sentences."""
    runner = CliRunner()
    results, out = str(comparison_folder.parents[1]), str(tmp_path / "b.tar")
    made = runner.invoke(app, ["bundle", "mine", "--out", out, "--results", results, "--json"])
    assert made.exit_code == 0, made.output
    # The same file wherever it was written: nothing of this machine or this hour is in it.
    assert json.loads(made.stdout)["sha256"] == bundled.sha256
    done = runner.invoke(app, ["verify", out])
    assert done.exit_code == 0
    assert done.stdout.startswith("verified: sonic wins")
    assert "not checked:" in done.stdout
    changed = repacked(
        "results/reports/mine/comparison.json", lambda r: edited(r, ("pairs", 0, "sd"))
    )
    done = runner.invoke(app, ["verify", str(changed), "--json"])
    assert done.exit_code == MismatchError.exit_code
    found = json.loads(done.stdout)
    assert not found["is_verified"]
    assert found["differences"][0]["where"].endswith("pairs[0].sd")
    assert runner.invoke(app, ["bundle", "none", "--out", out, "--results", results]).exit_code
