"""The split's features held on the GPU, where they fit, so that no step waits for a copy.

Shape legend: N clips, R audio rows (a clip's crops lie side by side), C H W a latent.
"""

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from core.conditioning.conditioning import AudioFeature
from core.training.objective import Features, TrainingData, to_device

# Of the memory that is free before training; the UNet's activations need the rest.
_SHARE_OF_FREE = 0.25


def on_device(data: TrainingData, *, device: torch.device) -> TrainingData:
    """`data` with its features on the GPU where they take a quarter of its free memory at most.

    On a CPU they stay where they are, read by memory map.
    """
    if device.type != "cuda":
        return data
    free_bytes, _ = torch.cuda.mem_get_info(device)
    if resident_bytes(data) > _SHARE_OF_FREE * free_bytes:
        return data
    return replace(data, features=ResidentFeatures(data, device=device))


def resident_bytes(data: TrainingData) -> int:
    """Memory of every feature that a step or a validation reads."""
    ids = [*data.train_ids, *data.validation_ids]
    one = ids[:1]
    latents = sum(tensor.nbytes for tensor in data.features.latent_moments(one, [False]))
    sounds = sum(data.features.audio(feature, one).nbytes for feature in data.audio_features)
    num_rows = sum(data.num_crops.get(id_, 1) for id_ in ids)
    per_clip = latents * (1 + data.horizontal_flip) + data.features.text(one).nbytes
    return per_clip * len(ids) + sounds * num_rows


class ResidentFeatures:
    """The same features by the same names, every tensor on one device."""

    def __init__(self, data: TrainingData, *, device: torch.device) -> None:
        source: Features = data.features
        ids = [*data.train_ids, *data.validation_ids]
        self._place = {id_: place for place, id_ in enumerate(ids)}
        self._device = device
        flips = (False, True) if data.horizontal_flip else (False,)
        moments = [source.latent_moments(ids, [flip] * len(ids)) for flip in flips]
        # Clip n as it is lies at n, mirrored at N + n.
        self._mean_NCHW = torch.cat([mean for mean, _ in moments]).to(device)
        self._std_NCHW = torch.cat([std for _, std in moments]).to(device)
        self._text = source.text(ids).to(device)
        self._class_index_N = source.class_index(ids).to(device)
        self._null_text = source.null_text.to(device)
        rows = [(id_, crop) for id_ in ids for crop in range(data.num_crops.get(id_, 1))]
        self._row = {row: number for number, row in enumerate(rows)}
        crops = [crop for _, crop in rows] if data.num_crops else None
        row_ids = [id_ for id_, _ in rows]
        self._audio = {
            feature: source.audio(feature, row_ids, crops).to(device)
            for feature in data.audio_features
        }

    @property
    def null_text(self) -> Tensor:
        return self._null_text

    def latent_moments(self, ids: Sequence[str], flipped: Sequence[bool]) -> tuple[Tensor, Tensor]:
        places = [
            self._place[id_] + len(self._place) * bool(flip)
            for id_, flip in zip(ids, flipped, strict=True)
        ]
        index = self._index(places)
        return self._mean_NCHW[index], self._std_NCHW[index]

    def text(self, ids: Sequence[str]) -> Tensor:
        return self._text[self._index([self._place[id_] for id_ in ids])]

    def audio(
        self, feature: AudioFeature, ids: Sequence[str], crops: Sequence[int] | None = None
    ) -> Tensor:
        wanted = zip(ids, crops or [0] * len(ids), strict=True)
        return self._audio[feature][self._index([self._row[row] for row in wanted])]

    def class_index(self, ids: Sequence[str]) -> Tensor:
        return self._class_index_N[self._index([self._place[id_] for id_ in ids])]

    def _index(self, places: Sequence[int]) -> Tensor:
        return to_device(torch.tensor(places), self._device)
