"""From a cleaned folder to a lock file."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.audit.listing import Listing, read_part_file, read_target
from core.audit.split_import import import_split
from core.data.items import DataKind
from core.data.labels import load_label_map
from core.data.splits.make import make_split
from core.data.splits.official import OfficialList, mark_official, read_official_list
from core.data.splits.split import Official, Part, Split, load_split
from core.data.splits.weights import ClassWeighting, ClassWeights, class_weights
from core.errors import HarnessError, MismatchError, UsageError
from harness.data.caption_vectors import caption_vectors
from harness.data.source import load_cleaned
from harness.metrics.decidable import too_small
from harness.metrics.registry import HEADLINE
from harness.wording.data_kinds import group_word


@dataclass(frozen=True)
class SplitRequest:
    """What `harness data split` was asked for."""

    folder: Path
    out: Path
    cap: int | None = None
    """Of a class (None: 100), or of a label or a group of captions (None: all)."""
    seed: int = 0
    official: Official = Official.IGNORE
    official_list: Path | None = None
    profile: str | None = None
    """Whose text encoder groups captions alone; None groups them by their words."""
    imported: tuple[str, ...] = ()
    """Files of one part each, as `FILE` or `PART=FILE`; empty draws a split."""
    against: tuple[Path, ...] = ()


@dataclass(frozen=True)
class MadeSplit:
    """A split and its lock."""

    split: Split
    lock: Path
    weights: dict[ClassWeighting, ClassWeights]
    """Over the training part, by every rule that needs no numbers of the user's."""

    @property
    def warnings(self) -> list[str]:
        """Why its test part bears no verdict on the headline metric, or less than it seems."""
        counts = {name: row[Part.TEST] for name, row in self.split.counts.items()}
        return too_small(counts, metric=HEADLINE, word=group_word(self.split.kind))

    def data(self) -> dict[str, Any]:
        """As JSON values."""
        split = self.split
        return {
            "lock": str(self.lock),
            "hash": split.hash,
            "kind": split.kind.value,
            "groups": split.rule.groups,
            "method": split.rule.method.value,
            "cap": split.rule.cap,
            "seed": split.rule.seed,
            "official": split.rule.official.value,
            "samples": {part.value: len(ids) for part, ids in split.parts.items()},
            "counts": {
                name: {part.value: count for part, count in row.items()}
                for name, row in split.counts.items()
            },
            "label_counts": {
                name: {part.value: count for part, count in row.items()}
                for name, row in split.label_counts.items()
            },
            "class_weights": {rule.value: table.data() for rule, table in self.weights.items()},
            "notices": list(split.notices),
            "warnings": self.warnings,
        }


def make(request: SplitRequest) -> MadeSplit:
    """Draw or import the split, and write its lock.

    Raises: DataError for a folder that is not cleaned, or a class that cannot be split;
    UsageError for options that do not go together, or an `out` that is a file of somebody else's;
    MismatchError for an `out` that holds another split.
    """
    _replaceable(request.out)  # before any work
    manifest = load_cleaned(request.folder)
    official: OfficialList | None = None
    if request.official_list is not None:
        official = read_official_list(request.official_list)
        manifest = mark_official(manifest, official)
    if request.imported:
        if request.official is Official.HONOUR:
            raise UsageError(
                "--official cannot be combined with --import, which takes a split as it is"
            )
        split = import_split(
            manifest,
            [_listing(text) for text in request.imported],
            against=[x for path in request.against for x in read_target(path).listings],
            official=official,
            labels=None if official is None else load_label_map("vggsound"),
        )
    elif request.against:
        raise UsageError("--against requires --import; harness data audit compares any files")
    else:
        vectors = None
        if request.profile is not None:
            vectors = caption_vectors(manifest, profile=request.profile)
        split = make_split(
            manifest,
            cap=request.cap,
            seed=request.seed,
            official=request.official,
            vectors=vectors,
        )
    return lock_split(split, out=request.out)


def lock_split(split: Split, *, out: Path) -> MadeSplit:
    """Write a split's lock file, with the class weights of its training part.

    Raises: UsageError for an `out` that is a file of somebody else's; MismatchError for one that
    holds another split.
    """
    before = _replaceable(out)
    if before not in (None, split.hash):
        raise MismatchError(
            f"{out} holds another split ({str(before)[:12]}..., this one is "
            f"{split.hash[:12]}...), which may be the only copy, so it is not replaced. Choose "
            "another --out, or delete it"
        )
    rules: list[ClassWeighting] = [
        rule for rule in ClassWeighting if rule is not ClassWeighting.EXPLICIT
    ]
    if split.kind is DataKind.CAPTIONS:
        rules = [ClassWeighting.NONE]
    weights = {rule: class_weights(split, rule=rule) for rule in rules}
    tables = {rule.value: table.data() for rule, table in weights.items()}
    split.save(out, facts={"class_weights": tables})
    return MadeSplit(load_split(out), out, weights)


def _replaceable(out: Path) -> str | None:
    """Hash of the lock at `out`; None where nothing is. Raises: UsageError for any other file."""
    if out.is_dir():
        raise UsageError(f"--out {out} is a folder; name a file, such as {out / 'lock.json'}")
    if not out.exists():
        return None
    try:
        return load_split(out).hash
    except HarnessError:
        raise UsageError(
            f"--out {out} is a file but not a lock file of this command, so it is not replaced. "
            "Choose another --out, or delete it"
        ) from None


def _listing(text: str) -> Listing:
    name, separator, path = text.partition("=")
    if separator and name in set(Part):
        return read_part_file(Path(path), part=Part(name))
    return read_part_file(Path(text))
