"""Several sources become one manifest; nothing is read twice, lost, or written where it is read."""

import errno
import json
import shutil
from dataclasses import replace

import numpy as np
import pandas
import pytest
import soundfile

from core.data.cleaning.clean import clean_manifest
from core.data.ingest.ingest import ingest, require_apart
from core.data.ingest.source import Options
from core.data.items import Reason, Stage, Status
from core.data.labels import load_label_map
from core.data.manifest import Manifest
from core.data.splits.make import make_split
from core.data.splits.split import load_split, verify
from core.errors import DataError, MismatchError, NoSpaceError, UsageError


def contents(root):
    """Bytes and time of every file."""
    return {
        path.relative_to(root): (path.read_bytes(), path.stat().st_mtime_ns)
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }


@pytest.fixture
def classes(tmp_path, write_wav, write_png):
    """A folder of two classes with three pairs each."""
    root = tmp_path / "data/classes"
    for index in range(6):
        name = ("rain", "fire")[index % 2]
        write_wav(root / f"{name}/{index}.wav", seed=100 + index)
        write_png(root / f"{name}/{index}.png", seed=100 + index)
    return root


def test_sources_of_several_kinds_become_one_table(
    tmp_path, classes, write_listed, write_shard, media_bytes, video
):
    """Catches: a source dropped on the way, or paths that fit the folder of one source only."""
    listed = write_listed({"siren": 2}, folder="data/listed")
    (listed / "audio/siren0.wav").unlink()
    audio, image = media_bytes(0)
    shard = write_shard(
        tmp_path / "data/0.tar", [("s.wav", audio), ("s.png", image), ("s.cls", b"rain")]
    )
    (tmp_path / "data/videos/thunder").mkdir(parents=True)
    shutil.copy(video, tmp_path / "data/videos/thunder/v.mp4")
    before = contents(tmp_path / "data")
    sources = [classes, listed, shard, tmp_path / "data/videos"]
    manifest = ingest(sources, tmp_path / "out", options=Options(window_s=1.0)).manifest
    assert manifest.num_input == 6 + 2 + 1 + 1
    kinds = {item.kind for item in manifest.items}
    assert kinds == {"classes", "metadata", "webdataset", "videos"}
    assert manifest.named_classes == ("fire", "rain", "siren", "thunder")
    for item in manifest.candidates:
        assert (manifest.root / item.audio_path).is_file()
        assert (manifest.root / item.image_path).is_file()
    (missing,) = manifest.exclusions
    assert (missing.id, missing.reason, missing.excluded_by) == (
        "siren0", Reason.MISSING_AUDIO, Stage.INGEST,
    )  # fmt: skip
    assert contents(tmp_path / "data") == before
    frame = pandas.read_parquet(tmp_path / "out/manifest.parquet")
    assert sorted(frame.id) == sorted(item.id for item in manifest.items)
    assert Manifest.load(tmp_path / "out") == manifest


def test_the_lock_of_several_sources_works_after_a_move(tmp_path, classes, video, write_video):
    """Catches: an absolute path in the manifest or the lock."""
    for index in range(3):
        write_video(
            tmp_path / f"data/videos/siren/v{index}.mp4",
            tones_hz=(300.0 + 200 * index,),
            sharp_s=(0.0, 0.3 * index),
            stripes=(20, 90 + 50 * index),
            duration_s=1.2,
        )
    sources = [classes, tmp_path / "data/videos"]
    manifest = ingest(sources, tmp_path / "data/set", options=Options(window_s=1.0)).manifest
    cleaned = clean_manifest(manifest)
    cleaned.save(tmp_path / "data/set")
    make_split(cleaned).save(tmp_path / "data/set/split.json")
    shutil.move(tmp_path / "data", tmp_path / "moved")
    split = load_split(tmp_path / "moved/set/split.json")
    assert len(split.samples) == 9
    verify(split)
    again = ingest(
        [tmp_path / "moved/classes", tmp_path / "moved/videos"],
        tmp_path / "moved/set",
        options=Options(window_s=1.0),
    )
    assert again.is_unchanged


