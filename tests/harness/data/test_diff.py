"""`harness data diff`: two copies of one set, clip by clip, and what that does to finished runs."""

import json
import shutil
from dataclasses import replace

import pytest
from typer.testing import CliRunner

from core.data.items import DataKind, Item, Reason, Status, excluded
from core.data.manifest import Manifest
from core.data.splits.make import make_split
from core.data.splits.split import Part, load_split
from core.errors import DataError, MismatchError
from harness.archive.write import Member, write_archive
from harness.cli.main import app
from harness.comparison.clips_lost import consequences
from harness.data.diff import Side, diff_data, read_side
from harness.pack.contents import LOCK, WORK

PACKED = f"{WORK}/{LOCK}"


def item(index, **changes):
    known = {
        "class_name": ("rain", "dog")[index % 2],
        "caption": f"sound {index}",
        "source": f"v{index}",
        "audio_path": f"c{index}.wav",
        "image_path": f"c{index}.png",
        "audio_sha256": f"a{index}",
        "image_sha256": f"i{index}",
        "duration_s": 1.0,
    }
    return Item(f"c{index:02d}", Status.INCLUDED, **{**known, **changes})


def saved(folder, items, **changes):
    folder.mkdir()
    manifest = Manifest(folder, tuple(items), len(items), **changes)
    manifest.save(folder)
    return manifest


@pytest.fixture
def copies(tmp_path):
    """Two copies of twenty clips: one is gone with a reason, one unknown, one under another id, one
    has another sound, one another caption, one is new."""
    items = [item(index) for index in range(20)]
    saved(tmp_path / "a", items)
    other = [one for one in items if one.id not in ("c00", "c01", "c02", "c03", "c04")]
    other += [
        excluded("c00", Reason.NO_MEDIA, "none of its files is on disk"),
        replace(items[2], id="Yc02"),
        replace(items[3], audio_sha256="cut elsewhere"),
        replace(items[4], caption="another", captions=("another", "a third")),
        item(50),
    ]
    saved(tmp_path / "b", other)
    return tmp_path


def test_what_is_gone_new_or_changed_is_told_with_its_reason(copies):
    """Catches: a clip under another id counted as lost, or link rot without its reason."""
    a, b = (read_side(copies / name, packed_lock=PACKED) for name in "ab")
    found = diff_data(a, b)
    assert [(c.id, c.why, c.is_renamed) for c in found.vanished] == [
        ("c00", "no_media: none of its files is on disk", False),
        ("c01", None, False),
        ("c02", "it is there as 'Yc02'", True),
    ]
    assert [(c.id, c.why) for c in found.new] == [("Yc02", "it is there as 'c02'"), ("c50", None)]
    assert [(c.id, c.fields) for c in found.changed] == [("c03", ("audio",)), ("c04", ("caption",))]
    assert found.num_equal == 15
    assert found.lost == {"c00": "vanished", "c01": "vanished", "c03": "changed"}
    assert found.turned().lost == {"c50": "vanished", "c03": "changed"}


def test_a_lock_says_the_parts_and_a_pack_is_its_lock(copies):
    """Catches: a pack that has to be unpacked first, or a moved clip that is not told."""
    split = make_split(Manifest.load(copies / "a"))
    split.save(copies / "lock.json")
    member = Member(PACKED, (copies / "lock.json").read_bytes())
    write_archive(copies / "pack.tar", members=[member, Member("work/other", b"x" * 600)])
    unpacked = copies / "unpacked" / WORK / LOCK
    unpacked.parent.mkdir(parents=True)
    unpacked.write_bytes((copies / "lock.json").read_bytes())
    places = (copies / "lock.json", copies / "pack.tar", copies / "unpacked")
    lock, pack, folder = (read_side(place, packed_lock=PACKED) for place in places)
    assert lock.part_of == pack.part_of == folder.part_of
    assert diff_data(lock, pack).num_equal == 20
    moved = {**lock.part_of, "c05": Part.TEST, "c06": Part.VAL}
    (first, *_) = diff_data(lock, replace(pack, part_of=moved)).changed
    assert first.fields == ("part",)
    gone = {
        c.id: c.part for c in diff_data(lock, read_side(copies / "b", packed_lock=PACKED)).vanished
    }
    assert gone == {id_: lock.part_of[id_] for id_ in ("c00", "c01", "c02")}


