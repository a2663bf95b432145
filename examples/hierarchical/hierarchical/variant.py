"""Hierarchical: slots for foreground, background and ambience become 77 tokens that are added to
the caption's.

Shape legend: B clips, D width of CLAP's embedding, T moments, S slots, L tokens of the caption,
N = L audio tokens, C context width of the UNet.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from core.conditioning.attention import AudioProcessor
from core.conditioning.attention_variant import AttentionVariant
from core.conditioning.conditioning import AudioFeature, Conditioning, ConditioningInputs
from core.conditioning.gates import SigmoidGate
from core.conditioning.shapes import FoundationShapes
from core.errors import UsageError
from hierarchical.config import HierarchicalConfig
from hierarchical.router import Expansion, SoftAssignment

LEVELS = ("foreground", "background", "ambience")


class AddedToText(AudioProcessor):
    """text + weight x audio, token by token, through the frozen cross-attention.

    An absent audio token is zero and leaves the caption's as it is.
    """

    def __init__(self, weight: float, *, num_text_tokens: int) -> None:
        super().__init__(num_text_tokens=num_text_tokens)
        self.weight = weight

    def attend(
        self, attn: Any, x_BQW: Tensor, *, text_BLC: Tensor, audio_BNC: Tensor, present_BN: Tensor
    ) -> Tensor:
        if self.plain is None:
            raise RuntimeError("an audio processor works only installed on a cross-attention")
        return self.plain(attn, x_BQW, text_BLC + self.scale * self.weight * audio_BNC)


class Hierarchical(AttentionVariant):
    """A router with three gated levels in front of four transformer blocks."""

    name = "hierarchical"
    summary = "CLAP routed to 5 + 3 + 2 slots, four blocks to tokens that are added to the text's"
    Config = HierarchicalConfig

    def __init__(self, config: HierarchicalConfig, *, shapes: FoundationShapes) -> None:
        super().__init__(config, shapes=shapes)
        width = shapes.context_dim
        if width % config.num_heads:
            raise UsageError(
                f"num_heads = {config.num_heads} does not divide the context width {width}; "
                "choose another with --set variant.num_heads="
            )
        self.from_moment = nn.Linear(shapes.clap_sequence[1], width)
        self.from_pooled = nn.Linear(shapes.clap_pooled_dim, width)
        self.router = SoftAssignment(
            width, num_slots=sum(self.num_slots), temperature_init=config.temperature_init
        )
        self.level_gates = nn.ModuleDict({name: SigmoidGate(config.gate_init) for name in LEVELS})
        self.expansion = Expansion(
            width,
            num_tokens=shapes.num_text_tokens,
            num_blocks=config.num_blocks,
            num_heads=config.num_heads,
        )

    @property
    def num_slots(self) -> tuple[int, int, int]:
        """Slots of each level, in the order of `LEVELS`."""
        config = self.config
        return config.num_foreground, config.num_background, config.num_ambience

    @property
    def audio_features(self) -> frozenset[AudioFeature]:
        return frozenset({AudioFeature.CLAP_POOLED, AudioFeature.CLAP_SEQUENCE})

    @property
    def lora_rank(self) -> int:
        return 16

    @property
    def lora_sections(self) -> tuple[str, ...]:
        return ("mid",)

    def slots(self, inputs: ConditioningInputs) -> Tensor:
        """Slots [B, S, C]: five of the foreground, three of the background, two of ambience, each
        level times its gate."""
        moments_BTC = self.from_moment(inputs.audio[AudioFeature.CLAP_SEQUENCE])
        whole_B1C = self.from_pooled(inputs.audio[AudioFeature.CLAP_POOLED])[:, None]
        slots_BSC = self.router(torch.cat([moments_BTC, whole_B1C], dim=1))
        levels = slots_BSC.split(self.num_slots, dim=1)
        gates = self.gate_factors().values()
        return torch.cat([gate * level for gate, level in zip(gates, levels, strict=True)], dim=1)

    def audio_tokens(self, inputs: ConditioningInputs) -> Tensor:
        return self.expansion(self.slots(inputs))

    def processors(self) -> dict[str, AudioProcessor]:
        weight, num_text = self.config.audio_weight, self.shapes.num_text_tokens
        return {
            block.path: AddedToText(weight, num_text_tokens=num_text)
            for block in self.shapes.blocks
        }

    def gates(self) -> dict[str, nn.Parameter]:
        return {name: self._gate(name).raw for name in LEVELS}

    def gate_values(self) -> dict[str, float]:
        return {name: factor.item() for name, factor in self.gate_factors().items()}

    def gate_factors(self) -> dict[str, Tensor]:
        return {name: self._gate(name)() for name in LEVELS}

    def _gate(self, name: str) -> SigmoidGate:
        gate = self.level_gates[name]
        assert isinstance(gate, SigmoidGate)  # a ModuleDict does not say of what
        return gate

    def auxiliary_losses(
        self, inputs: ConditioningInputs, conditioning: Conditioning, *, stage: str
    ) -> Mapping[str, Tensor]:
        """What pulls the router's temperature to its final one, in the stages that train it."""
        if not self.has_auxiliary_losses(stage):
            return {}
        final = torch.tensor(self.config.temperature_final).log()
        distance = self.router.log_temperature - final.to(self.router.annealing)
        return {"annealing": self.config.anneal_weight * distance.square()}

    def has_auxiliary_losses(self, stage: str) -> bool:
        return stage in ("stage1", "stage2") and self.config.anneal_weight > 0

    @classmethod
    def search_space(cls, trial: Any) -> dict[str, Any]:
        return {
            "audio_weight": trial.suggest_float("audio_weight", 0.1, 1.0),
            "gate_init": trial.suggest_float("gate_init", 0.1, 0.9),
            "temperature_final": trial.suggest_float("temperature_final", 0.05, 1.0, log=True),
            "num_blocks": trial.suggest_int("num_blocks", 1, 6),
        }
