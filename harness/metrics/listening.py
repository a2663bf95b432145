"""Listening: does the image show what only the sound says.

Shape legend: I images, R reference clips.
"""

from typing import TYPE_CHECKING

from harness.metrics.extractor import Extractor
from harness.metrics.metric import Absent, ClipMetric, Role
from harness.wording.data_kinds import group_word

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from harness.metrics.batch import Batch


def _listening_rank(batch: "Batch") -> "NDArray[np.float64] | Absent":
    import numpy as np

    from harness.metrics.per_clip import win_rate

    similarity_IR = batch.sound_similarity_IR
    if similarity_IR is None:
        return Absent("no sounds were given")
    class_names = np.array([clip.class_name for clip in batch.clips])
    same_class_IR = class_names[batch.own][:, None] == class_names[None, :]
    ranks = win_rate(similarity_IR, own=batch.own, compared_IR=same_class_IR)
    if np.isnan(ranks).all():
        word = group_word(batch.kind).one
        return Absent(f"no {word} has 2 scored clips; there is nothing to rank against")
    return ranks


METRICS = (
    ClipMetric(
        name="listening_rank",
        compute=_listening_rank,
        higher_is_better=True,
        role=Role.LISTENING,
        extractor=Extractor.JOINT,
        unit="share of clips",
        definition="share of the other scored clips of the same class whose sound fits the "
        "image less than the matching sound does; ties count half",
        shows_listening=True,
        reading="The class cannot help, since the caption gives it away: above 0.5 the image "
        "shows what the sound alone says. Without classes, clips of one group of labels or of like "
        "captions are compared.",
        lowest=0.0,
        highest=1.0,
        best=1.0,
        chance=0.5,
        min_clips=2,
        compares_within_class=True,
    ),
)
