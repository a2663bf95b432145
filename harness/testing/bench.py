"""What the checks share: a variant on small models of its own, and how outputs are compared.

Shape legend: B clips, N audio tokens, K all tokens, C context width.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from core.conditioning.adapters import UnetAdapter, attach_unet_adapter
from core.conditioning.attached import AttachedVariant
from core.conditioning.conditioning import ConditioningInputs
from core.conditioning.stage import STAGE_GROUPS, ParameterGroup
from core.conditioning.variant import Variant
from core.randomness import normal, torch_seeded
from harness.testing.small import SmallFoundation

ROUNDING = 1e-5
"""What another batch shape or kernel may change, relative to the largest value; a defect changes
a hundred times that at least."""
HEARD = 1e-4
"""What a condition must change to count as heard."""


class Bench:
    """Builds the variant under test.

    variant: the class. config: its settings, small ones are faster. foundation: the models it is
    tried on; change sizes that the variant cannot do with.
    """

    variant: ClassVar[type[Variant]]
    config: ClassVar[Mapping[str, Any]] = {}
    foundation: ClassVar[SmallFoundation] = SmallFoundation()

    def build(self, unet: Any, *, seed: int = 0, **settings: Any) -> Variant:
        """A fresh variant for this UNet, in eval mode, drawn from `seed`."""
        config = self.variant.Config(**{**self.config, **settings})
        with torch_seeded(seed, "contract", "variant"):
            return self.variant(config, shapes=self.foundation.shapes(unet)).eval()

    def attached(
        self,
        *,
        seed: int = 0,
        dtype: torch.dtype = torch.float32,
        device: torch.device | str = "cpu",
    ) -> AttachedVariant:
        """A fresh variant with its UNet adapter on a fresh UNet, in eval mode."""
        unet = self.foundation.unet()
        # Not the UNet's own `to`, which logs a warning about bfloat16.
        nn.Module.to(unet, device, dtype)
        variant = self.build(unet, seed=seed).to(device)
        with torch_seeded(seed, "contract", "adapter"):
            model = AttachedVariant(variant, unet=unet, attach_adapter=adapter_of(variant))
        model.set_training(False)
        return model

    def inputs(self, variant: Variant) -> ConditioningInputs:
        """Clips with the features the variant asks for and no other."""
        return self.foundation.inputs(variant.audio_features)

    def predict(self, unet: Any, context_BKC: Tensor, *, first_row: int = 0) -> Tensor:
        """The UNet's answer to a context."""
        return self.foundation.predict(unet, context_BKC, first_row=first_row)

    @torch.no_grad()
    def answer(
        self, unet: Any, variant: Variant, inputs: ConditioningInputs, *, first_row: int = 0
    ) -> Tensor:
        """The UNet's answer to what the variant makes of these clips."""
        return self.predict(unet, variant.condition(inputs).context(), first_row=first_row)


def stirred(variant: Variant) -> Variant:
    """The same with every parameter moved, as training would: gates open, biases not zero."""
    stir(variant.parameters())
    return variant


@torch.no_grad()
def stir(parameters: Iterable[nn.Parameter]) -> None:
    """Move every parameter in place, by the same amounts at each call."""
    for index, parameter in enumerate(parameters):
        moved = normal(tuple(parameter.shape), seed=0, name=("stir", index)).to(parameter)
        parameter.add_(moved, alpha=0.1 if parameter.ndim > 1 else 0.3)


def require(condition: bool, sentence: str) -> None:
    """Raises AssertionError with `sentence` where the condition does not hold."""
    __tracebackhide__ = True
    if not condition:
        raise AssertionError(sentence)


def difference(one: Tensor, other: Tensor) -> float:
    """Largest difference, relative to the largest value where that is above 1."""
    scale = max(1.0, float(other.detach().float().abs().max()))
    return float((one.detach().float() - other.detach().float()).abs().max()) / scale


def stages() -> Iterator[tuple[str, tuple[ParameterGroup, ...]]]:
    """Name and trained groups of each stage."""
    for number, groups in enumerate(STAGE_GROUPS, start=1):
        yield f"stage{number}", groups


def rows_of(inputs: ConditioningInputs, rows: list[int]) -> ConditioningInputs:
    """Some clips of a batch, as a batch."""
    return ConditioningInputs(
        text_BLC=inputs.text_BLC[rows],
        audio={feature: values[rows] for feature, values in inputs.audio.items()},
        class_index_B=inputs.class_index_B[rows],
    )


def adapter_of(variant: Variant) -> Callable[[Any], UnetAdapter]:
    """Attaches a small adapter of the kind that the variant asks for."""
    return lambda unet: attach_unet_adapter(
        unet,
        kind=variant.unet_adapter,
        lora_rank=2,
        lora_sections=variant.lora_sections,
        options=variant.unet_adapter_options,
    )
