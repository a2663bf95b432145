"""The one staged loop that trains every variant.

Every random number is drawn by name (see `core.randomness`), so a resumed run needs no generator
state and is bit-identical to an uninterrupted one, and all branches see the same order, timesteps
and noise.
"""

import time
from collections import deque
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from core.conditioning.attached import AttachedVariant
from core.conditioning.stage import ParameterGroup, Stage, StopCriterion
from core.training import guards, stage_state
from core.training.batches import Batches
from core.training.checkpoints import Checkpoint, CheckpointFolder
from core.training.decay import optimizer_groups
from core.training.graphed import CudaRecorder, GraphedCompute
from core.training.interrupts import InterruptFlag
from core.training.objective import TrainingData
from core.training.plan import TrainingPlan
from core.training.repeatable import check_repeatable
from core.training.resident import on_device
from core.training.results import NOTHING_TO_TRAIN, StageResult, StepReport, TrainingResult
from core.training.step import PendingStep, StepOutcome, TrainingStep, build_optimizer
from core.training.validation import planned_loss
from core.training.watch import (
    WATCH_STEPS,
    check_effective_steps,
    check_loss_terms,
    length_of,
)

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
    interrupt: InterruptFlag | None = None,
) -> TrainingResult:
    """Train `model` through every stage of `plan`, resuming from the newest checkpoint.

    scheduler: diffusers noise scheduler of the foundation. checkpoints: written every
    `plan.checkpoint_every` steps, at stage ends, and when the process is told to stop.
    clock: seconds of the device's work, for the stages' `device_seconds`; asked at checkpoints
        only, as it may wait for the device.
    on_resume: called once before the first step with the global step that training goes on
        from, 0 where there is no checkpoint.
    interrupt: set by signals meanwhile, for who has other reasons to stop after a checkpoint.

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
        guards_passed=(
            "gradient_reach",
            "finite",
            "effective_steps",
            *(["moved"] if not any(stage.unmoved for stage in results) else []),
            "frozen_unchanged",
        ),
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
        self.optimizer = build_optimizer(groups, eps=plan.adam_eps, device=model.device)
        self.largest_terms: dict[str, float] = {}
        self.is_judged = False
        self.graphed: GraphedCompute | None = None
        # On a GPU a step is read while the next one is computed, unless it decides about the next.
        is_ahead = model.device.type == "cuda" and self.stage.stop is not StopCriterion.GATE_WINDOW
        self.lag = int(is_ahead)
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

        self._prepare_device()
        pending: deque[PendingStep] = deque()
        is_open = True
        while is_open and self.step < self.stage.steps:
            pending.append(self.optimise(self.batches.at(self.step), step=self.step))
            self.step += 1
            is_last = self.step == self.stage.steps
            is_saved = self.step % self.plan.checkpoint_every == 0 or interrupt.is_set
            # At each stage's end too, wherever it comes.
            is_validated = is_last or self.step % self.plan.validate_every == 0
            is_read = is_saved or is_validated or self._is_due_to_be_judged
            while len(pending) > (0 if is_read else self.lag):
                outcome = pending.popleft().read()
                is_open = not self._is_in_gate_window(outcome)
                validation = None
                if not pending and (is_validated or not is_open):
                    validation = self._validate()
                self.result.seconds = seconds_before + time.monotonic() - started
                self._note(outcome)
                on_step(self._report(outcome, validation, step=self.step - len(pending)))
            if self._is_due_to_be_judged:
                self._judge_first_steps()
            if is_open and not is_last and (is_saved or interrupt.is_set):
                while pending:  # the signal came while the newest step was on its way
                    outcome = pending.popleft().read()
                    self._note(outcome)
                    on_step(self._report(outcome, None, step=self.step - len(pending)))
                save(finished)
                interrupt.raise_if_set()
        self._finish()
        save([*finished, self.result])
        interrupt.raise_if_set()
        return self.result

    def _prepare_device(self) -> None:
        """On a GPU: check that equal steps are equal, and let steps be recorded."""
        if self.model.device.type != "cuda":
            return
        if self.plan.deterministic:
            check_repeatable(self.optimise, self.batches.at(self.step))
        self.graphed = GraphedCompute(self.optimise.compute, recorder=CudaRecorder())
        self.optimise.run = self.graphed

    def _is_in_gate_window(self, outcome: StepOutcome) -> bool:
        """Whether the stage ends here by its gates; notes it."""
        gates = outcome.gates
        if self.stage.stop is not StopCriterion.GATE_WINDOW or not gates:
            return False
        is_inside = GATE_WINDOW[0] <= sum(gates.values()) / len(gates) <= GATE_WINDOW[1]
        if is_inside:
            self.result.stopped_by = StopCriterion.GATE_WINDOW
        return is_inside

    def _note(self, outcome: StepOutcome) -> None:
        self.result.last_loss = outcome.loss
        self.result.skipped_steps += outcome.is_skipped
        for name, value in outcome.losses.items():
            self.largest_terms[name] = max(self.largest_terms.get(name, 0.0), abs(value))

    @property
    def _num_applied(self) -> int:
        return self.step - self.result.skipped_steps

    @property
    def _is_due_to_be_judged(self) -> bool:
        return not self.is_judged and self._num_applied >= WATCH_STEPS

    def _judge_first_steps(self) -> None:
        """Refuse at once what no further step of the stage would mend."""
        self.is_judged = True
        watch, eps = self.optimise.watch, self.plan.adam_eps
        unreached = watch.unreached(steps_done=self._num_applied)
        guards.check_gradient_reach(unreached, stage=length_of(self.stage))
        check_effective_steps(watch.too_small(eps=eps), eps=eps, stage=self.stage)
        check_loss_terms(self.largest_terms, stage=self.stage, batch_size=self.plan.batch_size)

    def _finish(self) -> None:
        watch = self.optimise.watch
        guards.check_gradient_reach(
            watch.unreached(steps_done=self._num_applied), stage=length_of(self.stage)
        )
        stuck = [n for n, old in self.before.items() if torch.equal(old, self.trained[n].detach())]
        # A stage that is shorter than its warm-up, or than a gradient's way, proves nothing.
        judged = watch.reached() if self.step > self.stage.warmup_steps else set()
        guards.check_moved([n for n in stuck if n in judged], stage=length_of(self.stage))
        self.result.unmoved = len(stuck)
        self.result.kept_step = self.step
        if self.stage.stop is StopCriterion.VALIDATION_LOSS and self.best is not None:
            _, self.result.kept_step, tensors = self.best
            with torch.no_grad():
                for name, parameter in self.trained.items():
                    parameter.copy_(tensors[name])
        self.optimizer.zero_grad(set_to_none=True)
        if self.graphed is not None:
            self.result.is_recorded = self.graphed.is_recorded
            self.graphed.release()
        self.result.steps_done = self.step
        self.result.samples_seen = self.step * self.plan.batch_size
        self.result.gates = self.model.variant.gate_values()

    def _report(
        self,
        outcome: StepOutcome,
        validation: float | None,
        *,
        step: int,
    ) -> StepReport:
        return StepReport(
            stage=self.stage.name,
            step=step,
            stage_steps=self.stage.steps,
            global_step=self.first_step + step,
            total_steps=self.plan.total_steps,
            loss=outcome.loss,
            losses=outcome.losses,
            grad_norm=outcome.grad_norm,
            lr=outcome.lr,
            gates=outcome.gates,
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
        tensors |= stage_state.prefixed(self.optimise.watch.tensors(), prefix="watch.")
        if self.optimise.scaler is not None:
            tensors |= stage_state.prefixed(self.optimise.scaler.tensors(), prefix="scaler.")
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
                "largest_terms": self.largest_terms,
                "in_graph": sorted(self.optimise.watch.in_graph),
                "skipped_steps": self.result.skipped_steps,
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
        self.largest_terms = dict(checkpoint.state["largest_terms"])
        self.result.skipped_steps = checkpoint.state["skipped_steps"]
        self.is_judged = self._num_applied >= WATCH_STEPS
        watch, scaler = self.optimise.watch, self.optimise.scaler
        watch.restore(stage_state.under(checkpoint.tensors, prefix="watch."))
        watch.in_graph = set(checkpoint.state["in_graph"])
        if scaler is not None:
            scaler.restore(stage_state.under(checkpoint.tensors, prefix="scaler."))
        self.result.seconds = checkpoint.state["seconds"]
        self.result.device_seconds = checkpoint.state["device_seconds"]
        self.before = part("before.")
        if checkpoint.state["best"] is not None:
            loss, step = checkpoint.state["best"]
            self.best = (loss, step, part("best."))
        stage_state.restore_optimizer(self.optimizer, checkpoint.tensors, trained=self.trained)
