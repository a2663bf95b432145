"""A correction by hand of a cleaned folder or a lock, into a new one."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from core.data.corrections import Correction, corrected_manifest, corrected_split
from core.data.manifest import Manifest
from core.data.splits.split import load_split
from core.errors import DataError, UsageError
from harness.data.source import load_cleaned
from harness.data.split import MadeSplit, lock_split


@dataclass(frozen=True, kw_only=True)
class Corrected:
    """What a correction made."""

    correction: Correction
    """What was changed."""
    out: Path
    """The new folder or lock."""
    manifest: Manifest | None
    """Of a folder."""
    made: MadeSplit | None
    """Of a lock."""


def correct(target: Path, *, correction: Correction, out: Path) -> Corrected:
    """Write a cleaned folder, or a lock file, with a correction to `out`; `target` stays.

    Raises:
        UsageError: an unknown id, nothing that changes, or an `out` that is in use.
        DataError: a target that is neither, or a class that would leave a part of the split.
        MismatchError: an `out` that holds another split.
    """
    if target.is_dir():
        manifest = corrected_manifest(load_cleaned(target), correction)
        if out.exists() and (not out.is_dir() or any(out.iterdir())):
            raise UsageError(f"--out {out} exists; name a new folder, since {target} stays")
        out.mkdir(parents=True, exist_ok=True)
        manifest.save(out)
        return Corrected(correction=correction, out=out, manifest=manifest, made=None)
    split = corrected_split(load_split(target), correction)
    return Corrected(correction=correction, out=out, manifest=None, made=lock_split(split, out=out))


def listed_ids(ids: Sequence[str], *, file: Path | None) -> tuple[str, ...]:
    """Ids of the command line, then those of a file: one on each line, or its first column.

    A line that is blank, or begins with #, names none; nor does a first line `id`.

    Raises:
        DataError: the file cannot be read.
    """
    found = list(ids)
    if file is not None:
        try:
            with file.open(encoding="utf-8-sig", newline="") as opened:
                rows = [row[0].strip() for row in csv.reader(opened) if row]
        except (OSError, UnicodeDecodeError, csv.Error) as error:
            raise DataError(f"cannot read ids from {file} ({error})") from None
        if rows and rows[0].casefold() == "id":
            rows = rows[1:]
        found += [row for row in rows if row and not row.startswith("#")]
    return tuple(found)
