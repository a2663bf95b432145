"""Captions as codes: five whole numbers say the class and the level of each attribute named.

A code is int64 [5]: class, then one level an attribute in the order of `ATTRIBUTES`; -1 means
not named. The code of a sample names everything, a caption's code a part of it, so whether a
caption is true of a sample is a comparison (`is_true`).
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from core.embedded.corpus.classes import ATTRIBUTES, CLASSES, caption

UNNAMED = -1


@dataclass(frozen=True)
class Vocabulary:
    """The words for each attribute's levels, low to high; an empty tuple is never named."""

    levels: tuple[tuple[str, ...], ...]

    def codes(self, class_N: np.ndarray, attributes_NA: np.ndarray) -> np.ndarray:
        """The full codes of samples, int64 [N, 5]: levels of equal width."""
        columns = [class_N]
        for k, words in enumerate(self.levels):
            level = np.minimum((attributes_NA[:, k] * len(words)).astype(np.int64), len(words) - 1)
            columns.append(level)
        return np.stack(columns, axis=1)

    def text(self, code: np.ndarray) -> str:
        """The caption of a code; the empty string when it names no class."""
        if code[0] == UNNAMED:
            return ""
        named = [
            words[level]
            for words, level in zip(self.levels, code[1:], strict=True)
            if level != UNNAMED
        ]
        return ", ".join([caption(CLASSES[code[0]]), *named])

    def texts(self) -> Iterator[str]:
        """Captions that together hold every word."""
        yield from (caption(cls) for cls in CLASSES)
        for k, words in enumerate(self.levels):
            for level in range(len(words)):
                code = np.full(1 + len(ATTRIBUTES), UNNAMED)
                code[0], code[1 + k] = 0, level
                yield self.text(code)


SEEN = Vocabulary(
    levels=(
        ("red", "yellow", "green", "cyan", "blue", "purple"),
        ("tiny", "small", "medium", "large", "huge"),
        ("black sky", "dark sky", "grey sky", "pale sky", "bright sky"),
        ("far left", "left", "centre", "right", "far right"),
    )
)
"""What a picture's caption may name."""

HEARD = Vocabulary(
    levels=(
        ("deep", "low", "middle", "high", "shrill"),
        ("faint", "quiet", "moderate", "loud", "deafening"),
        ("clean", "soft", "airy", "hissy", "noisy"),
        (),
    )
)
"""What a clip's caption may name: never when the event comes, as real captions do not."""


def thin(
    codes_NK: np.ndarray,
    draw: np.random.Generator,
    *,
    empty_share: float,
    class_only_share: float,
    odds: tuple[float, ...] = (0.5, 0.5, 0.5, 0.5),
) -> np.ndarray:
    """Captions' codes from samples' codes: some empty, some of the class alone, the rest with
    each attribute named at its own `odds`."""
    num, width = codes_NK.shape
    fate = draw.random((num,))
    kept = draw.random((num, width)) < np.array([1.0, *odds])
    kept &= (fate >= empty_share + class_only_share)[:, None]
    kept[:, 0] = fate >= empty_share
    return np.where(kept, codes_NK, UNNAMED)


def is_true(captions_MK: np.ndarray, samples_NK: np.ndarray) -> np.ndarray:
    """bool [M, N]: everything the caption names holds of the sample."""
    same = np.equal(captions_MK[:, None, :], samples_NK[None, :, :])
    return (same | np.equal(captions_MK, UNNAMED)[:, None, :]).all(axis=2)