def test_one_id_in_two_sources_keeps_both_and_one_source(tmp_path, write_wav, write_png, row):
    """Catches: the later source silently winning, or the two parting in a split."""
    for k, name in enumerate(("a", "b")):
        root = tmp_path / name
        write_wav(root / "audio/clip.wav", seed=k)
        write_png(root / "frames/clip.png", seed=k)
        (root / "metadata.json").write_text(json.dumps([row("clip", class_name="rain")]))
    sources = [tmp_path / "a", tmp_path / "b"]
    manifest = ingest(sources, tmp_path / "out", options=Options()).manifest
    first, second = manifest.candidates
    assert (first.id, first.audio_path) == ("clip", "a/audio/clip.wav")
    assert (second.id, second.audio_path) == ("clip~2", "b/audio/clip.wav")
    assert first.source == second.source == "clip"


def test_labels_are_mapped_letter_for_letter_and_the_rest_is_named(tmp_path, write_wav, write_png):
    """Catches: `train horning` becoming rain, or unmapped clips that vanish."""
    (tmp_path / "map.toml").write_text('[classes]\nrain = ["raining"]\n')
    for k, label in enumerate(("raining", "train horning", "rain")):
        write_wav(tmp_path / f"in/{label}/{k}.wav", seed=k)
        write_png(tmp_path / f"in/{label}/{k}.png", seed=k)
    options = Options(labels=load_label_map(str(tmp_path / "map.toml")))
    manifest = ingest([tmp_path / "in"], tmp_path / "out", options=options).manifest
    assert [(i.id, i.class_name, i.source_label, i.caption) for i in manifest.candidates] == [
        ("rain.2", "rain", "rain", "A scene with rain sound"),
        ("raining.0", "rain", "raining", "A scene with rain sound"),
    ]
    (left_out,) = manifest.exclusions
    assert left_out.reason is Reason.UNMAPPED_LABEL
    assert "'train horning' is not in the label map" in left_out.detail
    assert manifest.named_classes == ("rain",)


def test_unmapped_videos_are_not_cut(tmp_path, video):
    """Catches: hours of cutting clips that are thrown away."""
    (tmp_path / "map.toml").write_text('[classes]\nrain = ["raining"]\n')
    (tmp_path / "in/wind").mkdir(parents=True)
    shutil.copy(video, tmp_path / "in/wind/v.mp4")
    options = Options(labels=load_label_map(str(tmp_path / "map.toml")))
    manifest = ingest([tmp_path / "in"], tmp_path / "out", options=options).manifest
    assert [item.reason for item in manifest.items] == [Reason.UNMAPPED_LABEL]
    assert not (tmp_path / "out/media").exists()


def test_the_same_ingest_again_keeps_a_cleaning(tmp_path, classes):
    """Catches: hours of cleaning thrown away by repeating a command."""
    manifest = ingest([classes], tmp_path / "out", options=Options()).manifest
    (classes / "rain/0.wav").write_bytes(b"")
    cleaned = clean_manifest(manifest)
    cleaned.save(tmp_path / "out")
    again = ingest([classes], tmp_path / "out", options=Options())
    assert again.is_unchanged
    assert again.manifest == cleaned == Manifest.load(tmp_path / "out")
    assert cleaned.as_ingested() == manifest


def test_an_empty_class_that_was_taken_away_is_noticed(tmp_path, classes):
    """Catches: cleaning refusing for ever a class that the user removed as it had asked."""
    (classes / "empty").mkdir()
    ingest([classes], tmp_path / "out", options=Options())
    (classes / "empty").rmdir()
    again = ingest([classes], tmp_path / "out", options=Options())
    assert (again.num_new, again.num_gone, again.is_unchanged) == (0, 0, False)
    assert "empty" not in Manifest.load(tmp_path / "out").named_classes


