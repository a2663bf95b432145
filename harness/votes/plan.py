"""Which questions are asked, chosen by hash before anyone has seen an answer."""

import hashlib
import math
from collections.abc import Iterator, Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from core.errors import DataError
from core.files import json_sha256, write_atomic
from harness.statistics.outcome import MIN_LISTENERS
from harness.wording.faults import first_fault

SCHEMA_VERSION: Literal[1] = 1
_GUESS = 0.05
"""Most that a listener who guesses may pass the catch trials with."""


class Part(BaseModel):
    """A part of a file about votes: fixed, and without unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Kind(StrEnum):
    """What a trial is for."""

    BRANCHES = "branches"  # one sound, the images of two branches at one noise
    SOUND = "sound"  # one branch, its images of the matching and of a mismatched sound
    REPEAT = "repeat"  # an earlier trial again, sides exchanged
    CATCH = "catch"  # the clip's real picture against that of another class


class Shown(Part):
    """One of the two images of a trial."""

    name: str
    """The branch; `matching` or `mismatched`; `real` or `other` in a catch trial."""
    path: str
    """Its file, relative to the results folder or, of a real picture, to the split's media."""


class Trial(Part):
    """One question: which of two images fits the sound better?"""

    id: str
    """Says nothing of what is behind it."""
    kind: Kind
    sample_id: str
    """The clip that is heard."""
    class_name: str
    """Its class."""
    seed: int | None
    """Training of the images; None for real pictures."""
    draw: int
    """Noise of the images."""
    branch: str | None = None
    """Of kind `sound`: the branch that generated both."""
    first: Shown
    """What counts as 1."""
    second: Shown
    """What counts as 0."""
    is_first_left: bool
    """Side, by hash."""
    repeats: str | None = None
    """Of kind `repeat`: the trial that is asked again."""

    @property
    def question(self) -> tuple[str, str, str]:
        """What its votes are counted under: kind, first, second."""
        kind = Kind.SOUND if self.branch is not None else Kind.BRANCHES
        if self.branch is not None:
            return kind.value, self.branch, "mismatched"
        return kind.value, self.first.name, self.second.name


class VotePlan(Part):
    """All that is asked, and the rules by which answers count. Written before any answer."""

    schema_version: Literal[1] = SCHEMA_VERSION
    """Format of this file."""
    comparison: str
    """Name of the comparison."""
    created_at: str
    """UTC, ISO 8601."""
    seed: int
    """Of every choice by hash."""
    trials: tuple[Trial, ...] = Field(min_length=1)
    """In the order in which they are asked."""
    most_catch_misses: int
    """A listener who misses more catch trials is left out of every count."""
    hashes: dict[str, str]
    """SHA-256 of each image file by its path, so that a later image is not taken for the one
    that was voted on."""
    decides: bool = False
    """Whether the comparison's verdict rests on these votes instead of a metric."""
    num_listeners: int | None = Field(default=None, ge=MIN_LISTENERS)
    """Listeners at which it is decided; None where it decides nothing."""

    @property
    def plan_id(self) -> str:
        """Short hash of everything that is asked and of the rules; a vote file names it."""
        # What a plan without them never had must not change its id.
        unset = set() if self.decides else {"decides", "num_listeners"}
        content = self.model_dump(mode="json", exclude={"created_at", *unset})
        return json_sha256(content)[:16]

    @property
    def main(self) -> tuple[Trial, ...]:
        """Trials that count, repeats and catch trials not among them."""
        return tuple(t for t in self.trials if t.kind in (Kind.BRANCHES, Kind.SOUND))

    @property
    def num_catch(self) -> int:
        """Catch trials."""
        return sum(trial.kind is Kind.CATCH for trial in self.trials)

    def save(self, path: Path) -> None:
        """Write the plan. Raises: NoSpaceError."""
        write_atomic(path, content=(self.model_dump_json(indent=2) + "\n").encode())


def load_plan(path: Path) -> VotePlan:
    """The plan in a file.

    Raises: DataError.
    """
    try:
        return VotePlan.model_validate_json(path.read_bytes())
    except OSError as error:
        raise DataError(f"no plan of votes at {path} ({error.strerror})") from None
    except ValidationError as error:
        raise DataError(f"{path} is not a plan of votes: {first_fault(error)}") from None


def most_misses(num_catch: int) -> int:
    """Most catch trials a listener may miss so that one who guesses passes in at most 5 %.

    -1: with so few even a listener who misses none may have guessed.
    """
    allowed, passed = -1, 0.0
    for misses in range(num_catch + 1):
        passed += math.comb(num_catch, misses) / 2**num_catch
        if passed > _GUESS:
            return allowed
        allowed = misses
    return allowed


def by_hash(seed: int, *words: object) -> bytes:
    """What everything is ordered by."""
    return hashlib.sha256("\x1f".join([str(seed), *map(str, words)]).encode()).digest()


def in_turn(groups: Mapping[str, Sequence[str]], *, seed: int) -> Iterator[str]:
    """The items of all groups, a group at a time, each group and its items by hash; once each."""
    names = sorted(groups, key=lambda name: by_hash(seed, "group", name))
    ordered = {n: sorted(groups[n], key=lambda item: by_hash(seed, "item", item)) for n in names}
    for index in range(max(map(len, ordered.values()), default=0)):
        for name in names:
            if index < len(ordered[name]):
                yield ordered[name][index]


def trial_id(seed: int, *words: object) -> str:
    """An id from which nobody can read what is behind it."""
    return by_hash(seed, "trial", *words).hex()[:12]
