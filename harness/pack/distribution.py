"""How an installed package goes along: its source folder, its wheel, or its name in an index."""

import base64
import hashlib
import json
import os
import re
import tomllib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib.metadata import Distribution, PackagePath
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import url2pathname

from core.errors import DataError, MismatchError, UsageError
from core.files import file_sha256
from harness.archive.write import Member
from harness.pack.contents import PLUGINS
from harness.wording.numbers import size

MAX_BYTES = 100_000_000
"""Most that a plug-in's folder may hold; more is data, and belongs elsewhere."""
_NAMED = 3
_BUILT = frozenset({"build", "dist"})
"""Left out right below the folder of a package."""
_FROM_VERSION_CONTROL = re.compile(
    r"^(setuptools[-_]scm|hatch-vcs|versioningit|versioneer|poetry-dynamic-versioning)\b"
)
"""What takes a version from a history, which does not go along."""


@dataclass(frozen=True)
class Carried:
    """What a pack holds of a package, and what installs it there."""

    install: tuple[str, ...]
    """Words for pip; a file's name is that in the pack."""
    members: tuple[Member, ...] = ()
    """Its files."""
    folder: Path | None = None
    """The source folder that they are of, where it is installed from there as editable."""


def canonical_name(distribution: Distribution) -> str:
    """The one spelling of its name."""
    return re.sub(r"[-_.]+", "-", distribution.name).lower()


def carried(distribution: Distribution) -> Carried:
    """What goes along of an installed package.

    Raises:
        UsageError: it cannot be told where it came from, or its source cannot be installed again.
        MismatchError: what is installed is not what would go along.
    """
    origin = _origin(distribution)
    if origin is None:
        return _of_index(distribution)
    url = str(origin.get("url", ""))
    below = str(origin.get("subdirectory", ""))
    if "vcs_info" in origin:
        how = origin["vcs_info"]
        address = f"{how['vcs']}+{url}@{how['commit_id']}"
        return _of_address(distribution, address + (f"#subdirectory={below}" if below else ""))
    is_here = urlsplit(url).scheme == "file"
    if not is_here:
        digest = origin.get("archive_info", {}).get("hashes", {}).get("sha256")
        return _of_address(distribution, url + (f"#sha256={digest}" if digest else ""))
    path = Path(url2pathname(urlsplit(url).path)) / below
    if "dir_info" not in origin:
        return _of_wheel(distribution, path, origin)
    if not path.is_dir():
        raise UsageError(
            f"{_named(distribution)} was installed from {path}, which is no longer there; "
            f"install it from its folder again (pip install --no-deps -e FOLDER)"
        )
    is_editable = bool(origin["dir_info"].get("editable"))
    if not is_editable:
        _require_as_in(distribution, path)
    return _of_folder(distribution, path, is_editable=is_editable)


def _origin(distribution: Distribution) -> dict[str, Any] | None:
    """Where pip had it from (PEP 610); None: from an index."""
    text = distribution.read_text("direct_url.json")
    if text is None:
        return None
    try:
        found = json.loads(text)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise DataError(f"direct_url.json of {_named(distribution)} is damaged; install it again")
    return found


def _of_index(distribution: Distribution) -> Carried:
    files = distribution.files if distribution.read_text("RECORD") is not None else None
    if files is None:
        raise UsageError(
            f"{_named(distribution)} was not installed by pip, so it cannot be told where another "
            "machine would get it; install it with pip (from its folder: pip install --no-deps -e "
            "FOLDER)"
        )
    for file in _sources(files):
        if file.hash is not None and file.hash.mode == "sha256":
            content = Path(str(file.locate())).read_bytes()
            digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=")
            if digest.decode() != file.hash.value:
                raise MismatchError(
                    f"{file} of {_named(distribution)} was changed after it was installed, and the "
                    "index does not have that; install the changed source from its folder"
                )
    return Carried((f"{canonical_name(distribution)}=={distribution.version}",))


