"""The locked, balanced division of a manifest into training, validation and test parts."""

import json
import os
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum
from functools import cached_property
from pathlib import Path
from typing import Any

from core.data.items import Sample
from core.data.manifest import Manifest
from core.data.splits.apportion import OFFICIAL_TEST, divide_classes, divide_officially, draw_capped
from core.errors import DataError, MismatchError, UsageError
from core.files import file_sha256, json_sha256, write_atomic

LOCK_FORMAT = 2
"""Of the lock file; an older one is made again."""
_HASHED_FIELDS = frozenset(
    {"id", "class_name", "caption", "source", "audio_sha256", "image_sha256", "attributes"}
)


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


@dataclass(frozen=True)
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
        """Class names, sorted; a class's index is its place here."""
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
    def hash(self) -> str:
        """SHA-256 of everything but where the files lie: equal on two machines, or not equal."""
        samples = [
            {key: getattr(sample, key) for key in _HASHED_FIELDS}
            for _, sample in sorted(self.samples.items())
        ]
        parts = {part.value: sorted(self.parts[part]) for part in Part}
        return json_sha256({"samples": samples, "parts": parts, "rule": asdict(self.rule)})

    def save(self, path: Path, *, facts: Mapping[str, Any] | None = None) -> None:
        """Write the lock file atomically; the root is kept relative to it.

        facts: JSON values for a reader, such as the class weights; the checksum covers them, the
        hash does not.
        """
        root = Path(os.path.relpath(self.root.resolve(), path.parent.resolve())).as_posix()
        body = {
            "format": LOCK_FORMAT,
            "hash": self.hash,
            "rule": asdict(self.rule),
            "counts": self.counts,
            "root": root,
            "parts": {part.value: list(self.parts[part]) for part in Part},
            "notices": list(self.notices),
            "facts": dict(facts or {}),
            "samples": [asdict(sample) for _, sample in sorted(self.samples.items())],
        }
        write_atomic(path, content=_lock_bytes(body))


def make_split(
    manifest: Manifest,
    *,
    cap: int = 100,
    seed: int = 0,
    fractions: tuple[float, float, float] = (0.8, 0.1, 0.1),
    official: Official = Official.IGNORE,
) -> Split:
    """A split stratified by class, grouped by source and capped per class, drawn by `seed`.

    With one sample a source, every part of every class is within one sample of its share, and the
    parts' totals are floor(train), floor(val) and the rest. A single class is split like any other.
    `HONOUR` keeps the data set's own test clips for the test part: see `divide_officially`.
    Raises: UsageError for impossible settings; DataError when a class has fewer than three sources,
    or no official test clip where they are honoured, so that it cannot be in all three parts.
    """
    if cap < len(Part):
        raise UsageError(f"cap is {cap}; expected at least {len(Part)}, one sample per part")
    if len(fractions) != 3 or min(fractions) <= 0 or abs(sum(fractions) - 1) > 1e-9:
        raise UsageError(f"fractions are {fractions}; expected three positive shares that sum to 1")
    if official is Official.HONOUR:
        if not any(sample.official_split for sample in manifest.samples):
            raise UsageError(
                "no clip is marked as of an official train or test part, so there is none to "
                "honour; name the data set's list (vggsound.csv), or ignore its division"
            )
        parts = divide_officially(manifest.samples, cap=cap, seed=seed, fractions=fractions)
    else:
        chosen = draw_capped(manifest.samples, cap=cap, seed=seed)
        parts = divide_classes(chosen, seed=seed, fractions=fractions)
    drawn = {id_ for part in parts for id_ in part}
    split = Split(
        root=manifest.root,
        samples={s.id: s for s in sorted(manifest.samples, key=lambda s: s.id) if s.id in drawn},
        parts={part: tuple(sorted(parts[index])) for index, part in enumerate(Part)},
        rule=SplitRule(cap=cap, seed=seed, fractions=fractions, official=official),
    )
    require_every_part(split)
    notices = (*manifest.notices, *_cap_notices(split, manifest=manifest))
    if official is Official.HONOUR:
        notices = (*notices, *_official_notices(split, manifest=manifest))
    return replace(split, notices=notices)


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
        samples={row["id"]: Sample(**row) for row in body["samples"]},
        parts={part: tuple(body["parts"][part.value]) for part in Part},
        rule=SplitRule(**rule),
        notices=tuple(body["notices"]),
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


def require_every_part(split: Split) -> None:
    """Raises: DataError where a class is not in every part."""
    sources: dict[str, set[str]] = defaultdict(set)
    for sample in split.samples.values():
        sources[sample.class_name].add(sample.source)
    short: Sequence[str] = [
        f"{name!r} ({len(sources[name])} sources, {sum(row.values())} samples)"
        for name, row in split.counts.items()
        if min(row.values()) == 0
    ]
    if short and split.rule.official is Official.HONOUR:
        raise DataError(
            f"class {', '.join(short)} cannot be trained, validated and tested on with the "
            "official division honoured: each class needs a clip of the official test part, and "
            "two sources outside it. Add clips, remove the class, or ignore the official division"
        )
    if short:
        raise DataError(
            f"too few independent samples to train, validate and test on class {', '.join(short)}; "
            f"each class needs at least {len(Part)} sources (3 clips that share neither video nor "
            "content). Add clips or remove the class"
        )


def _cap_notices(split: Split, *, manifest: Manifest) -> tuple[str, ...]:
    cap = split.rule.cap
    assert cap is not None  # of a split that was drawn
    sizes = Counter(sample.class_name for sample in manifest.samples)
    left_out = {name: size - cap for name, size in sizes.items() if size > cap}
    notices = []
    if left_out:
        most = max(left_out, key=lambda name: (left_out[name], name))
        notices.append(
            f"the cap of {cap} clips a class leaves out {sum(left_out.values())} of "
            f"{len(manifest.samples)} pairs, {left_out[most]} of them of {most}"
        )
    is_divided = any(sample.official_split for sample in manifest.samples)
    if is_divided and split.rule.official is Official.IGNORE:
        notices.append(
            "the data set's own division into parts is not followed; --official honour tests on "
            "its test part alone"
        )
    return tuple(notices)


def _official_notices(split: Split, *, manifest: Manifest) -> tuple[str, ...]:
    notices = []
    for name, row in split.counts.items():
        share = row[Part.TEST] / sum(row.values())
        wanted = split.rule.fractions[2] if split.rule.fractions else 0.0
        if share < wanted / 2:
            notices.append(
                f"{name}: only {row[Part.TEST]} of {sum(row.values())} clips are tested on; the "
                "official test part has no more of them"
            )
    left_out = sum(
        sample.official_split == OFFICIAL_TEST and sample.id not in split.samples
        for sample in manifest.samples
    )
    if left_out:
        notices.append(
            f"{left_out} clips of the official test part are left out: they must not train, and "
            "the test part has its share"
        )
    return tuple(notices)
