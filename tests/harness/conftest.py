"""A small corpus on disk, a request that trains on it for a few steps, and one finished run."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from core.embedded.corpus.folder import write_corpus
from harness.cli.main import main
from harness.records.record import RunRecord
from harness.run.plan import RunRequest
from harness.run.run import run
from harness.wording.display import Display

OVERRIDES = (
    "stage1.steps=2",
    "stage2.steps=2",
    "stage3.steps=1",
    "stage1.warmup_steps=0",
    "stage2.warmup_steps=0",
    "training.micro_batch=2",
    "training.validate_every=9",
    "training.validation_draws=1",
    "sampling.steps=1",
)


HEAVY = ("torch", "diffusers", "transformers", "peft", "accelerate")
ANALYSIS = ("pandas", "scipy", "matplotlib", "optuna")
_LOADED = "modules that were loaded: "
Violations = Callable[[Page], list[str]]
LoadedBy = Callable[..., list[str]]
Call = Callable[..., tuple[int, str, str]]


@dataclass(frozen=True)
class FinishedRun:
    """A run that was made once for the whole session; tests must leave its folder as it is."""

    request: RunRequest
    record: RunRecord
    folder: Path


@pytest.fixture(scope="session")
def loaded_by() -> LoadedBy:
    """Which of the heavy libraries a command imports, in a process of its own."""

    def run(*words: str, of: Sequence[str] = HEAVY + ANALYSIS) -> list[str]:
        script = (
            "import sys\n"
            f"sys.argv = ['harness', *{list(words)!r}]\n"
            "from harness.cli.main import main\n"
            "try: main()\n"
            "except SystemExit as stop: assert not stop.code, stop.code\n"
            f"print({_LOADED!r} + ' '.join(sorted(set({list(of)!r}) & set(sys.modules))))"
        )
        done = subprocess.run(
            [sys.executable, "-c", script], capture_output=True, text=True, timeout=300
        )
        assert done.returncode == 0, done.stderr
        *_, last = done.stdout.splitlines()
        assert last.startswith(_LOADED), done.stdout
        return last.removeprefix(_LOADED).split()

    return run


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Call]:
    """The entry point inside this process: exit code, standard output, standard error."""
    previous = {number: signal.getsignal(number) for number in (2, 15, 1)}

    def run(*words: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["harness", *map(str, words)])
        try:
            main()
            code = 0
        except SystemExit as stop:
            code = stop.code if isinstance(stop.code, int) else 1
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    yield run
    for number, handler in previous.items():
        signal.signal(number, handler)


@pytest.fixture(scope="session")
def small_corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three classes, the first with two test clips to shuffle; spoilt files among them."""
    folder = tmp_path_factory.mktemp("corpus") / "media"
    write_corpus(folder, counts={"fire": 16, "siren": 5, "thunder": 5}, spoilt=True)
    return folder


@pytest.fixture(scope="session")
def small_request(
    small_corpus: Path, tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., RunRequest]:
    """A run of a few steps; all requests share one results folder and so its caches."""
    results = tmp_path_factory.mktemp("results")

    def make(*overrides: str, **changes: Any) -> RunRequest:
        words: dict[str, Any] = {
            "variant": "baseline",
            "overrides": (*OVERRIDES, *overrides),
            "data": str(small_corpus),
            "results": results,
        }
        return RunRequest(**{**words, **changes})

    return make


@pytest.fixture(scope="session")
def finished(small_request: Callable[..., RunRequest], one_thread: None) -> FinishedRun:
    """One run from end to end."""
    request = small_request()
    record = run(request, display=Display())
    return FinishedRun(request, record, request.results / "runs" / record.run_id)


@pytest.fixture(scope="session")
def violations() -> Violations:
    """What axe-core finds wrong for readers of a page: the rule, and the elements that break it."""
    source = (files("axe_playwright_python") / "axe.min.js").read_text(encoding="utf-8")

    def found(page: Page) -> list[str]:
        page.evaluate(source)
        rows = page.evaluate(
            """async () => (await axe.run()).violations.map(
              v => [v.id, v.help, ...v.nodes.slice(0, 3).map(n => n.html.slice(0, 120))])"""
        )
        return [": ".join(row) for row in rows]

    return found


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Headless chromium that reaches nothing; without one CI fails and others skip, aloud."""
    path = shutil.which("chromium")
    if path is None:
        sentence = "chromium is not installed; `apt-get install chromium` gives it"
        if os.environ.get("CI"):
            pytest.fail(sentence)
        pytest.skip(sentence)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=path,
            args=["--no-sandbox", "--host-resolver-rules=MAP * ~NOTFOUND"],
        )
        yield browser
        browser.close()
