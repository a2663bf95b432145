"""Names and text from anywhere: Unicode forms, encodings, slashes, labels, endings."""

import json
import os
import subprocess
import sys
import unicodedata
from pathlib import Path

import pytest

from core.data.cleaning.clean import build_manifest, require_usable
from core.data.ingest.folder import scan_folder
from core.data.ingest.ingest import ingest
from core.data.ingest.source import Options
from core.data.items import Reason
from core.data.labels import load_label_map
from core.data.manifest import Manifest
from core.data.splits.make import make_split
from core.errors import DataError
from core.text import read_text


def nfc(text):
    return unicodedata.normalize("NFC", text)


def nfd(text):
    return unicodedata.normalize("NFD", text)


def by_id(scan):
    return {item.id: item for item in scan.items}


def test_one_class_in_two_unicode_forms_is_one_class(tmp_path, pair):
    """Catches: a Mac's and a Windows' copy of a folder trained as two classes that print alike."""
    root = tmp_path / "media"
    pair(root / nfc("빗소리") / "a")
    pair(root / nfd("빗소리") / "b")
    pair(root / "dog" / "c")
    scan = scan_folder(root)
    assert scan.classes == ("dog", nfc("빗소리"))
    assert {item.class_name for item in scan.candidates} == {"dog", nfc("빗소리")}
    assert all((root / item.audio_path).is_file() for item in scan.candidates)
    assert any("NFD" in notice for notice in scan.manifest().notices)


def test_a_sound_and_a_picture_meet_across_unicode_forms(tmp_path, pair):
    """Catches: 'no picture named 파도0' where it lies."""
    root = tmp_path / "media"
    pair(root / "rain" / nfd("파도0"), root / "rain" / nfc("파도0"))
    (item,) = scan_folder(root).candidates
    assert (item.id, item.source) == (nfc("rain.파도0"), nfc("파도0"))
    assert item.audio_path == nfd("rain/파도0.wav")
    assert item.image_path == nfc("rain/파도0.png")


@pytest.mark.parametrize("listed", [nfc, nfd])
def test_a_list_names_files_in_either_form(tmp_path, pair, listed):
    """Catches: every row of a list called missing because another system wrote the paths."""
    root, disk = tmp_path / "media", nfd if listed is nfc else nfc
    pair(root / disk("소리") / disk("파도0"))
    row = {
        "video_id": listed("파도0"),
        "audio_path": listed("소리/파도0.wav"),
        "image_path": listed("소리/파도0.png"),
        "class": listed("파도"),
        "text": listed("파도 소리"),
    }
    (root / "metadata.json").write_text(json.dumps([row], ensure_ascii=False), encoding="utf-8")
    scan = scan_folder(root)
    (item,) = scan.items
    assert (item.id, item.class_name, item.caption) == (nfc("파도0"), nfc("파도"), nfc("파도 소리"))
    assert item.audio_path == disk("소리/파도0.wav")
    assert any("another Unicode form" in notice for notice in scan.notices)


def test_backslashes_and_letter_case_of_another_system_are_read(tmp_path, pair):
    """Catches: a list made on Windows of which no row is found."""
    root = tmp_path / "media"
    pair(root / "clips" / "a")
    pair(root / "clips" / "b")
    rows = [
        {"video_id": "a", "audio_path": "clips\\a.wav", "image_path": "clips\\a.png"},
        {"video_id": "b", "audio_path": "Clips\\B.WAV", "image_path": "Clips/B.png"},
    ]
    rows = [row | {"class": "rain", "text": "rain"} for row in rows]
    (root / "metadata.json").write_text(json.dumps(rows))
    scan = scan_folder(root)
    assert [(i.id, i.audio_path, i.image_path) for i in scan.items] == [
        ("a", "clips/a.wav", "clips/a.png"),
        ("b", "clips/b.wav", "clips/b.png"),
    ]
    assert any("2 paths" in notice and "backslashes" in notice for notice in scan.notices)


