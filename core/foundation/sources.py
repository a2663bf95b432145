"""Where a pretrained part comes from, and what exactly it is.

A source is a string: `embedded:NAME` for a folder shipped with the package, an existing folder,
or a hub id, optionally `ID@REVISION`. All three end in a folder of this machine: a hub id in the
snapshot of one commit in the local hub cache. Nothing is asked of the network, so that what is
loaded is what was identified, whatever happens to the repository meanwhile.
"""

import hashlib
import re
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from core.errors import MissingWeightsError, UsageError
from core.files import expanded
from core.foundation.catalogue import download_command
from core.foundation.file_hashes import model_file_sha256
from core.foundation.layout import WHOLE, Layout

EMBEDDED_PREFIX = "embedded:"
_COMMIT = re.compile(r"[0-9a-f]{40}")
_MIN_SHORT_COMMIT = 7
_resolved: dict[tuple[Path, str], str] = {}
"""Commits by repository and revision: once resolved, it stays so for the process."""


@dataclass(frozen=True)
class Source:
    """A resolved source."""

    name: str
    """As the setting has it."""
    location: str
    """The folder, or the hub id."""
    revision: str | None
    """Of a hub id: the branch, tag or commit that was asked for; None is `main`."""
    is_folder: bool

    @property
    def commit(self) -> str | None:
        """Of a hub id: the commit whose files are read; None for a folder.

        Raises:
            MissingWeightsError: the hub id is not in the local cache.
            UsageError: the name is neither a folder nor a hub id.
        """
        return None if self.is_folder else self.folder.name

    @property
    def folder(self) -> Path:
        """Where the files lie: what `from_pretrained` takes.

        Raises: as `commit`.
        """
        if self.is_folder:
            return Path(self.location)
        return _snapshot(self.location, self.revision)

    def files(self, layout: Layout = WHOLE) -> dict[str, Path]:
        """The files that are read, by their path below the model's folder.

        Raises:
            MissingWeightsError: one is not there.
            UsageError: the name is neither a folder nor a hub id.
        """
        folder = self.folder
        try:
            found = {path.relative_to(folder).as_posix(): path for path in layout.files(folder)}
        except MissingWeightsError as error:
            raise MissingWeightsError(f"'{self.name}' is not whole: {error}; {self._way}") from None
        if not found:
            raise MissingWeightsError(
                f"'{self.name}' holds no model files; expected the layout that from_pretrained "
                f"reads; {self._way}"
            )
        return found

    def fingerprint(self, layout: Layout = WHOLE) -> str:
        """Hash of the files that are read; the same for a folder and a hub id that hold the same.

        Raises: as `files`.
        """
        digest = hashlib.sha256()
        for relative, path in sorted(self.files(layout).items()):
            digest.update(f"{relative}\0{model_file_sha256(path)}\n".encode())
        return digest.hexdigest()

    @property
    def _way(self) -> str:
        if self.name.startswith(EMBEDDED_PREFIX):
            return "install the package again"
        if self.is_folder:
            return "fetch the model again"
        return f"fetch it with `{download_command(self.location, revision=self.revision)}`"


def resolve_source(name: str) -> Source:
    """The source a settings string names.

    Raises:
        UsageError: an `embedded:` name that does not exist, or a path that is not a folder.
    """
    if name.startswith(EMBEDDED_PREFIX):
        root = Path(str(files("core"))) / "embedded" / "weights"
        folder = root / name.removeprefix(EMBEDDED_PREFIX)
        if not folder.is_dir():
            known = sorted(p.name for p in root.iterdir() if p.is_dir()) if root.is_dir() else []
            raise UsageError(f"no embedded model '{name}'; known: {', '.join(known) or 'none'}")
        return Source(name=name, location=str(folder), revision=None, is_folder=True)
    path = expanded(name)
    if path.is_dir():
        return Source(name=name, location=str(path), revision=None, is_folder=True)
    if path.is_file():
        raise UsageError(
            f"{name} is a file; expected a model folder or a hub id. A single-file checkpoint of "
            f"Stable Diffusion becomes a folder with `harness convert sd {name} --out FOLDER`"
        )
    if path.is_absolute() or name.startswith((".", "~")):
        raise UsageError(f"no folder {name}; expected a model folder or a hub id like owner/model")
    location, _, revision = name.partition("@")
    return Source(name=name, location=location, revision=revision or None, is_folder=False)


def missing_weights(source: Source, part: str, cause: Exception) -> MissingWeightsError:
    """The sentence for a part that could not be loaded, with the way to get it."""
    how = (
        "the folder lacks it or it is broken; fetch the model again"
        if source.is_folder
        else f"fetch it once on a machine with network "
        f"(`{download_command(source.location, revision=source.revision)}`) and copy the hub cache "
        "here, or name a local folder instead"
    )
    reason = str(cause).strip().splitlines()
    return MissingWeightsError(
        f"cannot load the {part} of '{source.name}': {how} ({reason[0] if reason else cause!r})"
    )


def _snapshot(repo_id: str, revision: str | None) -> Path:
    """Folder of the cached commit that a revision names."""
    from huggingface_hub import constants
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id

    try:
        validate_repo_id(repo_id)
    except HFValidationError:
        raise UsageError(
            f"'{repo_id}' is neither a folder nor a hub id; expected a model folder or a hub "
            "id like owner/model"
        ) from None
    repository = Path(constants.HF_HUB_CACHE) / f"models--{repo_id.replace('/', '--')}"
    key = (repository, revision or "main")
    commit = _resolved.get(key) or _cached_commit(repository, revision or "main")
    if commit is None or not (repository / "snapshots" / commit).is_dir():
        command = download_command(repo_id, revision=revision)
        asked = repo_id if revision is None else f"{repo_id}@{revision}"
        raise MissingWeightsError(
            f"'{asked}' is not in the local hub cache ({constants.HF_HUB_CACHE}); fetch it once "
            f"with `{command}`, or name a local folder instead"
        )
    _resolved[key] = commit
    return repository / "snapshots" / commit


def _cached_commit(repository: Path, revision: str) -> str | None:
    snapshots = repository / "snapshots"
    if _COMMIT.fullmatch(revision):
        return revision
    reference = repository / "refs" / revision
    if reference.is_file() and ".." not in revision:
        return reference.read_text(encoding="utf-8").strip() or None
    if len(revision) >= _MIN_SHORT_COMMIT and snapshots.is_dir():
        whole = [path.name for path in snapshots.iterdir() if path.name.startswith(revision)]
        return whole[0] if len(whole) == 1 else None
    return None
