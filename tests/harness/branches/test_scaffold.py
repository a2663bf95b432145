"""`harness new-variant`: what it writes works, is found, and breaks nothing."""

import importlib
import importlib.util
import json
import os
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

import variants
from core.conditioning.conditioning import AudioFeature
from core.conditioning.gates import SigmoidGate
from core.errors import UsageError
from harness.branches import scaffold
from harness.branches.registry import find_variant
from harness.branches.scaffold import write_new_variant
from harness.cli.main import app
from harness.run.plan import RunRequest
from harness.testing import VariantContract, violations

ROOT = Path(__file__).parents[3]
NAME = "rain_listener"
NUM_CHECKS = sum(name.startswith("test_") for name in dir(VariantContract))


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A package written once; tests only read it."""
    return write_new_variant(NAME, folder=tmp_path_factory.mktemp("projects")).folder


@pytest.fixture
def site(project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A site folder on the path: the package, installed as its pyproject.toml says."""
    folder = tmp_path / "site"
    folder.mkdir()
    declared = tomllib.loads((project / "pyproject.toml").read_text())["project"]
    for module in declared["entry-points"]["branch_harness.variants"]:
        (folder / module).symlink_to(project / module)
    install(folder, declared["name"], declared["entry-points"]["branch_harness.variants"])
    monkeypatch.syspath_prepend(str(folder))
    yield folder
    for module in [m for m in sys.modules if m.split(".")[0] in {NAME, "broken_listener"}]:
        del sys.modules[module]


def install(site: Path, distribution: str, points: dict[str, str]) -> None:
    """What pip leaves of a distribution: its name and its entry points."""
    info = site / f"{distribution.replace('-', '_')}-0.1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 0.1.0\n")
    lines = [f"{name} = {target}" for name, target in points.items()]
    (info / "entry_points.txt").write_text("\n".join(["[branch_harness.variants]", *lines, ""]))


def test_a_new_package_passes_its_contract_outside_this_repository(
    project: Path, tmp_path: Path
) -> None:
    """Catches: a contract that only runs beside our conftest; a template that does not pass."""
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--pyargs", NAME],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(project), str(ROOT)])},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    # The one of the log-mel's loudness: the template reads CLAP's embedding alone.
    assert f"{NUM_CHECKS - 1} passed, 1 skipped" in done.stdout, done.stdout + done.stderr
    assert done.returncode == 0


def test_an_installed_package_is_listed_and_planned_like_any_branch(
    site: Path, small_request: Callable[..., RunRequest]
) -> None:
    """Catches: an inventor who has to change this repository; one broken package that takes the
    others with it."""
    (site / "broken_listener.py").write_text("raise RuntimeError('its own trouble')\n")
    install(site, "broken-listener", {"broken_listener": "broken_listener:Broken"})
    listed = CliRunner().invoke(app, ["list", "--json"])
    assert listed.exit_code == 0, listed.output
    described = {row["name"]: row for row in json.loads(listed.stdout)}
    assert described[NAME]["error"] is None
    assert described[NAME]["modules"]["stage1"].keys() == {"projector", "gates"}
    assert described["baseline"]["error"] is None
    assert "RuntimeError: its own trouble" in described["broken_listener"]["error"]

    request = small_request(variant=NAME)
    planned = CliRunner().invoke(app, [*request.words[1:], "--dry-run", "--json"])
    assert planned.exit_code == 0, planned.output
    assert json.loads(planned.stdout)["variant"] == NAME
    assert find_variant(NAME).sources.resolve() == (site / NAME).resolve()


def test_a_folder_among_the_variants_is_found_and_passes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Catches: a folder variant that imports itself by the wrong name, or leaves its test out."""
    home = tmp_path / "variants"
    (tmp_path / "tests" / "variants").mkdir(parents=True)
    monkeypatch.setattr(scaffold, "variants_folder", lambda: home)
    written = write_new_variant("hail_listener", folder=home)
    test = tmp_path / "tests" / "variants" / "test_hail_listener.py"
    assert written.files == (
        home / "hail_listener" / "__init__.py",
        home / "hail_listener" / "variant.py",
        test,
    )
    monkeypatch.setattr(variants, "__path__", [*variants.__path__, str(home)])
    importlib.invalidate_caches()
    assert find_variant("hail_listener").load().name == "hail_listener"
    assert find_variant("hail_listener").is_built_in
    spec = importlib.util.spec_from_file_location("test_hail_listener", test)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert violations(module.TestHailListener) == {}


@pytest.mark.parametrize("is_package", [True, False], ids=["package", "folder"])
def test_what_is_written_is_clean(
    is_package: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Catches: a start that fails the inventor's own linter."""
    home = tmp_path / "variants"
    (tmp_path / "tests" / "variants").mkdir(parents=True)
    if not is_package:
        monkeypatch.setattr(scaffold, "variants_folder", lambda: home)
    folder = write_new_variant("hail_listener", folder=home).folder
    place = folder if is_package else tmp_path
    words = ["--isolated", "--no-cache", "--line-length", "100", "."]
    ours = [] if is_package else ["core", "harness", "variants"]
    sections = ["--config", f"lint.isort.known-first-party = {json.dumps(ours)}"]
    for command in (
        ["check", "--select", "E,F,W,I,B,UP,RUF,PT", *sections],
        ["format", "--check", "--diff"],
    ):
        done = subprocess.run(
            [sys.executable, "-m", "ruff", *command, *words],
            cwd=place,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("Mine", "lower-case letters"),
        ("my-branch", "lower-case letters"),
        ("../mine", "lower-case letters"),
        ("1st", "lower-case letters"),
        ("", "lower-case letters"),
        ("lambda", "no keyword"),
        ("sonic", r"'sonic' exists already \(variants\.sonic\)"),
        ("json", "would hide the new one"),
        ("torch", "would hide the new one"),
    ],
)
def test_a_name_that_cannot_work_is_refused(tmp_path: Path, name: str, message: str) -> None:
    """Catches: a package that nothing can import, or that imports another's module."""
    with pytest.raises(UsageError, match=message):
        write_new_variant(name, folder=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    """Catches: work lost to a name used twice."""
    (tmp_path / NAME).mkdir()
    (tmp_path / NAME / "variant.py").write_text("mine")
    with pytest.raises(UsageError, match="exists already; nothing was written"):
        write_new_variant(NAME, folder=tmp_path)
    assert [path.name for path in (tmp_path / NAME).iterdir()] == ["variant.py"]
    assert (tmp_path / NAME / "variant.py").read_text() == "mine"


def test_the_tutorials_worked_change_keeps_the_contract(site: Path) -> None:
    """Catches: documentation whose code does not run."""
    text = (ROOT / "docs" / "variants.md").read_text(encoding="utf-8")
    body = text.split("## A worked change")[1].split("```python\n")[1].split("```")[0]
    scope = {
        "torch": torch,
        "nn": torch.nn,
        "AudioFeature": AudioFeature,
        "SigmoidGate": SigmoidGate,
        "Mine": find_variant(NAME).load(),
    }
    exec(body, scope)
    contract = type("TestChanged", (VariantContract,), {"variant": scope["Changed"]})
    assert violations(contract) == {}