def test_a_backslash_path_does_not_leave_the_folder(tmp_path, pair, write_wav):
    """Catches: `..\\` read as `../` past the check."""
    root = tmp_path / "media"
    pair(root / "a")
    write_wav(tmp_path / "secret.wav")
    row = {"video_id": "a", "audio_path": "..\\secret.wav", "image_path": "a.png"}
    (root / "metadata.json").write_text(json.dumps([row | {"class": "x", "text": "x"}]))
    assert by_id(scan_folder(root))["a"].reason is Reason.OUTSIDE_ROOT


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-32"])
def test_text_of_any_marked_encoding_is_read(tmp_path, pair, encoding):
    """Catches: 'Unexpected UTF-8 BOM', and a first row or label that begins with U+FEFF."""
    root, mark = tmp_path / "media", "\ufeff" if encoding == "utf-16-le" else ""
    pair(root / "a")
    row = {
        "video_id": "a",
        "audio_path": "a.wav",
        "image_path": "a.png",
        "class": "비",
        "text": "비",
    }
    text = mark + json.dumps([row], ensure_ascii=False)
    (root / "metadata.json").write_text(text, encoding=encoding)
    assert scan_folder(root).classes == ("비",)
    labels = tmp_path / "map.toml"
    labels.write_text(f'{mark}[classes]\nrain = ["비"]\n', encoding=encoding)
    assert load_label_map(str(labels)).class_of(nfd("비")) == "rain"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("[]".encode("utf-16-le"), "UTF-16 without a byte order mark"),
        ('[{"text": "빗소리"}]'.encode("cp949"), "is not UTF-8"),
    ],
)
def test_an_encoding_without_a_mark_is_named(tmp_path, pair, content, words):
    """Catches: 'invalid start byte' as all that is said of a file from an old editor."""
    pair(tmp_path / "media" / "a")
    (tmp_path / "media" / "metadata.json").write_bytes(content)
    with pytest.raises(DataError, match=words):
        scan_folder(tmp_path / "media")


def test_classes_that_look_alike_are_said(tmp_path, pair):
    """Catches: `Rain` and `rain`, or a blank at the end, trained apart without a word."""
    root = tmp_path / "media"
    for name in ("Rain", "rain", "rain ", "r\u200bain", "dog"):
        pair(root / name / f"a{len(name)}{name[0]}")
    (notice,) = scan_folder(root).manifest().notices
    assert "'Rain', 'rain', 'rain ', 'r\\u200bain'" in notice
    assert "dog" not in notice


def test_class_folders_may_lie_in_a_folder_of_sounds_and_one_of_pictures(
    tmp_path, write_wav, write_png
):
    """Catches: `audio/rain/a.wav` and `frames/rain/a.png` not understood as a pair of rain."""
    root = tmp_path / "media"
    for index, name in enumerate(("rain", "dog")):
        write_wav(root / "Audio" / name / "a.wav", seed=index)
        write_png(root / "frames" / name / "a.png", seed=index)
    write_wav(root / "Audio" / "dog" / "b.wav", seed=7)
    scan = scan_folder(root)
    assert [(i.id, i.class_name, i.audio_path) for i in scan.candidates] == [
        ("dog.a", "dog", "Audio/dog/a.wav"),
        ("rain.a", "rain", "Audio/rain/a.wav"),
    ]
    assert by_id(scan)["dog.b"].reason is Reason.MISSING_IMAGE
    assert scan.classes == ("dog", "rain")


def test_every_file_is_counted_whatever_its_ending(tmp_path, pair, write_wav, write_png):
    """Catches: a phone's `.jfif` that is no input, and files that vanish from the count."""
    root = tmp_path / "media" / "rain"
    pair(root / "a")
    write_wav(root / "b.wav", seed=5)
    (write_png(root / "b.jpg", seed=5)).rename(root / "b.jfif")
    write_wav(root / "c.wave", seed=6, format="WAV")
    (write_png(root / "c.jpg", seed=6)).rename(root / "c.JPE")
    endings = ("heif", "jxl", "m4v", "mpg", "flv", "3gp", "ts", "amr", "caf", "weba", "aifc", "wmv")
    for ending in endings:
        (root / f"x.{ending}").write_bytes(b"x")
    for name in ("d.npy", "d.xyz", "noending", "clips.zip"):
        (root / name).write_bytes(b"x")
    for name in ("notes.md", "list.csv", ".DS_Store", "Thumbs.db", "README"):
        (root / name).write_bytes(b"x")
    manifest = build_manifest(tmp_path / "media", max_excluded_share=1.0)
    assert {s.id for s in manifest.samples} == {"rain.a", "rain.b", "rain.c"}
    counts = manifest.reason_counts()
    assert counts == {Reason.UNSUPPORTED_FORMAT: len(endings), Reason.UNKNOWN_ENDING: 4}
    assert manifest.num_input == 3 + len(endings) + 4


def test_features_beside_each_pair_do_not_make_a_folder_unusable(tmp_path, pair):
    """Catches: `.npy` files counted as broken input, so that a good folder is refused."""
    root = tmp_path / "media" / "rain"
    for index in range(3):
        pair(root / f"a{index}")
        for number in range(3):
            (root / f"a{index}.{number}.npy").write_bytes(b"x")
    manifest = build_manifest(tmp_path / "media", max_excluded_share=0.0)
    assert len(manifest.exclusions) == 9
    require_usable(manifest, max_excluded_share=0.0)


