"""Archives: equal to the byte, every byte checked, no name that leads out."""

import io
import os
import random
import tarfile
from pathlib import Path

import pytest

from core.errors import DataError, HarnessError, UsageError
from harness.archive.names import LIST
from harness.archive.read import check_archive, extract_archive
from harness.archive.write import Member, write_archive

NAMES = {"run.sh": b"echo\n", "a/b.txt": b"x" * 700, "a/Ωmega clip.wav": b"", "z": b"\0" * 512}


def written(path: Path) -> Path:
    members = [Member(name, content, name == "run.sh") for name, content in NAMES.items()]
    write_archive(path, members=members)
    return path


def test_the_same_files_give_the_same_bytes(tmp_path: Path) -> None:
    """Catches: an order, a time, an owner or a mode that is the machine's."""
    one = written(tmp_path / "one.tar").read_bytes()
    folder = tmp_path / "files"
    members = []
    for name, content in reversed(NAMES.items()):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        path.chmod(0o600)
        os.utime(path, (5, 5))
        members.append(Member(name, path, name == "run.sh"))
    write_archive(tmp_path / "two.tar", members=members)
    assert (tmp_path / "two.tar").read_bytes() == one


def test_what_is_unpacked_is_what_was_packed(tmp_path: Path) -> None:
    """Catches: a name, a content or a program's mode that is lost, also where `tar` unpacks."""
    archive = written(tmp_path / "one.tar")
    extract_archive(archive, tmp_path / "out")
    with tarfile.open(archive) as by_tar:
        by_tar.extractall(tmp_path / "tar", filter="data")
    for folder in (tmp_path / "out", tmp_path / "tar"):
        for name, content in NAMES.items():
            assert (folder / name).read_bytes() == content
        assert os.access(folder / "run.sh", os.X_OK)
        assert not os.access(folder / "z", os.X_OK)


def test_every_changed_byte_is_found(tmp_path: Path) -> None:
    """Catches: a byte of a header, of what fills a block or of the end that nothing looks at."""
    content = written(tmp_path / "one.tar").read_bytes()
    rng = random.Random(0)
    places = [*range(0, 600), *rng.sample(range(len(content)), 600)]
    changed = tmp_path / "changed.tar"
    for place in places:
        other = bytearray(content)
        other[place] ^= 1 << rng.randrange(8)
        changed.write_bytes(other)
        with pytest.raises(HarnessError):
            check_archive(changed)


@pytest.mark.parametrize("cut", [0, 100, 512, 1024, 2000, -512, -1])
def test_a_cut_or_lengthened_file_is_found(tmp_path: Path, cut: int) -> None:
    """Catches: a transfer that ended early, and something added behind the end."""
    archive = written(tmp_path / "one.tar")
    content = archive.read_bytes()
    archive.write_bytes(content[:cut])
    with pytest.raises(HarnessError):
        check_archive(archive)
    archive.write_bytes(content + bytes(512))
    with pytest.raises(HarnessError, match="does not end"):
        check_archive(archive)


def hostile(path: Path, info: tarfile.TarInfo, content: bytes = b"owned") -> Path:
    """An archive whose list is right and whose one member is hostile."""
    import hashlib

    listed = f"{hashlib.sha256(content).hexdigest()}  {info.name}\n".encode()
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as archive:
        first = tarfile.TarInfo(LIST)
        first.size = len(listed)
        archive.addfile(first, io.BytesIO(listed))
        info.size = len(content) if info.isreg() else 0
        archive.addfile(info, io.BytesIO(content))
    return path


@pytest.mark.parametrize(
    "name", ["/etc/passwd", "../out.txt", "a/../../out.txt", "a\\..\\b", "C:/x", "a//b", "./a"]
)
def test_a_name_that_leads_out_is_refused(tmp_path: Path, name: str) -> None:
    """Catches: an archive from somebody else that writes where it was not unpacked."""
    archive = hostile(tmp_path / "evil.tar", tarfile.TarInfo(name))
    with pytest.raises(DataError, match="refused"):
        extract_archive(archive, tmp_path / "deep" / "out")
    assert [path.name for path in tmp_path.rglob("*")] == ["evil.tar", "deep"]
    with pytest.raises(DataError, match="cannot be packed"):
        write_archive(tmp_path / "own.tar", members=[Member(name, b"")])


@pytest.mark.parametrize(
    "kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE]
)
def test_links_and_devices_are_refused(tmp_path: Path, kind: bytes) -> None:
    """Catches: a link that is unpacked first and written through second."""
    info = tarfile.TarInfo("a")
    info.type, info.linkname = kind, "/etc"
    with pytest.raises(DataError, match="refused"):
        extract_archive(hostile(tmp_path / "evil.tar", info), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_folder_with_files_is_left_alone(tmp_path: Path) -> None:
    """Catches: unpacking over somebody's files, or a half-unpacked folder under the right name."""
    archive = written(tmp_path / "one.tar")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("kept")
    with pytest.raises(UsageError, match="not an empty folder"):
        extract_archive(archive, tmp_path / "mine")
    content = bytearray(archive.read_bytes())
    content[-1100] ^= 1
    archive.write_bytes(content)
    with pytest.raises(HarnessError):
        extract_archive(archive, tmp_path / "new")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine", "one.tar"]


def test_other_files_are_no_archives(tmp_path: Path) -> None:
    """Catches: a traceback for a picture, a zip or nothing at all."""
    (tmp_path / "a.png").write_bytes(b"\x89PNG" + bytes(2000))
    (tmp_path / "empty").write_bytes(b"")
    for name in ("a.png", "empty", "absent", "."):
        with pytest.raises(DataError):
            check_archive(tmp_path / name)


def test_two_files_of_one_name_are_refused(tmp_path: Path) -> None:
    """Catches: one file that hides another, or a file that is also a folder."""
    for names in (("a", "a"), ("a", "a/b"), (LIST,)):
        with pytest.raises(DataError, match="rename one"):
            write_archive(tmp_path / "x.tar", members=[Member(name, b"") for name in names])
    assert not list(tmp_path.iterdir())
