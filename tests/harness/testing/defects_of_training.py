"""Branches whose gates, terms or statistics are wrong while they train."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from core.conditioning.attention import (
    AudioProcessor,
    DecoupledAttention,
    DecoupledKeyValue,
    JointAttention,
)
from core.conditioning.conditioning import AudioFeature, Conditioning, ConditioningInputs
from core.conditioning.goals import Goal, Pull
from core.conditioning.shapes import FoundationShapes
from tests.harness.testing.sound_branch import POOLED, Sound


class NoticedSilence(Sound):
    """Absent tokens keep their share of the softmax."""

    class Processor(JointAttention):
        def attend(self, attn: Any, x_BQW: Tensor, **context: Tensor) -> Tensor:
            present_BN = torch.ones_like(context["present_BN"])
            return super().attend(attn, x_BQW, **{**context, "present_BN": present_BN})

    def processor(self) -> AudioProcessor:
        return self.Processor(self.gate, num_text_tokens=self.shapes.num_text_tokens)


class OpenFromTheStart(Sound):
    """Promises to start as the identity with its gate half open."""

    is_identity_at_init = True


class ShutUnsaid(Sound):
    """Starts with gates at 0 and does not say so."""

    def __init__(self, config: Any, *, shapes: FoundationShapes) -> None:
        super().__init__(config, shapes=shapes)
        del self.gate
        self.layers = nn.ModuleList(
            DecoupledKeyValue(block, context_dim=shapes.context_dim, gate_init=0.0)
            for block in shapes.blocks
        )

    def processors(self) -> dict[str, AudioProcessor]:
        return {
            block.path: DecoupledAttention(layer, num_text_tokens=self.shapes.num_text_tokens)
            for block, layer in zip(self.shapes.blocks, self.layers, strict=True)
        }

    def gates(self) -> dict[str, nn.Parameter]:
        return {str(index): layer.gate.raw for index, layer in enumerate(self.layers)}

    def gate_values(self) -> dict[str, float]:
        return {str(index): layer.gate().item() for index, layer in enumerate(self.layers)}


class BatchStatistic(Sound):
    """Takes the mean over the clips beside it."""

    def audio_tokens(self, inputs: ConditioningInputs) -> Tensor:
        tokens_BNC = super().audio_tokens(inputs)
        return tokens_BNC - 0.5 * tokens_BNC.mean(dim=0)


class BatchStatisticInTraining(Sound):
    """Takes the mean over the clips beside it while it trains, as BatchNorm does."""

    def audio_tokens(self, inputs: ConditioningInputs) -> Tensor:
        tokens_BNC = super().audio_tokens(inputs)
        return tokens_BNC - 0.5 * tokens_BNC.mean(dim=0) if self.training else tokens_BNC


class Hooked(Sound):
    """Hooks at the ends of the UNet that act on the rows that have a sound."""

    def attach(self, unet: nn.Module) -> None:
        super().attach(unet)
        first = unet.register_forward_pre_hook(self._note, with_kwargs=True)
        self._hooks = (first, self.hook(unet))

    def hook(self, unet: nn.Module) -> Any:
        raise NotImplementedError

    def _note(self, module: nn.Module, args: Any, words: dict[str, Any]) -> None:
        tokens_BNC = words["encoder_hidden_states"][:, self.shapes.num_text_tokens :]
        self._factor_B111 = 1 - 0.1 * (tokens_BNC != 0).any(-1).any(-1)[:, None, None, None].float()

    def detach(self) -> None:
        super().detach()
        for hook in self.__dict__.pop("_hooks", ()):
            hook.remove()


class AnswersItself(Hooked):
    """Puts something else in place of the UNet's answer."""

    def hook(self, unet: nn.Module) -> Any:
        return unet.conv_out.register_forward_hook(
            lambda m, args, out: out * self._factor_B111.to(out)
        )


class OwnSchedule(Hooked):
    """Scales the noisy latents by a schedule of its own."""

    def hook(self, unet: nn.Module) -> Any:
        return unet.conv_in.register_forward_pre_hook(
            lambda m, args: (args[0] * self._factor_B111.to(args[0]),)
        )


