"""What was found in a user's data: one row an item, kept or excluded with its reason.
`harness data ingest` writes the rows as candidates, `harness data clean` decides each of them.
Nothing ever leaves the table: candidates + included + excluded = input.
"""

import os
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from core.data.items import DataKind, Item, Reason, Sample, Status
from core.data.manifest_file import FORMAT, from_parquet, to_parquet
from core.errors import DataError
from core.files import write_atomic

MANIFEST_FILE = "manifest.parquet"


@dataclass(frozen=True)
class Manifest:
    """Everything found in the sources; candidates + included + excluded = input, always."""

    root: Path
    """Folder that every path is relative to: the common parent of all that is referenced."""
    items: tuple[Item, ...]
    """Sorted by id."""
    num_input: int
    """Rows, pairs and loose media files that were found; every step must still hold them all."""
    named_classes: tuple[str, ...] = ()
    """Every class the sources name, also those without an item; sorted."""
    sources: tuple[Mapping[str, Any], ...] = field(default=())
    """What was ingested, as asked for; two ingests of equal `sources` may share a folder."""
    cleaning: Mapping[str, Any] | None = None
    """Settings of the cleaning; None before it."""
    notices: tuple[str, ...] = field(default=(), compare=False)
    """What a reader should know of how the sources were read, as sentences."""
    kind: DataKind = DataKind.CLASSES
    """Whether a clip has one class, any number of labels, or captions alone."""

    def __post_init__(self) -> None:
        if len(self.items) != self.num_input:
            counts = Counter(item.status.value for item in self.items)
            parts = " + ".join(f"{counts[status.value]} {status.value}" for status in Status)
            raise DataError(
                f"{parts} is not the input of {self.num_input}; "
                "the manifest is not complete, build it again"
            )
        ids = Counter(item.id for item in self.items if item.status is not Status.EXCLUDED)
        repeated = [id_ for id_, count in ids.items() if count > 1]
        if repeated:
            raise DataError(f"id {repeated[0]!r} is used by {ids[repeated[0]]} samples")
        for item in self.items:
            if item.status is Status.INCLUDED and _says(item) is not self.kind:
                raise DataError(
                    f"item {item.id!r} is included with {_says(item).value}, but the data are of "
                    f"kind {self.kind.value}"
                )

    @cached_property
    def candidates(self) -> tuple[Item, ...]:
        """Items whose files are not decoded yet, sorted by id."""
        return tuple(item for item in self.items if item.status is Status.CANDIDATE)

    @cached_property
    def samples(self) -> tuple[Sample, ...]:
        """The usable pairs, sorted by id."""
        return tuple(item.sample() for item in self.items if item.status is Status.INCLUDED)

    @cached_property
    def exclusions(self) -> tuple[Item, ...]:
        """Items that are no samples, sorted by id."""
        return tuple(item for item in self.items if item.status is Status.EXCLUDED)

    def as_ingested(self) -> "Manifest":
        """The same before cleaning: what ingest excluded stays, everything else is a candidate."""
        return replace(self, items=tuple(item.as_ingested() for item in self.items), cleaning=None)

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the samples' classes or labels, sorted; none of captions alone."""
        return tuple(self.class_counts())

    def class_counts(self) -> dict[str, int]:
        """Number of samples of each class or label, sorted by name; empty of captions alone."""
        names = (name for sample in self.samples for name in sample.labels or (sample.class_name,))
        return dict(sorted(Counter(filter(None, names)).items()))

    def reason_counts(self) -> dict[Reason, int]:
        """Number of exclusions of each reason, most frequent first."""
        reasons = (item.reason for item in self.exclusions if item.reason is not None)
        return dict(Counter(reasons).most_common())

    def save(self, folder: Path) -> None:
        """Write `manifest.parquet` atomically.

        The root is kept relative to `folder`, so the two can move together.
        """
        header = {
            "format": FORMAT,
            "root": Path(os.path.relpath(self.root.resolve(), folder.resolve())).as_posix(),
            "num_input": self.num_input,
            "named_classes": list(self.named_classes),
            "sources": [dict(source) for source in self.sources],
            "cleaning": None if self.cleaning is None else dict(self.cleaning),
            "notices": list(self.notices),
        }
        if self.kind is not DataKind.CLASSES:  # the others came later than the format
            header["kind"] = self.kind.value
        write_atomic(folder / MANIFEST_FILE, content=to_parquet(self.items, header=header))

    @classmethod
    def load(cls, folder: Path, *, root: Path | None = None) -> "Manifest":
        """The manifest that `save` wrote; `root` overrides where the media are.

        Raises: DataError when the file is missing, unreadable or of another format.
        """
        header, items = from_parquet(folder / MANIFEST_FILE)
        return cls(
            root=root if root is not None else (folder / header["root"]).resolve(),
            items=items,
            num_input=header["num_input"],
            named_classes=tuple(header["named_classes"]),
            sources=tuple(header["sources"]),
            cleaning=header["cleaning"],
            notices=tuple(header.get("notices", ())),  # came later than the format
            kind=DataKind(header.get("kind", DataKind.CLASSES)),
        )


def _says(item: Item) -> DataKind:
    """What is said of one item."""
    if item.labels:
        return DataKind.LABELS
    return DataKind.CLASSES if item.class_name is not None else DataKind.CAPTIONS
