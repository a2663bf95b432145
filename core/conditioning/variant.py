"""The contract of a conditioning variant: the one thing a branch has to implement.

A variant turns audio features into tokens of the UNet's context width and attaches the layers
that read them. Everything else (data, order, noise, loop, sampling, scores) is shared, so that
two variants differ in nothing but themselves.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from core.choices import AudioFeature
from core.choices import UnetAdapterKind as UnetAdapterKind
from core.conditioning.conditioning import Conditioning, ConditioningInputs
from core.conditioning.config import AdaptedConfig as AdaptedConfig
from core.conditioning.config import VariantConfig as VariantConfig
from core.conditioning.goals import Goal
from core.conditioning.shapes import SECTIONS, FoundationShapes
from core.conditioning.stage import ParameterGroup


class Variant(nn.Module, ABC):
    """A conditioning branch.

    `__init__` builds every trainable module from `config` and `shapes` alone, without weights
    and on whatever device is current, so parameter counts are known on the meta device.
    Modules live in the variant, not in the UNet; `attach` only installs plain (non-module)
    attention processors and hooks that use them, and `detach` leaves the UNet as it was.
    A module may name parameters of its own that weight decay leaves alone in a class attribute
    `no_weight_decay` (`core.training.decay`).
    """

    name: ClassVar[str]
    summary: ClassVar[str]
    Config: ClassVar[type[VariantConfig]]
    is_control: ClassVar[bool] = False
    """A floor or a ceiling that branches are held against, not a branch."""
    reads_class: ClassVar[bool] = False
    """Whether its tokens depend on the class index; only a control's may."""
    hears_loudness: ClassVar[bool] = True
    """Whether a quieter log-mel changes its tokens; False lifts the check that it does."""

    def __init__(self, config: VariantConfig, *, shapes: FoundationShapes) -> None:
        super().__init__()
        self.config: Any = config
        self.shapes = shapes

    @property
    def is_identity_at_init(self) -> bool:
        """Whether a fresh variant leaves the UNet's output as it is, with sound too.

        True where every gate starts shut. Without sound every variant does, at any time.
        """
        return False

    @property
    @abstractmethod
    def audio_features(self) -> frozenset[AudioFeature]:
        """The cached audio features this variant reads."""

    @property
    def unet_adapter(self) -> UnetAdapterKind:
        """The adapter of the frozen UNet that stage 2 trains."""
        return self.config.adapt if isinstance(self.config, AdaptedConfig) else UnetAdapterKind.LORA

    @property
    def unet_adapter_options(self) -> Mapping[str, bool | int | float | str]:
        """Options of an adapter that is a tuner of peft."""
        return self.config.adapt_options if isinstance(self.config, AdaptedConfig) else {}

    @property
    def lora_rank(self) -> int | None:
        """Rank of its LoRA or DoRA; None takes the profile's `lora.rank`."""
        return None

    @property
    def lora_sections(self) -> tuple[str, ...]:
        """Sections of the UNet that its LoRA or DoRA adapts."""
        return SECTIONS

    @abstractmethod
    def audio_tokens(self, inputs: ConditioningInputs) -> Tensor | None:
        """Audio tokens [B, N, C], or None for a variant that does not listen."""

    @abstractmethod
    def attach(self, unet: nn.Module) -> None:
        """Make `unet` read the audio tokens of a packed context.

        With no audio token in the context, or every one absent, the UNet's output equals the
        plain UNet's exactly.
        """

    @abstractmethod
    def detach(self) -> None:
        """Undo `attach`; the UNet is as it was."""

    @abstractmethod
    def gates(self) -> dict[str, nn.Parameter]:
        """The gate parameters by name; stage 3 trains these alone."""

    @abstractmethod
    def gate_values(self) -> dict[str, float]:
        """The factor each gate lets through (after its squashing), for logs and plots."""

    def gate_factors(self) -> dict[str, Tensor]:
        """`gate_values` as scalars on the device; giving them spares each step a wait for it."""
        return {name: torch.tensor(value) for name, value in self.gate_values().items()}

    def condition(self, inputs: ConditioningInputs) -> Conditioning:
        """The conditioning of B clips: their text and this variant's audio tokens."""
        return Conditioning(text_BLC=inputs.text_BLC, audio_BNC=self.audio_tokens(inputs))

    def frozen_parameters(self) -> dict[str, nn.Parameter]:
        """Parameters of the variant that nothing may change, such as a pretrained encoder's."""
        return {}

    def parameter_groups(self) -> dict[ParameterGroup, dict[str, nn.Parameter]]:
        """Every trainable parameter by its name in the state dict, gates apart from the rest."""
        frozen = self.frozen_parameters()
        gate_ids = {id(parameter) for parameter in self.gates().values()}
        groups: dict[ParameterGroup, dict[str, nn.Parameter]] = {
            ParameterGroup.AUDIO: {},
            ParameterGroup.GATES: {},
        }
        for name, parameter in self.named_parameters():
            if name in frozen:
                continue
            is_gate = id(parameter) in gate_ids
            groups[ParameterGroup.GATES if is_gate else ParameterGroup.AUDIO][name] = parameter
        return groups

    def auxiliary_losses(
        self, inputs: ConditioningInputs, conditioning: Conditioning, *, stage: str
    ) -> Mapping[str, Tensor]:
        """Scalar losses added to the diffusion loss, already weighted, by name.

        inputs, conditioning: of all samples of an optimiser step, however it is cut into
        micro-batches, so that a loss may compare samples.
        """
        return {}

    def goals(
        self, inputs: ConditioningInputs, conditioning: Conditioning, *, stage: str
    ) -> Mapping[str, Goal]:
        """What a term of `auxiliary_losses` is to raise or to lower, by the term's name.

        Every run checks that the term's gradient pulls that way. A term that names an entropy must
        state it, since either sign of it looks like training.
        """
        return {}

    def loss_only_parameters(self) -> frozenset[str]:
        """Names of parameters that its own terms alone train, such as a thrown-away head's.

        Others that the diffusion loss does not reach end the run; these are named in its record.
        """
        return frozenset()

    def has_auxiliary_losses(self, stage: str) -> bool:
        """Whether `auxiliary_losses` gives any in this stage; spares it being asked in others."""
        return type(self).auxiliary_losses is not Variant.auxiliary_losses

    @classmethod
    def whole_search_space(cls, trial: Any) -> dict[str, Any]:
        """Config values to try: the branch's own, and its share of the schedule."""
        return {**schedule_space(trial), **cls.search_space(trial)}

    @classmethod
    def search_space(cls, trial: Any) -> dict[str, Any]:
        """Config values to try, drawn from an Optuna trial; keys are fields of `Config`.

        What is every branch's (`schedule_space`) is searched besides and not to be drawn here. A
        parameter named as a field is that field, and its range holds the default (`in_effect`):
        a sweep's first trial is the branch as it is. None leaves a field unset, which the field
        must also take by the name "none", since TOML has no null.
        """
        return {}


def schedule_space(trial: Any) -> dict[str, Any]:
    """Learning rates, gate rates and lengths of stages, as an Optuna trial draws them.

    The same for every branch: once each kind of adapter has its own learning rate, published
    differences between them shrink to 1 or 2 % (arXiv 2602.04998).
    """
    return {
        "lr_factor": trial.suggest_float("lr_factor", 0.1, 10.0, log=True),
        "gate_lr_factor": trial.suggest_float("gate_lr_factor", 0.1, 10.0, log=True),
        "moved_steps": trial.suggest_float("moved_steps", -0.5, 0.5),
    }
