"""Where a pretrained part comes from, and what exactly it is.

A source is a string: `embedded:NAME` for a folder shipped with the package, an existing folder,
or a hub id, optionally `ID@REVISION`. All three end in the libraries' own `from_pretrained`.
"""

import hashlib
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from pathlib import Path

from core.errors import MissingWeightsError, UsageError

EMBEDDED_PREFIX = "embedded:"
# Whatever from_pretrained may read: configs, weights in either format, vocabularies.
_MODEL_SUFFIXES = frozenset({".json", ".safetensors", ".bin", ".pt", ".pth", ".txt", ".model"})


@dataclass(frozen=True)
class Source:
    """A resolved source: `location` and `revision` are what `from_pretrained` takes."""

    name: str
    location: str
    revision: str | None
    is_folder: bool

    def fingerprint(self, subfolder: str = "") -> str:
        """Hash of what the source holds: file contents of a folder, commit of a hub id.

        Raises:
            MissingWeightsError: the folder holds no such part, or a hub id is not in the cache.
            UsageError: the name is neither a folder nor a hub id.
        """
        if self.is_folder:
            return _folder_hash(Path(self.location) / subfolder, self.name)
        return _hub_commit(self.location, self.revision)


def resolve_source(name: str) -> Source:
    """The source a settings string names.

    Raises:
        UsageError: an `embedded:` name that does not exist, or a path that is no folder.
    """
    if name.startswith(EMBEDDED_PREFIX):
        root = Path(str(files("core"))) / "embedded" / "weights"
        folder = root / name.removeprefix(EMBEDDED_PREFIX)
        if not folder.is_dir():
            known = sorted(p.name for p in root.iterdir() if p.is_dir()) if root.is_dir() else []
            raise UsageError(f"no embedded model '{name}'; known: {', '.join(known) or 'none'}")
        return Source(name=name, location=str(folder), revision=None, is_folder=True)
    path = Path(name).expanduser()
    if path.is_dir():
        return Source(name=name, location=str(path), revision=None, is_folder=True)
    if path.is_absolute() or name.startswith((".", "~")):
        raise UsageError(f"no folder {name}; expected a model folder or a hub id like owner/model")
    location, _, revision = name.partition("@")
    return Source(name=name, location=location, revision=revision or None, is_folder=False)


def missing_weights(source: Source, part: str, cause: Exception) -> MissingWeightsError:
    """The sentence for a part that could not be loaded, with the way to get it."""
    how = (
        "the folder lacks it or it is broken; fetch the model again"
        if source.is_folder
        else f"fetch it once on a machine with network (`hf download {source.location}`) and copy "
        "the hub cache here, or name a local folder, like --set "
        "foundation.stable_diffusion=FOLDER"
    )
    reason = str(cause).strip().splitlines()
    return MissingWeightsError(
        f"cannot load the {part} of '{source.name}': {how} ({reason[0] if reason else cause!r})"
    )


def _folder_hash(folder: Path, name: str) -> str:
    entries = []
    if folder.is_dir():
        for path in sorted(folder.rglob("*")):
            if path.suffix in _MODEL_SUFFIXES and path.is_file():
                stat = path.stat()
                relative = path.relative_to(folder).as_posix()
                entries.append((relative, str(path), stat.st_size, stat.st_mtime_ns))
    if not entries:
        raise MissingWeightsError(
            f"{folder.name} of '{name}' holds no model files; expected the layout that "
            "from_pretrained reads"
        )
    digest = hashlib.sha256()
    for relative, path_text, size, modified_ns in entries:
        digest.update(f"{relative}\0{_file_hash(path_text, size, modified_ns)}\n".encode())
    return digest.hexdigest()


@lru_cache(maxsize=256)
def _file_hash(path: str, size: int, modified_ns: int) -> str:
    # size and modification time are only the cache's key; the hash is of the content.
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _hub_commit(repo_id: str, revision: str | None) -> str:
    from huggingface_hub import constants, try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    for filename in ("model_index.json", "config.json"):
        try:
            found = try_to_load_from_cache(repo_id, filename, revision=revision or "main")
        except HFValidationError:
            raise UsageError(
                f"'{repo_id}' is neither a folder nor a hub id; expected a model folder or a hub "
                "id like owner/model"
            ) from None
        if isinstance(found, str):
            # .../models--owner--name/snapshots/<commit>/<filename>
            return f"{repo_id}@{Path(found).parent.name}"
    raise MissingWeightsError(
        f"'{repo_id}' is not in the local hub cache ({constants.HF_HUB_CACHE}); fetch it once "
        f"with `hf download {repo_id}`, or name a local folder, like --set "
        "foundation.stable_diffusion=FOLDER"
    )
