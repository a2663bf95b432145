"""Which parameters weight decay leaves alone, and what AdamW is handed.

Decay pulls a parameter towards 0, which means something for the matrix of a linear map and for
nothing else: a norm's scale and SSF's gamma belong at 1, a Mamba rate at its own time scale. The
practice of timm and of mamba-ssm (`_no_weight_decay`), here for every branch alike.
"""

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from torch import nn

from core.conditioning.stage import Stage


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


def optimizer_groups(
    trained: Mapping[str, nn.Parameter],
    *,
    gates: Mapping[str, nn.Parameter],
    stage: Stage,
    modules: Iterable[nn.Module],
) -> list[dict[str, Any]]:
    """AdamW's groups of what a stage trains: decayed, left alone, and gates at a rate of their own.

    `peak_lr` is what the schedule scales. Empty groups are left out.
    """
    gate_ids = {id(p) for p in gates.values()}
    others = [p for p in trained.values() if id(p) not in gate_ids]
    exempt = undecayed(others, modules=modules)
    groups = [
        (stage.lr, stage.weight_decay, [p for p in others if id(p) not in exempt]),
        (stage.lr, 0.0, [p for p in others if id(p) in exempt]),
        (stage.gate_lr, 0.0, [p for p in trained.values() if id(p) in gate_ids]),
    ]
    return [
        {"params": members, "peak_lr": lr, "weight_decay": weight_decay}
        for lr, weight_decay, members in groups
        if members
    ]
