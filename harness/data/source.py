"""From what `--data` names to a split that is verified on disk.

A user's folder is only read; its manifest and lock file go to `results/data/`.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any, Protocol

from core.data.items import DataKind
from core.data.manifest import MANIFEST_FILE, Manifest
from core.data.manifest_file import FORMAT as MANIFEST_FORMAT
from core.data.revisions import JUDGING, READING
from core.data.splits.make import make_split
from core.data.splits.split import LOCK_FORMAT, Split, load_split
from core.data.splits.weights import ClassWeights, class_weights
from core.embedded.corpus.folder import write_corpus, write_mixtures
from core.errors import DataError, MismatchError, UsageError, suggestion
from core.files import expanded, json_sha256, sweep_leftovers, write_atomic
from core.foundation.sources import EMBEDDED_PREFIX
from core.locks import FileLock
from harness.records.folders import ResultsFolder, split_of_seed
from harness.settings.profile import DataSettings

_EMBEDDED: Mapping[str, tuple[str, Callable[..., None]]] = {
    "embedded:corpus": ("the embedded corpus", write_corpus),
    "embedded:mixtures": ("the embedded mixtures", write_mixtures),
}
"""What a source of this package is called, and what writes it."""
_PREPARED = "prepared.json"
"""What the folder was when it was read, and what was left out of it."""

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, kw_only=True)
class PreparedSplit:
    """A split, its lock file, and what cleaning left out (empty for a lock given as such)."""

    split: Split
    lock: Path
    exclusions: Mapping[str, int]
    num_input: int | None

    @property
    def num_capped(self) -> int:
        """Sound pairs that the cap leaves out; 0 for a lock, whose data were not read."""
        if self.num_input is None:
            return 0
        return self.num_input - sum(self.exclusions.values()) - len(self.split.samples)

    def cap_sentence(self, settings: DataSettings) -> str | None:
        """What the cap of these settings leaves out, for who starts a run; None where nothing."""
        name, cap, what = "cap", settings.cap, "a class"
        if self.split.kind is not DataKind.CLASSES:
            if settings.group_cap is None:
                return None
            name, cap, what = "group_cap", settings.group_cap, "a label or group"
        if self.num_capped <= 0:
            return None
        return (
            f"data.{name} = {cap} clips {what} leaves out {self.num_capped} of "
            f"{len(self.split.samples) + self.num_capped} pairs; --set data.{name}=N keeps more"
        )


class Prepare(Protocol):
    """What makes a split of `--data`."""

    def __call__(
        self, data: str | None, *, settings: DataSettings, results: Path, progress: Progress
    ) -> PreparedSplit:
        """As `prepare_split`."""


def prepare_split(
    data: str | None, *, settings: DataSettings, results: Path, progress: Progress
) -> PreparedSplit:
    """The split of a lock file, a cleaned data folder, a folder of pairs, or the profile's source.

    Raises:
        UsageError: nothing is named, or what is named does not exist.
        DataError: the folder cannot be used.
        MismatchError: the embedded corpus' folder holds something else; media are not as locked.
    """
    source = data if data is not None else settings.source
    if source is None:
        raise UsageError(
            "this profile has no data; pass a folder of pairs or a lock file with --data"
        )
    if source in _EMBEDDED:
        name, write = _EMBEDDED[source]
        folder = _embedded_folder(source, settings=settings, results=results)
        with _one_at_a_time(folder.parent):
            try:
                write(
                    folder,
                    seed=settings.corpus_seed,
                    progress=lambda done, total: progress(f"writing {name}", done, total),
                )
            except FileExistsError as error:
                raise MismatchError(f"{error}, or delete this one") from None
            return _from_folder(folder, settings=settings, work=folder.parent, progress=progress)
    path = _existing(source)
    if path.is_file():
        return PreparedSplit(split=load_split(path), lock=path, exclusions={}, num_input=None)
    work = _work_of(path, results=results)
    is_read = not (path / MANIFEST_FILE).is_file()
    if is_read and results.resolve().is_relative_to(path.resolve()):
        raise UsageError(
            f"the results folder {results} lies in the data folder {path}, which is only read, and "
            "its images would be taken for data; choose another --results"
        )
    with _one_at_a_time(work):
        if (path / MANIFEST_FILE).is_file():
            found = _from_manifest(
                path, settings=settings, lock=work / split_of_seed(settings.split_seed)
            )
            found.split.save(found.lock)
            return found
        return _from_folder(path, settings=settings, work=work, progress=progress)


def split_as_prepared(
    data: str | None, *, settings: DataSettings, results: Path, progress: Progress
) -> PreparedSplit:
    """As `prepare_split`, where that needs neither to write a file nor to read a medium.

    Raises:
        NotPreparedError: it does.
        UsageError, DataError: as `prepare_split`.
    """
    source = data if data is not None else settings.source
    if source is None:
        return prepare_split(data, settings=settings, results=results, progress=progress)
    if source in _EMBEDDED:
        path = _embedded_folder(source, settings=settings, results=results)
        work = path.parent
    else:
        path = _existing(source)
        if path.is_file():
            return PreparedSplit(split=load_split(path), lock=path, exclusions={}, num_input=None)
        work = _work_of(path, results=results)
        if (path / MANIFEST_FILE).is_file():
            return _from_manifest(
                path, settings=settings, lock=work / split_of_seed(settings.split_seed)
            )
    found = _as_before(path, settings=settings, work=work)
    if found is None:
        what = _EMBEDDED[source][0] if source in _EMBEDDED else str(path)
        raise NotPreparedError(
            f"{what} was not read for this results folder yet; the first run does, and splits it"
        )
    return found


class NotPreparedError(DataError):
    """The split of a folder is not known before its media are read."""


def _existing(source: str) -> Path:
    if source.startswith(EMBEDDED_PREFIX):
        raise UsageError(
            f"no data named '{source}'; known: {', '.join(_EMBEDDED)}"
            + suggestion(source, _EMBEDDED)
        )
    path = expanded(source)
    if not path.exists():
        raise DataError(f"no folder or lock file at {path}; --data requires one of them")
    return path


def _embedded_folder(source: str, *, settings: DataSettings, results: Path) -> Path:
    name = f"{source.replace(':', '-')}-seed{settings.corpus_seed}"
    return ResultsFolder(results).data / name / "media"


def _work_of(path: Path, *, results: Path) -> Path:
    """Where the manifest and the lock of a user's folder lie."""
    name = blake2b(str(path.resolve()).encode(), digest_size=4).hexdigest()
    return ResultsFolder(results).data / f"{path.resolve().name}-{name}"


