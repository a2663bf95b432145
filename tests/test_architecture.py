"""The one-way imports that the folder names promise, read off the syntax trees."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCES = sorted(
    path for package in ("core", "variants", "harness") for path in (ROOT / package).rglob("*.py")
)


def imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively"
            yield node.module or ""


def violations(path: Path) -> list[str]:
    """Imports of `path` that its place does not allow."""
    place = path.relative_to(ROOT).parts
    found = []
    for name in imported(path):
        parts = name.split(".")
        if parts[0] not in {"core", "variants", "harness"}:
            continue
        if place[0] == "core" and parts[0] != "core":
            found.append(name)
        if place[0] == "variants" and not (parts[0] == "core" or parts[:2] == list(place[:2])):
            found.append(name)
        if place[0] == "harness" and parts[0] == "variants" and name != "variants":
            found.append(name)
    return found


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_go_one_way(path: Path) -> None:
    """Catches: core that knows a variant, a variant that reads another, a hard-wired branch."""
    assert violations(path) == []


def test_only_the_registry_imports_the_variants_package() -> None:
    """Catches: a second place that knows which branches there are."""
    users = [
        path.relative_to(ROOT / "harness").as_posix()
        for path in (ROOT / "harness").rglob("*.py")
        if "variants" in set(imported(path))
    ]
    assert users == ["branches/registry.py"]


@pytest.mark.parametrize("package", ["torchvision", "torchaudio"])
def test_nothing_imports_a_package_without_a_cpu_build(package: str) -> None:
    """Catches: an import that takes diffusers and transformers down on a CPU machine."""
    users = [p for p in SOURCES if any(n.split(".")[0] == package for n in imported(p))]
    assert users == []