def test_what_changed_in_the_sources_is_reported(tmp_path, classes, write_wav, write_png):
    """Catches: new clips that never arrive, or gone ones that stay in the table."""
    ingest([classes], tmp_path / "out", options=Options())
    write_wav(classes / "rain/new.wav", seed=7)
    write_png(classes / "rain/new.png", seed=7)
    (classes / "fire/1.wav").unlink()
    (classes / "fire/1.png").unlink()
    again = ingest([classes], tmp_path / "out", options=Options())
    assert (again.num_new, again.num_gone, again.is_unchanged) == (1, 1, False)
    assert Manifest.load(tmp_path / "out").num_input == 6


@pytest.mark.parametrize(
    "change",
    [
        {"class_name": "rain"},
        {"label_of": {"a": "rain"}},
        {"window_s": 3.0},
        {"max_member_bytes": 5},
    ],
)
def test_another_ingest_into_one_folder_is_refused(tmp_path, classes, write_listed, change):
    """Catches: one data set silently replaced by another, under the locks made from it."""
    ingest([classes], tmp_path / "out", options=Options())
    before = contents(tmp_path / "out")
    with pytest.raises(MismatchError, match=r"was ingested from \.\./data/classes"):
        ingest([classes], tmp_path / "out", options=replace(Options(), **change))
    other = write_listed({"rain": 1}, folder="data/other")
    with pytest.raises(MismatchError, match="choose another --out"):
        ingest([classes, other], tmp_path / "out", options=Options())
    assert contents(tmp_path / "out") == before


def test_interrupted_cutting_goes_on_where_it_stopped(tmp_path, write_video, monkeypatch):
    """Catches: cutting everything again, or half a file taken for whole."""
    import core.data.ingest.video_pairs as pairs

    for index in range(3):
        write_video(tmp_path / f"in/rain/{index}.mp4", duration_s=1.2)
    real, cut = pairs.cut_pair, []

    def counted(video, **options):
        if len(cut) == 2 and not (tmp_path / "go").exists():
            raise KeyboardInterrupt
        cut.append(video.name)
        return real(video, **options)

    monkeypatch.setattr(pairs, "cut_pair", counted)
    monkeypatch.setattr(pairs.os, "sched_getaffinity", lambda _: {0})
    options = Options(window_s=1.0)
    with pytest.raises(KeyboardInterrupt):
        ingest([tmp_path / "in"], tmp_path / "out", options=options)
    assert not (tmp_path / "out/manifest.parquet").exists()
    (tmp_path / "go").touch()
    whole = ingest([tmp_path / "in"], tmp_path / "out", options=options).manifest
    assert sorted(cut) == ["0.mp4", "1.mp4", "2.mp4"]
    ingest([tmp_path / "in"], tmp_path / "out", options=options)
    assert len(cut) == 3
    victim = whole.root / whole.candidates[0].audio_path
    victim.write_bytes(victim.read_bytes()[:100])
    ingest([tmp_path / "in"], tmp_path / "out", options=options)
    assert len(cut) == 4
    assert soundfile.info(victim).duration == pytest.approx(1.0)
    assert not list((tmp_path / "out/media").glob(".tmp-*"))


def test_nothing_is_written_into_a_source_or_read_twice(tmp_path, classes):
    """Catches: media cut into the folder that the next ingest reads, or clips counted twice."""
    apart = lambda sources, out, **o: require_apart(sources, out, options=Options(**o))  # noqa: E731
    with pytest.raises(UsageError, match="lies in the source"):
        apart([classes], classes / "set")
    with pytest.raises(UsageError, match="lies in the source"):
        apart([classes / "x.csv"], classes / "rain/set", media=classes)
    with pytest.raises(UsageError, match="named twice"):
        apart([classes, classes / "../classes"], tmp_path / "out")
    with pytest.raises(UsageError, match=r"rain lies in .*classes; each file is read once"):
        apart([classes, classes / "rain"], tmp_path / "out")
    with pytest.raises(UsageError, match="was made by ingest itself"):
        apart([tmp_path / "out/media"], tmp_path / "out")
    with pytest.raises(UsageError, match="nothing to ingest"):
        apart([], tmp_path / "out")
    apart([classes, classes / "list.csv"], classes.parent / "set", media=classes.parent / "media")


