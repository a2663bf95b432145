"""The command line as a user meets it: real processes, exit codes, clean output."""

import fcntl
import json
import os
import re
import select
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness.run.plan import RunRequest
from tests.harness.processes import HarnessProcess

HARNESS = [sys.executable, "-m", "harness"]
TIMEOUT_S = 300
MakeRequest = Callable[..., RunRequest]


def harness(*words: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*HARNESS, *words], capture_output=True, text=True, timeout=TIMEOUT_S, check=False, cwd=cwd
    )


Call = Callable[..., tuple[int, str, str]]


def words_of(request: RunRequest) -> list[str]:
    return request.words[1:]


def test_json_is_one_object_on_standard_output_and_nothing_else(finished: Any) -> None:
    """Catches: a library's line or a progress bar in what a script reads."""
    done = harness(*words_of(finished.request), "--json")
    assert done.returncode == 0, done.stderr
    payload = json.loads(done.stdout)
    assert list(payload) == ["run_id", "record", "status", "metrics"]
    assert payload["run_id"] == finished.record.run_id
    assert payload["status"] == "finished"
    metrics = finished.record.metrics
    assert payload["metrics"] == {n: v.model_dump(mode="json") for n, v in metrics.items()}
    assert Path(payload["record"]).is_file()


def test_an_unknown_variant_is_a_sentence_in_a_real_process() -> None:
    """Catches: a traceback for a typing mistake."""
    done = harness("run", "--variant", "sonik", "--json")
    assert done.returncode == 2
    told = json.loads(done.stdout)
    assert told["exit_code"] == 2
    assert "did you mean 'sonic'?" in told["error"]
    assert "did you mean 'sonic'?" in done.stderr
    assert "Traceback" not in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["--set", "stage2.lrr=1"], 2, "did you mean 'lr'"),
        (["--set", "stage2.lr"], 2, "KEY=VALUE"),
        (["--profile", "tinny"], 2, "did you mean 'tiny'"),
        (["--seed", "one"], 2, "'--seed'"),
        (["--data", "EMPTY"], 65, "holds no media"),
        (["--data", "MISSING"], 65, "no folder or lock file"),
        (["--profile", "sd15", "--data", "EMPTY"], 66, "hf download"),
        (["--profile", "sd15"], 66, "hf download"),
        (["--set", "foundation.clap=a/b/c"], 2, "neither a folder nor a hub id"),
    ],
)
def test_mistakes_end_in_a_sentence_and_their_exit_code(
    call: Call, tmp_path: Path, words: list[str], code: int, message: str
) -> None:
    """Catches: a traceback, a wrong exit code, a script that gets no object to read."""
    (tmp_path / "empty").mkdir()
    places = {"EMPTY": str(tmp_path / "empty"), "MISSING": str(tmp_path / "missing")}
    words = [places.get(word, word) for word in words]
    results = tmp_path / "results"
    got = call("run", "--variant", "sonic", *words, "--results", str(results), "--json")
    told = json.loads(got[1])
    assert (got[0], told["exit_code"], list(told)) == (code, code, ["error", "exit_code"])
    assert message in got[2]
    if message != "'--seed'":  # the parser's own sentence goes to standard error alone
        assert message in told["error"]
    plain = call("run", "--variant", "sonic", *words, "--results", str(results))
    assert (plain[0], plain[1]) == (code, "")
    assert "Traceback" not in got[2]
    assert not (results / "runs").exists()


def test_too_few_clips_of_a_class_are_named(call: Call, tmp_path: Path) -> None:
    """Catches: a class with an empty test part that nobody notices."""
    from core.embedded.corpus.folder import write_corpus

    write_corpus(tmp_path / "media", counts={"fire": 8, "siren": 2}, spoilt=False)
    data = ["--data", str(tmp_path / "media"), "--results", str(tmp_path / "results")]
    code, out, err = call("run", "--variant", "baseline", *data)
    assert (code, out) == (65, "")
    assert "siren" in err.splitlines()[-1]


def test_a_name_in_a_sentence_cannot_steer_the_terminal(call: Call, tmp_path: Path) -> None:
    """Catches: a file name that clears or colours the terminal from within an error."""
    name = "a\x1b[2J\x1b[31mb.csv"
    (tmp_path / name).write_text("no list")
    code, _, err = call("data", "ingest", str(tmp_path / name), "--out", str(tmp_path / "out"))
    assert code == 65
    assert "\x1b" not in err
    assert "b.csv is not a known source. understood layouts:\n  metadata: " in err


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_results_folder_that_is_read_only_is_a_sentence(call: Call, tmp_path: Path) -> None:
    """Catches: a PermissionError traceback."""
    results = tmp_path / "results"
    results.mkdir(mode=0o555)
    code, _, err = call("run", "--variant", "baseline", "--results", str(results))
    assert code == 1
    assert "cannot use" in err
    assert "Permission denied" in err


def test_a_results_path_that_is_a_file_is_a_sentence(call: Call, tmp_path: Path) -> None:
    """Catches: a NotADirectoryError or FileExistsError traceback."""
    (tmp_path / "results").write_text("a file")
    code, out, err = call("run", "--variant", "baseline", "--results", str(tmp_path / "results"))
    assert (code, out) == (2, "")
    assert "is a file" in err
    assert "Traceback" not in err


