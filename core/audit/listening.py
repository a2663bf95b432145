"""CLAP's probabilities for the labels of clips; what they mean is in `core.audit.zero_shot`.

Shape legend: N clips, K classes, D feature width.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor

from core.audit.zero_shot import ZeroShot, class_captions, judge
from core.choices import AudioFeature
from core.data.items import Sample
from core.features.kinds import Encoders, FeatureKinds
from core.features.locked_media import LockedMedia


class Listener(Encoders, Protocol):
    """A foundation that can also read."""

    def encode_clap_text(self, texts: Sequence[str], /) -> Tensor: ...
    @property
    def clap_logit_scale(self) -> float: ...


def listen(
    samples: Sequence[Sample],
    *,
    name: str,
    root: Path,
    foundation: Listener,
    window_s: float,
    cache_dir: Path,
    progress: Callable[[int, int], None] | None = None,
) -> ZeroShot:
    """Hold every clip's sound against a sentence for each class; embeddings are cached as for runs.

    Raises: DataError for fewer than two classes; MismatchError for media that changed.
    """
    media = LockedMedia({s.id: s for s in samples}, root=root, window_s=window_s)
    keys = sorted({sample.audio_sha256 for sample in samples})
    done = 0

    def advance(count: int, _: bool) -> None:
        nonlocal done
        done += count
        if progress:
            progress(done, len(keys))

    table = FeatureKinds(foundation=foundation, media=media, cache_dir=cache_dir).clap(
        keys, progress=advance
    )
    captions = class_captions(samples)
    ordered = sorted(samples, key=lambda sample: sample.id)
    audio_ND = table.rows([s.audio_sha256 for s in ordered], name=AudioFeature.CLAP_POOLED.value)
    text_KD = foundation.encode_clap_text(list(captions.values()))
    logits_NK = audio_ND.double() @ text_KD.double().T * foundation.clap_logit_scale
    probability_NK = torch.softmax(logits_NK, dim=1).numpy()
    return judge(
        [(sample.id, sample.class_name) for sample in ordered],
        classes=list(captions),
        probability_NK=probability_NK,
        name=name,
        captions=captions,
    )
