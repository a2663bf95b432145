"""`harness data clean` as a user runs it: whole, killed, twice at once."""

import json
import os
import signal
import time

import numpy as np
import pytest
import soundfile
from PIL import Image
from typer.testing import CliRunner

import core.data.cleaning.clean as core_clean
from core.data.cleaning.journal import JOURNAL_FILE
from core.data.manifest import Manifest
from core.errors import UsageError
from harness.cli.commands.data import data_app
from harness.records.lock import held
from tests.harness.processes import HarnessProcess

NUM_PAIRS = 24


def invoke(*arguments):
    return CliRunner().invoke(data_app, [str(argument) for argument in arguments])


@pytest.fixture
def media(tmp_path):
    """Pairs of long flacs, few of them different bytes, two of them broken."""
    root = tmp_path / "media"
    (root / "rain").mkdir(parents=True)
    generator = np.random.default_rng(0)
    for index in range(3):
        noise = 0.1 * generator.standard_normal(48_000 * 15)
        soundfile.write(tmp_path / f"{index}.flac", noise, 48_000)
    cells = generator.integers(0, 256, (5, 6, 3), dtype=np.uint8)
    Image.fromarray(cells).resize((640, 400)).save(tmp_path / "a.jpg")
    for index in range(NUM_PAIRS):
        os.link(tmp_path / f"{index % 3}.flac", root / f"rain/{index:02}.flac")
        os.link(tmp_path / "a.jpg", root / f"rain/{index:02}.jpg")
    for index in (7, 19):
        (root / f"rain/{index:02}.flac").unlink()
        (root / f"rain/{index:02}.flac").write_bytes(b"fLaC")
    return root


def stopped_by(number, folder, *, after):
    """Exit status and output of a cleaning that got this signal after so many files."""
    journal = folder / JOURNAL_FILE
    process = HarnessProcess(["data", "clean", str(folder), "--workers", "1"])
    try:
        deadline = time.monotonic() + 120
        while not journal.is_file() or journal.read_bytes().count(b"\n") < after:
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < deadline
            time.sleep(0.002)
        process.send_signal(number)
        return process.wait(60), process.communicate()[1]
    finally:
        process.kill()
        process.communicate()


def test_a_killed_cleaning_goes_on_where_it_was(media, tmp_path, monkeypatch):
    """Catches: starting anew after SIGKILL, a queue that runs on after SIGTERM, a lost item."""
    folder = tmp_path / "data"
    assert invoke("ingest", media, "--out", folder).exit_code == 0
    before = {path: path.stat().st_mtime_ns for path in media.rglob("*")}
    status, told = stopped_by(signal.SIGTERM, folder, after=6)
    assert status == 143
    assert "run the same command again" in told
    assert len(Manifest.load(folder).candidates) == NUM_PAIRS  # nothing is half-decided
    status, _ = stopped_by(signal.SIGKILL, folder, after=14)
    assert status == -signal.SIGKILL
    lines = (folder / JOURNAL_FILE).read_text().splitlines()
    assert len(lines) < 2 * NUM_PAIRS
    known = {(entry["key"][2], entry["key"][1]) for entry in map(json.loads, lines)}
    assert len(known) == len(lines) >= 14

    decoded = set()
    inspect = core_clean.inspect_file

    def noted(path, *, kind, window_s):
        decoded.add((path.relative_to(media).as_posix(), kind.value))
        return inspect(path, kind=kind, window_s=window_s)

    monkeypatch.setattr(core_clean, "inspect_file", noted)
    result = invoke("clean", folder, "--json")
    assert result.exit_code == 0, result.output
    strip = {(path.removeprefix("media/"), kind) for path, kind in known}
    assert not decoded & strip
    assert len(decoded) == 2 * NUM_PAIRS - len(known)
    data = json.loads(result.stdout)
    assert data["files_decoded"] == len(decoded)
    assert (data["included"], data["excluded"]) == (22, 2)
    resumed = Manifest.load(folder)
    assert core_clean.clean_manifest(resumed).items == resumed.items  # as if never stopped
    assert {path: path.stat().st_mtime_ns for path in media.rglob("*")} == before


def test_the_command_says_what_it_did(media, tmp_path):
    """Catches: counts that do not add up, or a page that is named and not written."""
    folder = tmp_path / "data"
    invoke("ingest", media, "--out", folder)
    data = json.loads(invoke("clean", folder, "--json").stdout)
    assert data["included"] + data["excluded"] == data["input"] == NUM_PAIRS
    assert data["files"] == 2 * NUM_PAIRS
    assert data["classes"] == {"rain": 22}
    assert sum(data["reasons"].values()) == 2
    assert data["duplicates"] == 21
    assert (folder / "cleaning.html").read_text().startswith("<!DOCTYPE html>")
    shown = invoke("clean", folder, "--anew").stdout
    assert len(set((folder / JOURNAL_FILE).read_text().splitlines())) == 2 * NUM_PAIRS
    assert "22 kept + 2 left out = 24 items (48 media files)" in shown
    assert "21 pairs have the identical sound or picture of another" in shown