class HeadOfItsOwn(Sound):
    """A layer that its own term alone reads."""

    def __init__(self, config: Any, *, shapes: FoundationShapes) -> None:
        super().__init__(config, shapes=shapes)
        self.router = nn.Linear(shapes.clap_pooled_dim, 3)

    def auxiliary_losses(
        self, inputs: ConditioningInputs, conditioning: Conditioning, *, stage: str
    ) -> Mapping[str, Tensor]:
        share_BK = self.router(inputs.audio[POOLED]).softmax(-1)
        return {"balance": share_BK.mean(0).square().sum()} if stage != "stage3" else {}

    def has_auxiliary_losses(self, stage: str) -> bool:
        return stage != "stage3"


class HeadDeclared(HeadOfItsOwn):
    """The same, as it says: no defect."""

    def loss_only_parameters(self) -> frozenset[str]:
        return frozenset({"router.weight", "router.bias"})


class Routed(Sound):
    """A share of each token, whose entropy a term of the loss raises: no defect."""

    sign = -1.0

    def __init__(self, config: Any, *, shapes: FoundationShapes) -> None:
        super().__init__(config, shapes=shapes)
        self.route_N = nn.Parameter(torch.linspace(0.5, -0.5, config.num_tokens))

    def audio_tokens(self, inputs: ConditioningInputs) -> Tensor:
        return super().audio_tokens(inputs) * self.route_N.softmax(0)[:, None]

    def entropy(self) -> Tensor:
        share_N = self.route_N.softmax(0)
        return -(share_N * share_N.log()).sum()

    def auxiliary_losses(
        self, inputs: ConditioningInputs, conditioning: Conditioning, *, stage: str
    ) -> Mapping[str, Tensor]:
        return {"entropy": self.sign * 0.01 * self.entropy()} if stage != "stage3" else {}

    def has_auxiliary_losses(self, stage: str) -> bool:
        return stage != "stage3"

    def goals(
        self, inputs: ConditioningInputs, conditioning: Conditioning, *, stage: str
    ) -> Mapping[str, Goal]:
        return {"entropy": Goal(self.entropy(), Pull.RAISE)}


class WrongSign(Routed):
    """Lowers the entropy that it is to raise."""

    sign = 1.0


class UnstatedEntropy(Routed):
    """Says nothing of where its entropy is to go."""

    def goals(self, *args: Any, **words: Any) -> Mapping[str, Goal]:
        return {}


class Standardised(Sound):
    """Standardises each clip's log-mel, which takes its loudness away."""

    def __init__(self, config: Any, *, shapes: FoundationShapes) -> None:
        super().__init__(config, shapes=shapes)
        self.project = nn.Linear(
            shapes.log_mel[0] * shapes.log_mel[1], config.num_tokens * shapes.context_dim
        )

    @property
    def audio_features(self) -> frozenset[AudioFeature]:
        return frozenset({AudioFeature.LOG_MEL})

    def level(self, log_mel_BD: Tensor) -> Tensor:
        return log_mel_BD - log_mel_BD.mean(dim=1, keepdim=True)

    def audio_tokens(self, inputs: ConditioningInputs) -> Tensor:
        log_mel_BD = self.level(inputs.audio[AudioFeature.LOG_MEL].flatten(1))
        return self.project(self.dropout(log_mel_BD)).unflatten(-1, (-1, self.shapes.context_dim))


class KeepsLoudness(Standardised):
    """The same by numbers of the data set: no defect."""

    def level(self, log_mel_BD: Tensor) -> Tensor:
        return log_mel_BD + 0.3


class HalfWeights(Sound):
    """Trains a weight in bfloat16, in which small updates vanish."""

    def __init__(self, config: Any, *, shapes: FoundationShapes) -> None:
        super().__init__(config, shapes=shapes)
        self.shift_C = nn.Parameter(torch.full((shapes.context_dim,), 0.1, dtype=torch.bfloat16))

    def audio_tokens(self, inputs: ConditioningInputs) -> Tensor:
        return super().audio_tokens(inputs) + self.shift_C
