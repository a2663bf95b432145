"""pair_win: a regression between sounds and pictures, fitted on other clips' pairs."""

import numpy as np

from core.randomness import rng
from harness.metrics.pairing import folds, paired_similarity
from harness.metrics.per_clip import unit_rows, win_rate

NUM_CLIPS = 60


def wins(sounds_RD: np.ndarray, pictures_RE: np.ndarray) -> float:
    fold_R = folds([str(k) for k in range(len(sounds_RD))])
    similarity_IR, is_compared_RR = paired_similarity(
        pictures_RE, sounds_RD=sounds_RD, pictures_RE=pictures_RE, fold_R=fold_R
    )
    return float(np.nanmean(win_rate(similarity_IR, own=range(len(sounds_RD)),
                                     compared_IR=is_compared_RR)))  # fmt: skip


def world(seed: int, *, shared: float) -> tuple[np.ndarray, np.ndarray]:
    """Unit sounds [R, 12] and pictures [R, 20] that have so much of a cause in common."""
    draw = rng(seed, "pairing")
    cause_RK = draw.standard_normal((NUM_CLIPS, 3))
    sounds = shared * cause_RK @ draw.standard_normal((3, 12)) + draw.standard_normal(
        (NUM_CLIPS, 12)
    )
    pictures = shared * cause_RK @ draw.standard_normal((3, 20)) + draw.standard_normal(
        (NUM_CLIPS, 20)
    )
    return unit_rows(sounds + 2), unit_rows(pictures + 2)


def test_what_pairs_have_in_common_is_found():
    """Catches: predictions of another clip's sound, a regression that learns nothing."""
    assert wins(*world(0, shared=3.0)) > 0.9


def test_sounds_and_pictures_without_a_bond_win_half():
    """Catches: a clip's own picture among those fitted on, which wins; or a mean of the other
    pictures for a prediction, which loses."""
    found = [wins(*world(seed, shared=0.0)) for seed in range(40)]
    assert abs(float(np.mean(found)) - 0.5) < 4 * float(np.std(found)) / np.sqrt(len(found))
    assert float(np.std(found)) < 0.1


def test_folds_depend_on_ids_alone_and_hold_four_or_more():
    """Catches: a score that moves with the order of the clips; a fold with nothing to win."""
    ids = [f"clip {k}" for k in range(18)]
    found = dict(zip(ids, folds(ids), strict=True))
    turned = dict(zip(reversed(ids), folds(ids[::-1]), strict=True))
    assert found == turned
    assert np.bincount(folds(ids)).min() >= 4
    assert len(np.unique(folds([str(k) for k in range(500)]))) == 10
