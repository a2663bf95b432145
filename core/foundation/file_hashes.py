"""SHA-256 of model files, read once: gigabytes take seconds, and every start asks for them."""

import json
import re
import stat
from contextlib import suppress
from functools import lru_cache
from pathlib import Path

from core.errors import NoSpaceError
from core.files import file_sha256, user_cache, write_atomic

_BLOB = re.compile(r"[0-9a-f]{64}")
_KEEP_FROM_BYTES = 4 << 20
"""Smaller files are read again by each process: quicker than a look into the kept hashes."""

# Size and both times: a file that was replaced by one of the same size and modification time, as
# `cp -p` does, still has another change time.
_Stamp = tuple[str, int, int, int]


def model_file_sha256(path: Path) -> str:
    """Lower-case hex SHA-256 of a model's file.

    A large file of the hub's cache is named after its hash and is not read; any other large file is
    read once, and its hash kept in the user's cache folder for as long as its size and times stay.
    """
    real = path.resolve()
    if real.parent.name == "blobs" and _BLOB.fullmatch(real.name):
        return real.name
    return _sha256(_stamp(real))


def kept_hashes_path() -> Path:
    """The file that keeps the hashes of large files."""
    return user_cache() / "model_file_hashes.json"


def _stamp(real: Path) -> _Stamp:
    found = real.stat()
    if not stat.S_ISREG(found.st_mode):
        raise OSError(f"{real} is not a regular file")
    return str(real), found.st_size, found.st_mtime_ns, found.st_ctime_ns


@lru_cache(maxsize=1024)
def _sha256(stamp: _Stamp) -> str:
    name, *facts = stamp
    if facts[0] < _KEEP_FROM_BYTES:
        return file_sha256(Path(name))
    kept = _kept()
    entry = kept.get(name)
    if isinstance(entry, list) and entry[:-1] == facts and _BLOB.fullmatch(str(entry[-1])):
        return str(entry[-1])
    digest = file_sha256(Path(name))
    # Two processes may write at once and lose an entry: it is only made again. Where nothing can
    # be written, reading the file each time is all that is lost.
    with suppress(OSError, NoSpaceError):
        content = json.dumps({**_kept(), name: [*facts, digest]}, indent=1, sort_keys=True)
        write_atomic(kept_hashes_path(), content=content.encode())
    return digest


def _kept() -> dict[str, object]:
    try:
        kept = json.loads(kept_hashes_path().read_bytes())
    except (OSError, ValueError):
        return {}
    return kept if isinstance(kept, dict) else {}
