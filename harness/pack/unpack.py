"""Unpacks a pack, or holds an unpacked one against its file."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from core.errors import DataError, MismatchError
from core.files import file_sha256
from harness.archive.read import check_archive, extract_archive, listed_hashes
from harness.pack.contents import FACTS, SCRIPT, PackFacts, load_facts

_MOST_NAMED = 3


@dataclass(frozen=True, kw_only=True)
class Unpacked:
    """A pack on disk."""

    folder: Path
    """Where it lies."""
    facts: PackFacts
    """What is in it."""
    num_files: int
    """Files of the archive."""
    num_bytes: int
    """Their size."""
    is_new: bool
    """Whether it was unpacked now; False: it was there and was compared."""


def unpack(
    path: Path,
    folder: Path,
    *,
    is_checked: bool,
    progress: Callable[[int, int], None] | None = None,
) -> Unpacked:
    """Unpack into a new folder, every byte checked on the way.

    is_checked: read every unpacked file back from the disk and compare its hash. A folder that
    holds an unpacked pack already is compared and left as it is.

    Raises:
        DataError: not a pack, or one with a name that leads out of the folder.
        MismatchError: a byte has changed, in the file or on the disk; names where.
        UsageError: the folder holds something.
    """
    is_there = is_checked and (folder / FACTS).is_file()
    if is_there:
        held = check_archive(path, progress=progress)
    else:
        held = extract_archive(path, folder, progress=progress)
    if FACTS not in {file.name for file in held}:
        raise DataError(f"{path} is an archive of ours without {FACTS}, so it is not a pack")
    if is_checked:
        _compare(path, folder)
    facts = load_facts(folder)
    return Unpacked(
        folder=folder,
        facts=facts,
        num_files=len(held),
        num_bytes=sum(file.size for file in held),
        is_new=not is_there,
    )


def _compare(path: Path, folder: Path) -> None:
    changed = []
    for name, expected in listed_hashes(path).items():
        file = folder / name
        if not file.is_file() or file_sha256(file) != expected:
            changed.append(name)
    if changed:
        named = ", ".join(changed[:_MOST_NAMED]) + (", ..." if len(changed) > _MOST_NAMED else "")
        raise MismatchError(
            f"{len(changed)} files in {folder} are not as in {path}: {named}; unpack it again into "
            f"a new folder, unless {SCRIPT} has worked there since"
        )
