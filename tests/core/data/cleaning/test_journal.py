"""What was decoded is not decoded again, and only that."""

import errno
import hashlib
import json
import os
import shutil

import pytest

import core.data.cleaning.clean as clean
from core.data.cleaning.clean import build_manifest
from core.data.items import Reason
from core.errors import NoSpaceError


@pytest.fixture
def decoded(monkeypatch):
    """Paths that were really decoded, in order."""
    seen = []
    inspect = clean.inspect_file

    def counted(path, **options):
        seen.append(path.name)
        return inspect(path, **options)

    monkeypatch.setattr(clean, "inspect_file", counted)
    return seen


@pytest.fixture
def root(write_listed):
    return write_listed({"rain": 3, "fire": 3})


def test_a_second_cleaning_decodes_nothing_and_finds_the_same(root, tmp_path, decoded):
    """Catches: facts, reasons or fingerprints that the journal does not bring back."""
    (root / "audio/fire0.wav").write_bytes(b"")
    first = build_manifest(root, max_excluded_share=0.9, journal=tmp_path / "j")
    assert len(decoded) == 12
    again = build_manifest(root, max_excluded_share=0.9, journal=tmp_path / "j")
    assert len(decoded) == 12
    assert again.items == first.items


def test_a_full_disk_names_the_journal_and_loses_nothing(root, tmp_path, decoded, monkeypatch):
    """Catches: 'No space left on device' without a place, or a cleaning that starts anew."""
    write, lines = os.write, []

    def full(handle, content):
        if content.startswith(b'{"key"'):
            lines.append(content)
            if len(lines) > 4:
                raise OSError(errno.ENOSPC, "No space left on device")
        return write(handle, content)

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", full)
        with pytest.raises(NoSpaceError, match=r"no space left to write .*journal"):
            build_manifest(root, max_excluded_share=0, journal=tmp_path / "journal")
    decoded.clear()
    assert (
        len(build_manifest(root, max_excluded_share=0, journal=tmp_path / "journal").samples) == 6
    )
    assert len(decoded) == 12 - 4


def test_only_a_changed_file_is_decoded_again(root, tmp_path, decoded, write_wav):
    """Catches: a replaced or repaired file judged by what lay there before."""
    (root / "audio/fire0.wav").write_bytes(b"")
    build_manifest(root, max_excluded_share=0.9, journal=tmp_path / "j")
    decoded.clear()
    write_wav(root / "audio/fire0.wav", seed=50)
    stat = (root / "frames/rain1.png").stat()
    os.utime(root / "frames/rain1.png", ns=(stat.st_atime_ns, stat.st_mtime_ns + 1))
    manifest = build_manifest(root, max_excluded_share=0, journal=tmp_path / "j")
    assert sorted(decoded) == ["fire0.wav", "rain1.png"]
    assert len(manifest.samples) == 6


def test_a_file_changed_behind_its_size_and_time_is_decoded_again(root, tmp_path, decoded):
    """Catches: the old hash remembered, so that cleaning and splitting again never helps."""
    build_manifest(root, max_excluded_share=0, journal=tmp_path / "j")
    decoded.clear()
    path = root / "audio/fire0.wav"
    stat, content = path.stat(), bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    manifest = build_manifest(root, max_excluded_share=0, journal=tmp_path / "j")
    assert decoded == ["fire0.wav"]
    expected = hashlib.sha256(content).hexdigest()
    assert {s.id: s.audio_sha256 for s in manifest.samples}["fire0"] == expected


def test_another_window_is_judged_anew(root, tmp_path, decoded):
    """Catches: levels of ten seconds reported for three."""
    build_manifest(root, max_excluded_share=0, journal=tmp_path / "j", window_s=10.0)
    decoded.clear()
    build_manifest(root, max_excluded_share=0, journal=tmp_path / "j", window_s=0.6)
    assert len(decoded) == 12


@pytest.mark.parametrize(
    "damage",
    [
        lambda lines: b"\n".join(lines)[:-40],
        lambda lines: b"\n".join([*lines[:-1], lines[-1][:30], b""]),
        lambda lines: b"\n".join([b"\xff\xfe nonsense", *lines[:-1], b"[]", b'{"key": 3}', b""]),
    ],
    ids=["torn", "torn and closed", "nonsense"],
)
def test_a_damaged_line_costs_one_decode_and_harms_no_other(root, tmp_path, decoded, damage):
    """Catches: a journal that a kill made unreadable, or new lines glued to a torn one."""
    journal = tmp_path / "j"
    whole = build_manifest(root, max_excluded_share=0, journal=journal)
    journal.write_bytes(damage(journal.read_bytes().splitlines()))
    decoded.clear()
    assert build_manifest(root, max_excluded_share=0, journal=journal).items == whole.items
    assert len(decoded) == 1
    decoded.clear()
    build_manifest(root, max_excluded_share=0, journal=journal)
    assert decoded == []


def test_a_file_that_could_not_be_read_is_tried_again(root, tmp_path, decoded, monkeypatch):
    """Catches: a disk's hiccup kept as the truth about a file."""
    hash_file = "core.data.media.inspection.file_sha256"

    def broken(path):
        raise OSError(5, os.strerror(5))

    with monkeypatch.context() as patch:
        patch.setattr(hash_file, broken)
        with pytest.raises(Exception, match="nothing is left") as caught:
            build_manifest(root, max_excluded_share=1, journal=tmp_path / "j")
    assert Reason.UNREADABLE.value in str(caught.value)
    assert "Input/output error" in str(caught.value)
    decoded.clear()
    assert len(build_manifest(root, max_excluded_share=0, journal=tmp_path / "j").samples) == 6


def test_a_file_that_two_pairs_name_is_decoded_once(root, decoded):
    """Catches: a frame shared by many clips decoded for each of them."""
    rows = json.loads((root / "metadata.json").read_text())
    for row in rows:
        row["image_path"] = rows[0]["image_path"]
    (root / "metadata.json").write_text(json.dumps(rows))
    for path in sorted((root / "frames").iterdir())[1:]:
        if path.name != rows[0]["image_path"].split("/")[1]:
            path.unlink()
    manifest = build_manifest(root, max_excluded_share=0.5)
    assert decoded.count(rows[0]["image_path"].split("/")[1]) == 1
    assert len(manifest.samples) == 6


def test_without_a_journal_nothing_is_written(root, tmp_path):
    """Catches: a journal left in the user's folder by `harness run --data`."""
    before = sorted(tmp_path.rglob("*"))
    build_manifest(root, max_excluded_share=0)
    assert sorted(tmp_path.rglob("*")) == before
    shutil.rmtree(root)