def weights_of(split: Split, *, settings: DataSettings) -> ClassWeights:
    """The class weights that these settings ask for, over the training part of `split`."""
    return class_weights(
        split,
        rule=settings.class_weights,
        beta=settings.class_weight_beta,
        explicit=settings.explicit_weights,
    )


@contextmanager
def _one_at_a_time(work: Path) -> Iterator[None]:
    """Two runs started at once on one folder: the second waits and reads what the first made."""
    work.mkdir(parents=True, exist_ok=True)
    with FileLock(work / "prepare.lock"):
        sweep_leftovers(work)
        yield


def _from_folder(
    folder: Path, *, settings: DataSettings, work: Path, progress: Progress
) -> PreparedSplit:
    signature = _signature(folder, settings)
    if (before := _as_before(folder, settings=settings, work=work)) is not None:
        return before
    lock, prepared = work / split_of_seed(settings.split_seed), work / _prepared(settings)
    from core.data.cleaning.clean import build_manifest
    from core.data.cleaning.journal import JOURNAL_FILE

    manifest = build_manifest(
        folder,
        max_excluded_share=settings.max_excluded_share,
        window_s=settings.window_s,
        journal=work / JOURNAL_FILE,
        progress=lambda done, total: progress("reading every file once", done, total),
    )
    split = _split_of(manifest, settings=settings)
    work.mkdir(parents=True, exist_ok=True)
    manifest.save(work)
    split.save(lock)
    found = PreparedSplit(
        split=split, lock=lock, exclusions=_exclusions(manifest), num_input=manifest.num_input
    )
    facts = {
        "signature": signature,
        "exclusions": found.exclusions,
        "num_input": found.num_input,
    }
    write_atomic(prepared, content=(json.dumps(facts, indent=2) + "\n").encode())
    return found


def _as_before(folder: Path, *, settings: DataSettings, work: Path) -> PreparedSplit | None:
    """What the last reading made of the folder; None where it has changed or was never read."""
    lock = work / split_of_seed(settings.split_seed)
    facts = _facts(work / _prepared(settings))
    if not lock.is_file() or facts.get("signature") != _signature(folder, settings):
        return None
    split = load_split(lock, root=folder.resolve())
    return PreparedSplit(
        split=split, lock=lock, exclusions=facts["exclusions"], num_input=facts["num_input"]
    )


def _prepared(settings: DataSettings) -> str:
    """Name of the facts of a reading, as many as there are seeds of the split."""
    return f"prepared-{split_of_seed(settings.split_seed)}" if settings.split_seed else _PREPARED


def _facts(prepared: Path) -> dict[str, Any]:
    """What was kept of the last reading; empty where there is none, and the folder is read."""
    try:
        facts = json.loads(prepared.read_bytes())
    except (OSError, ValueError):
        return {}
    keys = {"signature", "exclusions", "num_input"}
    return facts if isinstance(facts, dict) and facts.keys() == keys else {}


def _exclusions(manifest: Manifest) -> dict[str, int]:
    return {reason.value: count for reason, count in manifest.reason_counts().items()}


def _from_manifest(folder: Path, *, settings: DataSettings, lock: Path) -> PreparedSplit:
    manifest = load_cleaned(folder)
    split = _split_of(manifest, settings=settings)
    return PreparedSplit(
        split=split, lock=lock, exclusions=_exclusions(manifest), num_input=manifest.num_input
    )


def _split_of(manifest: Manifest, *, settings: DataSettings) -> Split:
    has_classes = manifest.kind is DataKind.CLASSES
    cap = settings.cap if has_classes else settings.group_cap
    return make_split(manifest, cap=cap, seed=settings.split_seed)


def load_cleaned(folder: Path) -> Manifest:
    """The manifest of a folder that was ingested and cleaned.

    Raises: DataError that says which of the two is missing.
    """
    manifest = Manifest.load(folder)
    if manifest.candidates:
        raise DataError(
            f"{len(manifest.candidates)} items of {folder} were never decoded; run "
            f"harness data clean {folder} first"
        )
    if not manifest.samples:
        raise DataError(f"no pair of {folder} is usable; harness data show {folder} says why")
    return manifest


def _signature(folder: Path, settings: DataSettings) -> str:
    """Changes when a file is added, removed, resized or touched, or another split is asked for."""
    files = []
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            stat = path.stat()
            times = [stat.st_mtime_ns, stat.st_ctime_ns]
            files.append([path.relative_to(folder).as_posix(), stat.st_size, *times])
    rule = [settings.cap, settings.split_seed, settings.window_s, settings.max_excluded_share]
    if settings.group_cap is not None:
        rule.append(settings.group_cap)
    formats = [MANIFEST_FORMAT, LOCK_FORMAT, READING, JUDGING]
    return json_sha256({"formats": formats, "files": files, "rule": rule})
