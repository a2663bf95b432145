"""Branches that a CPU computes and a GPU refuses."""

import torch
from torch import Tensor
from torch.nn import functional

from core.conditioning.conditioning import ConditioningInputs
from tests.harness.testing.sound_branch import Sound


class StaysBehind(Sound):
    """Makes a tensor on the CPU, wherever its inputs are."""

    def audio_tokens(self, inputs: ConditioningInputs) -> Tensor:
        return super().audio_tokens(inputs) + torch.linspace(-1, 1, self.shapes.context_dim)


class NeverTwice(Sound):
    """Averages by an operation whose backward pass adds in any order on a GPU."""

    def audio_tokens(self, inputs: ConditioningInputs) -> Tensor:
        tokens_BNC = super().audio_tokens(inputs)
        mean_B1C = functional.adaptive_avg_pool2d(tokens_BNC, (1, tokens_BNC.shape[-1]))
        return tokens_BNC + mean_B1C
