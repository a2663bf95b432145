"""The one staged loop that trains every variant.

Every random number is drawn by name (see `core.randomness`), so a resumed run needs no generator
state and is bit-identical to an uninterrupted one, and all branches see the same order, timesteps
and noise.
"""

import time
from collections.abc import Callable
from typing import Any

from core.conditioning.attached import AttachedVariant
from core.conditioning.stage import ParameterGroup
from core.training import guards
from core.training.checkpoints import CheckpointFolder
from core.training.interrupts import InterruptFlag
from core.training.ledger import Ledger
from core.training.objective import TrainingData
from core.training.plan import TrainingPlan
from core.training.preview import Preview
from core.training.resident import on_device
from core.training.results import NOTHING_TO_TRAIN, StageResult, StepReport, TrainingResult
from core.training.stage_loop import StageLoop


def train(
    model: AttachedVariant,
    *,
    data: TrainingData,
    plan: TrainingPlan,
    scheduler: Any,
    latent_shape: tuple[int, int, int],
    seed: int,
    checkpoints: CheckpointFolder,
    clock: Callable[[], float] = time.process_time,
    on_step: Callable[[StepReport], None] = lambda report: None,
    on_resume: Callable[[int], None] = lambda global_step: None,
    ledger: Ledger | None = None,
    interrupt: InterruptFlag | None = None,
    preview: Preview | None = None,
) -> TrainingResult:
    """Train `model` through every stage of `plan`, resuming from the newest checkpoint.

    scheduler: diffusers noise scheduler of the foundation. checkpoints: written every
    `plan.checkpoint_every` steps, at stage ends, and when the process is told to stop.
    clock: seconds of the device's work, for the stages' `device_seconds`; asked at checkpoints
        only, as it may wait for the device.
    on_resume: called once before the first step with the global step that training goes on
        from, 0 where there is no checkpoint.
    ledger: to which the seconds are booked, by what they are spent on.
    interrupt: set by signals meanwhile, for who has other reasons to stop after a checkpoint.
    preview: looks at the model now and then, and changes nothing of the training.

    Raises:
        GuardError: the run would be void (NaN, a dead or swallowed parameter, a moved frozen one).
        Interrupted: SIGINT or SIGTERM came; a checkpoint was written first.
        MismatchError, NoSpaceError: see `CheckpointFolder`.
    """
    ledger = ledger or Ledger()
    frozen_before = guards.parameters_hash(model.frozen_parameters())
    newest = checkpoints.latest()
    if newest is not None:
        model.load_state_dict({n[6:]: t for n, t in newest.tensors.items() if n[:6] == "model."})
    on_resume(0 if newest is None else newest.global_step)
    data = on_device(data, device=model.device)
    results = [StageResult(**r) for r in newest.state["results"]] if newest else []
    adapter_in_use = False
    with interrupt or InterruptFlag() as interrupt:
        for index, stage in enumerate(plan.stages):
            adapter_in_use |= ParameterGroup.UNET_ADAPTER in stage.trains
            # By name: a stage of 0 steps leaves no result, so the count says nothing.
            if stage.steps == 0 or stage.name in {result.stage for result in results}:
                continue
            if not model.parameters(stage.trains):
                results.append(StageResult(stage.name, stage.steps, 0, stopped_by=NOTHING_TO_TRAIN))
                continue
            loop = StageLoop(
                model,
                data=data,
                plan=plan,
                stage_index=index,
                scheduler=scheduler,
                latent_shape=latent_shape,
                seed=seed,
                use_adapter=adapter_in_use,
                ledger=ledger,
            )
            if newest is not None and newest.state["stage"] == stage.name:
                loop.restore(newest)
            results.append(
                loop.run(
                    finished=results,
                    checkpoints=checkpoints,
                    interrupt=interrupt,
                    clock=clock,
                    on_step=on_step,
                    preview=preview,
                )
            )
        interrupt.raise_if_set()
    model.adapter.enable()
    model.set_training(False)
    guards.check_frozen_unchanged(frozen_before, guards.parameters_hash(model.frozen_parameters()))
    return TrainingResult(
        stages=tuple(results),
        guards_passed=(
            "gradient_reach",
            "finite",
            "effective_steps",
            *(["own_terms"] if any(s.loss_only is not None for s in results) else []),
            *(["moved"] if not any(stage.unmoved for stage in results) else []),
            "frozen_unchanged",
        ),
        resumed_from=None if newest is None else newest.global_step,
    )
