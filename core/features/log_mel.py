"""Log-mel spectrograms as SSAMBA and AST read them: Kaldi's filter-bank features, in torch.

Per frame: mean removed, pre-emphasis 0.97 (the first sample by itself), symmetric Hann window,
power spectrum of the next power of two, triangles in Kaldi's mel scale, natural log above float32
epsilon. Frames that do not fit whole are dropped (Kaldi's `snip_edges`).

Normalisation is (x - mean) / std with mean -4.268 and std 4.569, AudioSet's, as SSAMBA (arXiv
2405.11831) does. AST (arXiv 2104.01778) divides by 2 * std: for its checkpoints set std to 9.138.
Both pad missing frames with 0 before normalising, which is louder than silence (-15.9); a
pretrained encoder has learnt that, so we keep it.

Shape legend: B batch, S samples, T frames, F frequency bins, M mel bands.
"""

import warnings
from functools import lru_cache

import torch
from torch import Tensor

from core.features.log_mel_settings import LogMelSettings as LogMelSettings

_PRE_EMPHASIS = 0.97
_FLOOR = torch.finfo(torch.float32).eps
_FRAMES_AT_ONCE = 256


def log_mel(waveforms_BS: Tensor, *, settings: LogMelSettings) -> Tensor:
    """float32 [B, M, T]: normalised log-mel of waveforms at `settings.sample_rate_hz`, [-1, 1].

    All B waveforms have the same length S; one shorter than a frame is padded to a frame.
    """
    length = round(settings.window_s * settings.sample_rate_hz)
    hop = round(settings.hop_s * settings.sample_rate_hz)
    num_fft = 1 << (length - 1).bit_length()
    if waveforms_BS.shape[1] < length:
        waveforms_BS = torch.nn.functional.pad(waveforms_BS, (0, length - waveforms_BS.shape[1]))
    # Frames past T are cropped away below, so their spectra are never computed.
    frames_BTS = waveforms_BS.float().unfold(1, length, hop)[:, : settings.num_frames]
    window_S = torch.hann_window(length, periodic=False, device=frames_BTS.device)
    filters_FM = _mel_filters(settings, num_fft).to(frames_BTS.device)
    # So many frames at a time as a processor's cache holds: passes over memory cost the most.
    num_at_once = max(1, _FRAMES_AT_ONCE // len(frames_BTS))
    values_BTM = torch.cat(
        [
            _log_energies(part_BTS, window_S=window_S, num_fft=num_fft, filters_FM=filters_FM)
            for part_BTS in frames_BTS.split(num_at_once, dim=1)
        ],
        dim=1,
    )
    missing = settings.num_frames - values_BTM.shape[1]
    if missing > 0:
        values_BTM = torch.nn.functional.pad(values_BTM, (0, 0, 0, missing))
    return ((values_BTM - settings.mean) / settings.std).transpose(1, 2).contiguous()


def _log_energies(
    frames_BTS: Tensor, *, window_S: Tensor, num_fft: int, filters_FM: Tensor
) -> Tensor:
    frames_BTS = frames_BTS - frames_BTS.mean(dim=-1, keepdim=True)
    emphasised_BTS = torch.empty_like(frames_BTS)
    emphasised_BTS[..., 0] = (1 - _PRE_EMPHASIS) * frames_BTS[..., 0]
    torch.sub(
        frames_BTS[..., 1:],
        frames_BTS[..., :-1],
        alpha=_PRE_EMPHASIS,
        out=emphasised_BTS[..., 1:],
    )
    spectrum_BTF = torch.fft.rfft(emphasised_BTS.mul_(window_S), n=num_fft)
    power_BTF = spectrum_BTF.real.square().addcmul_(spectrum_BTF.imag, spectrum_BTF.imag)
    log_mel_BTM: Tensor = (power_BTF @ filters_FM).clamp_(min=_FLOOR).log_()
    return log_mel_BTM


@lru_cache(maxsize=4)
def _mel_filters(settings: LogMelSettings, num_fft: int) -> Tensor:
    """float32 [F, M]: triangles of height 1, straight in Kaldi's mel scale."""
    from transformers.audio_utils import mel_filter_bank

    with warnings.catch_warnings():
        # A band narrower than a bin stays silent, as in Kaldi: pretrained encoders have learnt it.
        warnings.filterwarnings("ignore", message="At least one mel filter has all zero values")
        filters_FM = mel_filter_bank(
            num_frequency_bins=num_fft // 2 + 1,
            num_mel_filters=settings.num_mels,
            min_frequency=settings.f_min_hz,
            max_frequency=settings.f_max_hz,
            sampling_rate=settings.sample_rate_hz,
            mel_scale="kaldi",
            triangularize_in_mel_space=True,
        )
    return torch.from_numpy(filters_FM).float()
