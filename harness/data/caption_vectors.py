"""Captions as the frozen text encoder of a profile reads them, to group data of captions alone."""

from core.data.manifest import Manifest
from core.data.splits.make import CaptionVectors
from harness.settings.load import load_profile

_BATCH = 64


def caption_vectors(manifest: Manifest, *, profile: str) -> CaptionVectors:
    """A vector for each clip: the mean over its captions of the encoder's pooled state.

    Raises: UsageError for no such profile; MissingWeightsError without its weights.
    """
    import numpy as np
    import torch

    from core.foundation.foundation import Foundation

    settings = load_profile(profile).foundation
    foundation = Foundation(
        stable_diffusion=settings.stable_diffusion,
        clap=settings.clap,
        device="cuda" if torch.cuda.is_available() else "cpu",
        dtype=settings.dtype,
    )
    own = {sample.id: sample.captions or (sample.caption,) for sample in manifest.samples}
    texts = sorted({text for captions in own.values() for text in captions})
    found: dict[str, np.ndarray] = {}
    for start in range(0, len(texts), _BATCH):
        batch = texts[start : start + _BATCH]
        found |= zip(batch, foundation.encode_captions(batch).numpy(), strict=True)
    by_id = {
        id_: np.mean([found[text] for text in captions], axis=0).tolist()
        for id_, captions in own.items()
    }
    revision = foundation.revision("text_encoder")
    return CaptionVectors(f"the text encoder {settings.stable_diffusion} ({revision[:12]})", by_id)
