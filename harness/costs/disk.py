"""Disk that a matrix takes."""

from collections.abc import Sequence
from dataclasses import dataclass

from core.errors import UsageError
from harness.costs.clips import Clips
from harness.costs.work import BranchWork
from harness.records.score_kind import Score
from harness.settings.profile import Profile
from harness.settings.weights import needed_models

_PER_TRAINED = 20
"""Bytes in a checkpoint: weight, value before the stage, two moments, best one, float32."""
_KEPT = 2
"""Checkpoints that stay; a third lies there while it is written."""
_PER_PIXEL = 1.6
"""Bytes of a PNG per pixel; of three per pixel raw, pictures of noise aside."""


@dataclass(frozen=True)
class Disk:
    """Bytes."""

    weights: float | None
    """Of the frozen models and scorers; None where one's size is not known."""
    features: float
    """Cached features, shared by all runs."""
    runs: float
    """All runs: checkpoints, trained weights, images."""

    @property
    def total(self) -> float:
        """Together, as far as it is known."""
        return (self.weights or 0.0) + self.features + self.runs

    def data(self) -> dict[str, float | None]:
        """For scripts."""
        return {**vars(self), "total": self.total}


def disk_of(works: Sequence[BranchWork], *, num_seeds: int, profile: Profile, clips: Clips) -> Disk:
    """What a matrix of these branches leaves on disk."""
    flips = 2 if profile.data.horizontal_flip else 1
    image_size = works[0].image_size
    # Mean and deviation of 4 latent channels; CLAP's sequence and log-mel beside them: float32.
    latents = 2 * 4 * (image_size // 8) ** 2 * 4 * flips
    log_mel = profile.data.log_mel
    sounds = 4 * (32 * 1024 + log_mel.num_mels * log_mel.num_frames) * profile.data.audio_crops
    runs = 0.0
    for work in works:
        images = clips.test * work.num_arms * profile.sampling.images_per_clip
        runs += checkpoint_bytes(work) * (_KEPT + 1) + work.trainable * 4
        runs += images * image_size**2 * _PER_PIXEL
    return Disk(_weights(profile), clips.total * (latents + sounds), runs * num_seeds)


def trial_bytes(work: BranchWork, *, score: Score, profile: Profile, clips: Clips) -> float:
    """What a run leaves that never reads the test clips: no checkpoint, and images if any."""
    images = clips.val * profile.sampling.images_per_clip if score is Score.VALIDATION else 0
    return work.trainable * 4 + images * work.image_size**2 * _PER_PIXEL


def checkpoint_bytes(work: BranchWork) -> float:
    """Of one checkpoint in the widest stage."""
    return work.trainable * _PER_TRAINED


def _weights(profile: Profile) -> float | None:
    try:
        sizes = [
            0 if model.source.startswith("embedded:") else model.num_bytes
            for model in needed_models(profile)
        ]
    except UsageError:  # a path that is not here: whoever runs is told
        return None
    return None if None in sizes else float(sum(size or 0 for size in sizes))
