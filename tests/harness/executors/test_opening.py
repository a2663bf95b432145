"""Which executor is asked for: what is refused, when, and what the help says of it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from core.errors import UsageError
from harness.executors.opening import ExecutorKind, ExecutorOptions

RAY = ExecutorKind.RAY
Call = Callable[..., tuple[int, str, str]]


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
    words: tuple[str, ...], call: Call, tmp_path: Path
) -> None:
    """Catches: minutes of reading data first, and the folder of a sweep that never was."""
    results = tmp_path / "results"
    more = () if "--from" in words else ("--data", str(tmp_path / "none"))
    code, _, err = call(*words, *more, "--results", results)
    assert code == 2
    assert words[-2] in err
    assert not results.exists()


@pytest.mark.parametrize("command", ["compare", "sweep"])
def test_the_help_names_what_to_install_and_the_store(
    command: str, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Catches: an extra that is taken for markup and left out of the help."""
    monkeypatch.setenv("COLUMNS", "200")
    code, out, _ = call(command, "--help")
    assert code == 0
    said = " ".join(out.split())
    assert "branch-harness[ray]" in said
    assert "--store" in said
