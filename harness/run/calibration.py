"""What an optimiser step costs on this machine, by a short training."""

from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch

from core.training.checkpoints import CheckpointFolder
from core.training.loop import train
from harness.run.device import device_seconds, training_device
from harness.run.findings import Findings
from harness.run.plan import PlannedRun, RunRequest, plan_run
from harness.run.prepare import prepare_model
from harness.wording.display import Display


def measure_step_seconds(
    request: RunRequest, *, num_steps: int, display: Display
) -> dict[str, float]:
    """Median device seconds of an optimiser step of each stage, on this machine.

    Raises:
        HarnessError: what a run of the same request would raise.
    """
    planned = plan_run(request, display=display)
    planned.folder.mkdir(parents=True, exist_ok=True)
    try:
        return _step_seconds(planned, num_steps=num_steps, display=display)
    finally:
        with suppress(OSError):  # a run that was begun before keeps its folder
            planned.folder.rmdir()


def _step_seconds(planned: PlannedRun, *, num_steps: int, display: Display) -> dict[str, float]:
    device = training_device(planned.request.device)
    torch.set_num_threads(planned.profile.training.num_threads)
    ready = prepare_model(planned, device=device, findings=Findings(), display=display)
    plan = replace(
        planned.plan,
        stages=tuple(
            # A stage of a step or two is timed by more: the median needs them.
            replace(stage, steps=num_steps if stage.steps else 0, warmup_steps=0)
            for stage in planned.plan.stages
        ),
        # Work that is not an optimiser step; at a stage's end there is some all the same.
        validate_every=num_steps + 1,
        checkpoint_every=num_steps + 1,
    )
    ends: dict[str, list[float]] = {stage.name: [] for stage in plan.stages}
    with TemporaryDirectory(dir=planned.folder) as scratch:
        train(
            ready.model,
            data=ready.data,
            plan=plan,
            scheduler=ready.foundation.noise_scheduler,
            latent_shape=ready.foundation.latent_shape,
            seed=planned.request.seed,
            checkpoints=CheckpointFolder(Path(scratch)),
            on_step=lambda report: ends[report.stage].append(device_seconds(device)),
            on_resume=lambda step: None,
        )
    ready.model.detach()
    # The last step of a stage ends after its validation: a median does not see it.
    return {
        name: float(np.median(np.diff(moments))) if len(moments) > 2 else 0.0
        for name, moments in ends.items()
    }
