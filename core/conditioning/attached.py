"""A variant attached to the frozen UNet: what is trained, sampled and saved as one thing."""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

from core.conditioning.adapters import UnetAdapter
from core.conditioning.stage import ParameterGroup
from core.conditioning.variant import Variant

_VARIANT = "variant."
_ADAPTER = "unet_adapter."


class AttachedVariant:
    """Variant, UNet and UNet adapter joined; `detach` gives the UNet back as it was."""

    def __init__(
        self, variant: Variant, *, unet: Any, attach_adapter: Callable[[Any], UnetAdapter]
    ) -> None:
        self.variant = variant
        self.unet = unet
        self._frozen = dict(unet.named_parameters())
        self._frozen |= {_VARIANT + n: p for n, p in variant.frozen_parameters().items()}
        self.variant.attach(unet)
        self.adapter = attach_adapter(unet)
        self.unet.requires_grad_(False)
        self._unet_modules = list(unet.modules())

    def detach(self) -> None:
        """Remove every layer and hook from the UNet."""
        self.adapter.detach()
        self.variant.detach()

    @property
    def device(self) -> torch.device:
        """Where the UNet lives."""
        return _first_parameter(self.unet).device

    def predict(self, noisy_BCHW: Tensor, timesteps_B: Tensor, context_BKC: Tensor) -> Tensor:
        """The UNet's prediction [B, C, H, W] under a context packed by `Conditioning.context`."""
        return predict(self.unet, noisy_BCHW, timesteps_B, context_BKC)

    def parameters(self, groups: Iterable[ParameterGroup]) -> dict[str, nn.Parameter]:
        """Trainable parameters of these groups, by the name they are saved under."""
        own = self.variant.parameter_groups()
        found: dict[str, nn.Parameter] = {}
        for group in groups:
            if group is ParameterGroup.UNET_ADAPTER:
                found |= {_ADAPTER + n: p for n, p in self.adapter.named_parameters().items()}
            else:
                found |= {_VARIANT + n: p for n, p in own[group].items()}
        return found

    def frozen_parameters(self) -> dict[str, nn.Parameter]:
        """What nothing may change: the UNet's own parameters and the variant's frozen ones."""
        return self._frozen

    def train_only(self, groups: Iterable[ParameterGroup]) -> dict[str, nn.Parameter]:
        """Let these groups alone have gradients; returns their parameters."""
        self.unet.requires_grad_(False)
        for parameter in self.parameters(tuple(ParameterGroup)).values():
            parameter.requires_grad_(False)
        chosen = self.parameters(groups)
        for parameter in chosen.values():
            parameter.requires_grad_(True)
        return chosen

    def set_training(self, is_training: bool) -> None:
        """Switch dropout of the variant and the adapter; the frozen UNet has none."""
        self.variant.train(is_training)
        # At every step, and `train` walks and writes to all of some 700 modules.
        if any(module.training is not is_training for module in self._unet_modules):
            self.unet.train(is_training)

    def state_dict(self) -> dict[str, Tensor]:
        """Every tensor of the variant and the adapter, copied."""
        state = {_VARIANT + n: t for n, t in self.variant.state_dict().items()}
        state |= {_ADAPTER + n: t for n, t in self.adapter.state_dict().items()}
        return {name: tensor.detach().clone() for name, tensor in state.items()}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Load what `state_dict` gave.

        Raises: ValueError for a tensor of neither part; RuntimeError for one that is missing, extra
        or of another shape.
        """
        own = {n.removeprefix(_VARIANT): t for n, t in state.items() if n.startswith(_VARIANT)}
        adapter = {n.removeprefix(_ADAPTER): t for n, t in state.items() if n.startswith(_ADAPTER)}
        if len(own) + len(adapter) != len(state):
            unknown = sorted(n for n in state if not n.startswith((_VARIANT, _ADAPTER)))
            raise ValueError(f"tensors of no known part: {', '.join(unknown[:5])}")
        self.variant.load_state_dict(own, strict=True)
        self.adapter.load_state_dict(adapter)


def predict(unet: Any, noisy_BCHW: Tensor, timesteps_B: Tensor, context_BKC: Tensor) -> Tensor:
    """The prediction [B, C, H, W] of a UNet, with or without a variant on it."""
    dtype = _first_parameter(unet).dtype
    return unet(
        noisy_BCHW.to(dtype), timesteps_B, encoder_hidden_states=context_BKC.to(dtype)
    ).sample


def _first_parameter(unet: Any) -> nn.Parameter:
    """Tells device and type; diffusers' own properties walk all modules, at every step."""
    parameter: nn.Parameter = next(unet.parameters())
    return parameter
