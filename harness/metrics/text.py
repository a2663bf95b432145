"""Text: does the caption survive the audio branch.

Shape legend: I images.
"""

from typing import TYPE_CHECKING

from harness.metrics.extractor import Extractor
from harness.metrics.metric import ClipMetric, Role

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from harness.metrics.batch import Batch


def _clip_score(batch: "Batch") -> "NDArray[np.float64]":
    import numpy as np

    from harness.metrics.per_clip import clip_score

    captions = [batch.clips[column].caption for column in batch.own]
    return clip_score(
        batch.features_ID, caption_ID=np.stack([batch.texts[text] for text in captions])
    )


METRICS = (
    ClipMetric(
        name="clip_score",
        compute=_clip_score,
        higher_is_better=True,
        role=Role.TEXT,
        extractor=Extractor.CLIP,
        unit="cosine",
        definition="cosine of image and caption in CLIP",
        reading="Neither clipped at 0 nor scaled by 100; compare it with arm `real`, not with 1.",
        lowest=-1.0,
        highest=1.0,
    ),
)
