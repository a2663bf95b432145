"""Published recipes in examples/: packages of their own that are found and keep the contract."""

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from harness.branches.registry import ENTRY_POINT_GROUP, find_variant

ROOT = Path(__file__).parents[3]
RECIPES = ("audio_token", "ip_adapter")


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_passes_its_tests_outside_this_repository(name: str, tmp_path: Path) -> None:
    """Catches: a seam that no longer carries what others built."""
    folder = ROOT / "examples" / name
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(folder)],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(folder), str(ROOT)])},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert " passed" in done.stdout


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_is_found_by_its_entry_point(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Catches: an entry point that names nothing, or settings that are not those of the branch."""
    folder = ROOT / "examples" / name
    project = tomllib.loads((folder / "pyproject.toml").read_text())["project"]
    info = tmp_path / f"{name}-0.1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 0.1.0\n")
    lines = [f"{k} = {v}" for k, v in project["entry-points"][ENTRY_POINT_GROUP].items()]
    (info / "entry_points.txt").write_text("\n".join([f"[{ENTRY_POINT_GROUP}]", *lines, ""]))
    for place in (folder, tmp_path):
        monkeypatch.syspath_prepend(str(place))
    try:
        found = find_variant(name)
        assert found.load_config() is found.load().Config
        assert found.load().name == name
        assert not found.is_built_in
    finally:
        for module in {m for m in sys.modules if m.split(".")[0] == name}:
            del sys.modules[module]
