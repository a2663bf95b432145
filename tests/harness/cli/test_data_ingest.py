"""`harness data ingest` and `show` as a user and a script run them."""

import json
import os
import subprocess
import sys

import numpy as np
import pandas
import pytest
import soundfile
from PIL import Image
from typer.testing import CliRunner

from harness.cli.commands.data import data_app
from harness.records.lock import held

HOSTILE = "<script>alert(1)<\n\x1b[31m[bold]red"


def invoke(*arguments):
    return CliRunner().invoke(data_app, [str(argument) for argument in arguments])


@pytest.fixture
def media(tmp_path):
    """Two classes of three pairs, one of them with a hostile name, a leftover and an orphan."""
    root = tmp_path / "media"
    generator = np.random.default_rng(0)
    for class_name in ("rain", HOSTILE):
        (root / class_name).mkdir(parents=True)
        for index in range(3):
            path = root / class_name / f"{index}.wav"
            soundfile.write(path, 0.1 * generator.standard_normal(24_000), 24_000)
            pixels_HWC = generator.integers(0, 256, (32, 40, 3), np.uint8)
            Image.fromarray(pixels_HWC).save(path.with_suffix(".png"))
    (root / "rain/x.wav.part").write_bytes(b"half")
    (root / "rain/0.png").unlink()
    return root


def test_a_process_writes_one_table_and_prints_one_object(tmp_path, media):
    """Catches: progress on standard output, a table pandas cannot read, counts that do not add."""
    done = subprocess.run(
        [sys.executable, "-m", "harness", "data", "ingest", str(media), "--out", "set", "--json"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": os.getcwd()},
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["num_input"] == 7 == sum(told["status"].values())
    assert told["status"] == {"candidate": 5, "included": 0, "excluded": 2}
    assert told["reasons"] == {"missing_image": 1, "leftover": 1}
    assert told["classes"][HOSTILE] == {"candidate": 3, "included": 0, "excluded": 0}
    frame = pandas.read_parquet(tmp_path / "set/manifest.parquet")
    assert len(frame) == 7
    assert frame.status.value_counts().to_dict() == {"candidate": 5, "excluded": 2}
    assert sorted(path.name for path in (tmp_path / "set").iterdir()) == [
        "manifest.parquet",
        "run.lock",
    ]


def test_reading_a_folder_does_not_import_torch():
    """Catches: `harness data ingest` and `clean` that take seconds before they start."""
    script = (
        "import sys\n"
        "import core.data.ingest.ingest, harness.data.clean\n"
        "import harness.report.terminal.data, harness.wording.display\n"
        "print('loaded:', sorted({'torch', 'transformers', 'av'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert "loaded: []" in done.stdout, done.stderr


def test_show_filters_counts_and_pages(tmp_path, media):
    """Catches: a filter that is ignored, a page that skips or repeats a row."""
    assert invoke("ingest", media, "--out", tmp_path / "set").exit_code == 0
    whole = json.loads(invoke("show", tmp_path / "set", "--json").stdout)
    assert (whole["num_matching"], len(whole["items"])) == (7, 7)
    pages = [
        json.loads(invoke("show", tmp_path / "set", "--rows", 3, "--page", k, "--json").stdout)
        for k in (1, 2, 3)
    ]
    assert [item["id"] for page in pages for item in page["items"]] == [
        item["id"] for item in whole["items"]
    ]
    for filters, ids in (
        (["--class", "rain"], {"rain.0", "rain.1", "rain.2"}),
        (["--class", "rain", "--status", "candidate"], {"rain.1", "rain.2"}),
        (["--reason", "leftover"], {"rain/x.wav.part"}),
        (["--id", "rain.0"], {"rain.0"}),
    ):
        found = json.loads(invoke("show", tmp_path / "set", *filters, "--json").stdout)
        assert {item["id"] for item in found["items"]} == ids
        assert found["num_input"] == 7
    (orphan,) = json.loads(invoke("show", tmp_path / "set", "--id", "rain.0", "--json").stdout)[
        "items"
    ]
    assert orphan["detail"] == "no picture named '0' for rain/0.wav"
    assert orphan["excluded_by"] == "ingest"


def test_names_reach_a_terminal_as_plain_text(tmp_path, media):
    """Catches: a file name that colours, clears or rewrites the user's terminal, or its markup."""
    assert invoke("ingest", media, "--out", tmp_path / "set").exit_code == 0
    for words in (["--rows", "20"], ["--id", f"{HOSTILE}.1"], ["--class", HOSTILE]):
        shown = invoke("show", tmp_path / "set", *words).stdout
        assert "\x1b" not in shown
        assert "<script>" in shown
        assert "\ufffd[31m[bold]red" in "".join(
            line.strip("│┃ ") for line in shown.splitlines()
        ).replace(" ", "")


def test_a_list_of_many_labels_stays_readable(tmp_path, media):
    """Catches: 309 lines of labels of which nothing is on disk, the user's own among them."""
    lines = [f"id{k},0,label {k:03},train" for k in range(60)]
    (tmp_path / "v.csv").write_text("\n".join([*lines, "1,0,zither,train"]))
    done = invoke(
        "ingest", tmp_path / "v.csv", "--media", media / "rain", "--out", tmp_path / "set"
    )
    assert "and 22 classes with fewer pairs" in done.stdout
    assert "zither" in done.stdout
    assert "label 058" not in done.stdout
    told = json.loads(invoke("show", tmp_path / "set", "--rows", 0, "--json").stdout)
    assert len(told["classes"]) == 62  # 60 labels, zither, and the loose files without a class


def test_the_summary_says_what_comes_next_and_what_changed(tmp_path, media):
    """Catches: a second ingest that looks like the first."""
    first = invoke("ingest", media, "--out", tmp_path / "set").stdout
    assert "7 items: 5 candidate, 2 excluded" in first
    assert f"next: harness data clean {tmp_path / 'set'}" in first.replace("\n", "")
    assert "nothing changed" in invoke("ingest", media, "--out", tmp_path / "set").stdout
    (media / "rain/y.wav.part").write_bytes(b"half")
    assert "1 new items, 0 gone" in invoke("ingest", media, "--out", tmp_path / "set").stdout


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["ingest", "MEDIA", "--out", "MEDIA/set"], 2, "lies in the source"),
        (["ingest", "MISSING", "--out", "SET"], 65, "no folder or file"),
        (["ingest", "EMPTY", "--out", "SET"], 65, "holds no media"),
        (["ingest", "MEDIA", "--out", "SET", "--kind", "classs"], 2, "did you mean 'classes'"),
        (["ingest", "MEDIA", "--out", "SET", "--label-file", "MISSING"], 2, "not readable as CSV"),
        (["ingest", "MEDIA", "--out", "SET", "--labels", "nothing"], 2, "no label map"),
        (["show", "EMPTY"], 65, "no manifest at"),
    ],
)
def test_mistakes_end_in_a_sentence_and_write_nothing(tmp_path, media, words, code, message):
    """Catches: a traceback, a wrong exit code, a half-made folder, a file put into the source."""
    (tmp_path / "empty").mkdir()
    places = {"MEDIA": media, "EMPTY": tmp_path / "empty", "SET": tmp_path / "set"}
    places["MISSING"] = tmp_path / "missing"
    for name, path in places.items():
        words = [word.replace(name, str(path)) for word in words]
    before = {path: path.stat().st_mtime_ns for path in [media, *media.rglob("*")]}
    done = invoke(*words)
    assert (done.exception.exit_code, done.stdout) == (code, "")
    assert message in str(done.exception)
    assert {path: path.stat().st_mtime_ns for path in [media, *media.rglob("*")]} == before
    assert not (tmp_path / "set/manifest.parquet").exists()


