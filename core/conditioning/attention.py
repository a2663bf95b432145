"""The seams through which audio tokens enter a frozen UNet's cross-attention.

Each is a diffusers attention processor for `attn2`: a plain object, so the UNet's state dict
keeps its keys, that holds modules owned by the variant. All read the packed context of
`Conditioning.context`: text tokens, then audio tokens, an absent one being all zeros.

What holds for every seam:
- a context of text alone goes to the processor that was there before: bit-equal output;
- a row whose audio tokens are all absent gets what the text alone gives;
- `scale` multiplies the gate and is 1 in training; 0 is the text alone, to the bit.

Shape legend: B batch, Q image tokens, L text tokens, N audio tokens, K = L + N, W hidden width,
C context width, H heads, E = W split over heads.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from core.conditioning.conditioning import split_context
from core.conditioning.gates import SigmoidGate, TanhGate
from core.conditioning.shapes import BlockShape

Processor = Callable[..., Tensor]

_FEW_TOKENS = 128
"""Keys up to which a GPU takes attention with a mask as two small products."""


def split_heads(x_BKW: Tensor, *, num_heads: int) -> Tensor:
    """[B, H, K, E] view of [B, K, W]."""
    return x_BKW.unflatten(-1, (num_heads, -1)).transpose(1, 2)


def merge_heads(x_BHQE: Tensor) -> Tensor:
    """[B, Q, W] from [B, H, Q, E]."""
    return x_BHQE.transpose(1, 2).flatten(2)


def masked_attention(
    query_BHQE: Tensor, *, key_BHNE: Tensor, value_BHNE: Tensor, present_BN: Tensor
) -> Tensor:
    """Softmax attention over the present tokens; exactly 0 for a row that has none.

    Keys and values of absent tokens must be 0, as bias-free projections of zeros are. A row
    without any present token may then attend to all of them: it averages zeros, where kernels
    differ on a softmax over nothing (0 or NaN).
    """
    if query_BHQE.is_cuda and key_BHNE.shape[2] <= _FEW_TOKENS:
        return attention_to_few(
            query_BHQE, key_BHNE=key_BHNE, value_BHNE=value_BHNE, present_BN=present_BN
        )
    return functional.scaled_dot_product_attention(
        query_BHQE, key_BHNE, value_BHNE, attn_mask=_attends(present_BN)
    )


def attention_to_few(
    query_BHQE: Tensor, *, key_BHNE: Tensor, value_BHNE: Tensor, present_BN: Tensor
) -> Tensor:
    """`masked_attention` written out, for a GPU: its kernel with a mask is slow on the way back.

    4.2 ms of a step of `cutting_edge` on an H200. The keys are few enough to keep their scores.
    """
    scores_BHQN = (query_BHQE * query_BHQE.shape[-1] ** -0.5) @ key_BHNE.mT
    scores_BHQN = scores_BHQN.float().masked_fill(~_attends(present_BN), -torch.inf)
    return scores_BHQN.softmax(dim=-1).to(value_BHNE.dtype) @ value_BHNE


def _attends(present_BN: Tensor) -> Tensor:
    """[B, 1, 1, N] whether a token is attended to: all of them where none is present."""
    return (present_BN | ~present_BN.any(dim=-1, keepdim=True))[:, None, None, :]


class AudioProcessor(ABC):
    """Base of the seams: where there is no audio or no scale, the plain processor attends."""

    reads_residual: ClassVar[bool] = False

    def __init__(self, *, num_text_tokens: int) -> None:
        self.num_text_tokens = num_text_tokens
        self.scale = 1.0
        self.plain: Processor | None = None
        self.residual_BQW: Tensor | None = None

    def keep_residual(self, norm2: nn.Module, args: tuple[Any, ...]) -> None:
        """Pre-hook of the block's norm2: hands over the residual stream that attn2 adds to."""
        self.residual_BQW = args[0]

    def __call__(
        self,
        attn: Any,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
        temb: Tensor | None = None,
    ) -> Tensor:
        """attn2's output [B, Q, W], before the block adds it to the residual stream."""
        if self.plain is None or encoder_hidden_states is None:
            raise RuntimeError("an audio processor works only installed on a cross-attention")
        try:
            text_BLC, audio_BNC, present_BN = split_context(
                encoder_hidden_states, num_text_tokens=self.num_text_tokens
            )
            if audio_BNC is None or present_BN is None or self.scale == 0:
                return self.plain(attn, hidden_states, text_BLC, attention_mask, temb)
            if attention_mask is not None:
                raise ValueError(
                    "encoder_attention_mask cannot be used with audio tokens; mark an absent "
                    "audio token by setting it to zeros"
                )
            return self.attend(
                attn,
                hidden_states,
                text_BLC=text_BLC,
                audio_BNC=audio_BNC,
                present_BN=present_BN,
            )
        finally:
            # Kept no longer than one call: it would hold a whole autograd graph alive.
            self.residual_BQW = None

    @abstractmethod
    def attend(
        self, attn: Any, x_BQW: Tensor, *, text_BLC: Tensor, audio_BNC: Tensor, present_BN: Tensor
    ) -> Tensor:
        """attn2's output for image tokens that see text and audio."""


