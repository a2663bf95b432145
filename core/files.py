"""Files that are there whole or not at all."""

import errno
import hashlib
import json
import logging
import os
import secrets
import shutil
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from core.errors import NoSpaceError, UsageError

_BLOCK_BYTES = 1 << 20
TEMPORARY_PREFIX = ".tmp-"
_LEFTOVER_AGE_S = 60.0
# What SMB, the Windows drives of WSL, NFS and FUSE say of an fsync that they do not have.
_NO_SYNC = frozenset(
    {errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EBADF}
    | {errno.EPERM, errno.EACCES, errno.EISDIR}
)
_log = logging.getLogger(__name__)
_unsynced: set[int] = set()


def write_atomic(path: Path, *, content: bytes) -> None:
    """Replace `path` by `content`: temporary file beside it, fsync, rename, fsync of the folder.

    Raises: NoSpaceError when the disk is full; `path` is then as it was. OSError names `path`.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.parent / f"{TEMPORARY_PREFIX}{secrets.token_hex(8)}"
    try:
        with naming(path):
            # Not by mkstemp, whose files only the owner can read: the user's umask decides.
            handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
            with os.fdopen(handle, "wb") as file:
                file.write(content)
                file.flush()
                _sync(file.fileno(), folder=path.parent)
            os.replace(temporary, path)
    except BaseException as error:
        temporary.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise NoSpaceError(
                f"no space left to write {path} ({len(content)} bytes); "
                "free some and run the same command again"
            ) from error
        raise
    sync_folder(path.parent)


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """An error of the system inside says which file it is about: calls on open files do not."""
    try:
        yield
    except OSError as error:
        if error.strerror is not None:
            error.filename, error.filename2 = str(path), None
        raise


@contextmanager
def no_space_is_a_sentence(where: Path, *, remove: Path | None = None) -> Iterator[None]:
    """Turn ENOSPC inside the block into a NoSpaceError, removing what was half written."""
    from safetensors import SafetensorError  # here alone: every command reads files

    try:
        yield
    except (OSError, SafetensorError) as error:
        full = getattr(error, "errno", None) in {errno.ENOSPC, errno.EDQUOT}
        if not full and "No space left" not in str(error):
            raise
        if remove is not None:
            shutil.rmtree(remove, ignore_errors=True)
        raise NoSpaceError(
            f"no space left while writing to {where}; what was there before is intact. "
            "Free some space and run the same command again: it goes on from the last checkpoint"
        ) from error


def sync_folder(folder: Path) -> None:
    """Make a rename inside `folder` survive a power cut, where its file system can.

    One that cannot is named once in a warning. Takes a file as well.
    """
    with naming(folder):
        handle = os.open(folder, os.O_RDONLY)
        try:
            _sync(handle, folder=folder)
        finally:
            os.close(handle)


def _sync(handle: int, *, folder: Path) -> None:
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in _NO_SYNC:
            raise
        device = os.fstat(handle).st_dev
        if device not in _unsynced:
            _unsynced.add(device)
            _log.warning(
                "the file system of %s cannot flush to its disk (%s): everything works, but the "
                "last writes may be lost in a power cut",
                folder,
                error.strerror,
            )


def sweep_leftovers(folder: Path) -> None:
    """Remove the temporary files that a killed process left in `folder` and below it.

    For whoever holds the lock of the folder. Younger ones than a minute stay.
    """
    for path in folder.rglob(f"{TEMPORARY_PREFIX}*"):
        try:
            if path.is_file() and time.time() - path.stat().st_mtime > _LEFTOVER_AGE_S:
                path.unlink()
        except OSError:  # gone already, or not ours to remove
            continue


def expanded(path: str | Path) -> Path:
    """`path` with a leading `~` replaced by the home folder.

    Raises: UsageError where that is not known, so that no folder is made that is called `~`.
    """
    if not str(path).startswith("~"):
        return Path(path)
    try:
        found = Path(path).expanduser()
    except RuntimeError:
        found = Path(path)
    if str(found).startswith("~"):
        raise UsageError(
            f"the path {str(path)!r} begins with ~, and no home folder is known for it; write it "
            "in full, or as ./~ for a name that begins so"
        )
    return found


def user_cache() -> Path:
    """The folder for what may be made again on this machine, whichever results folder is used."""
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser() / "branch-harness"


def require_regular(path: Path) -> None:
    """Return if `path` is a file that ends: reading from a pipe would wait for a writer.

    Raises: OSError that says what it is instead, or that it is not there.
    """
    mode = path.stat().st_mode
    if stat.S_ISREG(mode):
        return
    kinds = {stat.S_IFDIR: "folder", stat.S_IFIFO: "pipe", stat.S_IFSOCK: "socket"}
    kind = kinds.get(stat.S_IFMT(mode), "device")
    number = errno.EISDIR if stat.S_ISDIR(mode) else errno.EINVAL
    raise OSError(number, f"it is a {kind}, not a file", str(path))


def why_no_file(path: Path) -> str:
    """What keeps `path` from being read as a file, such as `does not exist` or `is a pipe`."""
    try:
        require_regular(path)
    except FileNotFoundError:
        return "does not exist"
    except OSError as error:
        return f"cannot be read: {error.strerror}"
    return "cannot be read"


def file_sha256(path: Path) -> str:
    """Lower-case hex SHA-256 of a file's bytes, read in blocks.

    Raises: OSError, also for what is not a file: see `require_regular`.
    """
    require_regular(path)
    digest = hashlib.sha256()
    with naming(path), path.open("rb") as file:
        while block := file.read(_BLOCK_BYTES):
            digest.update(block)
    return digest.hexdigest()


def canonical_json(value: Any) -> bytes:
    """The one byte string of a JSON value: sorted keys, no spaces, ASCII, no NaN."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return text.encode("ascii")


def json_sha256(value: Any) -> str:
    """Lower-case hex SHA-256 of `canonical_json(value)`."""
    return hashlib.sha256(canonical_json(value)).hexdigest()