def test_too_many_faults_are_shown_and_then_refused(media, tmp_path):
    """Catches: an error without the page and the manifest that explain it."""
    folder = tmp_path / "data"
    invoke("ingest", media, "--out", folder)
    result = invoke("clean", folder, "--max-excluded-share", "0.01")
    assert "2 of 24 items" in str(result.exception)
    assert "next: harness data split" not in result.stdout
    assert "undecodable_audio: 2" in str(result.exception)
    assert len(Manifest.load(folder).exclusions) == 2
    assert (folder / "cleaning.html").is_file()


def test_a_folder_in_use_or_without_a_manifest_is_refused(media, tmp_path):
    """Catches: two cleanings in one journal, or a folder made for a typing error."""
    folder = tmp_path / "data"
    missing = invoke("clean", tmp_path / "nowhere")
    assert "run harness data ingest first" in str(missing.exception)
    assert not (tmp_path / "nowhere").exists()
    invoke("ingest", media, "--out", folder)
    with held(folder):
        busy = invoke("clean", folder)
    assert "is being worked on by process" in str(busy.exception)
    assert len(Manifest.load(folder).candidates) == NUM_PAIRS


def test_a_run_on_a_folder_decodes_only_what_is_new(media, tmp_path, monkeypatch):
    """Catches: `harness run --data FOLDER` that decodes thousands of files for one more."""
    from harness.data.source import prepare_split
    from harness.settings.profile import DataSettings

    for index in range(NUM_PAIRS):  # a split needs clips of different content
        if index not in (7, 19):
            sound, shown = media / f"rain/{index:02}.flac", media / f"rain/{index:02}.jpg"
            sound.unlink()
            noise = 0.1 * np.random.default_rng(index).standard_normal(48_000)
            soundfile.write(sound, noise, 48_000)
            shown.unlink()
            cells = np.random.default_rng(index).integers(0, 256, (5, 6, 3), dtype=np.uint8)
            Image.fromarray(cells).resize((64, 40)).save(shown)
    decoded = []
    inspect = core_clean.inspect_file

    def noted(path, **options):
        decoded.append(path.name)
        return inspect(path, **options)

    monkeypatch.setattr(core_clean, "inspect_file", noted)

    def prepare():
        return prepare_split(
            str(media),
            settings=DataSettings(),
            results=tmp_path / "results",
            progress=lambda *_: None,
        )

    first = prepare()
    assert len(decoded) == 2 * NUM_PAIRS
    decoded.clear()
    soundfile.write(media / "rain/07.flac", 0.1 * np.random.default_rng(99).standard_normal(48_000),
                    48_000)  # fmt: skip
    second = prepare()
    assert decoded == ["07.flac"]
    assert len(second.split.samples) == len(first.split.samples) + 1


def test_a_page_of_the_users_own_is_not_replaced(media, tmp_path):
    """Catches: a file of the user's that happens to have our name, gone after a cleaning."""
    folder = tmp_path / "set"
    assert invoke("ingest", media, "--out", folder).exit_code == 0
    (folder / "cleaning.html").write_text("mine")
    refused = invoke("clean", folder)
    assert "would be replaced" in str(refused.exception)
    assert (folder / "cleaning.html").read_text() == "mine"
    assert not (folder / JOURNAL_FILE).exists()
    (folder / "cleaning.html").rename(tmp_path / "mine.html")
    assert invoke("clean", folder).exit_code == 0
    assert invoke("clean", folder, "--anew").exit_code == 0


@pytest.mark.parametrize("window", ["nan", "inf", "0", "-1", "1e-9", "1e9"])
def test_a_window_that_no_sound_has_is_a_sentence(media, tmp_path, window):
    """Catches: `cannot convert float NaN to integer`; a level of a billionth of a second."""
    words = ["ingest", str(media), "--out", str(tmp_path / "set")]
    assert CliRunner().invoke(data_app, words).exit_code == 0
    words = ["clean", str(tmp_path / "set"), f"--window-s={window}"]
    error = CliRunner().invoke(data_app, words).exception
    assert isinstance(error, UsageError)
    assert "expected 0.5 to 600" in str(error)
    words = ["ingest", str(media), "--out", str(tmp_path / "other"), f"--window-s={window}"]
    assert CliRunner().invoke(data_app, words).exit_code != 0
    assert not (tmp_path / "other").exists()
