"""A sound-effects encoder: what a recording is of, in 512 numbers.

Ma and Lerch 2022 (ISMIR, arXiv 2208.09096), package `aisfx`; the weights are CC BY 4.0. A plain
network of four blocks of two convolutions over log-mels, trained on the classes of nine libraries
of sound effects. It tells kinds of sounds, not recordings of one kind.

Shape legend: R clips, N samples, T frames, M mel bands, K blocks of frames, D = 512 features.
"""

import warnings
from collections.abc import Iterable
from functools import lru_cache

import numpy as np
import soxr
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from core.data.media.decode_audio import SAMPLE_RATE_HZ
from core.foundation.catalogue import AISFX
from core.foundation.checkpoint import read_tensors
from core.foundation.layout import LAYOUTS
from core.foundation.sources import Source
from harness.metrics.scorers.loading import fill, float64, released_path

SHA256 = {AISFX.name: AISFX.sha256}
EMBEDDING_DIM = 512
RATE_HZ = 44_100
_FFT_SIZE, _HOP, _NUM_MELS = 2_048, 1_024, 96
_BLOCK, _BLOCK_HOP = 100, 50
_LOUDEST = 9.457798957824707
"""Largest log-mel of the encoder's training data, by which it was scaled."""
_WIDTHS = (64, 128, 256, EMBEDDING_DIM)
_PREFIX = "embedding_net."


class _Block(nn.Module):
    def __init__(self, width_in: int, width: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(width_in, width, 3, padding=1, bias=False)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.bn2 = nn.BatchNorm2d(width)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.bn1(self.conv1(x)))
        return F.relu(self.bn2(self.conv2(x)))


class SoundNet(nn.Module):
    """[K, 512] embeddings of [K, T, M] scaled log-mels: mean over bands, maximum over time."""

    def __init__(self) -> None:
        super().__init__()
        width_in = 1
        for place, width in enumerate(_WIDTHS, start=1):
            self.add_module(f"conv_block{place}", _Block(width_in, width))
            width_in = width

    def forward(self, log_mel_KTM: Tensor) -> Tensor:
        x = log_mel_KTM[:, None]
        blocks = list(self.children())
        for place, block in enumerate(blocks, start=1):
            x = block(x)
            if place < len(blocks):
                x = F.max_pool2d(x, 2)
        return x.mean(dim=3).amax(dim=2)


class SoundScorer:
    """The encoder with the released weights, known by their hash; its classifiers are left out."""

    def __init__(self, source: Source, *, device: torch.device) -> None:
        path = released_path(source, sha256=SHA256, part="sound-effects encoder")
        tensors = read_tensors(path, leaves_out_objects=True)
        state = {
            key.removeprefix(_PREFIX): value
            for key, value in tensors.items()
            if key.startswith(_PREFIX)
        }
        model = SoundNet()
        fill(model, state, part="sound-effects encoder")
        self._model = model.requires_grad_(False).eval().to(device, torch.float32)
        self._device = device
        self.name = source.name
        self.fingerprint = source.fingerprint(LAYOUTS["sound"])

    @torch.inference_mode()
    def embed(self, waveforms: Iterable[NDArray[np.float32]]) -> NDArray[np.float64]:
        """[R, 512] embeddings of mono waveforms at 48 kHz, each the mean over its blocks."""
        return float64(
            [
                self._model(blocks(waveform).to(self._device)).mean(dim=0, keepdim=True)
                for waveform in waveforms
            ]
        )


def blocks(waveform_N: NDArray[np.float32]) -> Tensor:
    """float32 [K, 100, 96]: scaled log-mels of a 48 kHz waveform, in blocks that overlap by half.

    As the package's librosa path does: peak 1, power, bands of area 1, log10(10^4 x + 1). (Its
    Essentia path, which it was trained with, keeps the level.) An incomplete last block is dropped,
    a clip shorter than a block (2.3 s) filled up with silence.
    """
    resampled = soxr.resample(np.asarray(waveform_N, dtype=np.float32), SAMPLE_RATE_HZ, RATE_HZ)
    peak = float(np.abs(resampled).max())
    spectrum_FT = torch.stft(
        torch.from_numpy(np.ascontiguousarray(resampled / (peak or 1.0), dtype=np.float32)),
        _FFT_SIZE,
        _HOP,
        window=torch.hann_window(_FFT_SIZE),
        center=True,
        pad_mode="constant",
        return_complex=True,
    )
    mel_TM = spectrum_FT.abs().square().T @ _bands()
    scaled_TM = torch.log10(mel_TM * 1e4 + 1.0) / _LOUDEST
    if len(scaled_TM) < _BLOCK:
        scaled_TM = F.pad(scaled_TM, (0, 0, 0, _BLOCK - len(scaled_TM)))
    return scaled_TM.unfold(0, _BLOCK, _BLOCK_HOP).transpose(1, 2).contiguous()


@lru_cache(maxsize=1)
def _bands() -> Tensor:
    """float32 [F, M]: triangles in HTK's mel scale, each of sum 1."""
    from transformers.audio_utils import mel_filter_bank

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="At least one mel filter has all zero values")
        bands_FM = mel_filter_bank(
            num_frequency_bins=_FFT_SIZE // 2 + 1,
            num_mel_filters=_NUM_MELS,
            min_frequency=0.0,
            max_frequency=RATE_HZ / 2,
            sampling_rate=RATE_HZ,
            mel_scale="htk",
        )
    area_M = bands_FM.sum(axis=0)
    return torch.from_numpy(bands_FM / np.where(area_M > 0, area_M, 1.0)).float()
