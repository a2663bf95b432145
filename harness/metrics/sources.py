"""Sources: is each of the sources that a clip has in the image, of clips with several labels.

Shape legend: I images, R reference clips, K sources.
"""

import re
from collections.abc import Callable
from typing import TYPE_CHECKING

from core.data.items import DataKind
from harness.metrics.arms import REAL, ScoredClip
from harness.metrics.extractor import Extractor
from harness.metrics.metric import Absent, ClipMetric, Role
from harness.wording.numbers import few
from harness.wording.plain_text import plain

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from harness.metrics.batch import Batch

FOUND = 0.5
"""Probability from which on the judge counts as finding a source."""

IsHeard = Callable[[ScoredClip, str], bool]
"""Whether a source of a clip counts."""


def _any_source(clip: ScoredClip, source: str) -> bool:
    return source in clip.labels


def _unnamed_source(clip: ScoredClip, source: str) -> bool:
    return source in clip.labels and not is_named(source, caption=clip.caption)


def is_named(label: str, *, caption: str) -> bool:
    """Whether a caption names a label, as whole words in any letter case."""
    words = re.escape(label.replace("_", " ").casefold())
    return re.search(rf"(?<!\w){words}(?!\w)", caption.casefold()) is not None


def _found_IK(batch: "Batch") -> "NDArray[np.float64]":
    """[I, K] 1 where a source is found, 0 where not, NaN for an image that could not be read."""
    import numpy as np

    probability_IK = batch.sources_IK
    return np.where(np.isnan(probability_IK), np.nan, (probability_IK >= FOUND).astype(np.float64))


def _heard_RK(batch: "Batch", is_heard: IsHeard) -> "NDArray[np.bool_]":
    import numpy as np

    names = _names(batch)
    return np.array([[is_heard(clip, name) for name in names] for clip in batch.clips], dtype=bool)


def _names(batch: "Batch") -> tuple[str, ...]:
    judge = batch.scorers.source_judge
    if judge is None:
        raise ValueError("sources are found by their judge; none was loaded")
    return judge.source_names


def _share(found_NK: "NDArray[np.float64]", among_NK: "NDArray[np.bool_]") -> "NDArray[np.float64]":
    """[N] share found of the sources among which; NaN where there are none."""
    import numpy as np

    num_N = among_NK.sum(axis=1)
    found_N = np.where(among_NK, found_NK, 0.0).sum(axis=1)
    return np.where(num_N > 0, found_N / np.maximum(num_N, 1), np.nan)


def _precision(
    found_NK: "NDArray[np.float64]", heard_NK: "NDArray[np.bool_]"
) -> "NDArray[np.float64]":
    """[N] share of the sources found that are the clip's; NaN where none is found."""
    import numpy as np

    num_N = found_NK.sum(axis=1)
    right_N = (found_NK * heard_NK).sum(axis=1)
    return np.where(num_N == 0, np.nan, right_N / np.where(num_N == 0, 1.0, num_N))


def _strangers(batch: "Batch") -> Absent | None:
    """Why the judge cannot answer for these clips; None where it knows all their sources."""
    strangers = sorted({label for clip in batch.clips for label in clip.labels} - {*_names(batch)})
    if not strangers:
        return None
    listed = few([plain(name) for name in strangers])
    return Absent(f"the judge of sources does not know {listed}; it knows {few(_names(batch))}")


def _recall(batch: "Batch", is_heard: IsHeard) -> "NDArray[np.float64] | Absent":
    import numpy as np

    if (reason := _strangers(batch)) is not None:
        return reason
    values = _share(_found_IK(batch), _heard_RK(batch, is_heard)[batch.own])
    if np.isnan(values).all() and not _heard_RK(batch, is_heard).any():
        return Absent("the captions name every source of every clip")
    return values


def _recalls(batch: "Batch", is_heard: IsHeard) -> "dict[str, NDArray[np.float64]]":
    """[I] 1 or 0 for each source that some clip has; NaN for images of clips without it."""
    import numpy as np

    found_IK, heard_RK = _found_IK(batch), _heard_RK(batch, is_heard)
    return {
        name: np.where(heard_RK[batch.own, place], found_IK[:, place], np.nan)
        for place, name in enumerate(_names(batch))
        if heard_RK[:, place].any()
    }


