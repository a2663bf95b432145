"""The judge of mixtures: which of several sources a picture shows. It scores; it never conditions.

Legend: B batch, C channels, H and W image rows and columns, K classes of sources.
"""

from typing import Any

import torch
from torch import Tensor, nn
from transformers import PretrainedConfig, PreTrainedModel

from core.foundation.judge import convolutions, num_cells


class SourceJudgeConfig(PretrainedConfig):
    """What the judge looks at, and which sources it knows."""

    model_type = "source_judge"

    def __init__(
        self,
        class_names: list[str] | None = None,
        input_size: list[int] | None = None,
        input_mean: float = 0.45,
        input_std: float = 0.28,
        widths: list[int] | None = None,
        feature_dim: int = 128,
        **kwargs: Any,
    ) -> None:
        """`input_mean` and `input_std` normalise pixels in [0, 1]."""
        self.class_names = list(class_names or [])
        self.input_size = list(input_size or [64, 64])
        self.input_mean = input_mean
        self.input_std = input_std
        self.widths = list(widths or [16, 32, 64, 64])
        self.feature_dim = feature_dim
        super().__init__(**kwargs)


class SourceJudge(PreTrainedModel):
    """A convolutional network that answers for each source by itself."""

    config: SourceJudgeConfig
    config_class = SourceJudgeConfig
    main_input_name = "pixels_BCHW"

    def __init__(self, config: SourceJudgeConfig) -> None:
        super().__init__(config)
        self.trunk = convolutions(config.widths, num_channels=3)
        cells = num_cells(config.input_size, num_halvings=len(config.widths))
        self.neck = nn.Sequential(
            nn.Linear(config.widths[-1] * cells, config.feature_dim), nn.SiLU()
        )
        self.head = nn.Linear(config.feature_dim, len(config.class_names))
        self.post_init()  # type: ignore[no-untyped-call]  # transformers does not say its type

    def _init_weights(self, module: nn.Module) -> None:
        """Leave torch's own initialisation."""

    def forward(self, pixels_BCHW: Tensor) -> Tensor:
        """Logits [B, K] that each source is in the picture, in the order of `class_names`; from
        pixels in [0, 1] as `prepare_images` makes them."""
        normal_BCHW = (pixels_BCHW - self.config.input_mean) / self.config.input_std
        logits_BK: Tensor = self.head(self.neck(self.trunk(normal_BCHW).flatten(1)))
        return logits_BK

    @torch.no_grad()
    def probabilities(self, pixels_BCHW: Tensor) -> Tensor:
        """[B, K] probability that each source is in the picture."""
        return torch.sigmoid(self(pixels_BCHW))