def test_a_filter_that_nothing_has_is_a_mistake(tmp_path, media):
    """Catches: an empty page for a mistyped class."""
    invoke("ingest", media, "--out", tmp_path / "set")
    for words, message in (
        (["--class", "rian"], "no item of class 'rian' in the manifest; did you mean 'rain'?"),
        (["--flag", "loud"], "no item of flag 'loud'"),
        (["--id", "rain.9"], "did you mean 'rain."),
    ):
        error = invoke("show", tmp_path / "set", *words).exception
        assert error.exit_code == 2
        assert message in str(error)


def test_two_ingests_into_one_folder_do_not_meet(tmp_path, media):
    """Catches: two writers of one manifest, the later one winning by chance."""
    (tmp_path / "set").mkdir()
    with held(tmp_path / "set"):
        error = invoke("ingest", media, "--out", tmp_path / "set").exception
    assert error.exit_code == 75
    assert f"process {os.getpid()}" in str(error)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a\n", "row 1: got ['a']; expected an id and a label"),
        ("id,label\na,\n", "row 2: got ['a', '']"),
        ("a,rain\na,fire\n", "row 2: 'a' is 'fire' here and 'rain' above"),
        ("id,label\n", "holds no row"),
    ],
)
def test_a_malformed_label_file_is_named_by_row(tmp_path, media, text, message):
    """Catches: a clip without its label because a line was skipped."""
    (tmp_path / "labels.csv").write_text(text)
    error = invoke(
        "ingest", media, "--out", tmp_path / "set", "--label-file", tmp_path / "labels.csv"
    ).exception
    assert error.exit_code == 65
    assert message in str(error)


@pytest.mark.parametrize("encoding", ["cp949", "latin-1", "ascii"])
def test_a_name_that_the_console_lacks_is_escaped(tmp_path, encoding):
    """Catches: a UnicodeEncodeError after the work was done, for an emoji or Hangul in a name."""
    for name in ("\U0001f436", "빗소리"):
        (tmp_path / "media" / name).mkdir(parents=True)
        (tmp_path / "media" / name / "a.wav").write_bytes(b"x")
        (tmp_path / "media" / name / "a.png").write_bytes(b"x")
    done = subprocess.run(
        [sys.executable, "-m", "harness", "data", "ingest", "media", "--out", "set"],
        capture_output=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": os.getcwd(), "PYTHONIOENCODING": encoding},
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert b"\\U0001f436" in done.stdout


def test_a_failed_ingest_leaves_nothing(tmp_path):
    """Catches: an --out that holds nothing but run.lock, and looks like a data folder."""
    (tmp_path / "media").mkdir()
    assert invoke("ingest", tmp_path / "media", "--out", tmp_path / "set").exit_code
    assert not (tmp_path / "set").exists()
