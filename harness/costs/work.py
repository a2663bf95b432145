"""What a branch computes, in FLOPs and parameters."""

from pydantic import BaseModel, ConfigDict

from core.conditioning.config import SCHEDULE, VariantConfig
from core.files import json_sha256
from core.foundation.separators import num_sources
from harness.settings.profile import Profile

TABLE = "counted.json"


class StageWork(BaseModel):
    """One training sample in one stage; all 0 where the branch trains nothing in it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    forward_flops: float
    """Of the forward pass."""
    flops: float
    """Of forward and backward."""
    trainable: int
    """Parameters that the stage trains."""


class BranchWork(BaseModel):
    """What one branch computes at the size and settings of a profile."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    variant: str
    """The branch."""
    stages: dict[str, StageWork]
    """By stage."""
    num_arms: int
    """Arms in which it is sampled: its own sound and the controls that apply to it."""
    pass_flops: float
    """Of the finished model predicting the noise of one latent, once."""
    decode_flops: float
    """Of the VAE making one picture of a latent."""
    encode_flops: float
    """Of the VAE reading one picture."""
    frozen: int
    """Parameters of the frozen UNet."""
    image_size: int
    """Side of a picture, pixels."""

    @property
    def trainable(self) -> int:
        """Parameters of the widest stage."""
        return max(stage.trainable for stage in self.stages.values())


def work_key(variant: str, *, profile: Profile, config: VariantConfig) -> str:
    """Hash of the settings that decide the work of one sample."""
    count = num_sources(profile.foundation.separator)
    sources = [f"{count} separated sources"] if count else []
    return json_sha256(
        {
            "variant": variant,
            "config": config.model_dump(mode="json", exclude=set(SCHEDULE)),
            "models": [profile.foundation.stable_diffusion, profile.foundation.clap, *sources],
            "log_mel": profile.data.log_mel.model_dump(mode="json"),
            "lora": profile.lora.model_dump(mode="json"),
            "ssf": profile.ssf.model_dump(mode="json"),
        }
    )
