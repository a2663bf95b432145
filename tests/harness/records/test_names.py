"""What a user's word means, and where the lock of a record lies now."""

import gzip
import shutil
from pathlib import Path

import pytest

from core.data.splits.split import load_split
from core.errors import DataError, MismatchError, UsageError
from harness.records.names import Kind, locks_of, named, recorded_lock, split_of
from harness.records.record import RunRecord, load_record

KEPT = Path(__file__).parents[2] / "data" / "records_before" / "results"
RUN = "sonic-s0-df5f6ca3c515"


def unpacked(place: Path) -> Path:
    """A results folder as an earlier version left it."""
    for kept in KEPT.rglob("*.gz"):
        path = place / kept.relative_to(KEPT).with_suffix("")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(gzip.decompress(kept.read_bytes()))
    return place


def test_a_word_means_a_comparison_before_a_sweep_before_a_run(tmp_path: Path) -> None:
    """Catches: show and report that take one word for two things."""
    results = unpacked(tmp_path / "results")
    assert named("gold", results=results).kind is Kind.COMPARISON
    assert named("goldsweep", results=results).kind is Kind.SWEEP
    assert named("sonic", results=results).path == results / "runs" / RUN
    assert named("baseline-s1000-f", results=results).folder.parent == results / "validation"
    file = results / "runs" / RUN / "record.json"
    assert (named(str(file), results=results).path, named(str(file), results=results).folder) == (
        file,
        file.parent,
    )
    with pytest.raises(UsageError, match="nothing is named 'silver'"):
        named("silver", results=results)


@pytest.fixture
def moved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A results folder under another name than its records know, seen from elsewhere."""
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    return unpacked(tmp_path / "renamed")


def sonic(results: Path) -> RunRecord:
    return load_record(results / "runs" / RUN)


def test_a_lock_is_found_after_its_results_folder_has_moved(moved: Path) -> None:
    """Catches: pictures, sounds and cached rows that are lost by a renamed folder."""
    lock = moved / "data" / "embedded-corpus-seed0" / "split.json"
    assert sonic(moved).split.lock == "results/data/embedded-corpus-seed0/split.json"
    assert locks_of(sonic(moved).split.lock, results=moved) == [lock]
    assert split_of(sonic(moved), results=moved).root == load_split(lock).root


def test_another_split_of_the_same_path_is_passed_over(moved: Path) -> None:
    """Catches: the lock of another results folder, which lies where the record's path leads."""
    theirs = moved / "data" / "embedded-corpus-seed0" / "split.json"
    decoy = Path("results/data/embedded-corpus-seed0/split.json")
    decoy.parent.mkdir(parents=True)
    split = load_split(theirs)
    first, *others = split.parts.values()
    smaller = type(split)(
        root=split.root,
        samples={i: s for i, s in split.samples.items() if i != first[0]},
        parts=dict(zip(split.parts, (first[1:], *others), strict=True)),
        rule=split.rule,
    )
    smaller.save(decoy)
    assert locks_of(sonic(moved).split.lock, results=moved) == [decoy, theirs]
    assert split_of(sonic(moved), results=moved).hash == split.hash
    theirs.unlink()
    with pytest.raises(MismatchError, match=rf"holds a different split from the one {RUN}"):
        split_of(sonic(moved), results=moved)
    shutil.rmtree("results")
    with pytest.raises(DataError, match=r"lock file .*split\.json of the split no longer exists"):
        split_of(sonic(moved), results=moved)


def test_a_lock_is_read_from_a_record_of_another_format(moved: Path) -> None:
    """Catches: cached features deleted because a later version's record is not understood."""
    path = moved / "runs" / RUN / "record.json"
    lock = sonic(moved).split.lock
    path.write_text(path.read_text().replace('"schema_version": 1', '"schema_version": 2', 1))
    assert recorded_lock(path) == lock
    path.write_text("{")
    assert recorded_lock(path) is None
    assert recorded_lock(path.with_name("gone.json")) is None
