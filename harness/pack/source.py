"""The source of the harness that is running, as files that pip can install elsewhere."""

import json
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, metadata, requires, version
from pathlib import Path

from core.code import package_folder
from core.errors import DataError
from harness.archive.write import Member
from harness.pack.contents import PROJECT

DISTRIBUTION = "branch-harness"
_PACKAGES = ("core", "harness", "variants")
_BESIDE = ("pyproject.toml", "constraints.txt", "README.md", "LICENSE")
_TOOLS = ("benchmarks/random_weights.py",)
_MEASURED = ("cpu-*.json", "gpu-*.json")
"""Of `benchmarks/results`: what `harness plan` projects from; pyproject puts it into the wheel."""
_OF_TRAINING = 'extra == "train"'
_LEFT_OUT = {"__pycache__", ".mypy_cache", ".ruff_cache"}


def project_members() -> list[Member]:
    """The three packages and what installs them, from a checkout or from an installed wheel.

    Raises:
        DataError: a package lies where it cannot be read as files.
    """
    members = []
    for name in _PACKAGES:
        folder = package_folder(name)
        if not folder.is_dir():
            raise DataError(f"the package {name} at {folder} is not a folder, so it is not packed")
        members += [
            Member(f"{PROJECT}/{name}/{path.relative_to(folder).as_posix()}", path)
            for path in _files(folder)
        ]
    root = package_folder("core").parent
    if (root / "pyproject.toml").is_file():
        beside = [name for name in (*_BESIDE, *_TOOLS) if (root / name).is_file()]
        measured = (root / "benchmarks" / "results").glob
        beside += [
            path.relative_to(root).as_posix()
            for pattern in _MEASURED
            for path in sorted(measured(pattern))
        ]
        return [*members, *(Member(f"{PROJECT}/{name}", root / name) for name in beside)]
    return [*members, Member(f"{PROJECT}/pyproject.toml", _pyproject().encode())]


def harness_version() -> str:
    """Of the installed distribution."""
    try:
        return version(DISTRIBUTION)
    except PackageNotFoundError:
        return "not installed"


def _files(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not _LEFT_OUT & set(path.parts) and path.suffix != ".pyc":
            yield path


def _pyproject() -> str:
    """What installs the packages of a wheel again: its own name, version and requirements."""
    try:
        found = metadata(DISTRIBUTION)
    except PackageNotFoundError:
        raise DataError(
            f"the source has no pyproject.toml beside it and {DISTRIBUTION} is not installed, so "
            "nothing says what it requires; pack from a checkout"
        ) from None
    lines = requires(DISTRIBUTION) or []
    always = [line for line in lines if "extra ==" not in line]
    train = [line.split(";")[0].strip() for line in lines if _OF_TRAINING in line.replace("'", '"')]
    return (
        '[build-system]\nrequires = ["hatchling>=1.27"]\nbuild-backend = "hatchling.build"\n\n'
        f'[project]\nname = "{DISTRIBUTION}"\nversion = "{found["Version"]}"\n'
        f'requires-python = "{found["Requires-Python"]}"\ndependencies = {json.dumps(always)}\n\n'
        f"[project.optional-dependencies]\ntrain = {json.dumps(train)}\n\n"
        '[project.scripts]\nharness = "harness.cli.main:main"\n\n'
        '[tool.hatch.build.targets.wheel]\npackages = ["core", "harness", "variants"]\n'
    )
