"""Which executor is asked for: what is refused, when, and what the help says of it."""

import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from core.errors import UsageError
from harness.cli.main import main
from harness.executors.opening import ExecutorKind, ExecutorOptions

RAY = ExecutorKind.RAY
Call = Callable[..., int]


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch) -> Iterator[Call]:
    """The command line inside this process; its exit code."""
    previous = {number: signal.getsignal(number) for number in (2, 15, 1)}

    def run(*words: str) -> int:
        monkeypatch.setenv("COLUMNS", "200")
        monkeypatch.setattr(sys, "argv", ["harness", *words])
        with pytest.raises(SystemExit) as stop:
            main()
        return int(stop.value.code or 0)

    yield run
    for number, handler in previous.items():
        signal.signal(number, handler)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"gpu_share": 0.0}, "--gpu-share 0; expected above 0"),
        ({"gpu_share": 1.5}, "--gpu-share 1.5; expected above 0"),
        ({"ray_address": "auto"}, "--ray-address needs --executor ray"),
        ({"store": "s3://bucket/runs"}, "--store needs --executor ray"),
        ({"kind": RAY, "store": "/shared/runs"}, "--store /shared/runs: expected a URL"),
        ({"kind": RAY, "store": "memory://runs"}, "private to one process"),
    ],
)
def test_options_that_mean_nothing_are_refused(options: dict[str, Any], message: str) -> None:
    """Catches: a share of nothing that divides by zero, an address or store that is unused."""
    with pytest.raises(UsageError, match=message):
        ExecutorOptions(**options)


@pytest.mark.parametrize(
    "words",
    [
        ("sweep", "--variant", "sonic", "--gpu-share", "0"),
        ("sweep", "--variant", "sonic", "--ray-address", "auto"),
        ("sweep", "--variant", "sonic", "--store", "s3://bucket/runs"),
        ("compare", "--store", "s3://bucket/runs"),
        ("compare", "--from", "one", "two", "--store", "s3://bucket/runs"),
    ],
)
def test_they_are_refused_before_anything_is_made(
    words: tuple[str, ...], call: Call, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Catches: minutes of reading data first, and the folder of a sweep that never was."""
    results = tmp_path / "results"
    more = () if "--from" in words else ("--data", str(tmp_path / "none"))
    assert call(*words, *more, "--results", str(results)) == 2
    assert words[-2] in capsys.readouterr().err
    assert not results.exists()


@pytest.mark.parametrize("command", ["compare", "sweep"])
def test_the_help_names_what_to_install_and_the_store(
    command: str, call: Call, capsys: pytest.CaptureFixture[str]
) -> None:
    """Catches: an extra that is taken for markup and left out of the help."""
    assert call(command, "--help") == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "branch-harness[ray]" in said
    assert "--store" in said