def test_a_dry_run_shows_the_plan_and_makes_no_run_folder(
    call: Call, small_request: MakeRequest, finished: Any
) -> None:
    """Catches: a look that leaves a half-started run behind."""
    request = small_request(seed=77)
    code, out, _ = call(*words_of(request), "--dry-run", "--json")
    plan = json.loads(out)
    assert code == 0
    assert (plan["status"], plan["seed"]) == ("new", 77)
    assert plan["steps"] == {"stage1": 2, "stage2": 2, "stage3": 1}
    assert not Path(plan["folder"]).exists()
    code, out, _ = call(*words_of(request), "--dry-run")
    assert plan["run_id"] in out


def test_show_and_list_read_the_record(call: Call, finished: Any) -> None:
    """Catches: a view that fails on a real record."""
    results = ["--results", str(finished.request.results)]
    code, out, _ = call("show", finished.record.run_id[:14], *results)
    assert code == 0
    assert finished.record.run_id in out
    code, out, _ = call("show", finished.record.run_id, *results, "--json")
    assert json.loads(out)["run_id"] == finished.record.run_id
    code, out, _ = call("list", "--runs", *results, "--json")
    assert finished.record.run_id in {row["run_id"] for row in json.loads(out)}
    code, out, _ = call("list", "--json")
    assert {row["name"] for row in json.loads(out)} >= {"baseline", "cutting_edge", "sonic"}


def wait_for(condition: Callable[[], bool], process: HarnessProcess) -> None:
    until = time.monotonic() + TIMEOUT_S
    while not condition():
        if process.poll() is not None or time.monotonic() > until:
            process.kill()
            pytest.fail(f"it ended too early: {process.communicate()[1]}")
        time.sleep(0.02)


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)], ids=["ctrl-c", "term"]
)
def test_a_signal_in_training_leaves_a_checkpoint_to_go_on_from(
    small_request: MakeRequest, number: signal.Signals, code: int
) -> None:
    """Catches: hours lost to Ctrl-C, a wrong exit code, a failed record for a stopped run."""
    from harness.run.plan import plan_run
    from harness.wording.display import Display

    request = small_request("stage1.steps=500", seed=int(number))
    folder = plan_run(request, display=Display()).folder
    process = HarnessProcess(words_of(request))
    events = folder / "events.jsonl"
    wait_for(lambda: events.is_file() and len(events.read_bytes()) > 0, process)
    process.send_signal(number)
    out, err = process.communicate(timeout=TIMEOUT_S)
    assert process.returncode == code, err
    assert out == ""
    assert "Traceback" not in err
    assert "run the same command again to go on" in err.splitlines()[-1]
    done = len(events.read_text().splitlines())
    assert [path.name for path in (folder / "checkpoints").iterdir()] == [f"step-{done:08d}"]
    assert not (folder / "record.json").exists()
    assert not (folder / "holder.json").exists()


def at_a_terminal_of_its_own() -> None:
    """In a child: standard input is its terminal, whose end it is told of, under nohup too."""
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


def test_a_closed_terminal_leaves_a_checkpoint_and_no_failure(small_request: MakeRequest) -> None:
    """Catches: a connection that drops and with it the steps since the last checkpoint; a run that
    fails because nobody reads what it prints."""
    from harness.records.folders import RunFolder
    from harness.records.sessions import SessionJournal
    from harness.run.plan import plan_run
    from harness.wording.display import Display

    request = small_request("stage1.steps=500", seed=61)
    files = RunFolder(plan_run(request, display=Display()).folder)
    ours, theirs = os.openpty()
    process = subprocess.Popen(
        [*HARNESS, *words_of(request)],
        stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True,
        preexec_fn=at_a_terminal_of_its_own,
    )  # fmt: skip
    os.close(theirs)
    until = time.monotonic() + TIMEOUT_S
    while not (files.events.is_file() and files.events.read_bytes()):
        assert process.poll() is None
        assert time.monotonic() < until
        if select.select([ours], [], [], 0.02)[0]:
            os.read(ours, 65536)
    os.close(ours)
    assert process.wait(TIMEOUT_S) == 129
    done = len(files.events.read_text().splitlines())
    assert [path.name for path in files.checkpoints.iterdir()] == [f"step-{done:08d}"]
    assert not files.record.exists()
    assert [session.how for session in SessionJournal(files.sessions).sessions] == ["stopped"]


def test_ctrl_c_outside_training_is_a_sentence_too(small_request: MakeRequest) -> None:
    """Catches: a traceback or a silent end while images are sampled."""
    from harness.run.plan import plan_run
    from harness.wording.display import Display

    request = small_request("sampling.steps=400", seed=50)
    folder = plan_run(request, display=Display()).folder
    process = HarnessProcess(words_of(request))
    wait_for(lambda: (folder / "weights.safetensors").is_file(), process)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=TIMEOUT_S)
    assert process.returncode == 130, err
    assert "Traceback" not in err
    assert re.search("stopped by SIGINT; run the same command again", err)
    assert not (folder / "record.json").exists()
    assert not (folder / "holder.json").exists()


def test_a_tilde_is_the_home_folder_in_every_path(
    call: Call, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Catches: `--out=~/x` making a folder called `~`; a traceback where there is no home."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    code, _, told = call("data", "show", "~/set")
    assert code == 65
    assert f"no manifest at {tmp_path}/home/set" in told
    code, _, _ = call("list", "--runs", "--results=~/r", "--json")
    assert (code, list(tmp_path.iterdir())) == (0, [])
    for words in (("run", "--data", "~nobody-here/y"), ("list", "--results=~nobody-here/y")):
        code, _, told = call(*words)
        assert code == 2
        assert "no home folder is known" in told
    assert list(tmp_path.iterdir()) == []
