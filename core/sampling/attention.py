"""Attention of one pass through a UNet, kept for the next: how an edit stays where its image is.

Plug-and-Play (Tumanyan et al. 2023), by which SonicDiffusion edits, gives the decoder's
self-attentions the queries and keys with which the image is reconstructed, and the second residual
block of its second level what that block added; we keep both for as many steps. Keeping the queries
of the cross-attentions, so that each place asks the same of the caption and, where a branch's sound
shares them, of the sound, is Prompt-to-Prompt's idea (Hertz et al. 2022) for seams of any kind.

Shape legend: B batch, Q image tokens, W width.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any

from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from core.choices import KeptAttention
from core.errors import UsageError

_DECODER = "up_blocks."
_PROJECTIONS = {
    KeptAttention.NONE: (),
    KeptAttention.SELF: ("attn1.to_q", "attn1.to_k"),
    KeptAttention.CROSS: ("attn2.to_q",),
    KeptAttention.ALL: ("attn1.to_q", "attn1.to_k", "attn2.to_q"),
    KeptAttention.FEATURES: ("attn1.to_q", "attn1.to_k", "up_blocks.1.resnets.1.conv2"),
}


class Attention:
    """Hooks on a UNet's layers; inside `with`, what was recorded is given to every pass.

    Works under any adapter, since what is kept is what leaves a layer.

    Raises: UsageError for a UNet without such projections.
    """

    def __init__(self, unet: nn.Module, *, kept: KeptAttention) -> None:
        self._modules = [
            module
            for name, module in unet.named_modules()
            if name.endswith(_PROJECTIONS[kept])
            and (name.startswith(_DECODER) or ".attn2." in name)
        ]
        if kept is not KeptAttention.NONE and not self._modules:
            raise UsageError(f"this UNet has no attention that --keep {kept.value} could keep")
        self._recorded: dict[nn.Module, Tensor] = {}
        self._is_recording = False
        self._hooks: list[RemovableHandle] = []

    def __enter__(self) -> "Attention":
        self._hooks = [module.register_forward_hook(self._hook) for module in self._modules]
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for hook in self._hooks:
            hook.remove()
        self.release()

    @contextmanager
    def recording(self) -> Iterator[None]:
        """Record a pass of one row, instead of giving it what was recorded."""
        self.release()
        self._is_recording = True
        try:
            yield
        finally:
            self._is_recording = False

    def release(self) -> None:
        """Forget what was recorded: passes attend as they would."""
        self._recorded = {}

    def _hook(self, module: nn.Module, args: tuple[Any, ...], output_BQW: Tensor) -> Tensor | None:
        if self._is_recording:
            self._recorded[module] = output_BQW
            return None
        kept_1QW = self._recorded.get(module)
        return None if kept_1QW is None else kept_1QW.expand_as(output_BQW)