def test_videos_need_a_class_and_a_folder_to_write_into(tmp_path, video):
    """Catches: a traceback for `run --data VIDEOS`, or a class made up."""
    from core.data.ingest.folder import scan_folder

    (tmp_path / "in").mkdir()
    shutil.copy(video, tmp_path / "in/v.mp4")
    with pytest.raises(UsageError, match=r"cannot be read in place.*harness data ingest"):
        scan_folder(tmp_path / "in")
    with pytest.raises(
        DataError, match="one folder per class, or pass --class NAME or --label-file"
    ):
        ingest([tmp_path / "in"], tmp_path / "out", options=Options())
    options = Options(class_name="rain", window_s=1.0)
    one = ingest([tmp_path / "in/v.mp4"], tmp_path / "one", options=options).manifest
    folder = ingest([tmp_path / "in"], tmp_path / "folder", options=options).manifest
    for manifest in (one, folder):
        (item,) = manifest.candidates
        assert (item.class_name, item.source, item.kind) == ("rain", "v", "videos")


def test_broken_and_foreign_files_among_videos_are_named(tmp_path, video):
    """Catches: one bad download that stops a folder of videos."""
    (tmp_path / "in/rain").mkdir(parents=True)
    shutil.copy(video, tmp_path / "in/rain/good.mp4")
    (tmp_path / "in/rain/text.mp4").write_text("not found")
    (tmp_path / "in/rain/half.webm.part").write_bytes(b"x")
    (tmp_path / "in/rain/link.mp4").symlink_to(video)
    (tmp_path / "in/rain/sound.m4a").write_bytes(b"x")
    manifest = ingest([tmp_path / "in"], tmp_path / "out", options=Options(window_s=1.0)).manifest
    assert [item.id for item in manifest.candidates] == ["rain.good"]
    assert {item.id.rpartition("/")[2]: item.reason for item in manifest.exclusions} == {
        "rain.text": Reason.UNDECODABLE_VIDEO,
        "half.webm.part": Reason.LEFTOVER,
        "link.mp4": Reason.OUTSIDE_ROOT,
        "sound.m4a": Reason.UNSUPPORTED_FORMAT,
    }


def test_media_that_cannot_be_written_stop_the_ingest(tmp_path, video, monkeypatch):
    """Catches: a full or read-only disk told as a folder of broken videos."""
    (tmp_path / "in/rain").mkdir(parents=True)
    shutil.copy(video, tmp_path / "in/rain/v.mp4")
    (tmp_path / "out").mkdir()
    (tmp_path / "out/media").write_text("in the way")
    with pytest.raises(OSError, match="media"):
        ingest([tmp_path / "in"], tmp_path / "out", options=Options(window_s=1.0))
    assert not (tmp_path / "out/manifest.parquet").exists()
    (tmp_path / "out/media").unlink()

    def full(handle):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("core.files.os.fsync", full)
    with pytest.raises(NoSpaceError, match=r"no space left to write .*media"):
        ingest([tmp_path / "in"], tmp_path / "out", options=Options(window_s=1.0))
    assert list((tmp_path / "out/media").iterdir()) == []


def test_videos_without_pyav_end_in_a_sentence(tmp_path, video, monkeypatch):
    """Catches: an ImportError shown to the user, or silent absence of the videos."""
    import sys

    (tmp_path / "in/rain").mkdir(parents=True)
    shutil.copy(video, tmp_path / "in/rain/v.mp4")
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(UsageError, match=r"needs PyAV.*branch-harness\[video\]"):
        ingest([tmp_path / "in"], tmp_path / "out", options=Options())


