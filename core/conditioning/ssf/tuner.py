"""SSF (Lian et al. 2022, eq. 3) among peft's tuners: y = gamma * x + beta after an operation.

`peft.get_peft_model(model, SsfConfig(target_modules=...))` saves, loads, merges and unloads like
any other peft method. The paper draws gamma ~ N(1, 0.02) and beta ~ N(0, 0.02); we start from
exactly 1 and 0, so that a stage with SSF starts from the same model as one without.
"""

from dataclasses import dataclass, field
from typing import Any

import torch
from peft import PeftConfig
from peft.mapping import (
    PEFT_TYPE_TO_CONFIG_MAPPING,
    PEFT_TYPE_TO_PREFIX_MAPPING,
    PEFT_TYPE_TO_TUNER_MAPPING,
)
from peft.tuners.tuners_utils import BaseTuner, BaseTunerLayer, check_adapters_to_merge
from torch import Tensor, nn

from core.errors import MismatchError

PEFT_TYPE = "SSF"
_CHANNELS_SECOND = (nn.Conv1d, nn.Conv2d, nn.GroupNorm, nn.BatchNorm2d)
_CHANNELS_LAST = (nn.Linear, nn.LayerNorm)


def can_follow(module: nn.Module) -> bool:
    """Whether SSF can follow `module` and be merged into its weight and bias."""
    is_known = isinstance(module, _CHANNELS_SECOND + _CHANNELS_LAST)
    return is_known and getattr(module, "weight", None) is not None


@dataclass
class SsfConfig(PeftConfig):
    """What SSF follows."""

    target_modules: list[str] | set[str] | str | None = field(default=None)
    """Names or path endings of modules; a text is a regular expression over whole paths."""
    exclude_modules: list[str] | set[str] | str | None = field(default=None)
    """The same, for modules to leave out."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.peft_type = PEFT_TYPE
        # As peft's own configs do: a set is saved in a fixed order.
        if isinstance(self.target_modules, list):
            self.target_modules = set(self.target_modules)
        if isinstance(self.exclude_modules, list):
            self.exclude_modules = set(self.exclude_modules)


class SsfLayer(nn.Module, BaseTunerLayer):
    """gamma and beta, float32, after one linear, convolution or affine normalisation.

    Several adapters are applied in the order in which they are active.

    Raises:
        MismatchError: the module has no weight to merge into, or a kind SSF does not know.
    """

    adapter_layer_names = ("ssf_gamma", "ssf_beta")

    def __init__(self, base_layer: nn.Module, adapter_name: str, *, inference_mode: bool) -> None:
        super().__init__()
        if not can_follow(base_layer):
            raise MismatchError(
                f"SSF follows linear, conv and affine norm layers, got {type(base_layer).__name__}"
            )
        self.base_layer = base_layer
        self.ssf_gamma = nn.ParameterDict()
        self.ssf_beta = nn.ParameterDict()
        self._disable_adapters = False
        self._active_adapter = adapter_name
        self.merged_adapters = []
        # In a tuple, lest the parameters set aside appear among the module's own.
        self._originals: tuple[Tensor, Tensor | None] | None = None
        self.update_layer(adapter_name, inference_mode=inference_mode)

    def update_layer(self, adapter_name: str, *, inference_mode: bool) -> None:
        """Add an adapter at the identity."""
        weight: Any = self.get_base_layer().weight
        width = weight.shape[0]
        self.ssf_gamma[adapter_name] = nn.Parameter(torch.ones(width, device=weight.device))
        self.ssf_beta[adapter_name] = nn.Parameter(torch.zeros(width, device=weight.device))
        self.set_adapter(self.active_adapters, inference_mode=inference_mode)

    def forward(self, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        """What the module gives, scaled and shifted; dtype as the module's."""
        if self.disable_adapters and self.merged:
            self.unmerge()
        y = self.base_layer(x, *args, **kwargs)
        if self.disable_adapters or self.merged:
            return y
        is_second = isinstance(self.get_base_layer(), _CHANNELS_SECOND)
        shape = (-1,) + (1,) * (y.ndim - 2) if is_second else (-1,)
        dtype = y.dtype
        for name in self._active():
            y = self.ssf_gamma[name].view(shape) * y + self.ssf_beta[name].view(shape)
        return y.to(dtype)

    def merge(self, safe_merge: bool = False, adapter_names: list[str] | None = None) -> None:
        """Fold the adapters into weight and bias: W' = diag(gamma) W, b' = gamma b + beta.

        A module without a bias gets one. The module's own tensors are kept for `unmerge`.

        Raises:
            ValueError: `safe_merge` and a merged value is not finite; nothing is changed then.
        """
        chosen = [n for n in check_adapters_to_merge(self, adapter_names) if n in self.ssf_gamma]
        if not chosen:
            return
        base: Any = self.get_base_layer()
        weight, bias = base.weight, base.bias
        with torch.no_grad():
            new_weight = weight.to(torch.promote_types(weight.dtype, torch.float32))
            new_bias = new_weight.new_zeros(len(weight)) if bias is None else bias
            for name in chosen:
                gamma, beta = self.ssf_gamma[name], self.ssf_beta[name]
                new_weight = gamma.view((-1,) + (1,) * (weight.ndim - 1)) * new_weight
                new_bias = gamma * new_bias + beta
        if safe_merge and not (new_weight.isfinite().all() and new_bias.isfinite().all()):
            raise ValueError(f"merging {chosen} gives values that are not finite; it is broken")
        if self._originals is None:
            self._originals = (weight, bias)
        trains = weight.requires_grad
        base.weight = nn.Parameter(new_weight.to(weight.dtype), requires_grad=trains)
        base.bias = nn.Parameter(new_bias.to(weight.dtype), requires_grad=trains)
        self.merged_adapters.extend(chosen)

    def unmerge(self) -> None:
        """Put the module's own tensors back, the very same; does nothing when not merged."""
        if self._originals is not None:
            base: Any = self.get_base_layer()
            base.weight, base.bias = self._originals
            self._originals = None
        self.merged_adapters.clear()

    def _active(self) -> list[str]:
        return [name for name in self.active_adapters if name in self.ssf_gamma]


class SsfModel(BaseTuner):
    """A model some of whose operations are followed by SSF."""

    prefix = "ssf_"
    tuner_layer_cls = SsfLayer
    target_module_mapping = {}  # noqa: RUF012  # peft declares it so; SSF has no defaults

    def _create_and_replace(
        self,
        peft_config: PeftConfig,
        adapter_name: str,
        target: nn.Module,
        target_name: str,
        parent: nn.Module,
        current_key: str,
        parameter_name: str | None = None,
    ) -> None:
        if isinstance(target, SsfLayer):
            target.update_layer(adapter_name, inference_mode=peft_config.inference_mode)
            return
        layer = SsfLayer(target, adapter_name, inference_mode=peft_config.inference_mode)
        if adapter_name not in self.active_adapters:
            layer.requires_grad_(False)
        self._replace_module(parent, target_name, layer, target)


# peft's own `register_peft_method` takes only names of its closed enumeration.
PEFT_TYPE_TO_CONFIG_MAPPING[PEFT_TYPE] = SsfConfig  # type: ignore[index]
PEFT_TYPE_TO_TUNER_MAPPING[PEFT_TYPE] = SsfModel  # type: ignore[index]
PEFT_TYPE_TO_PREFIX_MAPPING[PEFT_TYPE] = SsfModel.prefix  # type: ignore[index]
