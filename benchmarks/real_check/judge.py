"""What the two real networks can tell at best: real pictures against real sounds."""

import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from benchmarks.peers.drawn import picture as drawn_picture
from benchmarks.peers.drawn import sound as drawn_sound
from core.data.media.decode_audio import decode_audio
from core.foundation.sources import resolve_source
from core.randomness import rng
from harness.metrics.pairing import folds, paired_similarity
from harness.metrics.per_clip import unit_rows, win_rate
from harness.metrics.scorers.picture import PictureClassifier
from harness.metrics.scorers.sound import SoundScorer

NUM_SHUFFLES = 200
WINDOW_S = 10.0


@dataclass(frozen=True)
class Judged:
    """How often the own picture beats another, by the regression of `pair_win`."""

    num_pairs: int
    """Real pairs of a recording and a photograph."""
    overall: float
    """Against all others of a fold; chance .5."""
    within_class: float | None
    """Against others of its class; None where no fold holds two of one class."""
    num_within_class: int
    """Ordered comparisons that it rests on."""
    shuffled: float
    """Mean over draws in which sounds were dealt to other pictures."""
    shuffled_95: float
    """What 95 % of those draws stay below."""
    within_shuffled_95: float | None
    """The same within a class, sounds dealt among the pictures of each class."""

    def to_json(self) -> dict[str, object]:
        """As it is kept."""
        return {k: round(v, 3) if isinstance(v, float) else v for k, v in asdict(self).items()}


def judge(pairs: Sequence[tuple[str, Path, Path]], *, sound: Path, picture: Path) -> Judged:
    """Judge real pairs (class, recording, photograph) by networks in the two folders."""
    cpu = torch.device("cpu")
    ear = SoundScorer(resolve_source(str(sound)), device=cpu)
    eye = PictureClassifier(resolve_source(str(picture)), device=cpu)
    waveforms = [decode_audio(recording, window_s=WINDOW_S) for _, recording, _ in pairs]
    sounds_RD = unit_rows(ear.embed(waveforms))
    pictures_RE = unit_rows(eye.images([photograph for *_, photograph in pairs]))
    ids = [f"{name}/{recording.stem}" for name, recording, _ in pairs]
    classes = np.array([name for name, *_ in pairs])
    return judged(sounds_RD, pictures_RE, ids=ids, classes=classes)


def agreement_with_packages(stored: Path, *, sound: Path, picture: Path) -> dict[str, float]:
    """Largest relative error of the released weights here against what the packages' own code made
    of them: `sound_real` and `picture_real` in `stored`, of drawn sounds and pictures."""
    cpu = torch.device("cpu")
    theirs = np.load(stored)
    lengths = (10, 10, 1.5)
    waveforms = [
        drawn_sound(f"48k-{k}", duration_s=length, rate_hz=48_000)
        for k, length in enumerate(lengths)
    ]
    with tempfile.TemporaryDirectory() as made:
        paths = [Path(made) / f"{k}.png" for k in range(2)]
        for k, path in enumerate(paths):
            Image.fromarray(drawn_picture(f"224-{k}", size=224)).save(path)
        ours = {
            "sound": SoundScorer(resolve_source(str(sound)), device=cpu).embed(waveforms),
            "picture": PictureClassifier(resolve_source(str(picture)), device=cpu).images(paths),
        }
    errors = {}
    for name, mine in ours.items():
        other = theirs[f"{name}_real"]
        relative = np.linalg.norm(mine - other, axis=1) / np.linalg.norm(other, axis=1)
        errors[name] = float(relative.max())
    return errors


def judged(
    sounds_RD: np.ndarray, pictures_RE: np.ndarray, *, ids: Sequence[str], classes: np.ndarray
) -> Judged:
    """The same from unit embeddings."""
    fold_R = folds(ids)
    own = list(range(len(ids)))
    same_RR = classes[:, None] == classes[None, :]

    def wins(order: np.ndarray, limit_RR: np.ndarray) -> np.ndarray:
        similarity_RR, is_compared_RR = paired_similarity(
            pictures_RE, sounds_RD=sounds_RD[order], pictures_RE=pictures_RE, fold_R=fold_R
        )
        return win_rate(similarity_RR, own=own, compared_IR=is_compared_RR & limit_RR)

    in_order, everyone = np.arange(len(ids)), np.ones_like(same_RR)
    within = wins(in_order, same_RR)
    is_compared_RR = (fold_R[:, None] == fold_R[None, :]) & same_RR
    num_within = int(is_compared_RR.sum()) - len(ids)
    has_within = num_within > 0
    dealt = [_dealt_within(classes, seed=k) for k in range(NUM_SHUFFLES)]
    within_draws = [float(np.nanmean(wins(order, same_RR))) for order in dealt if has_within]
    draws = [
        float(np.nanmean(wins(rng(k, "real-check").permutation(len(ids)), everyone)))
        for k in range(NUM_SHUFFLES)
    ]
    return Judged(
        num_pairs=len(ids),
        overall=float(np.nanmean(wins(in_order, everyone))),
        within_class=float(np.nanmean(within)) if has_within else None,
        num_within_class=num_within,
        shuffled=float(np.mean(draws)),
        shuffled_95=float(np.quantile(draws, 0.95)),
        within_shuffled_95=float(np.quantile(within_draws, 0.95)) if has_within else None,
    )


def _dealt_within(classes: np.ndarray, *, seed: int) -> np.ndarray:
    """A permutation that leaves every clip in its class."""
    order = np.arange(len(classes))
    for name in np.unique(classes):
        places = np.flatnonzero(classes == name)
        order[places] = rng(seed, "real-check", str(name)).permutation(places)
    return order
