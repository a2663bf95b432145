"""The locked, balanced division of a manifest into training, validation and test parts."""

import json
import os
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from functools import cached_property
from pathlib import Path
from typing import Any

from core.data.items import DataKind, Sample
from core.errors import DataError, MismatchError
from core.files import file_sha256, json_sha256, write_atomic

LOCK_FORMAT = 2
"""Of the lock file; an older one is made again."""
_HASHED_FIELDS = frozenset(
    {"id", "class_name", "caption", "source", "audio_sha256", "image_sha256", "attributes"}
)

_LATER_FIELDS = ("labels", "captions")
"""Of data with several labels or captions a clip."""


class Part(StrEnum):
    """A part of a split."""

    TRAIN = "train"
    VAL = "val"
    TEST = "test"


class Grouping(StrEnum):
    """What may not be divided between two parts."""

    SOURCE = "source"


class Official(StrEnum):
    """What the data set's own division into train and test means for the draw."""

    IGNORE = "ignore"
    HONOUR = "honour"  # its test clips never train nor validate, and only they are tested on


class Method(StrEnum):
    """Where the division comes from."""

    DRAWN = "drawn"
    IMPORTED = "imported"


@dataclass(frozen=True)
class SplitRule:
    """How a split was made; a part of its hash. An imported split has no cap, seed or fractions."""

    cap: int | None
    """Most samples of one class, over all parts."""
    seed: int | None
    """Seed of the split."""
    fractions: tuple[float, float, float] | None
    """Shares of train, val and test; their sum is 1."""
    grouping: Grouping = Grouping.SOURCE
    """What stays together."""
    official: Official = Official.IGNORE
    """Whether the data set's own test clips are kept for the test part."""
    method: Method = Method.DRAWN
    """Drawn here, or taken from files of the user's."""
    groups: str | None = None
    """What clips without one class are grouped by: `labels`, `words` of their captions, or the name
    of a text encoder; None where each has a class."""

    def data(self) -> dict[str, Any]:
        """As JSON values; without `groups` where clips have classes, as it always was."""
        found = asdict(self)
        return found if self.groups is not None else {k: found[k] for k in found if k != "groups"}


@dataclass(frozen=True, kw_only=True)
class Split:
    """Which samples train, validate and test; equal hashes mean comparable runs."""

    root: Path
    """Folder that the samples' paths are relative to; not a part of the hash."""
    samples: Mapping[str, Sample]
    """Every sample of the split by id."""
    parts: Mapping[Part, tuple[str, ...]]
    """Ids of each part, sorted."""
    rule: SplitRule
    """How it was made."""
    notices: tuple[str, ...] = field(default=(), compare=False)
    """What a reader should know of it, as sentences; not a part of the hash."""
    kind: DataKind = DataKind.CLASSES
    """Whether a clip has one class, any number of labels, or captions alone."""

    def __post_init__(self) -> None:
        listed = [id_ for part in Part for id_ in self.parts[part]]
        if sorted(listed) != sorted(self.samples):
            extra = sorted((Counter(listed) - Counter(list(self.samples))).keys())
            missing = sorted(set(self.samples) - set(listed))
            raise DataError(
                f"the parts of a split must hold each sample once; in no part: {missing[:5]}, "
                f"unknown or in two parts: {extra[:5]}"
            )
        _refuse_sharing(self)

    @property
    def train(self) -> tuple[str, ...]:
        """Ids of the training part."""
        return self.parts[Part.TRAIN]

    @property
    def val(self) -> tuple[str, ...]:
        """Ids of the validation part."""
        return self.parts[Part.VAL]

    @property
    def test(self) -> tuple[str, ...]:
        """Ids of the test part."""
        return self.parts[Part.TEST]

    def samples_of(self, parts: Sequence[Part]) -> dict[str, Sample]:
        """The samples of some parts by id, in the order of `samples`."""
        chosen = {id_ for part in parts for id_ in self.parts[part]}
        return {id_: sample for id_, sample in self.samples.items() if id_ in chosen}

    @cached_property
    def classes(self) -> tuple[str, ...]:
        """Class names, sorted; a class's index is its place here. Without classes: the groups of
        labels or of captions."""
        return tuple(sorted({sample.class_name for sample in self.samples.values()}))

    @cached_property
    def counts(self) -> dict[str, dict[Part, int]]:
        """Samples of each class in each part."""
        table = {name: dict.fromkeys(Part, 0) for name in self.classes}
        for part in Part:
            for id_ in self.parts[part]:
                table[self.samples[id_].class_name][part] += 1
        return table

    @cached_property
    def label_counts(self) -> dict[str, dict[Part, int]]:
        """Samples of each label in each part; empty where a clip has no labels."""
        names = sorted({label for sample in self.samples.values() for label in sample.labels})
        table = {name: dict.fromkeys(Part, 0) for name in names}
        for part in Part:
            for id_ in self.parts[part]:
                for label in self.samples[id_].labels:
                    table[label][part] += 1
        return table

    @cached_property
    def hash(self) -> str:
        """SHA-256 of everything but where the files lie: equal on two machines, or not equal."""
        samples = [
            {key: getattr(sample, key) for key in _hashed(sample)}
            for _, sample in sorted(self.samples.items())
        ]
        parts = {part.value: sorted(self.parts[part]) for part in Part}
        body = {"samples": samples, "parts": parts, "rule": self.rule.data()}
        return json_sha256({**body, **self._kind_data()})

    def _kind_data(self) -> dict[str, str]:
        """Nothing of data with classes, which came first."""
        return {} if self.kind is DataKind.CLASSES else {"kind": self.kind.value}

    def save(self, path: Path, *, facts: Mapping[str, Any] | None = None) -> None:
        """Write the lock file atomically; the root is kept relative to it.

        facts: JSON values for a reader, such as the class weights; the checksum covers them, the
        hash does not.
        """
        root = Path(os.path.relpath(self.root.resolve(), path.parent.resolve())).as_posix()
        body = {
            "format": LOCK_FORMAT,
            "hash": self.hash,
            **self._kind_data(),
            "rule": self.rule.data(),
            "counts": self.counts,
            "root": root,
            "parts": {part.value: list(self.parts[part]) for part in Part},
            "notices": list(self.notices),
            "facts": dict(facts or {}),
            "samples": [_row(sample) for _, sample in sorted(self.samples.items())],
        }
        write_atomic(path, content=_lock_bytes(body))