class TextAlone(AudioProcessor):
    """For a block that does not listen: the plain attention on the text of a packed context.

    Without it such a block would take the audio tokens, absent ones too, for text.
    """

    def attend(
        self, attn: Any, x_BQW: Tensor, *, text_BLC: Tensor, audio_BNC: Tensor, present_BN: Tensor
    ) -> Tensor:
        if self.plain is None:
            raise RuntimeError("an audio processor works only installed on a cross-attention")
        return self.plain(attn, x_BQW, text_BLC)


class JointAttention(AudioProcessor):
    """Audio tokens join the softmax of the text; the gate multiplies their weights.

    With Z the sums of exp(score) over the text and over the present audio tokens, the softmax
    whose audio weights are multiplied by g is
        text_attention + w * (audio_attention - text_attention)
        w = g Z_audio / (Z_text + g Z_audio)
    so each part is an attention without a learnable bias, which every kernel can differentiate,
    and w is exactly 0 at gate 0 and where no token is present. Keys and values come from the
    frozen to_k and to_v.
    """

    def __init__(self, gate: SigmoidGate, *, num_text_tokens: int) -> None:
        super().__init__(num_text_tokens=num_text_tokens)
        self.gate = gate

    def attend(
        self, attn: Any, x_BQW: Tensor, *, text_BLC: Tensor, audio_BNC: Tensor, present_BN: Tensor
    ) -> Tensor:
        num_text = text_BLC.shape[1]
        context_BKC = torch.cat([text_BLC, audio_BNC], dim=1)
        query_BHQE = split_heads(attn.to_q(x_BQW), num_heads=attn.heads)
        key_BHKE = split_heads(attn.to_k(context_BKC), num_heads=attn.heads)
        value_BHKE = split_heads(attn.to_v(context_BKC), num_heads=attn.heads)
        text_BHQE = functional.scaled_dot_product_attention(
            query_BHQE, key_BHKE[:, :, :num_text], value_BHKE[:, :, :num_text]
        )
        audio_BHQE = masked_attention(
            query_BHQE,
            key_BHNE=key_BHKE[:, :, num_text:],
            value_BHNE=value_BHKE[:, :, num_text:],
            present_BN=present_BN,
        )
        text_share_BHQ1, audio_share_BHQ1 = softmax_shares(
            query_BHQE, key_BHKE=key_BHKE, num_text=num_text, present_BN=present_BN
        )
        gated_BHQ1 = self.scale * self.gate() * audio_share_BHQ1
        # Where absent tokens had the whole softmax both shares are 0, and the text is what is left.
        whole_BHQ1 = (text_share_BHQ1 + gated_BHQ1).clamp_min(torch.finfo(gated_BHQ1.dtype).tiny)
        weight_BHQ1 = (gated_BHQ1 / whole_BHQ1).to(text_BHQE.dtype)
        return project_out(attn, text_BHQE + weight_BHQ1 * (audio_BHQE - text_BHQE))


def softmax_shares(
    query_BHQE: Tensor, *, key_BHKE: Tensor, num_text: int, present_BN: Tensor
) -> tuple[Tensor, Tensor]:
    """What the text and the present audio tokens have of one softmax over all keys, [B, H, Q, 1].

    Read off an attention whose values mark the kind of each token, so that the scores are never
    stored; float32 or wider.
    """
    marks_BHKE = torch.zeros_like(key_BHKE, requires_grad=False)
    marks_BHKE[:, :, :num_text, 0] = 1
    marks_BHKE[:, :, num_text:, 1] = present_BN[:, None].to(marks_BHKE.dtype)
    shares_BHQE = functional.scaled_dot_product_attention(query_BHQE, key_BHKE, marks_BHKE)
    dtype = torch.promote_types(shares_BHQE.dtype, torch.float32)
    text_BHQ1, audio_BHQ1, _ = shares_BHQE.to(dtype).split([1, 1, shares_BHQE.shape[-1] - 2], -1)
    return text_BHQ1, audio_BHQ1


class DecoupledKeyValue(nn.Module):
    """Keys, values and gate of one block's decoupled audio attention (IP-Adapter, Ye et al. 2023).

    Bias-free, so that an absent token has key and value exactly 0.
    """

    def __init__(self, block: BlockShape, *, context_dim: int, gate_init: float) -> None:
        super().__init__()
        self.audio_k = nn.Linear(context_dim, block.width, bias=False)
        self.audio_v = nn.Linear(context_dim, block.width, bias=False)
        self.gate = TanhGate(gate_init)
        nn.init.xavier_uniform_(self.audio_k.weight)
        nn.init.xavier_uniform_(self.audio_v.weight)


