"""Adapters of the frozen UNet behind one small interface: LoRA, DoRA, (IA)^3, SSF, peft's, none.

An adapter is attached when the run is built, is the identity until it is trained, and stays for
every later stage and resume. Whether its parameters get gradients is the training loop's
business; whether it takes part in the forward pass is `enable` and `disable`.
"""

import re
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from peft import IA3Config, LoraConfig, PeftConfig
from peft.tuners.tuners_utils import BaseTunerLayer
from torch import Tensor, nn

from core.conditioning.shapes import SECTIONS
from core.conditioning.ssf.scope import SsfScope, scale_shift_targets
from core.conditioning.ssf.tuner import SsfConfig, SsfLayer
from core.conditioning.tuner_kinds import OURS
from core.conditioning.tuners import NAME as _PEFT_NAME
from core.conditioning.tuners import TARGETS, InjectedTuner, OptionValue
from core.conditioning.variant import UnetAdapterKind
from core.errors import GuardError, MismatchError, UsageError

LORA_TARGETS = TARGETS
IA3_TARGETS = ("to_k", "to_v")
IA3_FEEDFORWARD = ("ff.net.2",)


def lora_targets(sections: Sequence[str]) -> list[str] | str:
    """peft's `target_modules` for the attention projections in these sections of a UNet.

    Raises: UsageError for none, or one that is not `down`, `mid` or `up`.
    """
    if not sections or set(sections) - set(SECTIONS):
        raise UsageError(
            f"LoRA was asked for in the sections {list(sections)}; expected one or more of "
            f"{', '.join(SECTIONS)}"
        )
    if set(sections) == set(SECTIONS):
        return list(LORA_TARGETS)
    names = "|".join(re.escape(name) for name in LORA_TARGETS)
    return rf"({'|'.join(sections)})_blocks?\..*\.({names})"