def _of_address(distribution: Distribution, address: str) -> Carried:
    if "@" in urlsplit(address.partition("+")[2] or address).netloc:
        raise UsageError(
            f"{_named(distribution)} was installed from an address that holds a user or a "
            "password, which does not go into a pack; install it from a folder"
        )
    return Carried((f"{canonical_name(distribution)} @ {address}",))


def _of_wheel(distribution: Distribution, path: Path, origin: dict[str, Any]) -> Carried:
    archive = origin.get("archive_info", {})
    expected = archive.get("hashes", {}).get("sha256")
    if not path.is_file() or (expected is not None and file_sha256(path) != expected):
        raise UsageError(
            f"{_named(distribution)} was installed from {path}, which is no longer there or has "
            "changed; install it again from a file or a folder that stays"
        )
    name = f"{PLUGINS}/{path.name}"
    return Carried((name,), (Member(name, path),))


def _of_folder(distribution: Distribution, folder: Path, *, is_editable: bool) -> Carried:
    _require_installable(distribution, folder)
    place = f"{PLUGINS}/{canonical_name(distribution)}"
    files = sorted(_files(folder))
    sizes = {path: path.stat().st_size for path in files}
    if sum(sizes.values()) > MAX_BYTES:
        largest = sorted(files, key=lambda path: -sizes[path])[:_NAMED]
        named = ", ".join(f"{path.relative_to(folder)} ({size(sizes[path])})" for path in largest)
        raise UsageError(
            f"{folder}, the source of {_named(distribution)}, holds {size(sum(sizes.values()))}, "
            f"and a plug-in may hold {size(MAX_BYTES)}: {named}; move what is not source elsewhere"
        )
    members = (Member(f"{place}/{path.relative_to(folder).as_posix()}", path) for path in files)
    return Carried(
        ("-e", place) if is_editable else (place,), tuple(members), folder if is_editable else None
    )


def _require_installable(distribution: Distribution, folder: Path) -> None:
    project = folder / "pyproject.toml"
    if not project.is_file() and not (folder / "setup.py").is_file():
        raise UsageError(
            f"{folder}, the source of {_named(distribution)}, has no pyproject.toml to install it "
            "by"
        )
    try:
        table = tomllib.loads(project.read_text(encoding="utf-8")) if project.is_file() else {}
    except (ValueError, OSError) as error:
        raise UsageError(f"{project} cannot be read: {error}") from None
    tools = list(table.get("build-system", {}).get("requires", []))
    if "version" in table.get("project", {}).get("dynamic", []) and (
        tool := next((name for name in tools if _FROM_VERSION_CONTROL.match(str(name))), None)
    ):
        raise UsageError(
            f"{_named(distribution)} takes its version from its history by {tool}, which does not "
            f"go along; write the version into {project}"
        )


def _require_as_in(distribution: Distribution, folder: Path) -> None:
    """Compare the code that is installed with the folder that it was copied from."""
    for file in _sources(distribution.files or []):
        origins = (folder / str(file), folder / "src" / str(file))
        origin = next((path for path in origins if path.is_file()), None)
        if origin is None or origin.read_bytes() != Path(str(file.locate())).read_bytes():
            raise MismatchError(
                f"{file} of {_named(distribution)} is not as in {folder}, from which it was "
                f"installed; install it again: pip install --no-deps -e {folder}"
            )


def _sources(files: Iterable[PackagePath]) -> Iterator[PackagePath]:
    for file in files:
        if file.suffix == ".py" and ".." not in file.parts:
            yield file


def _files(folder: Path) -> Iterator[Path]:
    """All but hidden names, caches, environments, and what a build leaves."""
    for parent, folders, names in os.walk(folder):
        here = Path(parent)
        folders[:] = [
            name
            for name in folders
            if not name.startswith(".")
            and name != "__pycache__"
            and not name.endswith(".egg-info")
            and not (here == folder and name in _BUILT)
            and not (here / name / "pyvenv.cfg").is_file()
        ]
        for name in names:
            path = here / name
            if not name.startswith(".") and path.suffix not in (".pyc", ".pyo") and path.is_file():
                yield path


def _named(distribution: Distribution) -> str:
    return f"the package {distribution.name} {distribution.version}"
