"""Sizes of a foundation from its configs alone: no weights, everything on the meta device.

Torch is imported when something is built: the configs themselves are JSON.
"""

import json
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from core.conditioning.shapes import FoundationShapes
from core.errors import MissingWeightsError
from core.foundation.separators import num_sources
from core.foundation.sources import Source, resolve_source


@dataclass(frozen=True)
class Architecture:
    """The configs that decide every shape a variant depends on."""

    unet_config: dict[str, Any]
    text_config: dict[str, Any]
    clap_config: dict[str, Any]
    vae_config: dict[str, Any]
    num_sources: int = 0
    """How many separated sources CLAP encodes beside each clip."""

    def meta_vae(self) -> Any:
        """The VAE on the meta device."""
        import torch
        from diffusers import AutoencoderKL

        with torch.device("meta"):
            return AutoencoderKL.from_config(self.vae_config)

    def meta_unet(self) -> Any:
        """The UNet on the meta device: shapes without memory."""
        import torch
        from diffusers import UNet2DConditionModel

        with torch.device("meta"):
            return UNet2DConditionModel.from_config(self.unet_config)

    def shapes(self, *, log_mel: tuple[int, int], num_classes: int) -> FoundationShapes:
        """What a variant needs to build itself."""
        from transformers import ClapConfig

        from core.foundation.foundation import foundation_shapes
        from core.foundation.separation import with_sources

        shapes = foundation_shapes(
            self.meta_unet(),
            num_text_tokens=int(self.text_config["max_position_embeddings"]),
            clap_config=ClapConfig(**self.clap_config),
            log_mel=log_mel,
            num_classes=num_classes,
        )
        return with_sources(shapes, num_sources=self.num_sources)


def read_architecture(
    stable_diffusion: str, clap: str, *, separator: str | None = None
) -> Architecture:
    """The configs of two sources: from their folder, or shipped for the hub ids we know.

    Raises:
        MissingWeightsError: a hub id whose config is neither shipped nor in the local cache.
        UsageError: the separator is not installed.
    """
    pipeline, hearing = resolve_source(stable_diffusion), resolve_source(clap)
    return Architecture(
        unet_config=_config(pipeline, "unet/config.json"),
        text_config=_config(pipeline, "text_encoder/config.json"),
        clap_config=_config(hearing, "config.json"),
        vae_config=_config(pipeline, "vae/config.json"),
        num_sources=num_sources(separator),
    )


def _config(source: Source, path: str) -> dict[str, Any]:
    if source.is_folder:
        file = Path(source.location) / path
    else:
        shipped = Path(str(files("core.foundation"))) / "architectures"
        file = shipped / source.location.replace("/", "--") / path
        if not file.is_file():
            try:
                file = source.folder / path
            except MissingWeightsError as error:
                raise MissingWeightsError(
                    f"no {path} of '{source.name}': it is not shipped, and {error}"
                ) from None
    try:
        config: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise MissingWeightsError(
            f"no {path} in '{source.name}' ({error.strerror}); expected a model folder as "
            "from_pretrained reads it"
        ) from error
    return config
