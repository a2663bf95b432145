"""The example packages: each is a package of its own that is found, planned and keeps its tests."""

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from harness.branches.registry import ENTRY_POINT_GROUP, find_variant

ROOT = Path(__file__).parents[3]
PACKAGES = sorted(path.parent for path in (ROOT / "examples").glob("*/pyproject.toml"))
EXAMPLES = [
    path
    for path in PACKAGES
    if ENTRY_POINT_GROUP
    in tomllib.loads((path / "pyproject.toml").read_text())["project"].get("entry-points", {})
]


def points_of(example: Path) -> dict[str, str]:
    """Its branches: name and `module:attribute`."""
    project = tomllib.loads((example / "pyproject.toml").read_text())["project"]
    return project["entry-points"][ENTRY_POINT_GROUP]


def test_there_is_an_example() -> None:
    """Catches: tests of examples that pass because none is found."""
    assert {path.name for path in EXAMPLES} >= {"hierarchical", "audio_token", "ip_adapter"}
    assert "separator" in {path.name for path in PACKAGES}


@pytest.mark.parametrize("example", PACKAGES, ids=lambda path: path.name)
def test_an_example_passes_its_own_tests_outside_this_repository(
    example: Path, tmp_path: Path
) -> None:
    """Catches: an example that no longer keeps the contract, or only runs beside our conftest."""
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(example)],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(example), str(ROOT)])},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert " passed" in done.stdout


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.name)
def test_an_example_is_found_by_its_entry_point(
    example: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Catches: an entry point that names nothing, or settings that import torch."""
    info = tmp_path / f"{example.name}-0.1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {example.name}\nVersion: 0.1.0\n")
    lines = [f"{name} = {target}" for name, target in points_of(example).items()]
    (info / "entry_points.txt").write_text("\n".join([f"[{ENTRY_POINT_GROUP}]", *lines, ""]))
    for folder in (example, tmp_path):
        monkeypatch.syspath_prepend(str(folder))
    before = set(sys.modules)
    try:
        for name in points_of(example):
            found = find_variant(name)
            assert found.load_config().__name__ == found.load().Config.__name__
            assert found.load().name == name
            assert not found.is_built_in
            assert found.sources.resolve() == (example / name).resolve()
    finally:
        for module in {m for m in sys.modules if m.split(".")[0] == example.name} - before:
            del sys.modules[module]
