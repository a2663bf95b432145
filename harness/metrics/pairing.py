"""Pairing: does the image fit the matching sound by what real pairs have in common.

A sound encoder and a picture classifier that were never trained together: a ridge regression
from sounds to pictures, over the scored clips' real pairs, stands between them.

Shape legend: I images, R clips, D and E feature widths, N and M clips fitted on and held out.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from core.randomness import rng
from harness.metrics.arms import REAL
from harness.metrics.distance import against_real, kid_distance
from harness.metrics.extractor import Extractor
from harness.metrics.metric import Absent, Beside, ClipMetric, Role, SetMetric

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from harness.metrics.batch import Batch

    Array = NDArray[np.float64]

MIN_CLIPS = 12
"""Below it a fold's regression rests on fewer than 8 pairs."""
_MOST_FOLDS, _FOLD_SIZE = 10, 4


def folds(ids: Sequence[str]) -> "NDArray[np.int64]":
    """[R] fold of each clip, at most 10 and of 4 clips or more; it depends on the ids alone."""
    import numpy as np

    order = np.argsort(np.array(ids))
    drawn = rng(0, "pair_win").permutation(len(ids))
    fold = np.empty(len(ids), dtype=np.int64)
    fold[order] = drawn % max(2, min(_MOST_FOLDS, len(ids) // _FOLD_SIZE))
    return fold


def paired_similarity(
    seen_IE: "Array",
    *,
    sounds_RD: "Array",
    pictures_RE: "Array",
    fold_R: "NDArray[np.int64]",
    heard_RD: "Array | None" = None,
) -> "tuple[Array, NDArray[np.bool_]]":
    """([I, R] similarity, [R, R] whether two clips are of one fold).

    The similarity is the cosine of an image's features with those predicted from a clip's sound,
    both less the mean picture of the pairs fitted on, of which the clip is not one.
    Only clips of one fold are to be compared: their predictions are of one regression.
    heard_RD: the sounds predicted from, where they are not those fitted on.
    """
    import numpy as np

    heard_RD = sounds_RD if heard_RD is None else heard_RD
    similarity_IR = np.zeros((len(seen_IE), len(sounds_RD)))
    for fold in np.unique(fold_R):
        held, fitted = fold_R == fold, fold_R != fold
        predicted_ME, mean_E = _predicted(
            heard_RD[held], sounds_ND=sounds_RD[fitted], pictures_NE=pictures_RE[fitted]
        )
        similarity_IR[:, held] = _unit(seen_IE - mean_E) @ _unit(predicted_ME).T
    return similarity_IR, fold_R[:, None] == fold_R[None, :]


def _predicted(
    sounds_MD: "Array", *, sounds_ND: "Array", pictures_NE: "Array"
) -> "tuple[Array, Array]":
    """Ridge regression in its dual form; the penalty is the mean squared length of the sounds."""
    import numpy as np

    mean_D, mean_E = sounds_ND.mean(axis=0), pictures_NE.mean(axis=0)
    x_ND, x_MD = sounds_ND - mean_D, sounds_MD - mean_D
    kernel_NN = x_ND @ x_ND.T
    penalty = np.trace(kernel_NN) / len(kernel_NN) or 1.0
    dual_NE = np.linalg.solve(kernel_NN + penalty * np.eye(len(kernel_NN)), pictures_NE - mean_E)
    return (x_MD @ x_ND.T) @ dual_NE, mean_E


def _unit(x: "Array") -> "Array":
    import numpy as np

    length = np.linalg.norm(x, axis=1, keepdims=True)
    unit: Array = x / np.where(length > 0, length, 1.0)
    return unit


def _pair_win(batch: "Batch") -> "NDArray[np.float64] | Absent":
    import numpy as np

    from harness.metrics.per_clip import unit_rows, win_rate

    sounds_RD = batch.effects_RD
    if sounds_RD is None:
        return Absent("no sounds were given")
    real = {batch.own[row]: row for row in batch.places(REAL, draw=0)}
    columns = sorted(real)
    if len(columns) < MIN_CLIPS:
        return Absent(
            f"{len(columns)} scored clips have a picture; the regression between sounds and "
            f"pictures needs {MIN_CLIPS}"
        )
    seen_IE = unit_rows(batch.features(Extractor.PICTURE))
    fold_R = folds([batch.clips[column].sample_id for column in columns])
    similarity_IR, is_compared_RR = paired_similarity(
        seen_IE,
        sounds_RD=unit_rows(sounds_RD[columns]),
        pictures_RE=seen_IE[[real[column] for column in columns]],
        fold_R=fold_R,
    )
    place = {column: index for index, column in enumerate(columns)}
    own = [place.get(column, 0) for column in batch.own]
    wins = win_rate(similarity_IR, own=own, compared_IR=is_compared_RR[own])
    return np.where([column in place for column in batch.own], wins, np.nan)


METRICS = (
    ClipMetric(
        name="pair_win",
        compute=_pair_win,
        higher_is_better=True,
        role=Role.AGREEMENT,
        extractor=Extractor.SOUND_AND_PICTURE,
        unit="share of clips",
        definition="share of other scored clips whose sound fits the image less than the matching "
        "sound does, by a ridge regression from a sound encoder to a picture classifier that is "
        "fitted on other clips' real pairs; ties count half",
        reading="It tells classes and not recordings of one class: the caption gives those away. "
        "Arm `real` says what it can tell at best.",
        lowest=0.0,
        highest=1.0,
        chance=0.5,
        min_clips=MIN_CLIPS,
    ),
    SetMetric(
        name="kid_picture",
        compute=against_real(
            "kid_picture", extractor=Extractor.PICTURE, distance=kid_distance, beside=Beside.OWN
        ),
        higher_is_better=False,
        role=Role.QUALITY,
        extractor=Extractor.PICTURE,
        unit="squared kernel distance",
        definition="kernel distance (cubic polynomial) to the real images on the features of an "
        "ImageNet classifier (EfficientNet-Lite0), unbiased; not comparable with `kid`",
        reading="A guard of quality next to `kid`; it may be negative.",
        min_clips=2,
        is_zero_if_perfect=True,
    ),
)
