"""Runs of any branch without a training: their weights are drawn."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from core.conditioning.attached import AttachedVariant
from core.foundation.foundation import Foundation
from harness.branches.unet_adapter import adapter_of
from harness.records.folders import RunFolder
from harness.records.parts import SplitFacts
from harness.records.record import RunRecord, Status, now
from harness.records.unaltered import file_hashes
from harness.run.plan import RunRequest, plan_run
from harness.wording.display import Display

DrawnRun = Callable[[RunRequest], Path]


@pytest.fixture(scope="session")
def drawn_run() -> DrawnRun:
    """Makes the folder of a finished run whose weights lie near those that a branch starts from.

    Every tensor is moved, so that gates which start closed let the sound through.
    """
    return _drawn_run


def _drawn_run(request: RunRequest) -> Path:
    from safetensors.torch import save_file

    planned = plan_run(request, display=Display())
    planned.folder.mkdir(parents=True)
    profile, split = planned.profile, planned.prepared.split
    foundation = Foundation(
        stable_diffusion=profile.foundation.stable_diffusion,
        clap=profile.foundation.clap,
        device="cpu",
        dtype=profile.foundation.dtype,
    )
    mel = profile.data.log_mel
    variant: Any = planned.registration.load()(
        planned.config,
        shapes=foundation.shapes(
            log_mel=(mel.num_mels, mel.num_frames), num_classes=len(split.counts)
        ),
    )
    model = AttachedVariant(
        variant, unet=foundation.unet, attach_adapter=adapter_of(variant, profile=profile)
    )
    model.adapter.enable()
    draw = torch.Generator().manual_seed(0)
    state = {
        name: tensor + 0.02 * torch.randn(tensor.shape, generator=draw)
        if tensor.is_floating_point()
        else tensor
        for name, tensor in model.state_dict().items()
    }
    save_file(state, RunFolder(planned.folder).weights)
    model.detach()
    RunRecord(
        run_id=planned.identity.run_id,
        status=Status.FINISHED,
        identity=planned.identity,
        command=request.command,
        results=str(request.results),
        started_at=now(),
        finished_at=now(),
        split=SplitFacts(
            lock=str(planned.prepared.lock),
            hash=split.hash,
            counts={
                name: {part.value: n for part, n in parts.items()}
                for name, parts in split.counts.items()
            },
            excluded=dict(planned.prepared.exclusions),
            num_input=planned.prepared.num_input,
        ),
        files=file_hashes(planned.folder),
    ).save(planned.folder)
    return planned.folder