def load_split(path: Path, *, root: Path | None = None) -> Split:
    """The split of a lock file; `root` overrides where the media are.

    Raises: DataError when the file is missing or no lock; MismatchError when one byte of it is
    not as `save` wrote it.
    """
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise DataError(f"no lock file {path} ({error.strerror}); make a split first") from error
    try:
        body = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise MismatchError(
            f"{path} is not readable as JSON ({error}); make the split again"
        ) from None
    if not isinstance(body, dict) or body.get("format") != LOCK_FORMAT:
        raise DataError(f"{path} is not a lock file of format {LOCK_FORMAT}; make the split again")
    checksum = body.pop("checksum", None)
    try:
        is_as_written = _lock_bytes(body) == raw
    except ValueError:  # a number edited to infinity
        is_as_written = False
    if not is_as_written:
        raise MismatchError(
            f"{path} was edited after it was written: its checksum {checksum} does not fit; "
            "make the split again, a lock is not edited by hand"
        )
    rule = dict(body["rule"])
    for name, kind in (("grouping", Grouping), ("official", Official), ("method", Method)):
        rule[name] = kind(rule[name])
    if rule["fractions"] is not None:
        rule["fractions"] = tuple(rule["fractions"])
    split = Split(
        root=root if root is not None else (path.parent / body["root"]).resolve(),
        samples={row["id"]: _sample(row) for row in body["samples"]},
        parts={part: tuple(body["parts"][part.value]) for part in Part},
        rule=SplitRule(**rule),
        notices=tuple(body["notices"]),
        kind=DataKind(body.get("kind", DataKind.CLASSES)),
    )
    if split.hash != body["hash"]:
        raise MismatchError(f"{path} names hash {body['hash']} but holds a split of {split.hash}")
    return split


def verify(
    split: Split,
    *,
    parts: Sequence[Part] = tuple(Part),
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Hash the media files of `parts` again, in order of id, and return if all are as locked.

    Raises: MismatchError naming the first file that is missing or differs.
    """
    samples = split.samples_of(parts)
    for done, id_ in enumerate(sorted(samples), start=1):
        verify_sample(samples[id_], root=split.root)
        if progress:
            progress(done, len(samples))


def is_absent(split: Split, part: Part) -> bool:
    """Whether not one media file of a part is there: it came as features alone."""
    samples = split.samples_of([part]).values()
    return not any(
        (split.root / path).exists()
        for sample in samples
        for path in (sample.audio_path, sample.image_path)
    )


def verify_sample(sample: Sample, *, root: Path) -> None:
    """The same for one sample whose paths are relative to `root`. Raises: MismatchError."""
    for kind, relative, expected in (
        ("audio", sample.audio_path, sample.audio_sha256),
        ("image", sample.image_path, sample.image_sha256),
    ):
        path = root / relative
        try:
            got = file_sha256(path)
        except OSError as error:
            raise MismatchError(
                f"sample {sample.id!r}: the {kind} file {path} cannot be read ({error.strerror}); "
                "put it back, or clean and split the data again"
            ) from error
        if got != expected:
            raise MismatchError(
                f"sample {sample.id!r}: the {kind} file {path} has changed since it was locked "
                f"(sha256 {got[:12]}..., locked {expected[:12]}...); put the old file back, or "
                "clean and split the data again"
            )


def _hashed(sample: Sample) -> list[str]:
    """The fields of a sample that its split is known by."""
    return [*_HASHED_FIELDS, *(name for name in _LATER_FIELDS if getattr(sample, name))]


def _row(sample: Sample) -> dict[str, Any]:
    """A sample as JSON values; what data with one class a clip never have is left out there."""
    return {k: v for k, v in asdict(sample).items() if v or k not in _LATER_FIELDS}


def _sample(row: Mapping[str, Any]) -> Sample:
    later = {name: tuple(row[name]) for name in _LATER_FIELDS if name in row}
    return Sample(**{**row, **later})


def _lock_bytes(body: Mapping[str, Any]) -> bytes:
    whole = {**body, "checksum": json_sha256(body)}
    return json.dumps(whole, indent=1, allow_nan=False).encode("ascii") + b"\n"


def _refuse_sharing(split: Split) -> None:
    """Raises: DataError when a source or the bytes of a file are in two parts."""
    owner: dict[str, tuple[Part, str]] = {}
    for part in Part:
        for id_ in split.parts[part]:
            sample = split.samples[id_]
            for key in (
                f"source {sample.source!r}",
                f"audio content {sample.audio_sha256}",
                f"image content {sample.image_sha256}",
            ):
                other, other_id = owner.setdefault(key, (part, id_))
                if other is not part:
                    raise DataError(
                        f"{other_id!r} in {other.value} and {id_!r} in {part.value} share {key}; "
                        "samples of one source or content belong in one part"
                    )
