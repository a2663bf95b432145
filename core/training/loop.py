"""The one staged loop that trains every variant.

Every random number is drawn by name (see `core.randomness`), so a resumed run needs no generator
state and is bit-identical to an uninterrupted one, and all branches see the same order, timesteps
and noise.
"""

import time
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from core.conditioning.attached import AttachedVariant
from core.conditioning.stage import ParameterGroup, Stage, StopCriterion
from core.training import guards, stage_state
from core.training.batches import Batches
from core.training.checkpoints import Checkpoint, CheckpointFolder
from core.training.decay import optimizer_groups
from core.training.interrupts import InterruptFlag
from core.training.objective import TrainingData
from core.training.plan import TrainingPlan
from core.training.results import NOTHING_TO_TRAIN, StageResult, StepReport, TrainingResult
from core.training.step import StepOutcome, TrainingStep
from core.training.validation import planned_loss

GATE_WINDOW = (0.35, 0.45)


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
) -> TrainingResult:
    """Train `model` through every stage of `plan`, resuming from the newest checkpoint.

    scheduler: diffusers noise scheduler of the foundation. checkpoints: written every
    `plan.checkpoint_every` steps, at stage ends, and when the process is told to stop.
    clock: seconds of the device's work, for the stages' `device_seconds`; asked at checkpoints
        only, as it may wait for the device.
    on_resume: called once before the first step with the global step that training goes on
        from, 0 where there is no checkpoint.

    Raises:
        GuardError: the run would be void (NaN, a dead or swallowed parameter, a moved frozen one).
        Interrupted: SIGINT or SIGTERM came; a checkpoint was written first.
        MismatchError, NoSpaceError: see `CheckpointFolder`.
    """
    frozen_before = guards.parameters_hash(model.frozen_parameters())
    newest = checkpoints.latest()
    if newest is not None:
        model.load_state_dict({n[6:]: t for n, t in newest.tensors.items() if n[:6] == "model."})
    on_resume(0 if newest is None else newest.global_step)
    results = [StageResult(**r) for r in newest.state["results"]] if newest else []
    adapter_in_use = False
    with InterruptFlag() as interrupt:
        for index, stage in enumerate(plan.stages):
            adapter_in_use |= ParameterGroup.UNET_ADAPTER in stage.trains
            # By name: a stage of 0 steps leaves no result, so the count says nothing.
            if stage.steps == 0 or stage.name in {result.stage for result in results}:
                continue
            if not model.parameters(stage.trains):
                results.append(StageResult(stage.name, stage.steps, 0, stopped_by=NOTHING_TO_TRAIN))
                continue
            loop = _StageLoop(
                model,
                data=data,
                plan=plan,
                stage_index=index,
                scheduler=scheduler,
                latent_shape=latent_shape,
                seed=seed,
                use_adapter=adapter_in_use,
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
                )
            )
        interrupt.raise_if_set()
    model.adapter.enable()
    model.set_training(False)
    guards.check_frozen_unchanged(frozen_before, guards.parameters_hash(model.frozen_parameters()))
    return TrainingResult(
        stages=tuple(results),
        guards_passed=("gradient_reach", "finite", "moved", "frozen_unchanged"),
        resumed_from=None if newest is None else newest.global_step,
    )


