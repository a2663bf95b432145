"""The corpus in its folder: written whole or not at all, and once."""

import json
import os
import shutil
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

from core.embedded.corpus.classes import CLASS_COUNTS, require_class

STAMP = "corpus.json"
_VERSION = 1


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
    if _is_written(folder, stamp):
        return
    from core.embedded.corpus.files import fill  # what draws and synthesises

    folder.parent.mkdir(parents=True, exist_ok=True)
    part = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    try:
        part.chmod(0o755)
        fill(part, seed=seed, counts=counts, spoilt=spoilt, progress=progress)
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
