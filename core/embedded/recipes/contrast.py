"""What CLAP's and CLIP's training share: captions that may be true of several samples.

Legend: M captions, N samples, D projection width.
"""

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from core.embedded.recipes.words import Vocabulary, is_true, thin

CLASS_ONLY_SHARE = 0.3


def draw_captions(
    codes_NK: np.ndarray, vocabulary: Vocabulary, draw: np.random.Generator
) -> tuple[list[str], Tensor]:
    """One caption a sample, and bool [M, N]: which captions are true of which samples."""
    thinned = thin(codes_NK, draw, empty_share=0.0, class_only_share=CLASS_ONLY_SHARE)
    return [vocabulary.text(code) for code in thinned], torch.from_numpy(is_true(thinned, codes_NK))


def contrastive_loss(
    text_MD: Tensor, sample_ND: Tensor, logit_scale: Tensor, true_MN: Tensor
) -> Tensor:
    """CLIP's loss (Radford et al. 2021, fig. 3) with every true pair as a target.

    A caption that names the class alone is true of the whole class, so one-hot targets would
    punish the model for being right (supervised contrastive loss, Khosla et al. 2020, eq. 2).
    """
    logits_MN = logit_scale.exp() * F.normalize(text_MD, dim=-1) @ F.normalize(sample_ND, dim=-1).T
    targets_MN = true_MN.float()
    by_caption = -(F.log_softmax(logits_MN, dim=1) * targets_MN).sum(dim=1) / targets_MN.sum(dim=1)
    by_sample = -(F.log_softmax(logits_MN, dim=0) * targets_MN).sum(dim=0) / targets_MN.sum(dim=0)
    return 0.5 * (by_caption.mean() + by_sample.mean())


def zero_shot_accuracy(text_KD: Tensor, sample_ND: Tensor, class_N: np.ndarray) -> float:
    """Share of samples whose own class's caption is the nearest of K."""
    nearest = (F.normalize(sample_ND, dim=-1) @ F.normalize(text_KD, dim=-1).T).argmax(dim=1)
    return float((nearest.numpy() == class_N).mean())


def ridge_error(features_ND: Tensor, target_N: np.ndarray) -> float:
    """Mean absolute error of a linear read-out of `target_N`: one half fits it, one half tells.

    Says how much of an attribute an embedding carries; guessing the mean of a uniform gives 0.25.
    """
    x = features_ND.double()
    x = torch.cat([(x - x.mean(0)) / (x.std(0) + 1e-6), torch.ones(len(x), 1).double()], dim=1)
    y, half = torch.from_numpy(target_N.astype(np.float64)), len(x) // 2
    gram = x[:half].T @ x[:half] + 10.0 * torch.eye(x.shape[1]).double()
    weights = torch.linalg.solve(gram, x[:half].T @ y[:half])
    return float((x[half:] @ weights - y[half:]).abs().mean())
