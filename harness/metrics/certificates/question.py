"""What a scorer is asked of a split's clips, and what it answers under each alteration.

Shape legend: N clips.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.metrics.arms import ScoredClip
from harness.metrics.certificates.alterations import (
    OF_PICTURES,
    OF_SOUNDS,
    PictureAlteration,
    SoundAlteration,
)
from harness.records.certificate import Task

Array = NDArray[np.float64]
Alteration = SoundAlteration | PictureAlteration


@dataclass(frozen=True)
class View:
    """All clips under one alteration, or none."""

    similarity_NN: Array
    """Of each picture with each clip's partner, the own one on the diagonal."""
    moved: float | None = None
    """See `harness.records.certificate.Altered`; None where nothing was altered."""


@dataclass(frozen=True, kw_only=True)
class Question:
    """A scorer, or a pair of them, asked which partner is a picture's own."""

    task: Task
    scorer: str
    """Name, or names joined by `+`."""
    scorer_hash: str
    """Hash of its files, or hashes joined by `+`."""
    clips: tuple[ScoredClip, ...]
    """Whom it is asked about."""
    plain: Callable[[], View]
    """Of what the rates are."""
    altered: Mapping[Alteration, Callable[[], View]]
    """The same after each alteration."""
    folds: tuple[int, ...] | None = None
    """Of each clip, where clips of different folds are not compared."""
    undefined: str | None = None
    """Why it has no answer on these clips."""


def each_alteration(
    view: Callable[[Alteration | None, Alteration | None], View],
) -> dict[Alteration, Callable[[], View]]:
    """A view, of a picture and a sound, under each alteration of one of the two."""
    altered: dict[Alteration, Callable[[], View]] = {}
    for sound in OF_SOUNDS:
        altered[sound] = lambda sound=sound: view(None, sound)  # type: ignore[misc]
    for picture in OF_PICTURES:
        altered[picture] = lambda picture=picture: view(picture, None)  # type: ignore[misc]
    return altered


def no_view() -> View:
    """Of a question that has no answer, which is not asked."""
    raise AssertionError("a question without an answer was asked")
