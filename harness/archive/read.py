"""Reads an archive and trusts none of it: every byte is checked, no name leads out."""

import hashlib
import os
import shutil
import stat
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from core.errors import DataError, MismatchError, UsageError
from core.files import naming
from harness.archive.names import LIST, doubled, problem_of
from harness.archive.write import END, header, listing, padding

_READ_BYTES = 1 << 20
_LONGEST_LIST = 1 << 28
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Held:
    """A file in an archive."""

    name: str
    """Its path."""
    size: int
    """Bytes."""
    is_program: bool
    """Whether it may be executed."""


def check_archive(path: Path, *, progress: Progress | None = None) -> list[Held]:
    """The files of an archive, of which every byte is as it was written.

    Raises:
        DataError: it cannot be read, is not an archive of ours, or has a name that leads out.
        MismatchError: a byte of it has changed; names where.
    """
    return list(_walk(path, into=None, progress=progress))


def extract_archive(path: Path, folder: Path, *, progress: Progress | None = None) -> list[Held]:
    """Unpack an archive into a new folder, whole or not at all.

    Raises:
        UsageError: the folder exists and is not empty.
        DataError, MismatchError: as `check_archive`.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(f"{folder} exists and is not an empty folder; name another one")
    folder.parent.mkdir(parents=True, exist_ok=True)
    beside = folder.parent / f".{folder.name}.unpacking-{os.getpid()}"
    try:
        beside.mkdir()
        held = list(_walk(path, into=beside, progress=progress))
        if folder.exists():
            folder.rmdir()
        os.replace(beside, folder)
    except BaseException:
        shutil.rmtree(beside, ignore_errors=True)
        raise
    return held


def listed_hashes(path: Path) -> dict[str, str]:
    """SHA-256 of each file of an archive, as its list says; only the list is read.

    Raises:
        DataError, MismatchError: as `check_archive`.
    """
    with path.open("rb") as file, naming(path):
        return _listed(path, file)[0]


def read_member(path: Path, name: str) -> bytes:
    """One file of an archive, held against its listed hash; the others are passed over.

    Raises:
        DataError: it has no such file, or as `check_archive`.
        MismatchError: as `check_archive`.
    """
    with path.open("rb") as file, naming(path):
        hashes, place = _listed(path, file)
        if name not in hashes:
            raise DataError(f"{path} has no {name}")
        for _ in hashes:
            held, start = _held(path, file, place)
            if held.name == name:
                content = file.read(held.size)
                if hashlib.sha256(content).hexdigest() != hashes[name]:
                    raise MismatchError(f"{path}: {name} is not as it was packed; {_AGAIN}")
                return content
            place = _skip_padding(path, file, held, start=start)
    raise MismatchError(f"{path} lists {name} and does not hold it; {_AGAIN}")


def _walk(path: Path, *, into: Path | None, progress: Progress | None) -> Iterator[Held]:
    try:
        file = path.open("rb")
    except OSError as error:
        raise DataError(f"cannot read {path} ({error.strerror})") from None
    with file, naming(path):
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise DataError(f"{path} is not a file")
        total = os.fstat(file.fileno()).st_size
        hashes, place = _listed(path, file)
        if into is not None:
            (into / LIST).write_bytes(listing(hashes))
        for name, expected in hashes.items():
            held, start = _held(path, file, place)
            if held.name != name:
                raise MismatchError(
                    f"{path} holds {held.name!r} where its {LIST} has {name!r}; {_AGAIN}"
                )
            got = _take(file, held, into=into)
            place = _skip_padding(path, file, held, start=start)
            if got != expected:
                raise MismatchError(
                    f"{path}: {name} is not as it was packed (sha256 {got[:12]}..., listed "
                    f"{expected[:12]}...); {_AGAIN}"
                )
            yield held
            if progress is not None:
                progress(place, total)
        if file.read(len(END) + 1) != END:
            raise MismatchError(f"{path} does not end where its {LIST} ends; {_AGAIN}")


_AGAIN = "get the file again from where it was made"


def _listed(path: Path, file: BinaryIO) -> tuple[dict[str, str], int]:
    """(hash by name, offset behind the list)."""
    held, start = _held(path, file, 0)
    if held.name != LIST or held.size > _LONGEST_LIST:
        raise DataError(
            f"{path} is not an archive of `harness bundle` or `harness pack`: it does not begin "
            f"with {LIST}"
        )
    content = file.read(held.size)
    hashes: dict[str, str] = {}
    try:
        for line in content.decode().split("\n")[:-1]:
            digest, name = line[:64], line[66:]
            if len(digest) != 64 or digest.strip("0123456789abcdef"):
                raise ValueError(line)
            hashes[name] = digest
    except ValueError:
        raise MismatchError(f"the {LIST} of {path} is damaged; {_AGAIN}") from None
    for name in hashes:
        if (problem := problem_of(name)) is not None:
            raise DataError(f"{path} is refused: {name!r} {problem}")
    names = sorted(hashes)
    if listing({name: hashes[name] for name in names}) != content:
        raise MismatchError(f"the {LIST} of {path} is not sorted or not whole; {_AGAIN}")
    if (twice := doubled([LIST, *names])) is not None:
        raise DataError(f"{path} is refused: {twice!r} is both a file and a folder, or there twice")
    return hashes, _skip_padding(path, file, held, start=start)


def _held(path: Path, file: BinaryIO, place: int) -> tuple[Held, int]:
    """(the file whose header is at `place`, offset of its content)."""
    file.seek(place)
    try:
        with tarfile.open(fileobj=file, mode="r:", errorlevel=1) as archive:
            info = archive.next()
    except (tarfile.TarError, ValueError, OverflowError, EOFError) as error:
        raise _not_ours(path, place, str(error)) from None
    if info is None:
        raise _not_ours(path, place, "it ends too early")
    if not info.isreg():
        raise DataError(
            f"{path} is refused: {info.name!r} is a link, a folder or a device; an archive holds "
            "files alone"
        )
    if (problem := problem_of(info.name)) is not None:
        raise DataError(f"{path} is refused: {info.name!r} {problem}")
    held = Held(info.name, info.size, info.mode == 0o755)
    expected = header(held.name, size=held.size, is_program=held.is_program)
    file.seek(place)
    if file.read(len(expected)) != expected:
        raise MismatchError(f"{path}: the header of {held.name} has changed; {_AGAIN}")
    return held, place + len(expected)


def _not_ours(path: Path, place: int, why: str) -> DataError | MismatchError:
    if place == 0:
        return DataError(f"{path} is not an archive of `harness bundle` or `harness pack` ({why})")
    return MismatchError(f"{path} is damaged at byte {place} ({why}); {_AGAIN}")


def _take(file: BinaryIO, held: Held, *, into: Path | None) -> str:
    """Hash a file's content, and write it where it is unpacked."""
    digest, left = hashlib.sha256(), held.size
    target = None
    if into is not None:
        place = into / held.name
        place.parent.mkdir(parents=True, exist_ok=True)
        target = place.open("xb")
    try:
        while left and (block := file.read(min(left, _READ_BYTES))):
            digest.update(block)
            left -= len(block)
            if target is not None:
                target.write(block)
    finally:
        if target is not None:
            target.close()
    if into is not None and held.is_program:
        (into / held.name).chmod(0o755)
    return digest.hexdigest()


def _skip_padding(path: Path, file: BinaryIO, held: Held, *, start: int) -> int:
    """Offset of the next header."""
    zeros = padding(held.size)
    file.seek(start + held.size)
    if file.read(len(zeros)) != zeros:
        raise MismatchError(
            f"{path}: {held.name} is cut off, or what fills its last block has changed; {_AGAIN}"
        )
    return start + held.size + len(zeros)
