"""Layouts of a data folder, found by name."""

import json
import os

import pytest

from core.data.ingest.folder import scan_folder
from core.data.items import Reason
from core.errors import DataError


def excluded(scan):
    return {exclusion.id: exclusion.reason for exclusion in scan.exclusions}


def test_rows_become_candidates(write_listed):
    """Catches: fields of a row going to the wrong place."""
    scan = scan_folder(write_listed({"rain": 1, "fire": 1}))
    assert [candidate.id for candidate in scan.candidates] == ["fire0", "rain0"]
    assert scan.candidates[1].class_name == "rain"
    assert scan.candidates[1].caption == "A scene with rain sound"
    assert scan.candidates[1].source == "rain0"
    assert scan.candidates[1].audio_path == "audio/rain0.wav"
    assert scan.candidates[1].image_path == "frames/rain0.png"
    assert scan.classes == ("fire", "rain")
    assert scan.num_input == 2


def test_attributes_are_read(write_listed, row):
    """Catches: losing what the sound is known to carry."""
    root = write_listed({"rain": 1})
    rows = [row("rain0", class_name="rain") | {"attributes": {"pitch": 0.25, "onset": 1}}]
    (root / "metadata.json").write_text(json.dumps(rows))
    assert scan_folder(root).candidates[0].attributes == {"pitch": 0.25, "onset": 1.0}


def test_several_lists_are_read_together_and_repeated_rows_count_once(write_listed, row):
    """Catches: a balanced list beside the full one doubling its clips."""
    root = write_listed({"rain": 3})
    rows = [row(f"rain{k}", class_name="rain") for k in range(3)]
    (root / "metadata.json").unlink()
    (root / "train_metadata.json").write_text(json.dumps(rows[:2]))
    (root / "test_metadata.json").write_text(json.dumps(rows[2:]))
    (root / "train_metadata_balanced.json").write_text(json.dumps(rows[:1]))
    assert scan_folder(root).num_input == 3


def test_one_id_with_two_meanings_is_refused(write_listed, row):
    """Catches: the later row silently winning."""
    root = write_listed({"rain": 1})
    rows = [row("rain0", class_name="rain"), row("rain0", class_name="fire")]
    (root / "metadata.json").write_text(json.dumps(rows))
    with pytest.raises(DataError, match=r"row 2: video_id 'rain0' is also in metadata.json, row 1"):
        scan_folder(root)


