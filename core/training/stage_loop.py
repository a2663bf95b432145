"""One stage of the loop: its optimiser, its validation, and the state that a checkpoint needs."""

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
from core.training.ledger import (
    CHECKPOINT,
    OTHER,
    PREVIEW,
    STEP,
    VALIDATION,
    HiddenWork,
    Ledger,
)
from core.training.loudness import check_loudness_heard
from core.training.objective import TrainingData
from core.training.own_terms import check_own_terms
from core.training.plan import TrainingPlan
from core.training.preview import Preview
from core.training.repeatable import check_repeatable
from core.training.results import StageResult, StepReport
from core.training.step import PendingStep, StepOutcome, TrainingStep, build_optimizer
from core.training.validation import planned_loss
from core.training.watch import (
    STEPS_TO_REACH,
    WATCH_STEPS,
    check_effective_steps,
    check_loss_terms,
    length_of,
)

GATE_WINDOW = (0.35, 0.45)


class StageLoop:
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
        ledger: Ledger | None = None,
    ) -> None:
        self.ledger = ledger = ledger or Ledger()
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
        self.was_validated = False
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
            ledger=ledger,
        )
        self.optimise = TrainingStep(
            model,
            plan=plan,
            stage=self.stage,
            seed=seed,
            trained=self.trained,
            optimizer=self.optimizer,
            null_text_LD=data.features.null_text,
            ledger=ledger,
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
        preview: Preview | None = None,
    ) -> StageResult:
        started, device_started = time.monotonic(), clock()
        seconds_before, device_before = self.result.seconds, self.result.device_seconds

        def save(results: list[StageResult]) -> None:
            with self.ledger.spending(CHECKPOINT):
                self.result.device_seconds = device_before + clock() - device_started
                checkpoints.save(self._checkpoint(results))

        self._prepare_device()
        pending: deque[PendingStep] = deque()
        is_open = True
        hidden = HiddenWork(self.ledger) if self.lag else None
        while is_open and self.step < self.stage.steps:
            batch = self.batches.at(self.step)
            with self.ledger.spending(STEP):
                pending.append(self.optimise(batch, step=self.step))
            self.step += 1
            is_last = self.step == self.stage.steps
            is_saved = self.step % self.plan.checkpoint_every == 0 or interrupt.is_set
            # At each stage's end too, wherever it comes.
            is_validated = is_last or self.step % self.plan.validate_every == 0
            is_previewed = preview is not None and preview.is_due(self.first_step + self.step)
            is_read = is_saved or is_validated or is_previewed or self._is_due_to_be_judged
            while len(pending) > (0 if is_read else self.lag):
                outcome = self._read(pending.popleft(), hidden)
                is_open = not self._is_in_gate_window(outcome)
                validation = None
                if not pending and (is_validated or not is_open):
                    validation = self._validate()
                self.result.seconds = seconds_before + time.monotonic() - started
                self._note(outcome)
                with self.ledger.spending(OTHER):
                    on_step(self._report(outcome, validation, step=self.step - len(pending)))
            if self._is_due_to_be_judged:
                self._judge_first_steps()
            if preview is not None and is_previewed:
                with self.ledger.spending(PREVIEW):
                    preview.show(self.first_step + self.step)
            if is_open and not is_last and (is_saved or interrupt.is_set):
                while pending:  # the signal came while the newest step was on its way
                    outcome = self._read(pending.popleft(), hidden)
                    self._note(outcome)
                    on_step(self._report(outcome, None, step=self.step - len(pending)))
                save(finished)
                interrupt.raise_if_set()
        self._finish()
        save([*finished, self.result])
        interrupt.raise_if_set()
        return self.result

    def _read(self, pending: PendingStep, hidden: HiddenWork | None) -> StepOutcome:
        with self.ledger.spending(STEP):
            since = 0.0 if hidden is None else hidden.waiting()
            outcome = pending.read()
        if hidden is not None:
            hidden.waited(since)
        return outcome

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
        self._judge_own_terms()
        self._judge_loudness()
        self._end_watch()

    def _end_watch(self) -> None:
        """All that is trained has been reached, which no later step undoes.

        On a GPU the watch is part of the recorded step and goes on.
        """
        self.optimise.watch.is_over = self.is_judged and self.model.device.type == "cpu"

    def _judge_own_terms(self) -> None:
        """Look at what the variant's own terms do, on the stage's first batches."""
        if self.model.variant.has_auxiliary_losses(self.stage.name):
            with self.ledger.spending(OTHER):
                batches = (self.batches.at(step) for step in range(WATCH_STEPS))
                self.result.loss_only = check_own_terms(self.optimise, batches)

    def _judge_loudness(self) -> None:
        """Look again: behind a projection that starts at zero nothing was heard before training."""
        with self.ledger.spending(OTHER):
            check_loudness_heard(self.model, self.batches.at(0).inputs)

    def _finish(self) -> None:
        watch = self.optimise.watch
        guards.check_gradient_reach(
            watch.unreached(steps_done=self._num_applied), stage=length_of(self.stage)
        )
        if not self.is_judged and self._num_applied >= STEPS_TO_REACH:
            self._judge_own_terms()
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

    def _report(self, outcome: StepOutcome, validation: float | None, *, step: int) -> StepReport:
        return outcome.report(
            self.stage,
            step=step,
            global_step=self.first_step + step,
            total_steps=self.plan.total_steps,
            validation_loss=validation,
        )

    # Validation ---------------------------------------------------------------------------

    def _validate(self) -> float:
        with self.ledger.spending(VALIDATION):
            before = None if self.was_validated else guards.tensor_hashes(self.model.state_dict())
            loss = planned_loss(
                self.model,
                data=self.data,
                plan=self.plan,
                scheduler=self.scheduler,
                latent_shape=self.latent_shape,
            )
            if before is not None:  # once a stage and process: it reads every weight
                after = guards.tensor_hashes(self.model.state_dict())
                guards.check_validation_changed_nothing(before, after, stage=self.stage.name)
            self.was_validated = True
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
                "loss_only": self.result.loss_only,
                "best": None if self.best is None else [self.best[0], self.best[1]],
                "results": [vars(result) for result in finished],
            },
        )

    def restore(self, checkpoint: Checkpoint) -> None:
        """Go on from a checkpoint taken inside this stage."""

        def part(prefix: str) -> dict[str, Tensor]:
            found = stage_state.under(checkpoint.tensors, prefix=prefix)
            found = stage_state.of_names(found, self.trained, what=prefix, step=self.step)
            return {n: t.to(self.model.device) for n, t in found.items()}

        self.step = checkpoint.state["step"]
        self.largest_terms = dict(checkpoint.state["largest_terms"])
        self.result.skipped_steps = checkpoint.state["skipped_steps"]
        self.result.loss_only = checkpoint.state["loss_only"]
        self.is_judged = self._num_applied >= WATCH_STEPS
        watch, scaler = self.optimise.watch, self.optimise.scaler
        watch.restore(stage_state.under(checkpoint.tensors, prefix="watch."))
        watch.in_graph = set(checkpoint.state["in_graph"])
        self._end_watch()
        if scaler is not None:
            scaler.restore(stage_state.under(checkpoint.tensors, prefix="scaler."))
        self.result.seconds = checkpoint.state["seconds"]
        self.result.device_seconds = checkpoint.state["device_seconds"]
        self.before = part("before.")
        if checkpoint.state["best"] is not None:
            loss, step = checkpoint.state["best"]
            self.best = (loss, step, part("best."))
        # What had no gradient, or only one of a skipped step, has no state.
        is_stepped = self._num_applied > 0 and not self.result.skipped_steps
        stage_state.restore_optimizer(
            self.optimizer,
            checkpoint.tensors,
            trained=self.trained,
            required=watch.in_graph if is_stepped else (),
            step=self.step,
        )
