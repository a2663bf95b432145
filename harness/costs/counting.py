"""The work of a branch counted on the meta device: no weights, no memory, no GPU.

`python -m harness.costs.counting` writes the table that ships.
"""

import json
from pathlib import Path
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from core.conditioning.config import VariantConfig
from core.files import write_atomic
from harness.branches.meta_model import meta_model
from harness.branches.registry import Registration, registrations
from harness.costs.work import TABLE, BranchWork, StageWork, work_key
from harness.run.flops import micro_batches
from harness.run.sample import arms_of
from harness.settings.architecture import architecture_of
from harness.settings.load import load_profile, parse_settings, profile_names
from harness.settings.profile import Profile

_TABLE_CLASSES = 8


def count_work(
    registration: Registration, *, profile: Profile, config: VariantConfig, num_classes: int
) -> BranchWork:
    """What a branch computes for one sample, counted as `harness.run.flops` says.

    Raises:
        UsageError: the branch cannot be imported.
        MissingWeightsError: a model's configuration is neither shipped nor here.
    """
    variant = registration.load()
    training = profile.training.model_copy(update={"micro_batch": 1, "accumulation": 1})
    counted = micro_batches(
        profile.model_copy(update={"training": training}),
        variant=variant,
        config=config,
        num_classes=num_classes,
    )
    architecture = architecture_of(profile)
    built = meta_model(
        variant, config=config, profile=profile, architecture=architecture, num_classes=num_classes
    )
    unet, vae = architecture.meta_unet(), architecture.meta_vae()
    latent = torch.zeros(
        1, unet.config.in_channels, unet.config.sample_size, unet.config.sample_size, device="meta"
    )
    side = unet.config.sample_size * 2 ** (len(vae.config.block_out_channels) - 1)
    picture = torch.zeros(1, vae.config.in_channels, side, side, device="meta")
    bare = _flops(
        lambda: unet(
            latent,
            torch.zeros(1, dtype=torch.int64, device="meta"),
            encoder_hidden_states=torch.zeros(
                1,
                architecture.text_config["max_position_embeddings"],
                unet.config.cross_attention_dim,
                device="meta",
            ),
        )
    )
    return BranchWork(
        variant=registration.name,
        stages={
            name: StageWork(
                forward_flops=one.forward_flops, flops=one.flops, trainable=one.trainable
            )
            for name, one in counted.items()
        },
        num_arms=len(arms_of(built.attached.variant)),
        # As the last stage that trains has it; a control that trains nothing is the bare UNet.
        pass_flops=max([bare, *(one.forward_flops for one in counted.values())]),
        decode_flops=_flops(lambda: vae.decode(latent)),
        encode_flops=_flops(lambda: vae.encode(picture)),
        frozen=sum(parameter.numel() for parameter in unet.parameters()),
        image_size=side,
    )


def _flops(work: Any) -> float:
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        work()
    return float(counter.get_total_flops())


def write_table(path: Path) -> None:
    """Count every built-in branch at the size of every shipped profile."""
    rows = {}
    for name in profile_names():
        profile = load_profile(name)
        for registration in registrations().values():
            if not registration.is_built_in:
                continue
            config = parse_settings(
                registration.load_config(),
                profile.variants.get(registration.name, {}),
                what=f"setting of variant {registration.name}:",
            )
            key = work_key(registration.name, profile=profile, config=config)
            rows[key] = count_work(
                registration, profile=profile, config=config, num_classes=_TABLE_CLASSES
            ).model_dump(mode="json")
            print(name, registration.name, flush=True)
    write_atomic(path, content=(json.dumps(rows, indent=1) + "\n").encode())


if __name__ == "__main__":
    write_table(Path(__file__).with_name(TABLE))
