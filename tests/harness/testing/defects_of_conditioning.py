"""Branches that hear, read, keep or move what they must not."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from core.conditioning.attention import (
    AudioProcessor,
    JointAttention,
)
from core.conditioning.conditioning import AudioFeature, Conditioning, ConditioningInputs
from core.conditioning.shapes import FoundationShapes
from tests.harness.testing.sound_branch import POOLED, Sound


class Deaf(Sound):
    """The sound collapses before the first layer."""

    def audio_tokens(self, inputs: ConditioningInputs) -> Tensor:
        collapsed = torch.ones_like(inputs.audio[POOLED])
        tokens_BD = self.project(self.dropout(collapsed))
        return tokens_BD.unflatten(-1, (-1, self.shapes.context_dim))


class UnreadFeature(Sound):
    """Asks for a spectrogram and reads the embedding alone."""

    @property
    def audio_features(self) -> frozenset[AudioFeature]:
        return frozenset({POOLED, AudioFeature.LOG_MEL})


class ToldTheClass(Sound):
    """Adds what it should hear to what it hears."""

    def audio_tokens(self, inputs: ConditioningInputs) -> Tensor:
        return super().audio_tokens(inputs) + inputs.class_index_B[:, None, None]


class ReadsTheCaption(Sound):
    """Carries the caption into tokens that dropping the text leaves in place."""

    def audio_tokens(self, inputs: ConditioningInputs) -> Tensor:
        return super().audio_tokens(inputs) + inputs.text_BLC.mean(dim=1, keepdim=True)


class ToldAndDeclared(Sound):
    """A control that hears and is told, as it says: no defect."""

    is_control = True
    reads_class = True

    def audio_tokens(self, inputs: ConditioningInputs) -> Tensor:
        return super().audio_tokens(inputs) * (1 + inputs.class_index_B[:, None, None])


class BlindToItsClass(ToldAndDeclared):
    """Loses its class between the tokens and the UNet."""

    class Processor(JointAttention):
        def attend(self, attn: Any, x_BQW: Tensor, **context: Tensor) -> Tensor:
            audio_BNC = nn.functional.normalize(context["audio_BNC"], dim=-1)
            return super().attend(attn, x_BQW, **{**context, "audio_BNC": audio_BNC})

    def processor(self) -> AudioProcessor:
        return self.Processor(self.gate, num_text_tokens=self.shapes.num_text_tokens)


class OtherOrderInTraining(Sound):
    """Turns the tokens round in training alone."""

    def audio_tokens(self, inputs: ConditioningInputs) -> Tensor:
        tokens_BNC = super().audio_tokens(inputs)
        return tokens_BNC.flip(1) if self.training else tokens_BNC


class Wavering(Sound):
    """Draws noise on its tokens whenever it is asked."""

    def audio_tokens(self, inputs: ConditioningInputs) -> Tensor:
        tokens_BNC = super().audio_tokens(inputs)
        return tokens_BNC + 1e-6 * torch.rand_like(tokens_BNC)


class DeadModule(Sound):
    """Builds a layer that nothing calls."""

    def __init__(self, config: Any, *, shapes: FoundationShapes) -> None:
        super().__init__(config, shapes=shapes)
        self.unused = nn.Linear(3, 3)


class Detached(Sound):
    """Cuts the gradient off behind its layer."""

    def audio_tokens(self, inputs: ConditioningInputs) -> Tensor:
        return super().audio_tokens(inputs).detach()


class MovesTheUnet(Sound):
    """Changes a weight of the frozen UNet while it trains."""

    def attach(self, unet: nn.Module) -> None:
        super().attach(unet)
        self._weights = (next(unet.parameters()),)

    def auxiliary_losses(
        self, inputs: ConditioningInputs, conditioning: Conditioning, *, stage: str
    ) -> Mapping[str, Tensor]:
        self._weights[0].data.mul_(1.001)
        return {}


class MovesItselfInStage3(Sound):
    """Changes a weight of its own in the stage that trains gates alone."""

    def auxiliary_losses(
        self, inputs: ConditioningInputs, conditioning: Conditioning, *, stage: str
    ) -> Mapping[str, Tensor]:
        if stage == "stage3":
            self.project.bias.data.add_(0.1)
        return {}


class Unsaved(Sound):
    """Keeps a tensor that shapes the tokens outside its state."""

    def __init__(self, config: Any, *, shapes: FoundationShapes) -> None:
        super().__init__(config, shapes=shapes)
        self.shift = [torch.randn(shapes.context_dim)]

    def audio_tokens(self, inputs: ConditioningInputs) -> Tensor:
        return super().audio_tokens(inputs) + self.shift[0].to(inputs.text_BLC.device)


class KeepsTheTensor(Sound):
    """Its processors hold the gate's tensor, which loading replaces."""

    def processor(self) -> AudioProcessor:
        raw = self.gate.raw

        class Held:
            def __call__(self) -> Tensor:
                return torch.sigmoid(raw)

        return JointAttention(Held(), num_text_tokens=self.shapes.num_text_tokens)