class UnetAdapter(ABC):
    """Trainable parameters added to a frozen UNet."""

    @abstractmethod
    def named_parameters(self) -> dict[str, nn.Parameter]:
        """Its parameters by name; the names are stable across runs."""

    @abstractmethod
    def enable(self) -> None:
        """Take part in the forward pass."""

    @abstractmethod
    def disable(self) -> None:
        """Leave the forward pass; the UNet computes what it did without the adapter."""

    @abstractmethod
    def detach(self) -> None:
        """Take the adapter off; the UNet is as it was."""

    def kept_tensors(self) -> dict[str, Tensor]:
        """Tensors that are not trained and without which the parameters mean nothing."""
        return {}

    def state_dict(self) -> dict[str, Tensor]:
        """Copies of the parameters, and of what is kept with them, by name."""
        return {name: t.detach().clone() for name, t in self._tensors().items()}

    def _tensors(self) -> dict[str, Tensor]:
        return {**self.named_parameters(), **self.kept_tensors()}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Copy `state` into the parameters and what is kept with them.

        Raises:
            MismatchError: a key or a shape differs; nothing is loaded then.
        """
        parameters = self._tensors()
        missing = sorted(parameters.keys() - state.keys())
        unknown = sorted(state.keys() - parameters.keys())
        reshaped = sorted(
            n for n in parameters.keys() & state.keys() if parameters[n].shape != state[n].shape
        )
        if missing or unknown or reshaped:
            raise MismatchError(
                f"the saved UNet adapter does not fit: {len(missing)} parameters missing "
                f"{missing[:2]}, {len(unknown)} unknown {unknown[:2]}, {len(reshaped)} of another "
                f"shape {reshaped[:2]}; load it with the settings it was trained with"
            )
        with torch.no_grad():
            for name, parameter in parameters.items():
                parameter.copy_(state[name])


class NoAdapter(UnetAdapter):
    """The UNet as it is."""

    def named_parameters(self) -> dict[str, nn.Parameter]:
        return {}

    def enable(self) -> None:
        return None

    def disable(self) -> None:
        return None

    def detach(self) -> None:
        return None


class PeftAdapter(UnetAdapter):
    """A peft method on a diffusers UNet; the identity until it is trained.

    Its parameters are float32 whatever the UNet's dtype, since bfloat16 swallows small updates.
    What peft draws at random comes from torch's generator: wrap the call in
    `core.randomness.torch_seeded`.

    Raises:
        GuardError: the UNet has a peft adapter already.
    """

    def __init__(self, unet: Any, config: PeftConfig) -> None:
        _require_bare(unet)
        self._unet: Any = unet
        self._unet.add_adapter(config, adapter_name=_PEFT_NAME)
        # peft's fresh dropouts are in training mode whatever the UNet is in.
        self._unet.train(self._unet.training)
        for parameter in self.named_parameters().values():
            parameter.data = parameter.data.float()

    def named_parameters(self) -> dict[str, nn.Parameter]:
        return {
            name.replace(f".{_PEFT_NAME}", ""): parameter
            for name, parameter in self._unet.named_parameters()
            if f".{_PEFT_NAME}" in name
        }

    def enable(self) -> None:
        self._set_enabled(True)

    def disable(self) -> None:
        self._set_enabled(False)

    def _set_enabled(self, is_enabled: bool) -> None:
        # peft also flips requires_grad here; what trains is the loop's decision, so put it back.
        trains = {name: p.requires_grad for name, p in self.named_parameters().items()}
        if is_enabled:
            self._unet.enable_adapters()
        else:
            self._unet.disable_adapters()
        for name, parameter in self.named_parameters().items():
            parameter.requires_grad_(trains[name])

    def detach(self) -> None:
        self._unet.unload_lora()  # named for LoRA, takes any peft layer off


class LoraAdapter(PeftAdapter):
    """LoRA (Hu et al. 2021) on every attention projection; B starts at 0.

    rank, alpha: the update is alpha / rank * B A. dropout: on the input of A, in training.
    is_decomposed: DoRA (Liu et al. 2024), which trains the norm of each output row apart.
    sections: of the UNet, those that are adapted.
    """

    def __init__(
        self,
        unet: Any,
        *,
        rank: int = 8,
        alpha: float = 32.0,
        dropout: float = 0.1,
        is_decomposed: bool = False,
        sections: Sequence[str] = SECTIONS,
    ) -> None:
        config = LoraConfig(
            r=rank,
            lora_alpha=alpha,  # type: ignore[arg-type]  # annotated int, used as alpha / rank
            lora_dropout=dropout,
            target_modules=lora_targets(sections),
            use_dora=is_decomposed,
        )
        super().__init__(unet, config)
        for module in self._unet.modules():
            if isinstance(module, BaseTunerLayer) and not is_decomposed:
                _leave_casts_to_autocast(module)


class Ia3Adapter(PeftAdapter):
    """(IA)^3 (Liu et al. 2022): learned scales of keys, values and the feed-forward's inner units.

    The scales start at 1.
    """

    def __init__(self, unet: Any) -> None:
        config = IA3Config(
            target_modules=[*IA3_TARGETS, *IA3_FEEDFORWARD],
            feedforward_modules=list(IA3_FEEDFORWARD),
        )
        super().__init__(unet, config)


class SsfAdapter(PeftAdapter):
    """SSF (Lian et al. 2022): y = gamma * x + beta after operations of the UNet; starts at 1, 0.

    scope: the operations it follows.
    """

    def __init__(self, unet: nn.Module, *, scope: SsfScope = SsfScope.CROSS_ATTENTION) -> None:
        super().__init__(unet, SsfConfig(target_modules=scale_shift_targets(unet, scope=scope)))

    def disable(self) -> None:
        self.unmerge()
        super().disable()

    def merge(self) -> None:
        """Fold gamma and beta into the UNet: W' = diag(gamma) W, b' = gamma b + beta.

        An operation without a bias gets one. The originals are kept for `unmerge`.
        """
        for layer in self._layers():
            if not layer.merged:
                layer.merge()

    def unmerge(self) -> None:
        """Put back the UNet's own tensors, exactly, and apply gamma and beta on the fly again."""
        for layer in self._layers():
            layer.unmerge()

    def detach(self) -> None:
        self.unmerge()
        super().detach()

    def _layers(self) -> list[SsfLayer]:
        return [module for module in self._unet.modules() if isinstance(module, SsfLayer)]


