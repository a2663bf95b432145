"""PE-AV: sounds and pictures in one space, by the audio and video towers of one network.

Perception Encoder Audiovisual (Vyas et al. 2025), as transformers has it (`pe_audio_video`). A
picture is a video of one frame. Sound and picture agree by the inner product of the two towers'
embeddings, which is what the model was trained on: they are not scaled to unit length.

Shape legend: I pictures, R clips, S samples, F frames, D embedding width.
"""

import json
import sys
from collections.abc import Iterable, Sequence
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from core.data.media.decode_audio import SAMPLE_RATE_HZ
from core.errors import MissingWeightsError
from core.foundation.layout import PE_AV, VIDEO_PREPROCESSOR
from core.foundation.sources import Source, missing_weights
from harness.metrics.pictures import square_batches
from harness.metrics.scorers.loading import BATCH_SIZE, float64, pretrained

Array = NDArray[np.float64]


class PeAvScorer:
    """Hears and sees for the agreement of sound and image."""

    def __init__(self, source: Source, *, device: torch.device) -> None:
        from transformers import PeAudioVideoModel

        try:
            # transformers 5.23 prints a remark on its own docstrings when it builds the network.
            with redirect_stdout(sys.stderr):
                model = pretrained(PeAudioVideoModel, source, part="PE-AV scorer", device=device)
        except ImportError as error:
            if "timm" not in str(error):
                raise
            raise MissingWeightsError(
                f"the pictures of '{source.name}' are read by the package timm, which is not "
                "installed; pip install timm, or set scorers.pe_av to none"
            ) from error
        try:
            self._size, self._mean, self._std = _preprocessing(source)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise missing_weights(source, "PE-AV scorer's preprocessor", error) from error
        self._model = model
        self._hop = int(model.config.audio_config.audio_config.dac_config.hop_length)
        self._device = device
        self.name = source.name
        self.fingerprint = source.fingerprint(PE_AV)

    @torch.inference_mode()
    def embed(self, waveforms: Iterable[NDArray[np.float32]]) -> Array:
        """[R, D] embeddings of mono waveforms at 48 kHz, each by itself."""
        return float64(
            [
                self._model.get_audio_embeds(whole_hops(sound, hop=self._hop).to(self._device))
                for sound in waveforms
            ]
        )

    @torch.inference_mode()
    def images(self, paths: Sequence[Path]) -> Array:
        """[I, D] embeddings of the files, each a video of one frame."""
        video = self._model.video_model
        features = []
        for pixels in square_batches(paths, size=self._size, batch_size=BATCH_SIZE):
            x_B3HW = torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255.0
            frames_BF3HW = ((x_B3HW - self._mean) / self._std)[:, None].to(self._device)
            features.append(video.video_head(video.video_encoder(frames_BF3HW).pooler_output))
        return float64(features)


def whole_hops(sound_S: NDArray[np.float32], *, hop: int) -> Tensor:
    """float32 [1, 1, S]: a mono waveform, mirrored at its end to a whole number of hops."""
    missing = -len(sound_S) % hop
    padded_S = np.pad(np.asarray(sound_S, dtype=np.float32), (0, missing), "reflect")
    return torch.from_numpy(padded_S)[None, None]


def _preprocessing(source: Source) -> tuple[int, Tensor, Tensor]:
    """(side in pixels, [3, 1, 1] mean, [3, 1, 1] std) of the frames the model was trained with.

    Raises: OSError, KeyError or ValueError where no preprocessor file says so, or sounds are
        expected at another rate.
    """
    for filename in VIDEO_PREPROCESSOR:
        path = source.folder / filename
        if not path.is_file():
            continue
        whole: dict[str, Any] = json.loads(path.read_text())
        rate = whole.get("feature_extractor", whole).get("sampling_rate", SAMPLE_RATE_HZ)
        if rate != SAMPLE_RATE_HZ:
            raise ValueError(f"it takes sounds at {rate} Hz, not at {SAMPLE_RATE_HZ} Hz")
        video = whole.get("video_processor", whole)
        if "size" not in video:
            continue
        size = video["size"]
        side = int(size["height"] if "height" in size else size["shortest_edge"])
        mean, std = (torch.tensor(video[key]).float() for key in ("image_mean", "image_std"))
        return side, mean[:, None, None], std[:, None, None]
    raise OSError(f"no {' or '.join(VIDEO_PREPROCESSOR)} with the size of a frame")