def test_text_beside_a_pair_is_its_caption(tmp_path, pair):
    """Catches: 'A scene with 10_rain sound' for a clip that somebody has described."""
    root = tmp_path / "media"
    for name in ("10_rain", "3_dog bark"):
        for index in range(3):
            pair(root / name / f"a{index}")
    (root / "10_rain/a0.txt").write_text("\ufeffheavy rain on tin\nanother line", encoding="utf-8")
    (root / "10_rain/a1.caption").write_text("", encoding="utf-8")
    (root / "10_rain/loose.txt").write_text("nothing", encoding="utf-8")
    (root / "3_dog bark/a2.txt").write_bytes("개".encode("cp949"))
    scan = scan_folder(root)
    items = by_id(scan)
    assert items["rain.a0"].caption == "heavy rain on tin"
    assert items["rain.a1"].caption == "A scene with rain sound"
    assert items["dog bark.a0"].class_name == "dog bark"
    assert items["dog bark.a2"].reason is Reason.UNREADABLE
    said = " ".join(scan.notices)
    assert "'10_rain' is read as the class 'rain'" in said
    assert "1 pairs have a text file next to them, or a caption in a list" in said
    assert "1 text files describe no pair and are not read, such as 10_rain/loose.txt" in said


def test_numbered_folders_that_would_become_one_keep_their_names(tmp_path, pair):
    """Catches: `1_rain` and `2_rain` merged."""
    for name in ("1_rain", "2_rain"):
        pair(tmp_path / "media" / name / "a")
    assert scan_folder(tmp_path / "media").classes == ("1_rain", "2_rain")


@pytest.mark.parametrize("form", ["jsonl", "csv"])
def test_a_list_by_file_name_gives_captions(tmp_path, pair, form):
    """Catches: the metadata of a Hugging Face folder left unread."""
    root, rows = tmp_path / "media", []
    for name in ("rain", "dog"):
        for index in range(2):
            pair(root / name / f"{name}{index}")
            rows.append({"file_name": f"{name}/{name}{index}.wav", "text": f"{name}, no. {index}"})
    lines = [json.dumps(row) for row in rows]
    if form == "csv":
        lines = ["file_name,text", *(f'{row["file_name"]},"{row["text"]}"' for row in rows)]
    (root / f"metadata.{form}").write_text("\n".join(lines) + "\n", encoding="utf-8-sig")
    items = by_id(scan_folder(root))
    assert items["rain.rain1"].caption == "rain, no. 1"
    assert items["dog.dog0"].caption == "dog, no. 0"


def test_a_list_by_file_name_can_give_the_classes(tmp_path, pair):
    """Catches: a flat Hugging Face folder refused although its list has a label a file."""
    root = tmp_path / "media"
    for index in range(2):
        pair(root / f"clip{index}")
    rows = ["file_name,label,text", "clip0.wav,rain,drops", "clip1.wav,dog,"]
    (root / "metadata.csv").write_text("\n".join(rows))
    items = by_id(scan_folder(root))
    assert (items["clip0"].class_name, items["clip0"].caption) == ("rain", "drops")
    assert items["clip1"].caption == "A scene with dog sound"


@pytest.mark.parametrize("form", ["jsonl", "csv"])
def test_our_own_rows_may_come_as_lines(tmp_path, pair, row, form):
    """Catches: rows with audio_path and image_path taken for a list of captions."""
    root = tmp_path / "media"
    for index in range(2):
        pair(root / "audio" / f"a{index}", root / "frames" / f"a{index}")
    rows = [row(f"a{index}", class_name="rain") for index in range(2)]
    lines = [json.dumps(one) for one in rows]
    if form == "csv":
        lines = [",".join(rows[0]), *(",".join(one.values()) for one in rows)]
    (root / f"metadata.{form}").write_text("\n".join(lines))
    scan = scan_folder(root)
    assert [(i.id, i.class_name) for i in scan.candidates] == [("a0", "rain"), ("a1", "rain")]


def test_a_malformed_line_of_a_caption_list_is_named(tmp_path, pair):
    """Catches: a traceback for one bad line of somebody's list."""
    pair(tmp_path / "media" / "rain" / "a")
    (tmp_path / "media" / "metadata.jsonl").write_text('{"file_name": "rain/a.wav"}\n[[')
    with pytest.raises(DataError, match=r"metadata\.jsonl, line 2 is not readable as JSON"):
        scan_folder(tmp_path / "media")


