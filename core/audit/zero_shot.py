"""Which clips CLAP hears as another class than they are labelled: likely mistakes, not verdicts.

The rule follows confident learning (Northcutt et al. 2021, arXiv 1911.00068, section 3.1): a
class's threshold is the mean probability that CLAP gives it over the clips labelled so. A clip is
likely of another class when that class is its most probable one and reaches its threshold. We
depart twice. The threshold is at most one half: an overconfident CLAP has thresholds of .999, which
a wrong label misses by a hair. And the clips of a class of which CLAP tells less than half are not
judged at all: there the encoder is wrong, not the labels; such classes are named.

Shape legend: N clips, K classes, D feature width.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from core.data.items import Sample
from core.errors import DataError

_MAX_THRESHOLD = 0.5
_MIN_AGREEMENT = 0.5
_SHARED_CAPTION = 0.5
"""A caption that half of a class's clips share names the class; rarer ones describe a clip."""


@dataclass(frozen=True, kw_only=True)
class Suspect:
    """A clip that sounds like another class."""

    id: str
    class_name: str
    """Its label, which stays."""
    probability: float
    """What CLAP gives the label."""
    likely: str
    """The class it sounds like."""
    likely_probability: float


@dataclass(frozen=True, kw_only=True)
class ZeroShot:
    """CLAP's view of the labels of one set of clips."""

    name: str
    """What was listened to."""
    num_clips: int
    captions: Mapping[str, str]
    """The sentence that stands for each class."""
    agreement: Mapping[str, float]
    """Share of each class's clips that are most probably of it."""
    thresholds: Mapping[str, float]
    """Mean probability of each class over the clips labelled so."""
    not_judged: tuple[str, ...]
    """Classes of which CLAP tells less than half, so that it accuses none of their clips."""
    suspects: tuple[Suspect, ...]
    """Largest gap between the two probabilities first."""

    def data(self) -> dict[str, Any]:
        """As JSON values."""
        return asdict(self)


def class_captions(samples: Sequence[Sample]) -> dict[str, str]:
    """A sentence for each class, sorted: its clips' own where most share one, else a plain one.

    Raises: DataError for fewer than two classes.
    """
    by_class: dict[str, Counter[str]] = defaultdict(Counter)
    for sample in samples:
        by_class[sample.class_name][sample.caption] += 1
    if len(by_class) < 2:
        raise DataError(
            "all clips are of one class, so there is no other class to compare them with"
        )
    captions = {}
    for class_name, counts in sorted(by_class.items()):
        caption, count = counts.most_common(1)[0]
        is_shared = count >= _SHARED_CAPTION * counts.total()
        plain = f"A scene with {class_name.replace('_', ' ')} sound"
        captions[class_name] = caption if is_shared else plain
    return captions


def judge(
    labelled: Sequence[tuple[str, str]],
    *,
    classes: Sequence[str],
    probability_NK: np.ndarray,
    name: str,
    captions: Mapping[str, str],
) -> ZeroShot:
    """Thresholds, agreement and suspects of (id, class) pairs, given each class's probability."""
    own_N = np.array([classes.index(class_name) for _, class_name in labelled])
    best_N = probability_NK.argmax(axis=1)
    of_class = {k: own_N == k for k in range(len(classes))}
    threshold_K = np.array([probability_NK[of_class[k], k].mean() for k in range(len(classes))])
    agreement_K = [float((best_N[of_class[k]] == k).mean()) for k in range(len(classes))]
    needed_K = np.minimum(threshold_K, _MAX_THRESHOLD)
    suspects = [
        Suspect(
            id=id_,
            class_name=class_name,
            probability=float(probability_NK[n, own_N[n]]),
            likely=classes[best_N[n]],
            likely_probability=float(probability_NK[n, best_N[n]]),
        )
        for n, (id_, class_name) in enumerate(labelled)
        if best_N[n] != own_N[n]
        and probability_NK[n, best_N[n]] >= needed_K[best_N[n]]
        and agreement_K[own_N[n]] >= _MIN_AGREEMENT
    ]
    return ZeroShot(
        name=name,
        num_clips=len(labelled),
        captions=dict(captions),
        agreement=dict(zip(classes, agreement_K, strict=True)),
        thresholds={c: float(threshold_K[k]) for k, c in enumerate(classes)},
        not_judged=tuple(
            c for c, agreed in zip(classes, agreement_K, strict=True) if agreed < _MIN_AGREEMENT
        ),
        suspects=tuple(
            sorted(suspects, key=lambda s: (s.probability - s.likely_probability, s.id))
        ),
    )