class TunerAdapter(UnetAdapter):
    """Any other tuner of peft on every attention projection (`core.conditioning.tuners`).

    What it draws at random comes from torch's generator: wrap the call in
    `core.randomness.torch_seeded`. All it draws is in its state.

    Raises:
        GuardError: the UNet has a peft adapter already.
        UsageError: a tuner that is refused, or options that it does not take.
    """

    def __init__(
        self, unet: Any, kind: UnetAdapterKind, *, options: Mapping[str, OptionValue]
    ) -> None:
        _require_bare(unet)
        self._tuner = InjectedTuner(unet, kind, options=options)

    def named_parameters(self) -> dict[str, nn.Parameter]:
        return dict(self._tuner.trained)

    def kept_tensors(self) -> dict[str, Tensor]:
        return dict(self._tuner.kept)

    def enable(self) -> None:
        self._tuner.set_enabled(True)

    def disable(self) -> None:
        self._tuner.set_enabled(False)

    def detach(self) -> None:
        self._tuner.remove()


def attach_unet_adapter(
    unet: nn.Module,
    *,
    kind: UnetAdapterKind,
    lora_rank: int = 8,
    lora_alpha: float = 32.0,
    lora_dropout: float = 0.1,
    lora_sections: Sequence[str] = SECTIONS,
    ssf_scope: SsfScope = SsfScope.CROSS_ATTENTION,
    options: Mapping[str, OptionValue] | None = None,
) -> UnetAdapter:
    """The adapter of this kind, attached to `unet`, enabled and the identity.

    options: of a tuner of peft, by the names of its config; our four kinds and none take none.

    Raises:
        GuardError: the UNet has an adapter already.
        UsageError: `kind` is not an adapter's, or not one of a UNet, or does not take an option, or
            `lora_sections` are not the UNet's.
    """
    if options and kind in OURS:
        raise UsageError(
            f"adapt_options.{next(iter(options))}: adapt = '{kind}' takes no options of peft's; "
            "the profile's lora.rank, lora.alpha, lora.dropout and ssf.scope are its settings"
        )
    if kind in (UnetAdapterKind.LORA, UnetAdapterKind.DORA):
        is_decomposed = kind is UnetAdapterKind.DORA
        return LoraAdapter(
            unet,
            rank=lora_rank,
            alpha=lora_alpha,
            dropout=lora_dropout,
            is_decomposed=is_decomposed,
            sections=lora_sections,
        )
    if kind is UnetAdapterKind.IA3:
        return Ia3Adapter(unet)
    if kind is UnetAdapterKind.SSF:
        return SsfAdapter(unet, scope=ssf_scope)
    if kind is UnetAdapterKind.NONE:
        return NoAdapter()
    if isinstance(kind, UnetAdapterKind):
        return TunerAdapter(unet, kind, options=options or {})
    raise UsageError(
        f"no UNet adapter {kind!r}; known: {', '.join(UnetAdapterKind)}. A variant's "
        "`unet_adapter` names one of them"
    )


def _leave_casts_to_autocast(layer: Any) -> None:
    """peft casts a layer's input to the adapter's float32, which autocast casts back at once: two
    copies of a whole activation for each layer, to the same numbers."""
    cast = layer._cast_input_dtype

    def cast_unless_autocast(x: Tensor, dtype: torch.dtype) -> Tensor:
        kind = x.device.type
        if torch.amp.is_autocast_available(kind) and torch.is_autocast_enabled(kind):
            return x
        out: Tensor = cast(x, dtype)
        return out

    layer._cast_input_dtype = cast_unless_autocast


def _require_bare(unet: nn.Module) -> None:
    """Refuse a UNet that is adapted already.

    Raises:
        GuardError: it has peft layers.
    """
    for path, module in unet.named_modules():
        if isinstance(module, BaseTunerLayer):
            raise GuardError(
                f"the UNet has an adapter already (at {path}); a second one would train on top of "
                "it. Load the saved state into the first, or detach it"
            )