def test_text_that_no_caption_comes_from_is_said(write_listed):
    """Catches: sidecar captions that are overruled by a list without a word."""
    root = write_listed({"rain": 1})
    (root / "audio/rain0.txt").write_text("a caption")
    (notice,) = scan_folder(root).notices
    assert "1 text files next to the media are not read" in notice
    assert "metadata.json" in notice


def test_notices_reach_the_manifest_the_split_and_the_next_ingest(tmp_path, pair):
    """Catches: a notice that is printed once and kept nowhere."""
    root = tmp_path / "media"
    for name in ("Rain", "rain"):
        for index in range(3):
            pair(root / name / f"{name}{index}")
    ingest([root], tmp_path / "set", options=Options())
    assert "differ only in case" in Manifest.load(tmp_path / "set").notices[0]
    assert ingest([root], tmp_path / "set", options=Options()).is_unchanged
    split = make_split(build_manifest(root, max_excluded_share=0.0), cap=10, seed=0)
    assert "differ only in case" in split.notices[0]


def test_captions_that_are_too_long_or_not_english_are_counted(tmp_path, pair):
    """Catches: captions of a language model of which the telling words are never read."""
    root = tmp_path / "media" / "rain"
    for index, text in enumerate(
        ("a photo, " * 40 + "of rain", "비가 내린다", "caf\u00e9 rain", "x")
    ):
        pair(root / f"a{index}")
        (root / f"a{index}.txt").write_text(text, encoding="utf-8")
    said = scan_folder(tmp_path / "media").manifest().notices
    assert any(
        line.startswith("1 of 4 captions, such as that of 'rain.a0', are long") for line in said
    )
    assert any(
        line.startswith("1 of 4 captions, such as that of 'rain.a1', are not") for line in said
    )


def test_a_path_too_long_for_the_disk_is_missing(tmp_path, pair):
    """Catches: 'File name too long' ending the command for one row."""
    pair(tmp_path / "media" / "a")
    row = {"video_id": "a", "audio_path": "x" * 5000 + ".wav", "image_path": "a.png"}
    (tmp_path / "media" / "metadata.json").write_text(
        json.dumps([row | {"class": "x", "text": "x"}])
    )
    assert by_id(scan_folder(tmp_path / "media"))["a"].reason is Reason.MISSING_AUDIO


def test_files_of_a_system_are_neither_classes_nor_faults(tmp_path, pair):
    """Catches: a zip from a Mac refused for its `__MACOSX` and `._a.wav`, a disk's root for its
    `lost+found` and `$RECYCLE.BIN`, a network drive's folder for its thumbnails."""
    root = tmp_path / "media"
    for name in ("dog", "rain"):
        pair(root / name / "a")
        for folder in (root / name, root / "__MACOSX" / name):
            folder.mkdir(parents=True, exist_ok=True)
            for ending in ("wav", "png", "txt"):
                (folder / f"._a.{ending}").write_bytes(b"\0\5\x16\7Mac OS X")
        (root / name / "@eaDir" / "a.png").mkdir(parents=True)
        (root / name / "@eaDir" / "a.png" / "THUMB.jpg").write_bytes(b"x")
    (root / "._train_metadata.json").write_bytes(b"\0\5\x16\7Mac OS X")
    for name in ("$RECYCLE.BIN", "System Volume Information", "lost+found", "#recycle"):
        pair(root / name / "old")
    manifest = build_manifest(root, max_excluded_share=0.0)
    require_usable(manifest, max_excluded_share=0.0)
    assert {sample.id for sample in manifest.samples} == {"dog.a", "rain.a"}
    assert manifest.named_classes == ("dog", "rain")
    assert manifest.reason_counts() == {Reason.SYSTEM_FILE: 8 + 2 + 8}


@pytest.mark.parametrize("name", ["rain/a.txt", "rain/metadata.csv", "metadata.json", "rain/c.wav"])
def test_a_pipe_among_the_files_is_named_and_not_waited_for(tmp_path, pair, name):
    """Catches: ingest that waits for ever for a pipe's writer."""
    root = tmp_path / "media"
    pair(root / "rain" / "a")
    os.mkfifo(root / name)
    code = (
        "import sys; from pathlib import Path; from core.data.ingest.folder import scan_folder\n"
        "print(*(i.detail for i in scan_folder(Path(sys.argv[1])).exclusions))"
    )
    command = [sys.executable, "-c", code, str(root)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert "a pipe or a device" in done.stderr + done.stdout or "neither a file" in done.stdout


def test_a_pipe_of_the_shell_is_read(tmp_path):
    """Catches: `--label-file <(...)` refused with the pipes that lie among the files."""
    read, write = os.pipe()
    os.write(write, b"a,rain\n")
    os.close(write)
    assert read_text(Path(f"/dev/fd/{read}")) == "a,rain\n"
    os.close(read)
