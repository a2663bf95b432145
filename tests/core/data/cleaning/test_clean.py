"""A folder becomes a manifest: nothing is lost, nothing is changed."""

import json
import os
import shutil
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas
import pytest
import soundfile

from core.data.cleaning.clean import build_manifest, clean_manifest, require_usable
from core.data.ingest.folder import scan_folder
from core.data.items import Item, Reason, Status, excluded
from core.data.manifest import Manifest
from core.data.media.decode_audio import inspect_audio
from core.data.media.decode_image import inspect_image
from core.data.media.errors import MediaError
from core.errors import DataError, UsageError


def contents(root):
    """Bytes, mode and time of every file."""
    return {
        path.relative_to(root): (path.read_bytes(), path.stat().st_mode, path.stat().st_mtime_ns)
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }


@pytest.fixture
def dirty(write_listed, write_wav):
    """Ten listed pairs, five of them spoilt, and two loose files."""
    root = write_listed({"rain": 5, "fire": 5})
    (root / "audio/rain0.wav").write_bytes(b"")
    (root / "audio/rain1.wav").write_text("not found")
    picture = root / "frames/fire0.png"
    picture.write_bytes(picture.read_bytes()[:300])
    (root / "frames/fire1.png").unlink()
    soundfile.write(root / "audio/fire2.wav", np.zeros(48_000), 48_000)
    (root / "audio/x.wav.part").write_bytes(b"half")
    write_wav(root / "audio/spare.wav", seed=99)
    return root


def test_included_and_excluded_are_the_input(dirty):
    """Catches: an item that is neither kept nor named."""
    manifest = build_manifest(dirty, max_excluded_share=0.9)
    assert [sample.id for sample in manifest.samples] == [
        "fire3", "fire4", "rain2", "rain3", "rain4",
    ]  # fmt: skip
    assert {e.id: e.reason for e in manifest.exclusions} == {
        "rain0": Reason.EMPTY_AUDIO,
        "rain1": Reason.UNDECODABLE_AUDIO,
        "fire0": Reason.UNDECODABLE_IMAGE,
        "fire1": Reason.MISSING_IMAGE,
        "fire2": Reason.SILENT_AUDIO,
        "audio/x.wav.part": Reason.LEFTOVER,
        "audio/spare.wav": Reason.MISSING_IMAGE,
    }
    assert manifest.num_input == 12
    assert manifest.class_counts() == {"fire": 2, "rain": 3}
    assert all(e.detail for e in manifest.exclusions)


def test_both_faults_of_a_pair_are_reported(write_listed):
    """Catches: repairing the sound only to learn next that the picture is broken too."""
    root = write_listed({"rain": 2})
    (root / "audio/rain0.wav").write_bytes(b"")
    (root / "frames/rain0.png").write_bytes(b"")
    (exclusion,) = build_manifest(root, max_excluded_share=0.5).exclusions
    assert "sample of sound" in exclusion.detail
    assert "not a picture" in exclusion.detail


def test_the_folder_is_only_read(dirty):
    """Catches: moving, converting or touching the user's files."""
    before = contents(dirty)
    build_manifest(dirty, max_excluded_share=0.9)
    assert contents(dirty) == before


def test_progress_ends_at_the_total(dirty):
    """Catches: a bar that stops short or runs over."""
    seen = []
    build_manifest(dirty, max_excluded_share=0.9, progress=lambda *pair: seen.append(pair))
    assert seen == [(k, 9) for k in range(1, 10)]


def test_too_many_exclusions_stop_with_their_reasons(dirty):
    """Catches: a run on the remains of a mostly broken folder."""
    with pytest.raises(DataError, match=r"7 of 12 items .*58\.3%.*allowed 50\.0%") as caught:
        build_manifest(dirty, max_excluded_share=0.5)
    assert "leftover: 1 (such as audio/x.wav.part: a leftover" in str(caught.value)


def test_nothing_left_stops(write_listed):
    """Catches: an empty manifest when every share of exclusions is allowed."""
    root = write_listed({"rain": 1})
    (root / "audio/rain0.wav").write_bytes(b"")
    with pytest.raises(DataError, match="nothing is left"):
        build_manifest(root, max_excluded_share=1.0)


