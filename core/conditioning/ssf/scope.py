"""Which operations of a UNet SSF follows."""

from torch import nn

from core.choices import SsfScope as SsfScope
from core.conditioning.ssf.tuner import can_follow

_ATTENTION_LINEARS = ("to_q", "to_k", "to_v", "to_out.0")


def scale_shift_targets(unet: nn.Module, *, scope: SsfScope) -> list[str]:
    """Paths of the operations in `scope`, in module order."""
    if scope is SsfScope.ALL:
        return [path for path, module in unet.named_modules() if can_follow(module)]
    attentions = ("attn2",) if scope is SsfScope.CROSS_ATTENTION else ("attn1", "attn2")
    endings = tuple(f".{attn}.{linear}" for attn in attentions for linear in _ATTENTION_LINEARS)
    return [path for path, _ in unet.named_modules() if path.endswith(endings)]
