"""Which parameters weight decay leaves alone.

Decay pulls a parameter towards 0, which means something for the matrix of a linear map and for
nothing else: a norm's scale and SSF's gamma belong at 1, a Mamba rate at its own time scale. The
practice of timm and of mamba-ssm (`_no_weight_decay`), here for every branch alike.
"""

from collections.abc import Collection, Iterable

from torch import nn


def undecayed(parameters: Collection[nn.Parameter], *, modules: Iterable[nn.Module]) -> set[int]:
    """Ids of those parameters that do not decay: vectors, and what a module names itself.

    A vector is a parameter with at most one axis longer than 1: biases, norms, gates, gamma and
    beta. modules: each may have a class attribute `no_weight_decay`, the names of its own
    parameters (Mamba's rates, positions, tokens).
    """
    found = {id(p) for p in parameters if p.numel() <= max(p.shape, default=1)}
    for module in modules:
        named = getattr(module, "no_weight_decay", ())
        found |= {id(getattr(module, name)) for name in named}
    return found & {id(p) for p in parameters}