class _StageLoop:
    """One stage: optimiser, schedule, validation and the state a checkpoint needs."""

    def __init__(
        self,
        model: AttachedVariant,
        *,
        data: TrainingData,
        plan: TrainingPlan,
        stage_index: int,
        scheduler: Any,
        latent_shape: tuple[int, int, int],
        seed: int,
        use_adapter: bool,
    ) -> None:
        self.model = model
        self.data = data
        self.plan = plan
        self.stage: Stage = plan.stages[stage_index]
        self.first_step = plan.first_step(stage_index)
        self.scheduler = scheduler
        self.latent_shape = latent_shape
        self.step = 0
        self.best: tuple[float, int, dict[str, Tensor]] | None = None
        self.result = StageResult(self.stage.name, self.stage.steps, 0)
        if use_adapter:
            model.adapter.enable()
        else:
            model.adapter.disable()
        self.trained = model.train_only(self.stage.trains)
        self.before = {name: p.detach().clone() for name, p in self.trained.items()}
        groups = optimizer_groups(
            self.trained,
            gates=model.parameters([ParameterGroup.GATES]),
            stage=self.stage,
            modules=model.variant.modules(),
        )
        self.optimizer = torch.optim.AdamW(groups, lr=self.stage.lr, foreach=False)
        self.batches = Batches(
            data,
            plan=plan,
            stage_index=stage_index,
            scheduler=scheduler,
            latent_shape=latent_shape,
            seed=seed,
            device=model.device,
        )
        self.optimise = TrainingStep(
            model,
            plan=plan,
            stage=self.stage,
            seed=seed,
            trained=self.trained,
            optimizer=self.optimizer,
            null_text_LD=data.features.null_text,
        )
        self.result.trainable_parameters = sum(p.numel() for p in self.trained.values())

    # One stage ---------------------------------------------------------------------------

    def run(
        self,
        *,
        finished: list[StageResult],
        checkpoints: CheckpointFolder,
        interrupt: InterruptFlag,
        clock: Callable[[], float],
        on_step: Callable[[StepReport], None],
    ) -> StageResult:
        started, device_started = time.monotonic(), clock()
        seconds_before, device_before = self.result.seconds, self.result.device_seconds

        def save(results: list[StageResult]) -> None:
            self.result.device_seconds = device_before + clock() - device_started
            checkpoints.save(self._checkpoint(results))

        is_open = True
        while is_open and self.step < self.stage.steps:
            outcome = self.optimise(self.batches.at(self.step), step=self.step)
            self.step += 1
            is_last = self.step == self.stage.steps
            gates = self.model.variant.gate_values()
            if self.stage.stop is StopCriterion.GATE_WINDOW and gates:
                mean_gate = sum(gates.values()) / len(gates)
                if GATE_WINDOW[0] <= mean_gate <= GATE_WINDOW[1]:
                    is_open = False
                    self.result.stopped_by = StopCriterion.GATE_WINDOW
            validation = None
            # At each stage's end too, wherever it comes.
            if is_last or not is_open or self.step % self.plan.validate_every == 0:
                validation = self._validate()
            self.result.seconds = seconds_before + time.monotonic() - started
            self.result.last_loss = outcome.loss
            on_step(self._report(outcome, gates, validation))
            if is_open and not is_last:
                if interrupt.is_set:
                    save(finished)
                    interrupt.raise_if_set()
                if self.step % self.plan.checkpoint_every == 0:
                    save(finished)
        self._finish()
        save([*finished, self.result])
        interrupt.raise_if_set()
        return self.result

    def _finish(self) -> None:
        guards.check_gradient_reach(
            dict.fromkeys(self.trained), stage=self.stage.name, seen=self.optimise.reached
        )
        guards.check_moved(self.before, self.trained, stage=self.stage.name)
        self.result.kept_step = self.step
        if self.stage.stop is StopCriterion.VALIDATION_LOSS and self.best is not None:
            _, self.result.kept_step, tensors = self.best
            with torch.no_grad():
                for name, parameter in self.trained.items():
                    parameter.copy_(tensors[name])
        self.result.steps_done = self.step
        self.result.samples_seen = self.step * self.plan.batch_size
        self.result.gates = self.model.variant.gate_values()

    def _report(
        self,
        outcome: StepOutcome,
        gates: Mapping[str, float],
        validation: float | None,
    ) -> StepReport:
        return StepReport(
            stage=self.stage.name,
            step=self.step,
            stage_steps=self.stage.steps,
            global_step=self.first_step + self.step,
            total_steps=self.plan.total_steps,
            loss=outcome.loss,
            losses=outcome.losses,
            grad_norm=outcome.grad_norm,
            lr=self.optimizer.param_groups[0]["lr"],
            gates=gates,
            validation_loss=validation,
        )

    # Validation ---------------------------------------------------------------------------

    def _validate(self) -> float:
        loss = planned_loss(
            self.model,
            data=self.data,
            plan=self.plan,
            scheduler=self.scheduler,
            latent_shape=self.latent_shape,
        )
        guards.check_validation_loss(loss, stage=self.stage.name, step=self.step)
        self.result.validation_loss = loss
        if self.best is None or loss < self.best[0]:
            tensors = {name: p.detach().clone() for name, p in self.trained.items()}
            self.best = (loss, self.step, tensors)
        return loss

    # Checkpoints -------------------------------------------------------------------------

    def _checkpoint(self, finished: list[StageResult]) -> Checkpoint:
        tensors = stage_state.prefixed(self.model.state_dict(), prefix="model.")
        tensors |= stage_state.prefixed(self.before, prefix="before.")
        tensors |= stage_state.optimizer_tensors(self.optimizer, trained=self.trained)
        if self.best is not None:
            tensors |= stage_state.prefixed(self.best[2], prefix="best.")
        return Checkpoint(
            global_step=self.first_step + self.step,
            tensors={n: t.contiguous() for n, t in tensors.items()},
            state={
                "stage": self.stage.name,
                "step": self.step,
                "seconds": self.result.seconds,
                "device_seconds": self.result.device_seconds,
                "reached": sorted(self.optimise.reached),
                "best": None if self.best is None else [self.best[0], self.best[1]],
                "results": [vars(result) for result in finished],
            },
        )

    def restore(self, checkpoint: Checkpoint) -> None:
        """Go on from a checkpoint taken inside this stage."""

        def part(prefix: str) -> dict[str, Tensor]:
            found = stage_state.under(checkpoint.tensors, prefix=prefix)
            found = stage_state.of_names(found, self.trained)
            return {n: t.to(self.model.device) for n, t in found.items()}

        self.step = checkpoint.state["step"]
        self.optimise.reached = set(checkpoint.state["reached"])
        self.result.seconds = checkpoint.state["seconds"]
        self.result.device_seconds = checkpoint.state["device_seconds"]
        self.before = part("before.")
        if checkpoint.state["best"] is not None:
            loss, step = checkpoint.state["best"]
            self.best = (loss, step, part("best."))
        stage_state.restore_optimizer(self.optimizer, checkpoint.tensors, trained=self.trained)
