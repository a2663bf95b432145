"""Every other tuner of peft as an adapter of the UNet's attention, by its name and its options.

Attached to to_q, to_k, to_v and to_out.0 of every attention: by `inject_adapter_in_model`, or, of
a tuner whose layers share state, by `get_peft_model`, whose wrapper is not used further.
"""

import dataclasses
import math
import warnings
from collections.abc import Iterable, Mapping
from typing import Any

from peft import PeftConfig, get_peft_model, inject_adapter_in_model
from peft.mapping import PEFT_TYPE_TO_CONFIG_MAPPING
from peft.tuners.tuners_utils import BaseTunerLayer
from torch import Tensor, nn

from core.choices import UnetAdapterKind
from core.conditioning.tuner_kinds import REFUSED, SHARES_STATE
from core.errors import UsageError, suggestion

TARGETS = ("to_q", "to_k", "to_v", "to_out.0")
NAME = "unet_adapter"
OptionValue = bool | int | float | str

_OURS = frozenset(
    {
        "target_modules",
        "exclude_modules",
        "task_type",
        "peft_type",
        "auto_mapping",
        "peft_version",
        "base_model_name_or_path",
        "revision",
        "inference_mode",
        "modules_to_save",
    }
)
"""Fields of peft's configs that are not a tuner's own: what it is put on is decided here."""


