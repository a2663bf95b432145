"""Agreement: do image and sound, or image and class, belong together.

Shape legend: I images, R reference clips, K classes, D embedding width.
"""

from typing import TYPE_CHECKING

from core.data.items import DataKind
from harness.metrics.arms import REAL
from harness.metrics.extractor import Extractor
from harness.metrics.metric import Absent, ClipMetric, Role

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from harness.metrics.batch import Batch


def _ais_win(batch: "Batch") -> "NDArray[np.float64] | Absent":
    from harness.metrics.per_clip import win_rate

    similarity_IR = batch.sound_similarity_IR
    if similarity_IR is None:
        return Absent("no sounds were given")
    if len(batch.clips) < 2:
        return Absent("one clip was scored; there is nothing to win against")
    return win_rate(similarity_IR, own=batch.own)


def _ais_cos(batch: "Batch") -> "NDArray[np.float64] | Absent":
    import numpy as np

    cosine_IR = batch.sound_cosine_IR
    if cosine_IR is None:
        return Absent("no sounds were given")
    return cosine_IR[np.arange(len(batch.own)), batch.own]


def _iis_win(batch: "Batch") -> "NDArray[np.float64] | Absent":
    import numpy as np

    from harness.metrics.per_clip import unit_rows, win_rate

    real = batch.places(REAL, draw=0)
    if len(real) < 2:
        return Absent(f"{len(real)} scored clips have a picture; there is nothing to win against")
    unit_ID = unit_rows(batch.features_ID)
    reference = {batch.own[row]: place for place, row in enumerate(real)}
    has_own = np.array([column in reference for column in batch.own])
    own = [reference.get(column, 0) for column in batch.own]
    wins = win_rate(unit_ID @ unit_ID[real].T, own=own)
    return np.where(has_own, wins, np.nan)


def _aic(batch: "Batch") -> "NDArray[np.float64] | Absent":
    import numpy as np

    from harness.metrics.per_clip import aic

    if batch.kind is DataKind.CAPTIONS:
        return Absent("the data have captions alone; there is no class to choose")
    if len(batch.captions) < 2:
        return Absent("the split has one class; there is nothing to choose among")
    names = list(batch.captions)
    place = {name: index for index, name in enumerate(names)}
    is_own_IK = np.zeros((len(batch.own), len(names)), dtype=bool)
    for row, column in enumerate(batch.own):
        clip = batch.clips[column]
        is_own_IK[row, [place[name] for name in clip.labels or (clip.class_name,)]] = True
    return aic(
        batch.features_ID,
        class_caption_KD=np.stack([batch.texts[batch.captions[name]] for name in names]),
        is_own_IK=is_own_IK,
    )


def _aic_chance(batch: "Batch") -> float:
    """Mean share of the classes that are a clip's own."""
    own = [len(clip.labels) or 1 for clip in batch.clips]
    return sum(own) / len(own) / len(batch.captions)


METRICS = (
    ClipMetric(
        name="ais_win",
        compute=_ais_win,
        higher_is_better=True,
        role=Role.AGREEMENT,
        extractor=Extractor.JOINT,
        unit="share of clips",
        definition="share of all other scored clips whose sound fits the image less than the "
        "matching sound does; ties count half",
        shows_listening=True,
        reading="The class alone lifts it far above 0.5: read its margin over `shuffled`.",
        lowest=0.0,
        highest=1.0,
        best=1.0,
        chance=0.5,
        min_clips=2,
    ),
    ClipMetric(
        name="ais_cos",
        compute=_ais_cos,
        higher_is_better=True,
        role=Role.AGREEMENT,
        extractor=Extractor.JOINT,
        unit="cosine",
        definition="cosine of the image and the matching sound in a space that both share",
        shows_listening=True,
        reading="It rises with the class alone; values of different scorers are not comparable.",
        lowest=-1.0,
        highest=1.0,
    ),
    ClipMetric(
        name="iis_win",
        compute=_iis_win,
        higher_is_better=True,
        role=Role.AGREEMENT,
        extractor=Extractor.CLIP,
        unit="share of pictures",
        definition="share of the other clips' real pictures that the image resembles less than "
        "its own clip's, in CLIP; ties count half",
        reading="The class alone lifts it far above 0.5: read its margin over `shuffled`. It is 1 "
        "on arm `real`, where the image is its own picture.",
        lowest=0.0,
        highest=1.0,
        best=1.0,
        chance=0.5,
        min_clips=2,
    ),
    ClipMetric(
        name="aic",
        compute=_aic,
        higher_is_better=True,
        role=Role.AGREEMENT,
        extractor=Extractor.CLIP,
        unit="share of images",
        definition="zero-shot top-1: CLIP finds the clip's class caption closest to the image "
        "(chance: one over the number of classes); with several labels a clip, one of its labels",
        reading="It asks for the class, which the caption gives away: it shows harm, not "
        "listening.",
        lowest=0.0,
        highest=1.0,
        best=1.0,
        chance_on=_aic_chance,
        min_clips=2,
    ),
)
