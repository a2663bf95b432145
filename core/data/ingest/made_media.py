"""Clips and frames that ingest itself writes, each whole or not at all, and never twice."""

import json
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from core.files import json_sha256, write_atomic

_VERSION = 2
_UNSAFE = re.compile(r"[^A-Za-z0-9_-]+")
_MAX_STEM = 48


@dataclass(frozen=True, kw_only=True)
class MadePair:
    """A sound and a picture in memory, ready to be written."""

    audio: bytes
    audio_suffix: str
    image: bytes
    image_suffix: str
    provenance: Mapping[str, Any] = field(default_factory=dict)
    """How they were made or chosen; JSON."""


@dataclass(frozen=True)
class WrittenPair:
    """The same on disk; names relative to the maker's folder."""

    audio_path: str
    image_path: str
    provenance: Mapping[str, Any]


class MediaMaker:
    """Writes pairs under `folder`, named by what they were made from.

    A pair is there once its `.json` is, which is written last: an interrupted ingest goes on where
    it stopped, and the same ingest again writes nothing.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder.resolve()
        """Where the media go."""

    def pair(
        self, made_from: Mapping[str, Any], *, name: str, make: Callable[[], MadePair]
    ) -> WrittenPair:
        """The pair of `made_from`, by `make` unless it lies there whole.

        made_from: everything that its bytes depend on; JSON. name: for a person who looks into the
        folder; only its letters and digits are used.
        """
        digest = json_sha256({"version": _VERSION, **made_from})[:16]
        stem = f"{_UNSAFE.sub('_', name)[:_MAX_STEM]}-{digest}"
        known = self._written(stem)
        if known is not None:
            return known
        pair = make()
        audio, image = f"{stem}{pair.audio_suffix}", f"{stem}{pair.image_suffix}"
        write_atomic(self.folder / audio, content=pair.audio)
        write_atomic(self.folder / image, content=pair.image)
        body = {
            "audio_path": audio,
            "image_path": image,
            "audio_bytes": len(pair.audio),
            "image_bytes": len(pair.image),
            "provenance": dict(pair.provenance),
        }
        write_atomic(self._receipt(stem), content=json.dumps(body, indent=1).encode())
        return WrittenPair(audio, image, pair.provenance)

    def stamp(self, path: Path) -> dict[str, Any]:
        """What tells one version of a file from another without reading it; it survives a move of
        the file together with the folder."""
        stat = path.stat()
        relative = Path(os.path.relpath(path.resolve(), self.folder)).as_posix()
        return {"path": relative, "bytes": stat.st_size, "mtime_ns": stat.st_mtime_ns}

    def _receipt(self, stem: str) -> Path:
        return self.folder / f"{stem}.json"

    def _written(self, stem: str) -> WrittenPair | None:
        """The pair if its receipt is there and both files have the size it says."""
        try:
            body = json.loads(self._receipt(stem).read_bytes())
            for kind in ("audio", "image"):
                path = self.folder / body[f"{kind}_path"]
                if path.stat().st_size != body[f"{kind}_bytes"]:
                    return None
            return WrittenPair(body["audio_path"], body["image_path"], body["provenance"])
        except (OSError, ValueError, KeyError, TypeError):
            return None