def default_options(kind: UnetAdapterKind, unet: nn.Module) -> dict[str, OptionValue]:
    """Where peft's own defaults do not start as the identity, or do not fit the UNet's widths.

    Block and group sizes are the largest that divide every width, up to peft's own; ranks are
    peft's where the narrowest layer allows them.
    """
    widths = [
        width
        for path, module in unet.named_modules()
        if path.endswith(TARGETS) and isinstance(module, nn.Linear)
        for width in (module.in_features, module.out_features)
    ]
    if not widths:
        return {}
    common, narrow = math.gcd(*widths), min(widths)
    found: dict[UnetAdapterKind, dict[str, OptionValue]] = {
        UnetAdapterKind.C3A: {"block_size": _divisor(common, most=256), "init_weights": True},
        UnetAdapterKind.FOURIERFT: {
            "init_weights": True,
            "n_frequency": min(1_000, narrow * narrow),
        },
        UnetAdapterKind.FROD: {"progressbar": False},
        UnetAdapterKind.MISS: {"r": min(64, narrow)},
        UnetAdapterKind.OFT: {"oft_block_size": _divisor(common, most=32)},
        UnetAdapterKind.PSOFT: {"r": min(32, narrow)},
        UnetAdapterKind.ROAD: {"group_size": _divisor(common, most=64)},
        UnetAdapterKind.SHIRA: {"r": min(32, narrow // 4)},
        # peft's bound is .02; an update is a product of two vectors of the bank.
        UnetAdapterKind.VBLORA: {
            "vector_length": _divisor(common, most=256),
            "init_vector_bank_bound": 0.002,
        },
        UnetAdapterKind.WAVEFT: {"n_frequency": min(2_592, narrow * narrow)},
    }
    return found.get(kind, {})


def _divisor(number: int, *, most: int) -> int:
    return max(part for part in range(1, min(number, most) + 1) if number % part == 0)


def option_names(kind: UnetAdapterKind) -> list[str]:
    """The options that a tuner takes, by name."""
    return sorted({f.name for f in dataclasses.fields(_config_class(kind))} - _OURS)


def require_options(kind: UnetAdapterKind, options: Iterable[str]) -> None:
    """Raises UsageError for an option that the tuner does not take."""
    known = option_names(kind)
    for name in options:
        if name not in known:
            raise UsageError(
                f"adapt_options.{name}: the tuner {kind} has no such option; known: "
                f"{', '.join(known)}{suggestion(name, known)}"
            )


def config_of(
    kind: UnetAdapterKind, *, options: Mapping[str, OptionValue], unet: nn.Module
) -> PeftConfig:
    """peft's own settings of a tuner on this UNet.

    Raises:
        UsageError: a tuner that is refused, an option that it does not take, or a value that peft
            does not.
    """
    if kind in REFUSED:
        raise UsageError(f"adapt = '{kind}' is not an adapter of a UNet: {REFUSED[kind]}")
    require_options(kind, options)
    values = {**default_options(kind, unet), **options}
    config_class: Any = _config_class(kind)
    try:
        config: PeftConfig = config_class(target_modules=list(TARGETS), **values)
    except (ValueError, TypeError, ImportError) as error:
        raise UsageError(f"adapt = '{kind}': {_first_line(error)}") from error
    return config


class InjectedTuner:
    """A tuner of peft in a UNet's attentions, whatever its kind.

    Trained: the parameters that came with it and train. Kept with them: every other tensor that
    came with it, such as frozen random projections or the places of a sparse update, without which
    the trained ones mean nothing.

    Raises:
        UsageError: as `config_of`, or peft cannot attach it to this UNet; the UNet is as it was.
    """

    def __init__(
        self, unet: Any, kind: UnetAdapterKind, *, options: Mapping[str, OptionValue]
    ) -> None:
        config = config_of(kind, options=options, unet=unet)
        self._unet = unet
        own = {id(tensor) for tensor in (*unet.parameters(), *unet.buffers())}
        trains = {id(p): p.requires_grad for p in unet.parameters()}
        try:
            with warnings.catch_warnings():
                # That it cannot be merged, or runs without a CUDA kernel: nothing here rests on it.
                warnings.simplefilter("ignore")
                if kind in SHARES_STATE:
                    get_peft_model(unet, config, adapter_name=NAME)
                else:
                    inject_adapter_in_model(config, unet, adapter_name=NAME)
        except Exception as error:  # a tuner may raise anything on layers it was not made for
            self.remove()
            raise UsageError(
                f"adapt = '{kind}' cannot be attached to this UNet: {_first_line(error)}"
            ) from error
        unet.train(unet.training)  # peft's fresh dropouts are in training mode
        added = [(n, p) for n, p in unet.named_parameters() if id(p) not in own]
        for _, parameter in added:
            parameter.data = parameter.data.float()
        self.trained = {_short(n): p for n, p in added if p.requires_grad}
        kept: list[tuple[str, Tensor]] = [(n, p) for n, p in added if not p.requires_grad]
        kept += [(n, b) for n, b in unet.named_buffers() if id(b) not in own]
        self.kept = {_short(n): tensor for n, tensor in kept}
        for parameter in unet.parameters():
            if id(parameter) in trains:
                parameter.requires_grad_(trains[id(parameter)])
        if not self.trained:
            self.remove()
            raise UsageError(f"adapt = '{kind}' trains nothing on this UNet with these options")

    def set_enabled(self, is_enabled: bool) -> None:
        """Take part in the forward pass, or not; what trains stays as it is."""
        trains = {name: p.requires_grad for name, p in self.trained.items()}
        for layer in self._layers().values():
            layer.enable_adapters(is_enabled)
        for name, parameter in self.trained.items():
            parameter.requires_grad_(trains[name])

    def remove(self) -> None:
        """Put the UNet's own layers back."""
        for path, layer in self._layers().items():
            parent, _, name = path.rpartition(".")
            setattr(self._unet.get_submodule(parent), name, layer.get_base_layer())
        if hasattr(self._unet, "peft_config"):
            del self._unet.peft_config

    def _layers(self) -> dict[str, Any]:
        return {
            path: module
            for path, module in self._unet.named_modules()
            if isinstance(module, BaseTunerLayer)
        }


def _config_class(kind: UnetAdapterKind) -> type[Any]:
    by_name = {
        str(getattr(k, "value", k)).lower(): c for k, c in PEFT_TYPE_TO_CONFIG_MAPPING.items()
    }
    if kind.value not in by_name:
        raise UsageError(
            f"adapt = '{kind}': the installed peft has no such tuner; it has "
            f"{', '.join(sorted(by_name))}"
        )
    return by_name[kind.value]


def _short(name: str) -> str:
    return name.replace(f".{NAME}", "")


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