def test_a_class_without_a_usable_pair_stops(write_listed, tmp_path, write_wav, write_png):
    """Catches: a class that silently drops out of the comparison."""
    root = write_listed({"rain": 3, "fire": 1})
    (root / "audio/fire0.wav").write_bytes(b"")
    with pytest.raises(DataError, match="no usable pair in class 'fire'"):
        build_manifest(root, max_excluded_share=0.9)
    write_wav(tmp_path / "classes/rain/a.wav")
    write_png(tmp_path / "classes/rain/a.png")
    (tmp_path / "classes/siren").mkdir()
    with pytest.raises(DataError, match="no usable pair in class 'siren'"):
        build_manifest(tmp_path / "classes", max_excluded_share=0.9)


def test_an_impossible_share_is_refused(dirty):
    """Catches: 90 meant as per cent."""
    with pytest.raises(UsageError, match="max_excluded_share is 90"):
        build_manifest(dirty, max_excluded_share=90)


def test_equal_content_is_grouped_and_marked(write_listed):
    """Catches: one recording under two ids being both trained and tested on."""
    root = write_listed({"rain": 5, "fire": 1})
    shutil.copy(root / "audio/rain0.wav", root / "audio/rain3.wav")
    shutil.copy(root / "frames/rain3.png", root / "frames/rain4.png")
    shutil.copy(root / "frames/rain1.png", root / "frames/fire0.png")
    samples = {s.id: s for s in build_manifest(root, max_excluded_share=0).samples}
    assert samples["rain0"].source == samples["rain3"].source == samples["rain4"].source
    assert samples["fire0"].source == samples["rain1"].source
    assert len({sample.source for sample in samples.values()}) == 3
    assert {id_: s.duplicate_of for id_, s in samples.items() if s.duplicate_of} == {
        "rain1": "fire0",
        "rain3": "rain0",
        "rain4": "rain3",
    }


def test_a_saved_manifest_is_read_back_and_by_pandas(dirty, tmp_path):
    """Catches: a field lost on disk, or a file only we can read."""
    rows = json.loads((dirty / "metadata.json").read_text())
    rows[2]["attributes"] = {"pitch": 0.5}
    rows[3]["text"] = 'line\nbreak, "quotes" and <b>Ünïcode</b>'
    (dirty / "metadata.json").write_text(json.dumps(rows))
    manifest = build_manifest(dirty, max_excluded_share=0.9)
    manifest.save(tmp_path / "out")
    assert Manifest.load(tmp_path / "out") == manifest
    frame = pandas.read_parquet(tmp_path / "out/manifest.parquet").set_index("id")
    assert list(frame.index[frame.status == "included"]) == [s.id for s in manifest.samples]
    assert frame.loc["rain3", "caption"] == rows[3]["text"]
    reasons = frame.reason[frame.status == "excluded"]
    assert sorted(reasons) == sorted(e.reason.value for e in manifest.exclusions)


def test_a_moved_manifest_finds_its_media(dirty, tmp_path):
    """Catches: an absolute path kept on disk."""
    build_manifest(dirty, max_excluded_share=0.9).save(tmp_path / "out")
    (tmp_path / "elsewhere").mkdir()
    shutil.move(dirty, tmp_path / "elsewhere/media")
    shutil.move(tmp_path / "out", tmp_path / "elsewhere/out")
    manifest = Manifest.load(tmp_path / "elsewhere/out")
    assert (manifest.root / manifest.samples[0].audio_path).is_file()


def test_a_broken_manifest_is_refused(dirty, tmp_path):
    """Catches: a parquet error shown to the user, or another program's table taken for ours."""
    with pytest.raises(DataError, match="no manifest at"):
        Manifest.load(tmp_path)
    build_manifest(dirty, max_excluded_share=0.9).save(tmp_path / "out")
    path = tmp_path / "out/manifest.parquet"
    pandas.read_parquet(path).to_parquet(path)
    with pytest.raises(DataError, match="is not a manifest of format"):
        Manifest.load(tmp_path / "out")
    path.write_bytes(b"PAR1")
    with pytest.raises(DataError, match="cannot be read"):
        Manifest.load(tmp_path / "out")


