"""The corpus on disk: whole or absent, in the user's layout, spoilt files included."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
from PIL import Image

from core.embedded.corpus.folder import write_corpus
from core.embedded.corpus.pairs import make_pair

COUNTS = {"fire": 3, "rain": 2}


def _hashes(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_the_corpus_is_the_users_layout(tmp_path: Path) -> None:
    """Catches: paths or keys that ingestion of the user's own metadata would not read."""
    write_corpus(tmp_path / "corpus", counts=COUNTS, spoilt=False)
    rows = json.loads((tmp_path / "corpus" / "metadata.json").read_text())
    assert len(rows) == 5
    for row in rows:
        assert list(row) == [
            "video_id",
            "audio_path",
            "image_path",
            "class",
            "text",
            "attributes",
        ]
        assert len(row["video_id"]) == 11
        assert row["audio_path"] == f"audio/{row['video_id']}.wav"
        info = soundfile.info(tmp_path / "corpus" / row["audio_path"])
        assert (info.samplerate, info.channels, info.subtype) == (48_000, 1, "PCM_16")
        with Image.open(tmp_path / "corpus" / row["image_path"]) as image:
            assert (image.size, image.mode) == ((64, 64), "RGB")


def test_files_hold_the_named_pairs(tmp_path: Path) -> None:
    """Catches: metadata attributes that are not those of the files beside them."""
    write_corpus(tmp_path / "corpus", seed=7, counts={"siren": 1}, spoilt=False)
    (row,) = json.loads((tmp_path / "corpus" / "metadata.json").read_text())
    pair = make_pair("siren", seed=7, namespace="corpus", index=0)
    clip, _ = soundfile.read(tmp_path / "corpus" / row["audio_path"], dtype="float32")
    np.testing.assert_allclose(clip, pair.clip, atol=1 / 32_000)
    assert row["attributes"]["pitch"] == pytest.approx(pair.attributes.pitch, abs=1e-6)


def test_two_writings_are_byte_for_byte_equal(tmp_path: Path) -> None:
    """Catches: clocks, sets or hash order in the files, which would move every split's hash."""
    for name in ("one", "two"):
        write_corpus(tmp_path / name, counts=COUNTS)
    assert _hashes(tmp_path / "one") == _hashes(tmp_path / "two")


def test_spoilt_files_come_on_top_of_the_good_pairs(tmp_path: Path) -> None:
    """Catches: a corpus with nothing to clean, or one whose damage eats into the good pairs."""
    write_corpus(tmp_path / "corpus", counts=COUNTS)
    folder = tmp_path / "corpus"
    rows = json.loads((folder / "metadata.json").read_text())
    assert len(rows) == 5 + 4
    empty = [row for row in rows if (folder / row["audio_path"]).stat().st_size == 78]
    assert len(empty) == 3
    assert all(soundfile.info(folder / row["audio_path"]).frames == 0 for row in empty)
    cut = []
    for row in rows:
        try:
            with Image.open(folder / row["image_path"]) as image:
                image.load()
        except OSError:
            cut.append(row["video_id"])
    assert len(cut) == 1
    wavs = {path.stem for path in (folder / "audio").glob("*.wav")}
    frames = {path.stem for path in (folder / "frames").iterdir()}
    listed = {row["video_id"] for row in rows}
    assert len(wavs - frames) == 1
    assert len(frames - wavs) == 1
    assert len(list((folder / "audio").glob("*.part"))) == 1
    assert listed == wavs & frames


def test_an_interrupted_writing_leaves_nothing_behind(tmp_path: Path) -> None:
    """Catches: a half-written folder that is later taken for a whole one."""

    def stop(done: int, total: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_corpus(tmp_path / "corpus", counts=COUNTS, progress=stop)
    assert list(tmp_path.iterdir()) == []


def test_a_second_writing_changes_nothing_and_other_settings_are_refused(tmp_path: Path) -> None:
    """Catches: a user's folder overwritten, and a corpus rendered again at every run."""
    folder = tmp_path / "corpus"
    write_corpus(folder, counts=COUNTS)
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    write_corpus(folder, counts=COUNTS)
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before
    with pytest.raises(FileExistsError, match="choose another folder"):
        write_corpus(folder, counts=COUNTS, seed=1)
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "notes.txt").write_text("mine")
    with pytest.raises(FileExistsError, match="choose another folder"):
        write_corpus(mine, counts=COUNTS)
    assert (mine / "notes.txt").read_text() == "mine"