def test_two_folders_are_paired_by_stem(tmp_path, write_wav, write_png):
    """Catches: a pair by order, an orphan that vanishes, or files of the wrong kind overlooked."""
    for k, stem in enumerate(("a", "b", "lone")):
        write_wav(tmp_path / f"sounds/{stem}.wav", seed=k)
    for k, stem in enumerate(("a", "b", "still")):
        write_png(tmp_path / f"pictures/deep/{stem}.png", seed=k)
    write_png(tmp_path / "sounds/cover.png")
    (tmp_path / "pictures/x.jpg.part").write_bytes(b"x")
    options = Options(images=tmp_path / "pictures", class_name="rain", label_of={"b": "fire"})
    manifest = ingest([tmp_path / "sounds"], tmp_path / "out", options=options).manifest
    assert [(i.id, i.class_name, i.audio_path, i.image_path) for i in manifest.candidates] == [
        ("a", "rain", "sounds/a.wav", "pictures/deep/a.png"),
        ("b", "fire", "sounds/b.wav", "pictures/deep/b.png"),
    ]
    assert {item.id: item.reason for item in manifest.exclusions} == {
        "lone": Reason.MISSING_IMAGE,
        "still": Reason.MISSING_AUDIO,
        "sounds/cover.png": Reason.NOT_LISTED,
        "pictures/x.jpg.part": Reason.LEFTOVER,
    }
    with pytest.raises(DataError, match="no class is given for them, and no caption"):
        ingest(
            [tmp_path / "sounds"], tmp_path / "o2", options=Options(images=tmp_path / "pictures")
        )


def test_a_pair_without_a_row_in_the_label_file_is_named(tmp_path, write_wav, write_png):
    """Catches: an unlabelled clip taking the label of its neighbour."""
    for k, stem in enumerate(("a", "b")):
        write_wav(tmp_path / f"in/audio/{stem}.wav", seed=k)
        write_png(tmp_path / f"in/frames/{stem}.png", seed=k)
    options = Options(label_of={"a": "rain"})
    manifest = ingest([tmp_path / "in"], tmp_path / "out", options=options).manifest
    assert [(item.id, item.reason) for item in manifest.items] == [
        ("a", None),
        ("b", Reason.NO_LABEL),
    ]
    assert manifest.items[1].audio_path == "audio/b.wav"


def test_one_metadata_file_can_be_named_alone(tmp_path, write_listed, row):
    """Catches: the balanced list being read together with the full one that lies beside it."""
    root = write_listed({"rain": 3})
    (root / "train_metadata_balanced.json").write_text(
        json.dumps([row("rain1", class_name="rain")])
    )
    manifest = ingest(
        [root / "train_metadata_balanced.json"], tmp_path / "out", options=Options()
    ).manifest
    assert [item.id for item in manifest.candidates if item.class_name] == ["rain1"]
    assert manifest.num_input == 3


def test_every_field_survives_the_disk(tmp_path, classes):
    """Catches: a column that is not written, or read back as another type."""
    manifest = ingest([classes], tmp_path / "out", options=Options()).manifest
    full = replace(
        manifest.items[0],
        status=Status.INCLUDED,
        flags=("near_silent", "x"),
        audio_sha256="a" * 64,
        image_sha256="b" * 64,
        duration_s=10.0,
        rms_dbfs=float(np.float32(-20.25)),
        image_width=640,
        attributes={"pitch": 0.5},
        provenance={"frame_candidates": [{"time_s": 0.1}]},
        official_split="test",
    )
    changed = replace(
        manifest,
        items=(full, *manifest.items[1:]),
        cleaning={"window_s": 10.0},
    )
    changed.save(tmp_path / "again")
    loaded = Manifest.load(tmp_path / "again")
    assert loaded == changed
    assert loaded.samples[0].official_split == "test"
    assert isinstance(loaded.items[0].image_width, int)
