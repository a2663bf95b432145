"""Wav2CLIP: sounds in the space of CLIP ViT-B/32's image embeddings.

Wu et al. 2022 (arXiv 2110.11499): a ResNet-18 over the log spectrogram and two linear layers,
distilled from CLIP on the frames of videos. AudioToken and SonicDiffusion measure audio-image
agreement with it. The network is transformers' ResNet; only the names of the weights differ.

Shape legend: R clips, N samples, K frequencies, T frames, D = 512 features.
"""

import pickle
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import soxr
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from core.data.media.decode_audio import SAMPLE_RATE_HZ
from core.errors import MismatchError, MissingWeightsError, UsageError
from core.foundation.layout import LAYOUTS, WAV2CLIP_NAMES
from core.foundation.sources import Source
from harness.metrics.scorers.loading import fill, float64

EMBEDDING_DIM = 512
RATE_HZ = 16_000
_FFT_SIZE, _HOP = 512, 353
# Held by the checkpoint and not used: a classifier, the Hann window, CLIP itself.
_UNUSED = ("audio_encoder.fc.", "audio_encoder.spectrogram.")
_ENCODER, _PROJECTION = "audio_encoder.", "audio_transform.sequential."


class Wav2Clip(nn.Module):
    """[R, 512] embeddings of [R, 1, K, T] normalised log spectrograms."""

    def __init__(self) -> None:
        from transformers import ResNetConfig, ResNetModel

        super().__init__()
        config = ResNetConfig(
            num_channels=1,
            embedding_size=64,
            hidden_sizes=[64, 128, 256, EMBEDDING_DIM],
            depths=[2, 2, 2, 2],
            layer_type="basic",
            hidden_act="relu",
        )
        self.encoder = ResNetModel(config)
        # As it is numbered in the checkpoint, where 2 is the dropout of training.
        self.projection = nn.ModuleDict(
            {
                "0": nn.Linear(EMBEDDING_DIM, EMBEDDING_DIM),
                "3": nn.Linear(EMBEDDING_DIM, EMBEDDING_DIM),
            }
        )

    def forward(self, spectrogram_R1KT: Tensor) -> Tensor:
        pooled = self.encoder(pixel_values=spectrogram_R1KT).pooler_output.flatten(1)
        projected: Tensor = self.projection["3"](torch.relu(self.projection["0"](pooled)))
        return projected


class Wav2ClipScorer:
    """Hears for the agreement of sound and image; CLIP ViT-B/32 is the half that sees."""

    def __init__(self, source: Source, *, device: torch.device) -> None:
        model = Wav2Clip()
        state = {
            _renamed(key): value
            for key, value in _checkpoint(source).items()
            if key.startswith((_ENCODER, _PROJECTION)) and not key.startswith(_UNUSED)
        }
        fill(model, state, part="audio encoder of Wav2CLIP")
        self._model = model.requires_grad_(False).eval().to(device, torch.float32)
        self._device = device
        self.name = source.name
        self.fingerprint = source.fingerprint(LAYOUTS["wav2clip"])

    @torch.inference_mode()
    def embed(self, waveforms: Iterable[NDArray[np.float32]]) -> NDArray[np.float64]:
        """[R, 512] embeddings of mono waveforms at 48 kHz, each by itself."""
        return float64(
            [self._model(log_spectrogram(waveform).to(self._device)) for waveform in waveforms]
        )


def log_spectrogram(waveform_N: NDArray[np.float32]) -> Tensor:
    """float32 [1, 1, 257, T] of a 48 kHz waveform: log power at 16 kHz, of mean 0 and deviation 1.

    The released code normalises over its whole batch; here a batch is one clip.
    """
    resampled = soxr.resample(np.asarray(waveform_N, dtype=np.float32), SAMPLE_RATE_HZ, RATE_HZ)
    spectrum_KT = torch.stft(
        torch.from_numpy(np.ascontiguousarray(resampled)),
        _FFT_SIZE,
        _HOP,
        window=torch.hann_window(_FFT_SIZE),
        center=True,
        return_complex=True,
    )
    log_KT = torch.log(spectrum_KT.abs().square() + 1e-7)
    return ((log_KT - log_KT.mean()) / (log_KT.std() + 1e-9))[None, None]


def _checkpoint(source: Source) -> dict[str, Tensor]:
    if not source.is_folder:
        raise UsageError(
            f"Wav2CLIP is read from a folder that holds {' or '.join(WAV2CLIP_NAMES)}; got "
            f"'{source.name}'"
        )
    for name in WAV2CLIP_NAMES:
        path = Path(source.location) / name
        if not path.is_file():
            continue
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            return load_file(path)
        try:
            # weights_only: a pickle from elsewhere must not run code here.
            state: Any = torch.load(path, map_location="cpu", weights_only=True)
        except pickle.UnpicklingError as error:
            reason = str(error).strip().splitlines()[0]
            raise MismatchError(
                f"{path} holds more than weights ({reason}); "
                f"`harness convert wav2clip {path} --out FOLDER` leaves model.safetensors, its "
                "tensors alone"
            ) from error
        return dict(state.get("state_dict", state))
    raise MissingWeightsError(
        f"no weights of Wav2CLIP in {source.location}; expected {' or '.join(WAV2CLIP_NAMES)}"
    )


def _renamed(key: str) -> str:
    """Name in `Wav2Clip` of a weight of the checkpoint; an unknown one stays and is refused."""
    if key.startswith(_PROJECTION):
        return "projection." + key.removeprefix(_PROJECTION)
    parts = key.removeprefix(_ENCODER).split(".")
    if parts[0] in {"conv1", "bn1"}:
        place = "embedder.embedder."
        kind, rest = parts[0], parts[1:]
    elif parts[0].startswith("layer") and len(parts) >= 4:
        place = f"encoder.stages.{int(parts[0].removeprefix('layer')) - 1}.layers.{parts[1]}."
        if parts[2] == "downsample":
            place += "shortcut."
            kind, rest = ("conv" if parts[3] == "0" else "bn"), parts[4:]
        else:
            place += f"layer.{int(parts[2][-1]) - 1}."
            kind, rest = parts[2], parts[3:]
    else:
        return key
    kind = "convolution" if kind.startswith("conv") else "normalization"
    return "encoder." + place + ".".join([kind, *rest])