def test_a_flipped_bit_of_a_manifest_is_never_another_manifest(dirty, tmp_path):
    """Catches: a damaged table read as other labels and paths, or an error nobody understands."""
    build_manifest(dirty, max_excluded_share=0.9).save(tmp_path)
    path, whole = tmp_path / "manifest.parquet", Manifest.load(tmp_path)
    content = path.read_bytes()
    num_refused = 0
    for place in range(4, len(content), 61):
        flipped = bytearray(content)
        flipped[place] ^= 1 << place % 8
        path.write_bytes(flipped)
        try:
            assert Manifest.load(tmp_path) == whole
        except DataError:
            num_refused += 1
    assert num_refused > 50


def test_a_manifest_that_does_not_add_up_is_refused(dirty):
    """Catches: code that drops an item on the way, or keeps one twice."""
    manifest = build_manifest(dirty, max_excluded_share=0.9)
    with pytest.raises(DataError, match=r"5 included \+ 6 excluded is not the input of 12"):
        replace(manifest, items=manifest.items[1:])
    sample = next(item for item in manifest.items if item.status is Status.INCLUDED)
    with pytest.raises(DataError, match="'fire3' is used by 2 samples"):
        replace(manifest, items=(sample, *manifest.items), num_input=13)


def test_a_row_without_what_its_status_promises_is_refused():
    """Catches: an exclusion without a reason, or a sample without its hashes."""
    with pytest.raises(DataError, match="excluded without detail"):
        excluded("x", Reason.LEFTOVER, None)
    with pytest.raises(DataError, match="candidate without source, audio_path, image_path"):
        Item("x", Status.CANDIDATE)


def test_a_whole_pair_that_no_list_names_is_out_as_unlisted(write_listed, write_wav, write_png):
    """Catches: a pair of unknown class kept, or told as broken."""
    root = write_listed({"rain": 3})
    write_wav(root / "backup/audio/old.wav", seed=50)
    write_png(root / "backup/frames/old.png", seed=50)
    manifest = build_manifest(root, max_excluded_share=0.5)
    (item,) = manifest.exclusions
    assert item.reason is Reason.NOT_LISTED
    assert "no list names the pair" in item.detail
    assert (item.audio_path, item.image_path) == ("backup/audio/old.wav", "backup/frames/old.png")
    assert clean_manifest(manifest).items == manifest.items  # cleaned again, the same


def test_what_was_not_asked_for_is_no_fault(dirty):
    """Catches: a list of 200,000 clips, of which 600 are on disk, refused as a dirty folder."""
    manifest = build_manifest(dirty, max_excluded_share=0.6)  # 7 faults of 12
    asked = [excluded(f"x{k}", Reason.NO_MEDIA, "not on disk") for k in range(100)]
    items = (*manifest.items, *asked)
    longer = replace(manifest, items=items, num_input=len(items))
    require_usable(longer, max_excluded_share=0.6)
    with pytest.raises(DataError, match="7 of 12 items"):
        require_usable(longer, max_excluded_share=0.5)


def into_pipe(path):
    path.unlink()
    os.mkfifo(path)


def into_folder(path):
    path.unlink()
    path.mkdir()


def into_device(path):
    path.unlink()
    path.symlink_to("/dev/zero")


@pytest.mark.parametrize("kind", ["audio/rain0.wav", "frames/rain0.png"])
@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (into_pipe, "a pipe"),
        (into_folder, "a folder"),
        (into_device, "a device"),
        (Path.unlink, "No such"),
    ],
)
def test_a_file_that_became_something_else_after_the_scan_is_left_out(
    write_listed, kind, spoil, said
):
    """Catches: a cleaning that waits for a writer of a pipe, or reads a device, without end."""
    root = write_listed({"rain": 3, "fire": 3})
    found = scan_folder(root).manifest()
    spoil(root / kind)
    done = []
    # A thread of its own, so that a cleaning that hangs fails this test and stops no other.
    cleaning = threading.Thread(target=lambda: done.append(clean_manifest(found)), daemon=True)
    cleaning.start()
    cleaning.join(timeout=60)
    assert done, "cleaning hangs"
    (left,) = done[0].exclusions
    assert (left.id, left.reason) == ("rain0", Reason.UNREADABLE)
    assert said in left.detail


@pytest.mark.parametrize("decode", [inspect_audio, inspect_image])
def test_a_pipe_is_refused_by_whoever_decodes(tmp_path, decode):
    """Catches: a page of examples, or a run, that waits for a pipe which cleaning has passed."""
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(MediaError, match="it is a pipe, not a file") as caught:
        decode(tmp_path / "pipe")
    assert caught.value.reason is Reason.UNREADABLE
