"""Which models a profile needs, where they are, and how to get those that are not here."""

import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.errors import MissingWeightsError, UsageError, suggestion
from core.files import file_sha256
from core.foundation.catalogue import (
    AISFX,
    ALEXNET,
    EFFICIENTNET_LITE0,
    HUB_MODELS,
    INCEPTION,
    LPIPS_HEADS,
    WAV2CLIP,
    HubModel,
    PackagedFile,
    ReleasedFile,
    download_command,
)
from core.foundation.layout import LAYOUTS
from core.foundation.sources import EMBEDDED_PREFIX, Source, resolve_source
from harness.settings.profile import Profile

RELEASED: dict[str, tuple[ReleasedFile | PackagedFile, ...]] = {
    "inception": (INCEPTION,),
    "lpips": (ALEXNET, LPIPS_HEADS),
    "wav2clip": (WAV2CLIP,),
    "sound": (AISFX,),
    "picture": (EFFICIENTNET_LITE0,),
}
"""By the scorer's role: files that lie at addresses of their own, not on the hub."""
_ON_HUB = {"dinov2": "facebook/dinov2-large", "pe_av": "facebook/pe-av-large"}
"""By the scorer's role: the hub model that is meant where none is named."""
OPTIONAL_SCORERS = (*RELEASED, *_ON_HUB)
_INSTEAD = frozenset({"pe_av"})
"""Fetched by name alone: it hears in the place of Wav2CLIP, never next to it."""
_BLOB = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class NeededModel:
    """One model of a profile."""

    role: str
    """The settings' name for what it does."""
    source: str
    """Folder, hub id or `embedded:NAME`."""
    commit: str | None
    """Of a hub id that is here: whose files are read."""
    files: dict[str, Path | None]
    """By name below the model's folder; None where a file is not here."""
    num_bytes: int | None
    """Of all files; of those that are not here as published, None where that is not known."""
    found: Path | None
    """Where it lies; None where it is not here or not whole."""
    licence: str
    command: str | None
    """What fetches it; None where nothing has to or can be fetched."""
    sha256: dict[str, str]
    """By file, as published, where known."""
    problem: str | None
    """Why it cannot be used."""
    setting: str | None
    """What makes a run use it, where the profile does not."""

    def data(self) -> dict[str, Any]:
        """For scripts."""
        return {
            "role": self.role,
            "source": self.source,
            "commit": self.commit,
            "files": list(self.files),
            "bytes": self.num_bytes,
            "found": None if self.found is None else str(self.found),
            "licence": self.licence,
            "command": self.command,
            "sha256": self.sha256,
            "problem": self.problem,
            "setting": self.setting,
        }


def needed_models(
    profile: Profile, *, scorers: Sequence[str] = (), folder: Path = Path("models")
) -> list[NeededModel]:
    """The models of a profile and of further scorers, those that are missing too.

    scorers: of `OPTIONAL_SCORERS`, or `all` (Wav2CLIP hears then, not PE-AV).
    folder: where files that are not on the hub go, for scorers that the profile does not have.

    Raises:
        UsageError: an unknown scorer, or a source that can be nothing.
    """
    named = {
        "stable_diffusion": profile.foundation.stable_diffusion,
        "clap": profile.foundation.clap,
        **profile.scorers.model_dump(),
    }
    needed = []
    for role, name in named.items():
        if name is not None:
            needed.append(_needed(role, name, setting=None))
    for role in _scorers(scorers):
        if named[role] is None:
            name = _ON_HUB.get(role, str(folder / role))
            setting = f"--set scorers.{role}={shlex.quote(name)}"
            needed.append(_needed(role, name, setting=setting))
    return needed


def verified(model: NeededModel) -> NeededModel:
    """The same after reading every file: with a problem where one is not what it should be."""
    problems = [] if model.problem is None else [model.problem]
    for name, path in model.files.items():
        if path is None:
            continue
        blob = path.resolve()
        is_named = blob.parent.name == "blobs" and _BLOB.fullmatch(blob.name)
        expected = {model.sha256.get(name, ""), blob.name if is_named else ""} - {""}
        found = file_sha256(path)
        if any(not found.startswith(start) for start in expected):
            problems.append(
                f"{path} is damaged or another file: its SHA-256 is {found[:16]}..., expected "
                f"{', '.join(start[:16] for start in sorted(expected))}...; delete it and fetch it "
                "again"
            )
    changes: dict[str, Any] = {**vars(model), "problem": "; ".join(problems) or None}
    return NeededModel(**changes)


def _scorers(names: Sequence[str]) -> list[str]:
    found: dict[str, None] = {}
    for name in names:
        if name == "all":
            found |= dict.fromkeys(s for s in OPTIONAL_SCORERS if s not in _INSTEAD)
        elif name in OPTIONAL_SCORERS:
            found[name] = None
        else:
            known = [*OPTIONAL_SCORERS, "all"]
            raise UsageError(
                f"no scorer named '{name}' can be added; known: {', '.join(known)}"
                f"{suggestion(name, known)}"
            )
    return list(found)


def _needed(role: str, name: str, *, setting: str | None) -> NeededModel:
    released = RELEASED.get(role)
    path = Path(name).expanduser()
    is_to_be_made = released is not None and setting is not None and not path.is_dir()
    if released is not None and (is_to_be_made or path.is_dir()):
        return _of_files(role, name, released, setting=setting)
    source = resolve_source(name)
    known = HUB_MODELS.get(source.location)
    files: dict[str, Path | None] = {}
    problem = None
    try:
        files = dict(source.files(LAYOUTS[role]))
    except MissingWeightsError as error:
        problem = str(error)
    return NeededModel(
        role=role,
        source=name,
        commit=None if problem else source.commit,
        files=files or dict.fromkeys(() if known is None else known.sizes),
        num_bytes=_size(files, known=known),
        found=None if problem else source.folder,
        licence=_licence(source, known),
        command=_command(source),
        sha256={} if known is None else dict(known.sha256),
        problem=problem,
        setting=setting,
    )


def _of_files(
    role: str, name: str, released: Sequence[ReleasedFile | PackagedFile], *, setting: str | None
) -> NeededModel:
    folder = Path(name).expanduser()
    try:
        files: dict[str, Path | None] = {p.name: p for p in LAYOUTS[role].files(folder)}
        problem, num_bytes = None, _size(files, known=None)
    except MissingWeightsError as error:
        files = {
            file.name: folder / file.name if (folder / file.name).is_file() else None
            for file in released
        }
        sizes = [file.num_bytes for file in released]
        problem = f"in {folder} {error}"
        num_bytes = None if None in sizes else sum(size or 0 for size in sizes)
    return NeededModel(
        role=role,
        source=name,
        commit=None,
        files=files,
        num_bytes=num_bytes,
        found=None if problem else folder,
        licence=", ".join(dict.fromkeys(file.licence for file in released)),
        command=" && ".join(file.command(name) for file in released),
        sha256={file.name: file.sha256 for file in released if file.sha256},
        problem=problem,
        setting=setting,
    )


def _size(files: Mapping[str, Path | None], *, known: HubModel | None) -> int | None:
    if files:
        return sum(path.stat().st_size for path in files.values() if path is not None)
    return sum(known.sizes.values()) if known is not None and known.sizes else None


def _licence(source: Source, known: HubModel | None) -> str:
    if known is not None:
        return known.licence
    return "that of this package" if source.name.startswith(EMBEDDED_PREFIX) else "not known here"


def _command(source: Source) -> str | None:
    if source.is_folder:
        return None
    return download_command(source.location, revision=source.revision)
