"""The two corpora in their folders: written whole or not at all, and once."""

import json
import os
import shutil
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

from core.embedded.corpus.classes import CLASS_COUNTS, require_class

STAMP = "corpus.json"
_VERSION = 1
_MIXTURES_VERSION = 1
NUM_MIXTURES = 640
"""Clips of the corpus of mixtures: 512 to train on, 64 to validate with, 64 to test with."""


def write_corpus(
    folder: Path,
    *,
    seed: int = 0,
    counts: Mapping[str, int] = CLASS_COUNTS,
    spoilt: bool = True,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Write `folder` whole or not at all; a folder written with the same settings is left alone.

    `counts` are the good pairs a class; `spoilt` adds what cleaning must find on top of them:
    three header-only wavs and a cut picture (all four listed in metadata.json), a wav without
    frame, a frame without wav, and an interrupted download. `progress(done, total)` is called
    after each good pair.
    Raises: ValueError for an unknown class; FileExistsError when `folder` holds anything else.
    """
    for cls in counts:
        require_class(cls)
    stamp = {"version": _VERSION, "seed": seed, "counts": dict(counts), "spoilt": spoilt}

    def fill(part: Path) -> None:
        from core.embedded.corpus import files  # what draws and synthesises

        files.fill(part, seed=seed, counts=counts, spoilt=spoilt, progress=progress)

    _write_once(folder, stamp, fill=fill)


def write_mixtures(
    folder: Path,
    *,
    seed: int = 0,
    count: int = NUM_MIXTURES,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Write `count` clips of one to three sources to `folder`, as `write_corpus` does its pairs.

    The rows of metadata.json have `labels`, a class for each source, in place of `class`.
    Raises: FileExistsError when `folder` holds anything else.
    """
    stamp = {"version": _MIXTURES_VERSION, "seed": seed, "mixtures": count}

    def fill(part: Path) -> None:
        from core.embedded.corpus import files  # what draws and synthesises

        files.fill_mixtures(part, seed=seed, count=count, progress=progress)

    _write_once(folder, stamp, fill=fill)


def _write_once(folder: Path, stamp: Mapping[str, object], *, fill: Callable[[Path], None]) -> None:
    if _is_written(folder, stamp):
        return
    folder.parent.mkdir(parents=True, exist_ok=True)
    part = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    try:
        part.chmod(0o755)
        fill(part)
        (part / STAMP).write_text(json.dumps(stamp, indent=2) + "\n")
        if folder.is_dir():
            folder.rmdir()  # empty, as _is_written saw
        os.replace(part, folder)
    except BaseException:
        shutil.rmtree(part, ignore_errors=True)
        raise


def _is_written(folder: Path, stamp: Mapping[str, object]) -> bool:
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return False
    path = folder / STAMP
    if path.is_file() and json.loads(path.read_text()) == stamp:
        return True
    raise FileExistsError(
        f"{folder} holds other files or a corpus of other settings; "
        f"expected it to be missing, empty or written with {dict(stamp)}; choose another folder"
    )
