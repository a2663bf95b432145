"""One UNet adapter tried: its parameters by shapes alone, its start on a small real UNet.

Shape legend: B batch, C channels, H and W rows and columns, K tokens.
"""

import warnings
from functools import cache
from typing import Any

import torch
from torch import Tensor

from core.choices import UnetAdapterKind
from core.conditioning.adapters import UnetAdapter, attach_unet_adapter
from core.conditioning.attached import predict
from core.conditioning.tuner_kinds import OURS
from core.conditioning.tuners import option_names
from core.errors import UsageError
from core.foundation.architecture import Architecture
from core.randomness import normal, torch_seeded
from harness.branches.described import DescribedAdapter
from harness.settings.profile import Profile

_CONTEXT_DIM = 64
_MOST_BUILT = 50_000_000
"""Parameters of a UNet that is built where an adapter cannot be counted without values."""


def counted(
    kind: UnetAdapterKind, *, profile: Profile, architecture: Architecture
) -> DescribedAdapter:
    """What the adapter trains at the profile's size, and how far from the identity it starts."""
    is_ours = kind in OURS
    options = () if is_ours else tuple(option_names(kind))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of peft's forward passes, about sparse tensors
            departs = _departure(kind, profile=profile)
    except UsageError as error:
        return DescribedAdapter(kind, is_ours=is_ours, options=options, refused=str(error))
    try:
        parameters, note = _count(kind, profile=profile, architecture=architecture), None
    except UsageError as error:
        parameters, note = None, f"cannot be counted without weights: {error}"
    return DescribedAdapter(
        kind, is_ours=is_ours, parameters=parameters, departs=departs, options=options, note=note
    )


def _attach(unet: Any, kind: UnetAdapterKind, *, profile: Profile) -> UnetAdapter:
    with torch_seeded(0, "describe", "unet_adapter"):
        return attach_unet_adapter(
            unet,
            kind=kind,
            lora_rank=profile.lora.rank,
            lora_alpha=profile.lora.alpha,
            lora_dropout=profile.lora.dropout,
            ssf_scope=profile.ssf.scope,
        )


def _count(kind: UnetAdapterKind, *, profile: Profile, architecture: Architecture) -> int:
    unet = architecture.meta_unet()
    try:
        with torch.device("meta"):
            adapter = _attach(unet, kind, profile=profile)
    except UsageError:
        if sum(parameter.numel() for parameter in unet.parameters()) > _MOST_BUILT:
            raise
        from diffusers import UNet2DConditionModel

        adapter = _attach(
            UNet2DConditionModel.from_config(architecture.unet_config), kind, profile=profile
        )
    return sum(parameter.numel() for parameter in adapter.named_parameters().values())


@torch.no_grad()
def _departure(kind: UnetAdapterKind, *, profile: Profile) -> float:
    unet, plain_BCHW = _small_unet()
    adapter = _attach(unet, kind, profile=profile)
    try:
        changed_BCHW = _answer(unet)
    finally:
        adapter.detach()
    return float((changed_BCHW - plain_BCHW).abs().max() / plain_BCHW.abs().max())


@cache
def _small_unet() -> tuple[Any, Tensor]:
    """A UNet of two resolutions with drawn weights, and its answer; adapters come off again."""
    from diffusers import UNet2DConditionModel

    with torch_seeded(0, "describe", "unet"):
        unet: Any = UNet2DConditionModel(
            sample_size=8,
            block_out_channels=(32, 64),
            layers_per_block=1,
            cross_attention_dim=_CONTEXT_DIM,
            attention_head_dim=4,
            norm_num_groups=8,
            down_block_types=("CrossAttnDownBlock2D",) * 2,
            up_block_types=("CrossAttnUpBlock2D",) * 2,
        )
    unet.requires_grad_(False).eval()
    with torch.no_grad():
        return unet, _answer(unet)


def _answer(unet: Any) -> Tensor:
    noisy_BCHW = normal((2, 4, 8, 8), seed=0, name=("describe", "latents"))
    context_BKC = normal((2, 6, _CONTEXT_DIM), seed=0, name=("describe", "context"))
    return predict(unet, noisy_BCHW, torch.tensor([100, 800]), context_BKC)
