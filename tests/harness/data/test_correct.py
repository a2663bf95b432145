"""`harness data exclude` and `relabel`: into a new folder or lock, with reasons; the old stays."""

import hashlib
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from core.data.items import Item, Reason, Stage, Status
from core.data.manifest import Manifest
from core.data.splits.make import make_split
from core.data.splits.split import Part, load_split
from core.errors import DataError, UsageError
from harness.cli.main import app
from harness.data.correct import listed_ids


def manifest(root: Path, *, per_class: int = 10) -> Manifest:
    items = [
        Item(
            f"{name}{number:02d}", Status.INCLUDED, class_name=name, caption=f"a {name}",
            source=f"{name}{number}", audio_path=f"{name}{number}.wav",
            image_path=f"{name}{number}.png", audio_sha256=f"s{name}{number}",
            image_sha256=f"p{name}{number}", duration_s=1.0,
        )
        for name in ("rain", "siren") for number in range(per_class)
    ]  # fmt: skip
    return Manifest(root=root, items=tuple(items), num_input=len(items))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A cleaned folder of twenty clips."""
    place = tmp_path / "set"
    place.mkdir()
    manifest(tmp_path / "media").save(place)
    return place


@pytest.fixture
def lock(tmp_path: Path) -> Path:
    """A lock of the same."""
    made = make_split(manifest(tmp_path / "media"))
    made.save(tmp_path / "lock.json")
    return tmp_path / "lock.json"


def call(*words: object) -> dict:
    done = CliRunner().invoke(app, ["data", *map(str, words), "--json"], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def test_an_excluded_clip_stays_in_the_table_with_its_reason(folder: Path) -> None:
    """Catches: a clip that vanishes, an old manifest that changes, a reason that is lost."""
    before = hashlib.sha256((folder / "manifest.parquet").read_bytes()).digest()
    out = folder.parent / "new"
    call("exclude", folder, "rain03", "siren01", "--reason", "a voice over it", "--out", out)
    assert hashlib.sha256((folder / "manifest.parquet").read_bytes()).digest() == before
    found = Manifest.load(out)
    rows = {item.id: item for item in found.items}
    assert len(rows) == 20
    assert (rows["rain03"].status, rows["rain03"].reason) == (Status.EXCLUDED, Reason.BY_HAND)
    assert (rows["rain03"].detail, rows["rain03"].excluded_by) == ("a voice over it", Stage.HAND)
    assert len(found.samples) == 18
    assert found.root == folder.parent / "media"
    assert "a voice over it" in found.notices[-1]
    # Cleaning it again does not bring the clip back.
    again = found.as_ingested()
    assert {i.id for i in again.items if i.status is Status.EXCLUDED} == {"rain03", "siren01"}


def test_a_relabelled_clip_says_what_it_was(folder: Path) -> None:
    """Catches: a second opinion that hides the first, or that changes the caption unasked."""
    first, second = folder.parent / "first", folder.parent / "second"
    call("relabel", folder, "rain03", "siren", "--reason", "a siren far off", "--out", first)
    call("relabel", first, "rain03", "storm", "--reason", "on second thought", "--out", second,
         "--caption", "a storm")  # fmt: skip
    (item,) = (item for item in Manifest.load(second).items if item.id == "rain03")
    assert (item.class_name, item.caption) == ("storm", "a storm")
    assert item.provenance == {
        "relabelled": [
            {"from": "rain", "reason": "a siren far off"},
            {"from": "siren", "reason": "on second thought"},
        ]
    }
    (item,) = (item for item in Manifest.load(first).items if item.id == "rain03")
    assert item.caption == "a rain"


def test_a_lock_keeps_every_other_clip_in_its_part(lock: Path) -> None:
    """Catches: a corrected split that is drawn anew, so that training clips are tested on."""
    old, before = load_split(lock), lock.read_bytes()
    first, second = lock.with_name("first.json"), lock.with_name("second.json")
    gone, moved = old.train[0], old.test[0]
    call("exclude", lock, gone, "--reason", "clipped", "--out", first)
    other = "siren" if old.samples[moved].class_name == "rain" else "rain"
    with pytest.raises(DataError, match="too few independent"):
        # The only test clip of its class: the class would be in no test part.
        CliRunner().invoke(
            app, ["data", "relabel", str(first), moved, other, "--reason", "x", "--out", "no.json"],
            catch_exceptions=False,
        )  # fmt: skip
    train = next(i for i in old.train[1:] if old.samples[i].class_name != other)
    found = call("relabel", first, train, other, "--reason", "heard", "--out", second)
    new = load_split(second)
    assert lock.read_bytes() == before
    assert found["hash"] == new.hash != old.hash
    for part in Part:
        assert set(new.parts[part]) == set(old.parts[part]) - {gone}
    assert new.samples[train].class_name == other
    assert [("clipped" in n, "heard" in n) for n in new.notices] == [(True, False), (False, True)]
    weights = json.loads(second.read_bytes())["facts"]["class_weights"]
    assert weights["sqrt"]["counts"][other] == 1 + sum(
        old.samples[i].class_name == other for i in old.train if i != gone
    )


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["rain3", "--reason", "x"], "did you mean 'rain"),
        (["rain03", "--reason", " "], "--reason is empty"),
        (["--reason", "x"], "no clip was named"),
        (["rain03", "rain03", "--reason", "x"], "named twice"),
    ],
)
def test_a_slip_changes_nothing(folder: Path, words: list[str], message: str) -> None:
    """Catches: half of a list that is applied, a correction without a reason."""
    out = folder.parent / "new"
    with pytest.raises(UsageError, match=message):
        CliRunner().invoke(
            app, ["data", "exclude", str(folder), *words, "--out", str(out)], catch_exceptions=False
        )
    assert not out.exists()


def test_what_is_there_is_not_replaced(folder: Path, lock: Path) -> None:
    """Catches: --out that is the folder itself, a lock that was the only copy."""
    for target, out in ((folder, folder), (lock, lock), (lock, folder)):
        done = CliRunner().invoke(
            app, ["data", "exclude", str(target), "rain03", "--reason", "x", "--out", str(out)]
        )
        assert done.exit_code != 0
        assert done.exception is not None


def test_ids_come_from_a_file_too(tmp_path: Path) -> None:
    """Catches: a heading or a remark that is taken for a clip."""
    file = tmp_path / "ids.csv"
    file.write_text("id,why\nrain03,noisy\n\n# later:\nsiren01\n")
    assert listed_ids(["a"], file=file) == ("a", "rain03", "siren01")
    with pytest.raises(DataError, match="cannot read ids"):
        listed_ids([], file=tmp_path / "absent")
