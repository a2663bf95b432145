"""The judges that the project trains: of pictures, of sounds, and of mixtures' sources.

Shape legend: I images, R clips, A attributes, K sources, D embedding width.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from core.errors import UsageError
from core.foundation.judge import Judge, prepare_images, prepare_sounds
from core.foundation.layout import MODEL
from core.foundation.source_judge import SourceJudge
from core.foundation.sources import Source
from harness.metrics.pictures import square_batches
from harness.metrics.scorers.loading import BATCH_SIZE, float64, pretrained

Array = NDArray[np.float64]


@dataclass(frozen=True)
class ImageReading:
    """What the image judge says of I images."""

    embeddings: Array
    """[I, D], in the space shared with the audio judge."""
    attributes: Array
    """[I, A] in [0, 1], in the order of the judge's `attribute_names`."""
    features: Array
    """[I, F]: what the judge's heads read."""


class ImageJudge:
    """The half of the judge pair that looks."""

    def __init__(self, source: Source, *, device: torch.device) -> None:
        self._model = _load_judge(source, modality="image", device=device)
        self._device = device
        self.attribute_names: tuple[str, ...] = tuple(self._model.config.attribute_names)
        self.embedding_dim = int(self._model.config.embedding_dim)
        self.name = source.name
        self.fingerprint = source.fingerprint(MODEL)

    @torch.inference_mode()
    def read(self, paths: Sequence[Path]) -> ImageReading:
        """The judgement of each file."""
        size, _ = self._model.config.input_size
        embeddings, attributes, features = [], [], []
        for pixels in square_batches(paths, size=size, batch_size=BATCH_SIZE):
            judged = self._model(prepare_images(pixels, self._model.config).to(self._device))
            embeddings.append(judged.embedding)
            attributes.append(judged.attributes)
            features.append(judged.features)
        return ImageReading(
            embeddings=float64(embeddings),
            attributes=float64(attributes),
            features=float64(features),
        )


class AudioJudge:
    """The half of the judge pair that hears."""

    def __init__(self, source: Source, *, device: torch.device) -> None:
        self._model = _load_judge(source, modality="audio", device=device)
        self._device = device
        self.attribute_names: tuple[str, ...] = tuple(self._model.config.attribute_names)
        self.sample_rate_hz = int(self._model.config.sample_rate_hz)
        self.embedding_dim = int(self._model.config.embedding_dim)
        self.name = source.name
        self.fingerprint = source.fingerprint(MODEL)

    @torch.inference_mode()
    def embed(self, waveforms: Iterable[NDArray[np.float32]]) -> Array:
        """[R, D] embeddings of mono waveforms at `sample_rate_hz`, in the shared space.

        Clips are judged one by one, so that neither their number nor order moves a value.
        """
        return float64([self._judged(waveform).embedding for waveform in waveforms])

    @torch.inference_mode()
    def attributes(self, waveforms: Iterable[NDArray[np.float32]]) -> Array:
        """[R, A] in [0, 1], in the order of `attribute_names`: what the sounds themselves say."""
        return float64([self._judged(waveform).attributes for waveform in waveforms])

    def _judged(self, waveform: NDArray[np.float32]) -> Any:
        sound = prepare_sounds(np.asarray(waveform, dtype=np.float32)[None], self._model.config)
        return self._model(sound.to(self._device))


class SourceScorer:
    """The judge of mixtures: which sources an image shows."""

    def __init__(self, source: Source, *, device: torch.device) -> None:
        self._model = pretrained(SourceJudge, source, part="source judge", device=device)
        self._device = device
        self.source_names: tuple[str, ...] = tuple(self._model.config.class_names)
        self.name = source.name
        self.fingerprint = source.fingerprint(MODEL)

    @torch.inference_mode()
    def read(self, paths: Sequence[Path]) -> Array:
        """[I, K] probability of each source, in the order of `source_names`."""
        size, _ = self._model.config.input_size
        return float64(
            [
                self._model.probabilities(
                    prepare_images(pixels, self._model.config).to(self._device)
                )
                for pixels in square_batches(paths, size=size, batch_size=BATCH_SIZE)
            ]
        )


def _load_judge(source: Source, *, modality: str, device: torch.device) -> Any:
    model = pretrained(Judge, source, part=f"{modality} judge", device=device)
    if model.config.modality != modality:
        raise UsageError(
            f"'{source.name}' judges {model.config.modality}; expected a judge of {modality}"
        )
    return model
