"""What a variant hands to the UNet, and what it is made from.

Shape legend: B batch, L text tokens, N audio tokens, C context width, D feature width,
T frames, M mel bands.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from core.choices import AudioFeature as AudioFeature


@dataclass(frozen=True)
class ConditioningInputs:
    """Everything a variant may condition on, for B clips.

    text_BLC: frozen text encoder's last hidden state of the captions.
    audio: the features named by the variant's `audio_features`, batch first.
    class_index_B: class of each clip, int64. Only controls that state so may read it.
    """

    text_BLC: Tensor
    audio: Mapping[AudioFeature, Tensor]
    class_index_B: Tensor

    def __len__(self) -> int:
        return self.text_BLC.shape[0]

    def to(self, device: torch.device | str) -> "ConditioningInputs":
        """The same on another device."""
        return ConditioningInputs(
            text_BLC=self.text_BLC.to(device),
            audio={feature: values.to(device) for feature, values in self.audio.items()},
            class_index_B=self.class_index_B.to(device),
        )


@dataclass(frozen=True)
class Conditioning:
    """Text context and audio tokens of B clips.

    text_BLC: text tokens. audio_BNC: audio tokens of the same width, or None for a variant
    without sound. audio_mask_BN: True where a token is present; None means all are.
    """

    text_BLC: Tensor
    audio_BNC: Tensor | None = None
    audio_mask_BN: Tensor | None = None

    def with_text_dropped(self, drop_B: Tensor, *, null_text_LC: Tensor) -> "Conditioning":
        """The same with the empty prompt in place of the dropped rows' text."""
        text_BLC = torch.where(drop_B[:, None, None], null_text_LC.to(self.text_BLC), self.text_BLC)
        return replace(self, text_BLC=text_BLC)

    def with_audio_dropped(self, drop_B: Tensor) -> "Conditioning":
        """The same with every audio token of the dropped rows marked absent."""
        if self.audio_BNC is None:
            return self
        mask_BN = self.audio_mask_BN
        if mask_BN is None:
            mask_BN = torch.ones(self.audio_BNC.shape[:2], dtype=torch.bool, device=drop_B.device)
        return replace(self, audio_mask_BN=mask_BN & ~drop_B[:, None])

    def context(self) -> Tensor:
        """[B, L + N, C] for the UNet's `encoder_hidden_states`: text, then audio tokens.

        An absent token is all zeros, which is how the attention layers of
        `core.conditioning.attention` know it. So the one tensor carries the mask, and the
        same UNet runs in a plain diffusers pipeline through `prompt_embeds`.
        """
        if self.audio_BNC is None:
            return self.text_BLC
        audio_BNC = self.audio_BNC.to(self.text_BLC.dtype)
        if self.audio_mask_BN is not None:
            # where, not a product: an absent row must not send NaN or gradient anywhere.
            audio_BNC = torch.where(
                self.audio_mask_BN[..., None], audio_BNC, torch.zeros_like(audio_BNC)
            )
        return torch.cat([self.text_BLC, audio_BNC], dim=1)


def split_context(
    context_BKC: Tensor, *, num_text_tokens: int
) -> tuple[Tensor, Tensor | None, Tensor | None]:
    """(text, audio tokens, presence mask [B, N]) of a context packed by `Conditioning.context`.

    Audio is None when the context holds text alone.
    """
    if context_BKC.shape[1] <= num_text_tokens:
        return context_BKC, None, None
    text_BLC = context_BKC[:, :num_text_tokens]
    audio_BNC = context_BKC[:, num_text_tokens:]
    return text_BLC, audio_BNC, (audio_BNC != 0).any(dim=-1)