def _seen_RK(batch: "Batch") -> "NDArray[np.float64]":
    """[R, K] what is found in the real pictures."""
    return _found_IK(batch)[batch.places(REAL, draw=0)]


def _chance(batch: "Batch", is_heard: IsHeard) -> float | None:
    """Mean over clips of the recall of their sources in the real picture of any test clip."""
    import numpy as np

    heard_RK, seen_RK = _heard_RK(batch, is_heard), _seen_RK(batch)
    if not len(seen_RK):
        return None
    rate_K = np.nanmean(seen_RK, axis=0)
    return float(np.nanmean(_share(np.broadcast_to(rate_K, heard_RK.shape), heard_RK)))


def _part_chances(batch: "Batch") -> dict[str, float]:
    """Share of the real pictures in which the judge finds a source, by source."""
    import numpy as np

    seen_RK = _seen_RK(batch)
    if not len(seen_RK):
        return {}
    return dict(zip(_names(batch), np.nanmean(seen_RK, axis=0).tolist(), strict=True))


def _source_precision(batch: "Batch") -> "NDArray[np.float64] | Absent":
    if (reason := _strangers(batch)) is not None:
        return reason
    return _precision(_found_IK(batch), _heard_RK(batch, _any_source)[batch.own])


def _precision_chance(batch: "Batch") -> float | None:
    """Mean over real pictures of the share of what is found in them that a test clip has."""
    import numpy as np

    seen_RK = _seen_RK(batch)
    found = seen_RK.sum(axis=1) > 0
    if not found.any():
        return None
    rate_K = _heard_RK(batch, _any_source).mean(axis=0)
    share_R = (seen_RK[found] * rate_K).sum(axis=1) / seen_RK[found].sum(axis=1)
    return float(np.nanmean(share_R))


METRICS = (
    ClipMetric(
        name="unnamed_source_recall",
        only_of=DataKind.LABELS,
        compute=lambda batch: _recall(batch, _unnamed_source),
        chance_on=lambda batch: _chance(batch, _unnamed_source),
        higher_is_better=True,
        role=Role.LISTENING,
        extractor=Extractor.SOURCE_JUDGE,
        unit="share of sources",
        definition="share of the clip's sources which its caption does not name that the judge "
        "finds in the image",
        shows_listening=True,
        reading="The caption cannot help: above arm `text_only` and the chance level the image "
        "shows sources that only the sound tells of. Read it next to `source_precision`.",
        lowest=0.0,
        highest=1.0,
        best=1.0,
    ),
    ClipMetric(
        name="source_recall",
        only_of=DataKind.LABELS,
        compute=lambda batch: _recall(batch, _any_source),
        parts=lambda batch: _recalls(batch, _any_source),
        part_definition="whether the judge finds {part} in the image, of clips that have it",
        chance_on=lambda batch: _chance(batch, _any_source),
        part_chance_on=_part_chances,
        higher_is_better=True,
        role=Role.AGREEMENT,
        extractor=Extractor.SOURCE_JUDGE,
        unit="share of sources",
        definition="share of the clip's sources that the judge finds in the image",
        reading="Arm `real` says how many the judge finds in real pictures. An image that shows "
        "everything has a recall of 1, so read it next to `source_precision`.",
        lowest=0.0,
        highest=1.0,
        best=1.0,
    ),
    ClipMetric(
        name="source_precision",
        only_of=DataKind.LABELS,
        compute=_source_precision,
        chance_on=_precision_chance,
        higher_is_better=True,
        role=Role.AGREEMENT,
        extractor=Extractor.SOURCE_JUDGE,
        unit="share of sources",
        definition="share of the sources that the judge finds in the image which the clip has",
        reading="Undefined for an image in which no source is found; such images lower the recall.",
        lowest=0.0,
        highest=1.0,
        best=1.0,
    ),
)