def test_groups_that_a_draw_made_are_no_difference(copies):
    """Catches: two copies with captions alone that differ in every clip, for their groups do."""
    sample = next(iter(Manifest.load(copies / "a").samples))
    sides = [
        Side(
            path=copies,
            kind=DataKind.CAPTIONS,
            samples={sample.id: replace(sample, class_name=name)},
            part_of={},
            left_out={},
        )
        for name in ("1 rain", "2 dog")
    ]
    assert diff_data(*sides).changed == ()
    classes = [replace(side, kind=DataKind.CLASSES) for side in sides]
    assert diff_data(*classes).changed[0].fields == ("class",)


def test_what_is_no_copy_of_data_is_refused(copies):
    """Catches: a traceback for a wrong path, or a damaged pack that is believed."""
    for place, said in (("none", "no file or folder"), (".", "no unpacked pack")):
        with pytest.raises(DataError, match=said):
            read_side(copies / place, packed_lock=PACKED)
    write_archive(copies / "bundle.tar", members=[Member("index.html", b"x")])
    with pytest.raises(DataError, match=f"has no {PACKED}"):
        read_side(copies / "bundle.tar", packed_lock=PACKED)
    write_archive(copies / "pack.tar", members=[Member(PACKED, b"{}")])
    content = (copies / "pack.tar").read_bytes()
    (copies / "pack.tar").write_bytes(content.replace(b"{}", b"[]"))
    with pytest.raises(MismatchError, match="is not as it was packed"):
        read_side(copies / "pack.tar", packed_lock=PACKED)


@pytest.fixture(scope="module")
def other_copy(finished, tmp_path_factory):
    """The lock of the session's run, and a copy that lacks one of its test and one of its training
    clips."""
    folder = tmp_path_factory.mktemp("copies")
    lock = next(finished.request.results.glob("data/*/split.json"))
    split = load_split(lock)
    gone = {split.test[0], split.train[0]}
    parts = {part: tuple(i for i in split.parts[part] if i not in gone) for part in Part}
    samples = {i: sample for i, sample in split.samples.items() if i not in gone}
    replace(split, samples=samples, parts=parts).save(folder / "b.json")
    return lock, folder / "b.json", split


def test_a_finished_run_says_which_test_clips_it_loses_and_what_is_left_of_its_scores(
    finished, other_copy
):
    """Catches: scores over clips that the other copy lacks, or a distance that is made up."""
    lock, other, split = other_copy
    sides = [read_side(path, packed_lock=PACKED) for path in (lock, other)]
    found = consequences(diff_data(*sides), results=finished.request.results)
    run = next(run for run in found.runs if run.run_id == finished.record.run_id)
    assert run.lost == {Part.TRAIN: (split.train[0],), Part.VAL: (), Part.TEST: (split.test[0],)}
    assert run.share(Part.TEST) == pytest.approx(1 / len(split.test))
    scores = {score.metric: score for score in run.scores}
    table = finished.record.metrics
    rows = [line.split(",") for line in (finished.folder / "per_clip.csv").read_text().splitlines()]
    own = [
        float(r[5]) for r in rows if r[2] == "audio" and r[4] == "ais_cos" and r[0] != split.test[0]
    ]
    assert scores["ais_cos"].without == pytest.approx(sum(own) / len(own))
    assert (scores["ais_cos"].value, scores["ais_cos"].n) == (
        table["ais_cos"].value,
        len(split.test),
    )
    assert scores["kid"].without is None
    assert "all images together" in scores["kid"].reason
    same = consequences(diff_data(sides[0], sides[0]), results=finished.request.results)
    assert same.runs == ()
    assert same.num_whole >= 1


def test_the_command_tells_a_person_and_a_script(finished, other_copy, copies):
    """Catches: a view that leaves out the runs, or exit codes that a script trips over."""
    lock, other, _ = other_copy
    words = ["data", "diff", str(lock), str(other), "--results", str(finished.request.results)]
    shown = CliRunner().invoke(app, words)
    assert shown.exit_code == 0, shown.output
    assert "2 of A are not in B" in shown.output
    assert "loses 1 of" in shown.output
    data = json.loads(CliRunner().invoke(app, [*words, "--json"]).output)
    assert len(data["vanished"]) == 2
    assert data["consequences"]["runs"][0]["lost"]["test"]
    shutil.rmtree(copies / "b")
    assert CliRunner().invoke(app, ["data", "diff", str(lock), str(copies / "b")]).exit_code != 0
