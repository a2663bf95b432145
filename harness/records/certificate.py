"""What a scorer was found to tell on a split, by `harness scorers check`; light to read.

A certificate lies where its identity says: the hash of the scorer's files, what it was asked, the
hash of the split and the part of it. Whoever has a number of a run finds the certificate of the
scorer behind it by that number's own hashes.
"""

from collections.abc import Iterable
from enum import StrEnum
from pathlib import Path
from typing import Literal

from pydantic import ValidationError

from core.errors import DataError
from core.files import json_sha256, write_atomic
from harness.records.parts import Part
from harness.wording.numbers import count, number

SCHEMA_VERSION: Literal[1] = 1


class Task(StrEnum):
    """What a scorer is asked for: which partner is the picture's own."""

    SOUND = "sound"  # which clip's sound belongs to the picture
    ATTRIBUTES = "attributes"  # whose true attributes are those read off the picture
    SOURCES = "sources"  # whose sources are those found in the picture, of clips with several
    CAPTION = "caption"  # whose caption belongs to the picture
    PICTURE = "picture"  # which clip's picture it was before it was cropped


class Told(Part):
    """How often a clip's own partner fits better than another clip's."""

    rate: float | None
    """Mean over clips of the share of others that fit less; chance 0.5; None: there is none."""
    low: float | None = None
    """Lower end of its interval for other clips of these classes."""
    high: float | None = None
    """Upper end."""
    level: float = 0.95
    """Nominal coverage."""
    p: float | None = None
    """One-sided p of chance, by a permutation test."""
    num_clips: int = 0
    """Clips behind it."""
    is_told: bool = False
    """Whether it is shown to be above chance."""
    reason: str | None = None
    """Why there is no rate."""

    @property
    def words(self) -> str:
        """The number with what it rests on."""
        if self.rate is None:
            return self.reason or "not measured"
        return (
            f"{number(self.rate, digits=2)}, {self.level:.0%} interval "
            f"{number(self.low, digits=2)} to {number(self.high, digits=2)}, "
            f"{count(self.num_clips, 'clip')}"
        )


class Altered(Part):
    """The same after sounds or pictures were altered."""

    alteration: str
    """What was done."""
    altered: Literal["sound", "picture"]
    """To which of the two."""
    across: float | None
    """Rate against other classes."""
    within: float | None
    """Rate against the same class."""
    moved: float | None
    """How far the embedding went: mean distance of an altered one from the unaltered, over that of
    two clips of the same class. 0: invariant. 1: as another clip."""


class Certificate(Part):
    """What one scorer, or a pair that scores together, tells on the clips of a split."""

    schema_version: Literal[1] = SCHEMA_VERSION
    """Format of this file."""
    task: Task
    """What it was asked."""
    scorer: str
    """Name, or names joined by `+`."""
    scorer_hash: str
    """Hash of its files, or hashes joined by `+`."""
    split_hash: str
    """Hash of the split."""
    part: str
    """Whose clips."""
    window_s: float
    """Seconds of a sound that were used."""
    num_clips: int
    """Clips that were judged."""
    num_classes: int
    """Classes, or groups of labels or captions, among them."""
    across: Told
    """The own partner against those of other classes."""
    within: Told
    """The own partner against those of the same class."""
    alterations: tuple[Altered, ...] = ()
    """What gain, crop and resampling change."""
    code: str
    """Hash of the code that judged."""
    created_at: str
    """UTC time, ISO 8601."""

    @property
    def identity(self) -> str:
        """Name of its file."""
        return identity_of(
            self.task, scorer_hash=self.scorer_hash, split_hash=self.split_hash, part=self.part
        )

    def refusal(self, *, within: bool) -> str | None:
        """Why nothing may be claimed that rests on it; None where it tells the clips apart.

        within: whether the claim is about another clip's sound of the same class.
        """
        told = self.within if within else self.across
        if told.is_told:
            return None
        where = "within a class" if within else "of different classes"
        if told.rate is None:
            return f"{self.scorer} cannot tell clips {where} apart: {told.words}"
        return (
            f"{self.scorer} is not shown to tell the real pictures of clips {where} apart by "
            f"{self.task.value} ({told.words}; chance 0.50)"
        )

    def save(self, folder: Path) -> Path:
        """Write it below the folder of certificates, whole or not at all."""
        path = folder / f"{self.identity}.json"
        write_atomic(path, content=(self.model_dump_json(indent=2) + "\n").encode())
        return path


def identity_of(task: Task, *, scorer_hash: str, split_hash: str, part: str) -> str:
    """Name of the certificate of a scorer on a split, without its ending."""
    parts = {"scorer": scorer_hash, "split": split_hash, "part": part}
    return f"{task.value}-{json_sha256(parts)[:16]}"


def load_certificate(folder: Path, identity: str) -> Certificate | None:
    """The certificate of that identity; None where there is none.

    Raises: DataError for a file that is not one, or holds another's.
    """
    path = folder / f"{identity}.json"
    try:
        found = Certificate.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValidationError) as error:
        raise DataError(
            f"{path} is not a certificate of format {SCHEMA_VERSION} "
            f"({str(error).splitlines()[0]}); delete it, and `harness scorers check` makes it again"
        ) from None
    if found.identity != identity:
        raise DataError(f"{path} holds the certificate {found.identity}; delete it")
    return found


def certificate_for(
    certificates: Iterable[Certificate],
    task: Task,
    *,
    scorer_hash: str | None,
    split_hash: str | None,
) -> Certificate | None:
    """The certificate of a scorer for a task, among some; None without one."""
    for one in certificates:
        if (one.task, one.scorer_hash, one.split_hash) == (task, scorer_hash, split_hash):
            return one
    return None
