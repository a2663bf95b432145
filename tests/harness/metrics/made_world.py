"""Clips of the made world, and images as perfect and deaf branches would generate them."""

from dataclasses import asdict
from pathlib import Path

import numpy as np
from PIL import Image

from core.embedded.corpus.classes import caption
from core.embedded.corpus.pairs import make_pair
from harness.metrics.arms import Arm, GeneratedImage, ScoredClip
from harness.metrics.score import RunScores, score_images

CLASSES = ("dog_barking", "engine", "fire", "siren")


PER_CLASS = 8


class World:
    """Clips whose real pictures stand in for what a perfect listener would paint."""

    def __init__(self, folder: Path, *, seed: int = 5) -> None:
        self.waveforms: dict[str, np.ndarray] = {}
        self.clips: list[ScoredClip] = []
        for name in CLASSES:
            for index in range(PER_CLASS):
                pair = make_pair(name, seed=seed, namespace="test of scores", index=index)
                sample_id = f"{name}-{index}"
                path = folder / f"{sample_id}.png"
                Image.fromarray(pair.image).save(path)
                self.waveforms[sample_id] = pair.clip
                self.clips.append(
                    ScoredClip(
                        sample_id=sample_id,
                        class_name=name,
                        caption=caption(name),
                        image=path,
                        attributes=asdict(pair.attributes),
                    )
                )

    def painted(self, arm: Arm, *, shift: int, draw: int = 0) -> list[GeneratedImage]:
        """What a perfect listener paints on hearing the clip `shift` further in the class."""
        images = []
        for position, clip in enumerate(self.clips):
            first = position - position % PER_CLASS
            heard = self.clips[first + (position - first + shift) % PER_CLASS]
            assert heard.image is not None
            images.append(
                GeneratedImage(
                    sample_id=clip.sample_id,
                    arm=arm,
                    draw=draw,
                    path=heard.image,
                    heard_id=heard.sample_id,
                )
            )
        return images

    def score(self, images, scorers, **options) -> RunScores:
        options = {"clips": self.clips, "waveform_of": self.waveforms.__getitem__, **options}
        return score_images(images, scorers=scorers, **options)
