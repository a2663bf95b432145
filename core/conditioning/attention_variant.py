"""Installing audio processors on a UNet, and the base class of variants that do."""

import math
from abc import abstractmethod
from collections.abc import Mapping
from typing import Any

from torch import nn
from torch.utils.hooks import RemovableHandle

from core.conditioning.attention import AudioProcessor, Processor, TextAlone
from core.conditioning.shapes import FoundationShapes, block_shapes
from core.conditioning.variant import Variant, VariantConfig
from core.errors import GuardError, MismatchError, UsageError

# What a diffusers Attention may switch on and our processors do not compute; no Stable
# Diffusion 1.x cross-attention has any of them.
_UNSUPPORTED = (
    "group_norm",
    "spatial_norm",
    "norm_cross",
    "norm_q",
    "norm_k",
    "residual_connection",
    "fused_projections",
)


class InstalledProcessors:
    """Audio processors installed on the attn2 of a UNet's blocks, and how to undo it.

    processors: by path of the transformer block.

    Raises:
        GuardError: a block already has an audio processor.
        MismatchError: a cross-attention uses a feature the processors do not compute.
    """

    def __init__(self, unet: nn.Module, processors: Mapping[str, AudioProcessor]) -> None:
        for path in processors:
            _check_cross_attention(unet.get_submodule(path), path=path)
        self._processors = tuple(processors.values())
        self._replaced: list[tuple[Any, Processor]] = []
        self._hooks: list[RemovableHandle] = []
        for path, processor in processors.items():
            block: Any = unet.get_submodule(path)
            processor.plain = block.attn2.processor
            self._replaced.append((block.attn2, block.attn2.processor))
            block.attn2.set_processor(processor)
            if processor.reads_residual:
                hook = block.norm2.register_forward_pre_hook(processor.keep_residual)
                self._hooks.append(hook)

    def set_scale(self, scale: float) -> None:
        """Set the factor of the audio path in every processor."""
        for processor in self._processors:
            processor.scale = scale

    def remove(self) -> None:
        """Put back every processor that was replaced and take the hooks off."""
        for hook in self._hooks:
            hook.remove()
        for attn, processor in self._replaced:
            attn.set_processor(processor)


def _check_cross_attention(block: Any, *, path: str) -> None:
    attn = block.attn2
    if isinstance(attn.processor, AudioProcessor):
        raise GuardError(
            f"{path}.attn2 already listens to audio; detach the variant that is attached first"
        )
    found = [name for name in _UNSUPPORTED if getattr(attn, name, None)]
    if attn.rescale_output_factor != 1.0:
        found.append("rescale_output_factor")
    if found:
        raise MismatchError(
            f"{path}.attn2 uses {', '.join(found)}, which the audio processors do not compute; "
            "expected a cross-attention as in Stable Diffusion 1.x"
        )


class AttentionVariant(Variant):
    """A variant whose layers sit in attn2 of the UNet's transformer blocks."""

    def __init__(self, config: VariantConfig, *, shapes: FoundationShapes) -> None:
        super().__init__(config, shapes=shapes)
        self._installed: InstalledProcessors | None = None
        self._audio_scale = 1.0

    @abstractmethod
    def processors(self) -> dict[str, AudioProcessor]:
        """A fresh processor for each block that listens, by path of the block.

        The other blocks of the UNet get the text of the context alone.
        """

    @property
    def audio_scale(self) -> float:
        """Factor f on every gate: 1 as trained, 0 text only, above 1 louder.

        Raises: UsageError when set to what is not a finite number from 0 up.
        """
        return self._audio_scale

    @audio_scale.setter
    def audio_scale(self, scale: float) -> None:
        if not (math.isfinite(scale) and scale >= 0):
            raise UsageError(f"the audio scale must be a number from 0 up, got {scale}")
        self._audio_scale = scale
        if self._installed is not None:
            self._installed.set_scale(scale)

    def attach(self, unet: nn.Module) -> None:
        """Install the processors.

        Raises:
            GuardError: this variant, or another one, is attached already.
            MismatchError: the UNet's blocks are not those the variant was built for.
        """
        if self._installed is not None:
            raise GuardError(f"variant '{self.name}' is attached already; detach it first")
        if block_shapes(unet) != self.shapes.blocks:
            raise MismatchError(
                f"variant '{self.name}' was built for other transformer blocks than this UNet has; "
                "build it from `block_shapes(unet)`"
            )
        deaf: dict[str, AudioProcessor] = {
            block.path: TextAlone(num_text_tokens=self.shapes.num_text_tokens)
            for block in self.shapes.blocks
        }
        self._installed = InstalledProcessors(unet, deaf | self.processors())
        self._installed.set_scale(self._audio_scale)

    def detach(self) -> None:
        """Undo `attach`; does nothing when not attached."""
        if self._installed is not None:
            self._installed.remove()
        self._installed = None