class DecoupledAttention(AudioProcessor):
    """text_attention + scale * tanh(g) * audio_attention, both from one query, before to_out."""

    def __init__(self, layer: DecoupledKeyValue, *, num_text_tokens: int) -> None:
        super().__init__(num_text_tokens=num_text_tokens)
        self.layer = layer

    def attend(
        self, attn: Any, x_BQW: Tensor, *, text_BLC: Tensor, audio_BNC: Tensor, present_BN: Tensor
    ) -> Tensor:
        query_BHQE = split_heads(attn.to_q(x_BQW), num_heads=attn.heads)
        text_BHQE = functional.scaled_dot_product_attention(
            query_BHQE,
            split_heads(attn.to_k(text_BLC), num_heads=attn.heads),
            split_heads(attn.to_v(text_BLC), num_heads=attn.heads),
        )
        audio_BNC = audio_BNC.to(self.layer.audio_k.weight.dtype)
        audio_BHQE = masked_attention(
            query_BHQE,
            key_BHNE=split_heads(self.layer.audio_k(audio_BNC), num_heads=attn.heads).to(
                query_BHQE.dtype
            ),
            value_BHNE=split_heads(self.layer.audio_v(audio_BNC), num_heads=attn.heads).to(
                query_BHQE.dtype
            ),
            present_BN=present_BN,
        )
        factor = (self.scale * self.layer.gate()).to(text_BHQE.dtype)
        return project_out(attn, text_BHQE + factor * audio_BHQE)


class GatedCrossAttention(nn.Module):
    """One block's own cross-attention to audio: Attn(LayerNorm(h), audio), and its gate.

    Every projection is bias-free, so that absent audio contributes exactly 0.
    """

    def __init__(self, block: BlockShape, *, context_dim: int, gate_init: float) -> None:
        super().__init__()
        self.num_heads = block.num_heads
        self.norm = nn.LayerNorm(block.width)
        self.audio_q = nn.Linear(block.width, block.width, bias=False)
        self.audio_k = nn.Linear(context_dim, block.width, bias=False)
        self.audio_v = nn.Linear(context_dim, block.width, bias=False)
        self.audio_out = nn.Linear(block.width, block.width, bias=False)
        self.gate = TanhGate(gate_init)
        for linear in (self.audio_q, self.audio_k, self.audio_v, self.audio_out):
            nn.init.xavier_uniform_(linear.weight)

    def forward(self, h_BQW: Tensor, *, audio_BNC: Tensor, present_BN: Tensor) -> Tensor:
        """What the image tokens h hear [B, Q, W], before the gate."""
        query_BHQE = split_heads(self.audio_q(self.norm(h_BQW)), num_heads=self.num_heads)
        heard_BHQE = masked_attention(
            query_BHQE,
            key_BHNE=split_heads(self.audio_k(audio_BNC), num_heads=self.num_heads),
            value_BHNE=split_heads(self.audio_v(audio_BNC), num_heads=self.num_heads),
            present_BN=present_BN,
        )
        return self.audio_out(merge_heads(heard_BHQE))


class GatedResidualAttention(AudioProcessor):
    """`h = h + scale * tanh(g) * Attn(LayerNorm(h), audio)` between attn2 and the feed-forward.

    A processor sees norm2(h) alone, so a pre-hook on norm2 hands it h; attn2's own output
    completes the residual stream that the layer reads.
    """

    reads_residual = True

    def __init__(self, layer: GatedCrossAttention, *, num_text_tokens: int) -> None:
        super().__init__(num_text_tokens=num_text_tokens)
        self.layer = layer

    def attend(
        self, attn: Any, x_BQW: Tensor, *, text_BLC: Tensor, audio_BNC: Tensor, present_BN: Tensor
    ) -> Tensor:
        if self.plain is None or self.residual_BQW is None:
            raise RuntimeError("the residual stream did not reach the gated audio attention")
        text_out_BQW = self.plain(attn, x_BQW, text_BLC)
        dtype = self.layer.audio_q.weight.dtype
        heard_BQW = self.layer(
            (self.residual_BQW + text_out_BQW).to(dtype),
            audio_BNC=audio_BNC.to(dtype),
            present_BN=present_BN,
        )
        return text_out_BQW + (self.scale * self.layer.gate() * heard_BQW).to(text_out_BQW.dtype)


def project_out(attn: Any, attended_BHQE: Tensor) -> Tensor:
    """The frozen output projection and dropout of a diffusers `Attention`."""
    return attn.to_out[1](attn.to_out[0](merge_heads(attended_BHQE)))
