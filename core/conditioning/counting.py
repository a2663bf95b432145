"""How many parameters a stage trains, by the module they belong to."""

from collections.abc import Iterable

from core.conditioning.attached import AttachedVariant
from core.conditioning.stage import ParameterGroup


def parameters_by_module(
    model: AttachedVariant, groups: Iterable[ParameterGroup]
) -> dict[str, int]:
    """Trainable parameters of these groups by top-level module of the variant.

    Gates count together as `gates`, LoRA or SSF on the UNet as `unet_adapter`. The meta device
    will do.
    """
    counts: dict[str, int] = {}
    for group in groups:
        for name, parameter in model.parameters([group]).items():
            owner, _, inner = name.partition(".")
            if group is ParameterGroup.GATES:
                module = "gates"
            else:
                module = inner.split(".")[0] if owner == "variant" else owner
            counts[module] = counts.get(module, 0) + parameter.numel()
    return counts
