"""Writes an archive: a plain tar, its members sorted, its times, owners and modes fixed.

It is not compressed: the bytes of a compressor change with its version, those of tar do not.
"""

import errno
import hashlib
import os
import secrets
import tarfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from core.errors import DataError, NoSpaceError
from core.files import TEMPORARY_PREFIX, file_sha256, naming, sync_folder
from harness.archive.names import LIST, doubled, problem_of

BLOCK_BYTES = tarfile.BLOCKSIZE
END = bytes(2 * BLOCK_BYTES)
"""What ends an archive."""
_COPY_BYTES = 1 << 20
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Member:
    """A file to be put into an archive."""

    name: str
    """Path in the archive, with /."""
    source: Path | bytes
    """A file, or its content."""
    is_program: bool = False
    """Whether it may be executed where it is unpacked."""


def header(name: str, *, size: int, is_program: bool) -> bytes:
    """The one header that a file of this name and size (bytes) has in an archive of ours."""
    info = tarfile.TarInfo(name)
    info.size = size
    info.mode = 0o755 if is_program else 0o644
    return info.tobuf(tarfile.PAX_FORMAT, "utf-8", "strict")


def padding(size: int) -> bytes:
    """What fills the last block of a file."""
    return bytes(-size % BLOCK_BYTES)


def listing(hashes: Mapping[str, str]) -> bytes:
    """The content of the list, from hashes by name, in their order."""
    return "".join(f"{digest}  {name}\n" for name, digest in hashes.items()).encode()


def write_archive(
    path: Path, *, members: Sequence[Member], progress: Progress | None = None
) -> None:
    """Write the members to `path`, whole or not at all; the same members give the same bytes.

    progress: called with bytes read so far and in all; every file is read twice.

    Raises:
        DataError: a name that no archive may hold, one that is there twice, or a file that
            changed while it was read.
        NoSpaceError: the disk is full.
    """
    ordered = sorted(members, key=lambda member: member.name)
    for member in ordered:
        if (problem := problem_of(member.name)) is not None:
            raise DataError(f"{member.name!r} cannot be packed: it {problem}; rename it")
    if (twice := doubled([LIST, *(member.name for member in ordered)])) is not None:
        raise DataError(f"two files would be {twice!r} in {path}; rename one")
    count = _Count(2 * sum(_size(member) for member in ordered), progress)
    hashes = {}
    for member in ordered:
        hashes[member.name] = _sha256(member)
        count.add(_size(member))
    listed = listing(hashes)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.parent / f"{TEMPORARY_PREFIX}{secrets.token_hex(8)}"
    try:
        with naming(path), temporary.open("xb") as file:
            _put(file, Member(LIST, listed), expected=hashlib.sha256(listed).hexdigest())
            for member in ordered:
                _put(file, member, expected=hashes[member.name])
                count.add(_size(member))
            file.write(END)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException as error:
        temporary.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise NoSpaceError(
                f"no space left to write {path}; free some and run the same command again"
            ) from error
        raise
    sync_folder(path.parent)


class _Count:
    """Adds up bytes and says so."""

    def __init__(self, total: int, progress: Progress | None) -> None:
        self._total = total
        self._done = 0
        self._progress = progress

    def add(self, size: int) -> None:
        self._done += size
        if self._progress is not None:
            self._progress(self._done, self._total)


def _size(member: Member) -> int:
    if isinstance(member.source, bytes):
        return len(member.source)
    return member.source.stat().st_size


def _sha256(member: Member) -> str:
    if isinstance(member.source, bytes):
        return hashlib.sha256(member.source).hexdigest()
    return file_sha256(member.source)


def _put(file: BinaryIO, member: Member, *, expected: str) -> None:
    size = _size(member)
    file.write(header(member.name, size=size, is_program=member.is_program))
    if isinstance(member.source, bytes):
        file.write(member.source)
    else:
        _copy(file, member.source, size=size, expected=expected)
    file.write(padding(size))


def _copy(file: BinaryIO, source: Path, *, size: int, expected: str) -> None:
    digest, left = hashlib.sha256(), size
    with source.open("rb") as opened:
        while block := opened.read(min(_COPY_BYTES, left)):
            digest.update(block)
            file.write(block)
            left -= len(block)
    if left or digest.hexdigest() != expected:
        raise DataError(f"{source} changed while it was packed; run the same command again")
