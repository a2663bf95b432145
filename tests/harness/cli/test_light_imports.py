"""Commands that read and print: they answer at once, without the libraries that compute."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib
import pytest

import harness
from harness.branches.describe import describe_variants

LoadedBy = Callable[..., list[str]]
HEAVY = ("torch", "diffusers", "transformers", "peft", "accelerate")

EVERY_HELP = """
import contextlib, io, sys
import typer
from harness.cli.main import app

HEAVY = {"torch", "diffusers", "transformers", "peft", "pandas", "scipy", "matplotlib", "numpy"}

def commands(command, words):
    yield words
    for name, inner in getattr(command, "commands", {}).items():
        yield from commands(inner, [*words, name])

root = typer.main.get_command(app)
for words in list(commands(root, [])):
    with contextlib.redirect_stdout(io.StringIO()) as said:
        root([*words, "--help"], standalone_mode=False)
    assert "Usage" in said.getvalue(), words
    assert not HEAVY & set(sys.modules), (words, HEAVY & set(sys.modules))
    print("help of", *words)
"""


def test_no_help_imports_the_heavy_libraries() -> None:
    """Catches: a --help that takes seconds because a module imports torch, or numpy for a word."""
    done = subprocess.run(
        [sys.executable, "-c", EVERY_HELP], capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    shown = done.stdout.splitlines()
    assert {"help of", "help of run", "help of data show", "help of convert clap"} <= set(shown)


def test_a_run_is_shown_and_listed_without_the_heavy_libraries(
    loaded_by: LoadedBy, finished: Any
) -> None:
    """Catches: `show` and `list --runs` that take six seconds to read one file of JSON."""
    results = str(finished.request.results)
    assert loaded_by("show", finished.record.run_id, "--results", results) == []
    assert loaded_by("list", "--runs", "--results", results) == []
    assert loaded_by("list", "--sweeps", "--results", results) == []
    assert loaded_by("list", "--comparisons", "--results", results) == []
    assert loaded_by("status", "--results", results) == []
    run_id = finished.record.run_id
    assert loaded_by("diff", run_id, run_id, "--results", results) == []


def test_a_plan_of_what_ships_counts_nothing(
    loaded_by: LoadedBy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Catches: a table that lacks a branch, so that every plan builds it again, for each card."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    results = str(tmp_path / "results")
    assert loaded_by("plan", "--profile", "sd15", "--seeds", "6", "--results", results) == []


def test_what_is_removed_reported_or_compared_needs_no_torch(
    loaded_by: LoadedBy, finished: Any, two_runs: tuple[Path, Path], tmp_path: Path
) -> None:
    """Catches: torch read for a hash of a caption, or for a table that pandas reads."""
    results = tmp_path / "results"
    shutil.copytree(finished.folder, results / "runs" / finished.folder.name)
    here = ["--results", str(results)]
    assert loaded_by("clean", *here) == []
    assert loaded_by("data", "cache", *here) == []
    assert loaded_by("report", finished.record.run_id, *here, of=HEAVY) == []
    words = ["--from", *map(str, two_runs), "--metric", "aic", *here]
    assert loaded_by("compare", *words, of=HEAVY) == []


def test_a_manifest_is_shown_without_the_heavy_libraries(
    loaded_by: LoadedBy, small_corpus: Path, tmp_path: Path
) -> None:
    """Catches: `data show` that imports what reads media, or what trains."""
    out = tmp_path / "set"
    done = subprocess.run(
        [sys.executable, "-m", "harness", "data", "ingest", str(small_corpus), "--out", str(out)],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert loaded_by("data", "show", str(out)) == []


def test_a_finished_run_returns_without_the_heavy_libraries(
    loaded_by: LoadedBy, finished: Any
) -> None:
    """Catches: a run that is done already and still imports what trains to say so."""
    assert loaded_by(*finished.request.words[1:]) == []


def test_branches_are_listed_without_the_heavy_libraries(
    loaded_by: LoadedBy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Catches: a `list` that builds every branch again to count the same parameters."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    described = describe_variants("tiny")  # counts, and keeps what it counted
    assert len(described) == 5
    assert loaded_by("list") == []


WITHOUT_TRAINING = """
import contextlib, io, os, sys


class Absent:
    def find_spec(name, path=None, target=None):
        if name in ("torch", "diffusers", "transformers", "peft", "safetensors"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Absent)
from harness.cli.main import main

def said(*words):
    sys.argv = ["harness", *words]
    code = 0
    with contextlib.redirect_stdout(io.StringIO()) as out:
        with contextlib.redirect_stderr(out):
            try:
                main()
            except SystemExit as stop:
                code = stop.code or 0
    return code, out.getvalue()

results, run, *request = sys.argv[1:]
here = ["--results", results]
for words in (["list"], ["list", "--runs", *here], ["show", run, *here], ["report", run, *here]):
    code, text = said(*words)
    assert code == 0, (words, text)
code, text = said(*request, "--seed", "99", *here)
assert code == 2, (code, text)
assert "needs torch, which is not installed; pip install 'branch-harness[train]'" in text, text
fresh = results + "-fresh"
at_it = ["--seeds", "2", "--results", fresh]
for words in ([*request, "--results", fresh], ["compare", *at_it], ["plan", "--measure", *at_it]):
    code, text = said(*words)
    assert code == 2, (words, code, text)
    assert "needs torch, which is not installed" in text, (words, text)
    assert not os.path.exists(fresh), words
data, lock = results + "-data", results + "-lock.json"
source = request[request.index("--data") + 1]
for words in (
    ["data", "ingest", source, "--out", data],
    ["data", "clean", data],
    ["data", "audit", data, "--no-clap"],
    ["data", "split", data, "--out", lock],
):
    code, text = said(*words)
    assert code == 0, (words, text)
"""


def test_an_installation_that_cannot_train_still_reads_results(
    finished: Any, tmp_path: Path
) -> None:
    """Catches: torch asked for by a command that reads, a traceback by one that trains, or half a
    minute of a corpus made and read before it says what is missing."""
    results = tmp_path / "results"
    shutil.copytree(finished.folder, results / "runs" / finished.folder.name)
    done = subprocess.run(
        [
            *(sys.executable, "-c", WITHOUT_TRAINING),
            *(str(results), finished.record.run_id, *finished.request.words[1:]),
        ],
        capture_output=True,
        text=True,
        timeout=300,
        cwd=tmp_path,
        env={
            **os.environ,
            "PYTHONPATH": str(Path(harness.__file__).parents[1]),
            "XDG_CACHE_HOME": str(tmp_path / "cache"),
            "MPLCONFIGDIR": matplotlib.get_configdir(),  # its list of fonts takes long to make
        },
    )
    assert done.returncode == 0, done.stderr
