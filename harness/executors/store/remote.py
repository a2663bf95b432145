"""A folder that is named by a URL: s3://, gs://, file:/// and what else fsspec has a driver for."""

import os
import shutil
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from core.errors import HarnessError, StorageAwayError, UsageError, suggestion
from core.files import TEMPORARY_PREFIX, no_space_is_a_sentence
from harness.executors.store.url import EXPECTED, reason, require_url, without_secrets

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

T = TypeVar("T")

_PAUSES_S = (0.5, 2.0, 5.0)
_FOR_GOOD = (FileNotFoundError, PermissionError, NotADirectoryError, IsADirectoryError)
"""What trying again does not change."""


class RemoteFolder:
    """Files below a URL, by their relative names; what fails for a moment is tried again.

    Every method raises StorageAwayError where the store cannot be reached or used.
    """

    def __init__(self, url: str) -> None:
        """Find the driver; nothing is read or written yet.

        url: passwords and keys in it are never printed.

        Raises:
            UsageError: not a URL that several machines can read and write.
            HarnessError: its driver is not installed, or does not take the URL.
        """
        self.url = url.rstrip("/")
        self._files, self._root = _open(self.url)
        from fsspec.implementations.local import LocalFileSystem

        self._is_local = isinstance(self._files, LocalFileSystem)

    def check(self) -> None:
        """Write a file and remove it again: a missing bucket is better met now than in an hour."""
        probe = f"{TEMPORARY_PREFIX}{uuid.uuid4().hex}"
        self.write(probe, content=b"probe")
        self.remove(probe)

    def names(self, below: str) -> list[str]:
        """Every file below `below`, relative to it; none where there is nothing."""
        root = self._path(below)

        def find() -> list[str]:
            self._files.invalidate_cache()
            try:
                return list(self._files.find(root))
            except FileNotFoundError:
                return []

        names = [path[len(root) :].lstrip("/") for path in self._patiently(find)]
        return [name for name in names if not Path(name).name.startswith(TEMPORARY_PREFIX)]

    def read(self, name: str) -> bytes | None:
        """A file's content; None where it is not there."""

        def cat() -> bytes | None:
            try:
                return bytes(self._files.cat_file(self._path(name)))
            except FileNotFoundError:
                return None

        return self._patiently(cat)

    def write(self, name: str, *, content: bytes) -> None:
        """Put content under a name, whole or not at all."""
        self._put(name, lambda path: self._files.pipe_file(path, content))

    def upload(self, source: Path, name: str) -> None:
        """Put a file of this machine under a name, whole or not at all."""
        self._put(name, lambda path: self._files.put_file(str(source), path))

    def download(self, name: str, target: Path) -> None:
        """Fetch a file."""
        with no_space_is_a_sentence(target.parent):
            self._patiently(lambda: self._files.get_file(self._path(name), str(target)))

    def remove(self, name: str) -> None:
        """Remove a file, where it is there."""

        def remove() -> None:
            try:
                self._files.rm_file(self._path(name))
            except FileNotFoundError:
                return

        self._patiently(remove)

    def remove_folder(self, name: str) -> None:
        """Remove what is left of a folder, where the store has such a thing."""
        if self._is_local:
            shutil.rmtree(self._path(name), ignore_errors=True)

    def _put(self, name: str, put: Callable[[str], Any]) -> None:
        path = self._path(name)
        if not self._is_local:
            self._patiently(lambda: put(path))  # an object is there when all of it is
            return
        folder, _, last = path.rpartition("/")
        temporary = f"{folder}/{TEMPORARY_PREFIX}{uuid.uuid4().hex}-{last}"

        def put_and_rename() -> None:
            os.makedirs(folder, exist_ok=True)
            try:
                put(temporary)
                os.replace(temporary, path)
            finally:
                Path(temporary).unlink(missing_ok=True)

        self._patiently(put_and_rename)

    def _path(self, name: str) -> str:
        return f"{self._root}/{name}"

    def _patiently(self, work: Callable[[], T]) -> T:
        for pause_s in (*_PAUSES_S, None):
            try:
                return work()
            # Each driver has errors of its own, whose modules are not ours to import.
            except Exception as error:
                if pause_s is None or isinstance(error, _FOR_GOOD):
                    raise StorageAwayError(
                        f"the store {without_secrets(self.url)} cannot be used "
                        f"({type(error).__name__}: {reason(error, url=self.url)}); check that it "
                        "exists and that this machine's credentials may read and write it, then "
                        "run the same command again"
                    ) from error
                time.sleep(pause_s)
        raise AssertionError("unreachable")


def _open(url: str) -> "tuple[AbstractFileSystem, str]":
    require_url(url)
    protocol, shown = url.partition("://")[0], without_secrets(url)
    try:
        import fsspec
        from fsspec.registry import known_implementations, registry
    except ImportError as error:
        raise HarnessError(
            "--store needs fsspec, which is not installed: pip install 'branch-harness[ray]'"
        ) from error
    known = {*known_implementations, *registry}
    if protocol not in known:
        raise UsageError(
            f"--store {shown}: unknown protocol {protocol}://{suggestion(protocol, known)}; "
            f"{EXPECTED}"
        )
    try:
        # Listings must be those of now, and nothing is shared with another thread's connection.
        files, root = fsspec.url_to_fs(url, use_listings_cache=False, skip_instance_cache=True)
    except ImportError as error:
        package = str(known_implementations[protocol]["class"]).partition(".")[0]
        raise HarnessError(
            f"--store {shown}: {protocol}:// needs the package {package}, which is not installed: "
            f"pip install {package}, on every node"
        ) from error
    except Exception as error:
        raise HarnessError(
            f"--store {shown} cannot be opened ({reason(error, url=url)})"
        ) from error
    return files, root.rstrip("/")