@pytest.mark.parametrize("field", ["video_id", "audio_path", "image_path", "class", "text"])
@pytest.mark.parametrize(
    ("value", "message"),
    [
        (None, "is null; expected text"),
        (7, "is the number 7; expected text"),
        ({}, "is an object; expected text"),
        ("  ", "is empty; expected text"),
        ("a\0b", "expected Unicode without NUL"),
        ("\ud800", "expected Unicode"),
        ("missing", "is missing; expected text"),
    ],
)
def test_a_malformed_field_is_named_with_its_row(write_listed, row, field, value, message):
    """Catches: a traceback, or a skipped row, instead of what to repair."""
    root = write_listed({"rain": 2})
    if field == "class" and value in (None, "missing"):
        return  # a row may have captions alone
    bad = row("rain1", class_name="rain") | {field: value}
    if value == "missing":
        del bad[field]
    (root / "metadata.json").write_text(json.dumps([row("rain0", class_name="rain"), bad]))
    with pytest.raises(DataError, match=rf"metadata\.json, row 2: field '{field}'.*") as caught:
        scan_folder(root)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "not readable as JSON"),
        ('{"a": 1}', "holds an object; expected a list"),
        ('["x"]', "row 1: got text; expected an object"),
        ("[" * 100_000, "not readable as JSON"),
        ('\xff\xfe"', "not readable as JSON"),
    ],
)
def test_a_list_that_is_no_list_is_refused(write_listed, text, message):
    """Catches: the parser's own error reaching the user."""
    root = write_listed({"rain": 1})
    (root / "metadata.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(DataError, match=message):
        scan_folder(root)


@pytest.mark.parametrize(
    "value", [{"pitch": "high"}, {"pitch": True}, {"pitch": float("nan")}, [1]]
)
def test_malformed_attributes_are_refused(write_listed, row, value):
    """Catches: NaN or text in what the scores compare with."""
    root = write_listed({"rain": 1})
    rows = [row("rain0", class_name="rain") | {"attributes": value}]
    (root / "metadata.json").write_text(json.dumps(rows))
    with pytest.raises(DataError, match=r"row 1: .*attribute"):
        scan_folder(root)


@pytest.mark.parametrize("id_", ["../../etc/cron", "a/b", "a\\b", ".."])
def test_an_id_that_could_leave_a_folder_is_refused(write_listed, row, id_):
    """Catches: `<id>.png` being written outside the results."""
    root = write_listed({"rain": 1})
    rows = [row("rain0", class_name="rain") | {"video_id": id_}]
    (root / "metadata.json").write_text(json.dumps(rows))
    with pytest.raises(DataError, match="'video_id'"):
        scan_folder(root)


def test_paths_that_leave_the_root_are_excluded(write_listed, write_wav, row):
    """Catches: reading files outside the data folder by `..`, by an absolute path or by a link."""
    root = write_listed({"rain": 5})
    outside = write_wav(root.parent / "secret.wav")
    (root / "audio/rain2.wav").unlink()
    (root / "audio/rain2.wav").symlink_to(outside)
    rows = [row(f"rain{k}", class_name="rain") for k in range(5)]
    rows[0]["audio_path"] = "../secret.wav"
    rows[1]["audio_path"] = str(outside)
    rows[3]["audio_path"] = "audio/../audio/rain3.wav"
    (root / "metadata.json").write_text(json.dumps(rows))
    scan = scan_folder(root)
    assert [candidate.id for candidate in scan.candidates] == ["rain3", "rain4"]
    assert scan.candidates[0].audio_path == "audio/rain3.wav"
    assert excluded(scan) == {
        "rain0": Reason.OUTSIDE_ROOT,
        "rain1": Reason.OUTSIDE_ROOT,
        "rain2": Reason.OUTSIDE_ROOT,
        "audio/rain0.wav": Reason.NOT_LISTED,
        "audio/rain1.wav": Reason.NOT_LISTED,
        # The frames of rows 0 to 2 are named by their rows, so they count there.
    }


def test_links_out_of_a_class_folder_are_excluded(tmp_path, write_wav, write_png):
    """Catches: following a linked file or a linked folder out of the root."""
    write_wav(tmp_path / "other/fire/a.wav")
    root = tmp_path / "media"
    write_wav(root / "rain/a.wav")
    write_png(root / "rain/a.png")
    (root / "rain/b.wav").symlink_to(tmp_path / "other/fire/a.wav")
    (root / "fire").symlink_to(tmp_path / "other/fire")
    (root / "again").symlink_to(root / "rain")
    (root / "rain/dangling.wav").symlink_to(root / "nowhere.wav")
    scan = scan_folder(root)
    assert [candidate.id for candidate in scan.candidates] == ["rain.a"]
    assert scan.classes == ("rain",)
    assert excluded(scan) == {
        "rain/b.wav": Reason.OUTSIDE_ROOT,
        "fire": Reason.OUTSIDE_ROOT,
        "again": Reason.NOT_A_FILE,
        "rain/dangling.wav": Reason.NOT_A_FILE,
    }


def test_missing_partners_are_named(write_listed):
    """Catches: an orphan that vanishes from the count."""
    root = write_listed({"rain": 3})
    (root / "audio/rain0.wav").unlink()
    (root / "frames/rain1.png").unlink()
    scan = scan_folder(root)
    assert excluded(scan) == {"rain0": Reason.MISSING_AUDIO, "rain1": Reason.MISSING_IMAGE}
    assert scan.num_input == 3
    assert "audio/rain0.wav" in scan.exclusions[0].detail


LEFTOVERS = ("x.wav.part", "x.mp4.ytdl", "x.webm", "x.temp.m4a", "x.webm.part", ".x.wav")


@pytest.mark.parametrize("name", LEFTOVERS)
def test_leftovers_of_a_download_are_excluded(write_listed, name):
    """Catches: an unfinished download taken for a clip, or not counted."""
    root = write_listed({"rain": 1})
    (root / "audio" / name).write_bytes(b"half")
    scan = scan_folder(root)
    assert excluded(scan) == {f"audio/{name}": Reason.LEFTOVER}
    assert scan.num_input == 2


def test_other_media_and_unlisted_files_are_excluded_and_text_is_no_input(write_listed, write_wav):
    """Catches: an m4a or a spare clip that nothing mentions."""
    root = write_listed({"rain": 1})
    (root / "audio/x.m4a").write_bytes(b"aac")
    write_wav(root / "audio/x.orig.wav")
    (root / "README.txt").write_text("hello")
    assert excluded(scan_folder(root)) == {
        "audio/x.m4a": Reason.UNSUPPORTED_FORMAT,
        "audio/x.orig.wav": Reason.MISSING_IMAGE,
    }


def test_an_unlisted_pair_is_looked_at_without_a_class(write_listed, write_wav, write_png):
    """Catches: clips that were set aside as broken being told as merely not listed."""
    root = write_listed({"rain": 1})
    write_wav(root / "backup/audio/a.wav")
    write_png(root / "backup/frames/a.png")
    write_wav(root / "backup/audio/rain0.wav")
    write_png(root / "audio/b.png")
    scan = scan_folder(root)
    (pair,) = (item for item in scan.candidates if item.class_name is None)
    assert (pair.audio_path, pair.image_path) == ("backup/audio/a.wav", "backup/frames/a.png")
    assert excluded(scan) == {
        "backup/audio/rain0.wav": Reason.NOT_LISTED,  # its id is listed, with another file
        "audio/b.png": Reason.MISSING_AUDIO,
    }
    assert [item.image_path for item in scan.exclusions] == ["audio/b.png", None]


def test_a_folder_of_classes_is_paired_by_name(tmp_path, write_wav, write_png):
    """Catches: nested audio and frames folders, upper-case endings or captions gone wrong."""
    write_wav(tmp_path / "dog_barking/a.WAV", format="WAV")
    write_png(tmp_path / "dog_barking/a.JPG")
    write_wav(tmp_path / "rain/audio/b.flac")
    write_png(tmp_path / "rain/images/b.png")
    write_wav(tmp_path / "rain/audio/c.wav")
    write_png(tmp_path / "rain/frames/c.webp")
    scan = scan_folder(tmp_path)
    assert [candidate.id for candidate in scan.candidates] == ["dog_barking.a", "rain.b", "rain.c"]
    assert scan.candidates[0].caption == "A scene with dog barking sound"
    assert scan.candidates[1].audio_path == "rain/audio/b.flac"
    assert scan.candidates[2].image_path == "rain/frames/c.webp"


def test_every_file_of_a_class_folder_is_counted_once(tmp_path, write_wav, write_png):
    """Catches: files lost between pairing, misplaced files and double partners."""
    write_wav(tmp_path / "rain/a.wav")
    write_png(tmp_path / "rain/a.png")
    write_wav(tmp_path / "rain/alone.wav")
    write_png(tmp_path / "rain/silent.png")
    write_wav(tmp_path / "rain/two.wav")
    write_png(tmp_path / "rain/two.png")
    write_png(tmp_path / "rain/two.jpg")
    write_wav(tmp_path / "loose.wav")
    write_wav(tmp_path / "rain/deep/er/b.wav")
    scan = scan_folder(tmp_path)
    assert excluded(scan) == {
        "rain.alone": Reason.MISSING_IMAGE,
        "rain.silent": Reason.MISSING_AUDIO,
        "rain.two": Reason.SEVERAL_FILES,
        "loose.wav": Reason.NOT_LISTED,
        "rain/deep/er/b.wav": Reason.NOT_LISTED,
    }
    assert scan.num_input == 6


def test_one_stem_in_two_classes_is_one_source(tmp_path, write_wav, write_png):
    """Catches: one video under two labels ending up in two parts of a split."""
    for class_name in ("rain", "thunder"):
        write_wav(tmp_path / class_name / "abc.wav")
        write_png(tmp_path / class_name / "abc.png")
    first, second = scan_folder(tmp_path).candidates
    assert first.id != second.id
    assert first.source == second.source == "abc"


def test_strange_names_work(tmp_path, write_wav, write_png):
    """Catches: names that break a path, a pattern or a file of names."""
    names = ["Hundegebell äöü", "two\nlines", "<script>alert(1)<", "犬", "100%", "[a-z]*"]
    for name in names:
        write_wav(tmp_path / name / f"{name}.wav")
        write_png(tmp_path / name / f"{name}.png")
    scan = scan_folder(tmp_path)
    assert {candidate.class_name for candidate in scan.candidates} == set(names)
    assert scan.exclusions == ()


def test_a_name_that_is_not_utf8_is_excluded(tmp_path, write_wav, write_png):
    """Catches: a manifest that cannot be written for one old file name."""
    write_wav(tmp_path / "rain/a.wav")
    write_png(tmp_path / "rain/a.png")
    with open(os.path.join(os.fsencode(tmp_path), b"rain/\xff.wav"), "wb") as file:
        file.write(b"x")
    (exclusion,) = scan_folder(tmp_path).exclusions
    assert exclusion.reason is Reason.UNREADABLE
    exclusion.id.encode()


def test_a_pipe_named_as_a_clip_is_excluded(tmp_path, write_wav, write_png):
    """Catches: waiting for ever on something that is not a file."""
    write_wav(tmp_path / "rain/a.wav")
    write_png(tmp_path / "rain/a.png")
    os.mkfifo(tmp_path / "rain/b.wav")
    assert excluded(scan_folder(tmp_path)) == {"rain/b.wav": Reason.NOT_A_FILE}


@pytest.mark.parametrize("pictures", ["frames", "images"])
def test_sounds_and_pictures_without_classes_are_explained(
    tmp_path, write_wav, write_png, pictures
):
    """Catches: `audio` and `frames` being taken for two classes."""
    write_wav(tmp_path / "audio/a.wav")
    write_png(tmp_path / pictures / "a.png")
    with pytest.raises(DataError, match=r"no class is given.*--class NAME.*--label-file") as caught:
        scan_folder(tmp_path)
    assert "metadata.json" in str(caught.value)


def test_a_missing_or_empty_folder_is_explained(tmp_path):
    """Catches: an empty manifest, or a traceback for a mistyped path."""
    with pytest.raises(DataError, match="no folder"):
        scan_folder(tmp_path / "nowhere")
    with pytest.raises(DataError, match="holds no media"):
        scan_folder(tmp_path)
