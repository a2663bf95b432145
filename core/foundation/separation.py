"""A foundation whose CLAP encodes the separated sources of a clip beside the clip.

Shape legend: B clips, P parts of a clip (the clip itself first), T tokens, D width.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from torch import Tensor, nn

from core.conditioning.shapes import FoundationShapes
from core.files import json_sha256
from core.foundation.foundation import AudioEmbedding, Foundation, Part
from core.foundation.separators import find_separator


class SeparatingFoundation(Foundation):
    """A foundation whose CLAP encodes a clip and its separated sources.

    The tokens of a clip are those of the clip, then those of each source in the separator's order;
    the pooled embedding is the normalised mean of theirs.
    """

    def __init__(self, *, separator: str, **sources: Any) -> None:
        """separator: its name; sources: as `Foundation`."""
        super().__init__(**sources)
        self._plugin = find_separator(separator)

    def revision(self, part: Part) -> str:
        """See `Foundation.revision`."""
        revision = super().revision(part)
        return json_sha256([revision, self._plugin.fingerprint]) if part == "clap" else revision

    def shapes(self, *, log_mel: tuple[int, int], num_classes: int) -> FoundationShapes:
        """See `Foundation.shapes`."""
        shapes = super().shapes(log_mel=log_mel, num_classes=num_classes)
        return with_sources(shapes, num_sources=self._plugin.separator.num_sources)

    def encode_audio(self, waveforms: Sequence[np.ndarray]) -> AudioEmbedding:
        """See `Foundation.encode_audio`; also raises what `SeparatorPlugin.parts_of` does."""
        parts = [part for waveform in waveforms for part in self._plugin.parts_of(waveform)]
        embedding = super().encode_audio(parts)
        pooled_BPD = embedding.pooled_BD.unflatten(0, (len(waveforms), -1))
        sequence_BPTD = embedding.sequence_BTD.unflatten(0, (len(waveforms), -1))
        return AudioEmbedding(
            pooled_BD=_unit(pooled_BPD.mean(dim=1)),
            sequence_BTD=sequence_BPTD.flatten(1, 2).contiguous(),
        )


def _unit(pooled_BD: Tensor) -> Tensor:
    return nn.functional.normalize(pooled_BD, dim=-1)


def with_sources(shapes: FoundationShapes, *, num_sources: int) -> FoundationShapes:
    """The shapes of a clip alone, as they are with its sources beside it."""
    num_tokens, width = shapes.clap_sequence
    return replace(shapes, clap_sequence=(num_tokens * (1 + num_sources), width))


def open_foundation(*, separator: str | None = None, **sources: Any) -> Foundation:
    """The frozen models, with a separator before CLAP where one is set.

    Raises:
        UsageError: see `find_separator`.
    """
    if separator is None:
        return Foundation(**sources)
    return SeparatingFoundation(separator=separator, **sources)
