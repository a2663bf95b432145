"""Captions as vectors of their words, to tell which are alike without any model.

Shape legend: N captions, V words, D width of a vector.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array, diags_array

from core.data.items import Sample

_WORD = re.compile(r"\w+")
_FUNCTION_WORDS = frozenset(
    {"a", "an", "and", "are", "as", "at", "be", "by", "for", "from", "has", "in", "is", "it"}
    | {"its", "of", "off", "on", "or", "out", "over", "some", "the", "then", "there", "to", "up"}
    | {"while", "with"}
)
"""Not used to name a group; how rare a word is says how much it counts for likeness."""


@dataclass(frozen=True)
class WordVectors:
    """Captions by their words."""

    rows_NV: Any
    """Sparse, float64; each row of length 1, or empty for a text without a word."""
    words: tuple[str, ...]
    """The word of each column, sorted."""


def words_of(text: str) -> list[str]:
    """The words of a text in small letters; of a script without blanks, every two letters."""
    found = []
    for word in _WORD.findall(text.lower()):
        if word.isascii() or len(word) < 4:
            found.append(word)
        else:
            found += [word[place : place + 2] for place in range(len(word) - 1)]
    return found


def word_vectors(texts: Sequence[Sequence[str]]) -> WordVectors:
    """One vector for each clip's captions: how often each word is in them, by how rare it is.

    TF-IDF with 1 + ln(count) and ln((1 + N) / (1 + n)) + 1 (Manning et al. 2008, section 6.4).
    """
    counts = [Counter(word for text in own for word in words_of(text)) for own in texts]
    words = sorted({word for own in counts for word in own})
    place = {word: index for index, word in enumerate(words)}
    starts = np.cumsum([0, *(len(own) for own in counts)])
    columns = np.array([place[word] for own in counts for word in own], dtype=np.int64)
    values = np.array([1 + np.log(n) for own in counts for n in own.values()], dtype=np.float64)
    rows_NV = csr_array((values, columns, starts), shape=(len(texts), len(words)))
    holding_V = np.bincount(columns, minlength=len(words))
    rarity_V = np.log((1 + len(texts)) / (1 + holding_V)) + 1
    weighted_NV = rows_NV @ diags_array(rarity_V)
    length_N = np.sqrt(weighted_NV.power(2).sum(axis=1))
    unit_NV = diags_array(1 / np.where(length_N > 0, length_N, 1.0)) @ weighted_NV
    return WordVectors(csr_array(unit_NV), tuple(words))


def texts_of(samples: Iterable[Sample]) -> list[tuple[str, ...]]:
    """All captions of each clip."""
    return [sample.captions or (sample.caption,) for sample in samples]


def typical_words(
    group_G: NDArray[np.int64], vectors: WordVectors, *, most: int = 3
) -> dict[int, tuple[str, ...]]:
    """The words that tell each group from the others, by the mean of its vectors."""
    found: dict[int, tuple[str, ...]] = {}
    is_named_V = np.array([w not in _FUNCTION_WORDS for w in vectors.words], dtype=bool)
    for group in np.unique(group_G):
        mean_V = np.asarray(vectors.rows_NV[group_G == group].mean(axis=0)).ravel() * is_named_V
        best = np.lexsort((np.arange(len(mean_V)), -mean_V))[:most]
        found[int(group)] = tuple(vectors.words[v] for v in best if mean_V[v] > 0)
    return found


def group_names(words: Mapping[int, Sequence[str]], *, order: Sequence[int]) -> dict[int, str]:
    """A unique name for each group: its place, the largest first, and its typical words."""
    width = len(str(len(order)))
    return {
        group: f"{place:0{width}d} {' '.join(words[group])}".strip()
        for place, group in enumerate(order, start=1)
    }
