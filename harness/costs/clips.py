"""How many clips a run trains on, validates with and is scored on."""

from dataclasses import dataclass

from core.data.items import DataKind
from core.data.splits.split import Part, Split, load_split
from core.embedded.corpus.classes import CLASS_COUNTS
from core.embedded.corpus.folder import NUM_MIXTURES
from core.errors import UsageError
from core.files import expanded
from harness.records.folders import SPLIT
from harness.settings.profile import DataSettings


@dataclass(frozen=True, kw_only=True)
class Clips:
    """Clips by part."""

    train: int
    val: int
    test: int
    source: str
    """Where the numbers come from, in words."""
    has_classes: bool = True
    """Whether clips have classes; without, one more mismatched sound is sampled."""

    def num_arms(self, of_classes: int) -> int:
        """Arms of a branch that has `of_classes` where clips have classes: a branch that hears, and
        so has more than two, has one more where they have none."""
        return of_classes + (not self.has_classes and of_classes > 2)

    @property
    def total(self) -> int:
        """All."""
        return self.train + self.val + self.test


EMBEDDED, MIXTURES = "embedded:corpus", "embedded:mixtures"
ASSUMED = sum(CLASS_COUNTS.values())
"""Clips where nobody says how many: as many as the embedded corpus has."""


def clips_of(data: str | None, *, number: int | None, settings: DataSettings) -> Clips:
    """The clips of a lock file or a folder with one, a number, or an assumption.

    Nothing is decoded and no folder is scanned.

    Raises:
        UsageError: both are given, or `data` is neither a lock file nor a folder with one.
        DataError: the lock file cannot be read.
    """
    if data is not None and number is not None:
        raise UsageError("--data and --clips cannot be combined; drop one of them")
    if data is not None:
        path = expanded(data)
        lock = path / SPLIT if path.is_dir() else path
        if not lock.is_file():
            raise UsageError(
                f"no lock file of a split at {lock}; `harness data split` makes one, or say how "
                "many clips there are with --clips N"
            )
        return clips_of_split(load_split(lock), source=str(lock))
    if number is not None:
        return _divided(number, source="--clips")
    if settings.source == MIXTURES:
        return _divided(NUM_MIXTURES, source="the embedded mixtures", has_classes=False)
    embedded = "the embedded corpus" if settings.source == EMBEDDED else None
    return _divided(ASSUMED, source=embedded or "assumed")


def clips_of_split(split: Split, *, source: str) -> Clips:
    """The clips of a split."""
    sizes = {part: len(split.parts[part]) for part in Part}
    has_classes = split.kind is DataKind.CLASSES
    return Clips(
        train=sizes[Part.TRAIN],
        val=sizes[Part.VAL],
        test=sizes[Part.TEST],
        source=source,
        has_classes=has_classes,
    )


def _divided(total: int, *, source: str, has_classes: bool = True) -> Clips:
    """As `core.data.splits.split.make_split` divides by default."""
    train, val = total * 8 // 10, total // 10
    return Clips(
        train=train, val=val, test=total - train - val, source=source, has_classes=has_classes
    )