class Lingers(Sound):
    """Leaves a hook behind."""

    def attach(self, unet: nn.Module) -> None:
        super().attach(unet)
        unet.conv_in.register_forward_hook(lambda module, args, output: None)


class MovesIn(Sound):
    """Registers a module in the UNet for as long as it is attached."""

    def attach(self, unet: nn.Module) -> None:
        super().attach(unet)
        unet.listener = nn.Linear(1, 1).requires_grad_(False)
        self._unet = (unet,)

    def detach(self) -> None:
        super().detach()
        if "_unet" in self.__dict__:
            del self._unet[0].listener
            del self._unet


class KnowsTheOrder(Sound):
    """Takes the second half of a doubled batch for the rows without condition."""

    class Processor(JointAttention):
        def attend(self, attn: Any, x_BQW: Tensor, **context: Tensor) -> Tensor:
            present_BN = context["present_BN"].clone()
            if len(present_BN) == 8:
                present_BN[4:] = False
            return super().attend(attn, x_BQW, **{**context, "present_BN": present_BN})

    def processor(self) -> AudioProcessor:
        return self.Processor(self.gate, num_text_tokens=self.shapes.num_text_tokens)


class Float32Only(Sound):
    """Looks at its input through numpy, which knows no bfloat16."""

    class Processor(JointAttention):
        def attend(self, attn: Any, x_BQW: Tensor, **context: Tensor) -> Tensor:
            self.loudest = float(np.abs(x_BQW.detach().cpu().numpy()).max())
            return super().attend(attn, x_BQW, **context)

    def processor(self) -> AudioProcessor:
        return self.Processor(self.gate, num_text_tokens=self.shapes.num_text_tokens)


class IgnoresTheDevice(Sound):
    """Names a device where it should leave that to the caller."""

    def __init__(self, config: Any, *, shapes: FoundationShapes) -> None:
        super().__init__(config, shapes=shapes)
        self.shift_C = nn.Parameter(torch.zeros(shapes.context_dim, device="cpu"))

    def audio_tokens(self, inputs: ConditioningInputs) -> Tensor:
        return super().audio_tokens(inputs) + self.shift_C


class GateOfNobody(Sound):
    """Names a copy of its gate."""

    def gates(self) -> dict[str, nn.Parameter]:
        return {"gate": nn.Parameter(self.gate.raw.detach().clone())}


class GateWithoutValue(Sound):
    """Logs its gate under another name than it trains it."""

    def gate_values(self) -> dict[str, float]:
        return {"mean": 0.5}


class DrawnElsewhere(Sound):
    """Draws initial weights from numpy's global generator."""

    def __init__(self, config: Any, *, shapes: FoundationShapes) -> None:
        super().__init__(config, shapes=shapes)
        bias = np.random.standard_normal(self.project.bias.shape)
        with torch.no_grad():
            self.project.bias.copy_(torch.from_numpy(bias))
