"""Stage 1's auxiliary losses of SonicDiffusion (arXiv 2405.00878, section 3).

Shape legend: B batch, N audio tokens, L text tokens, C context width.
"""

import torch
from torch import Tensor
from torch.nn import functional


def contrastive_loss(
    audio_BNC: Tensor, *, text_BLC: Tensor, class_index_B: Tensor, temperature: float
) -> Tensor:
    """InfoNCE between mean audio token and mean caption token; positives share a class.

    -log of the share of softmax(cosine / temperature) that falls on captions of the clip's own
    class. Captions that name the class alone are equal within it, so nothing is asked of the
    differences between clips of one class. Scalar, at least 0; 0 when the batch has one class.
    """
    audio_BC = functional.normalize(audio_BNC.float().mean(dim=1), dim=-1)
    text_BC = functional.normalize(text_BLC.float().mean(dim=1), dim=-1)
    log_share_BB = functional.log_softmax(audio_BC @ text_BC.T / temperature, dim=-1)
    is_positive_BB = class_index_B[:, None] == class_index_B[None, :]
    own_B = torch.logsumexp(log_share_BB.masked_fill(~is_positive_BB, -torch.inf), dim=-1)
    return -own_B.mean()


def caption_token_loss(audio_BNC: Tensor, *, text_BLC: Tensor) -> Tensor:
    """Squared error of audio token n to caption token n, weighted to fall towards the padding.

    Weights fall linearly from the first token to the last that both have and add up to 1.
    """
    num_tokens = min(audio_BNC.shape[1], text_BLC.shape[1])
    error_BN = (audio_BNC[:, :num_tokens].float() - text_BLC[:, :num_tokens].float()).square()
    weight_N = torch.arange(num_tokens, 0, -1, device=error_BN.device, dtype=torch.float32)
    return (error_BN.mean(dim=-1) * weight_N / weight_N.sum()).sum(dim=-1).mean()
