"""Which sources a run's id follows."""

import shutil
from pathlib import Path

import pytest

from harness.run import code


@pytest.mark.parametrize(
    "name",
    [
        "run/sample.py",
        "run/prepare.py",
        "run/validation.py",
        "run/run.py",
        "data/source.py",
        "branches/unet_adapter.py",
    ],
)
def test_code_that_decides_numbers_is_in_the_id(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Catches: first weights drawn otherwise, and older runs that pass for the same."""
    whole = code.package_folder("harness")
    for room in ("run", "data", "branches", "metrics"):
        shutil.copytree(whole / room, tmp_path / room)
    package = code.package_folder
    monkeypatch.setattr(
        code, "package_folder", lambda name: tmp_path if name == "harness" else package(name)
    )
    before = code.code_of("baseline")
    with (tmp_path / name).open("a") as file:
        file.write("# changed")
    after = code.code_of("baseline")
    assert {part for part in before if before[part] != after[part]} == {"run"}
