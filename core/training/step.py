"""One optimiser step: forward and backward over its micro-batches, clipping, the update.

On a GPU nothing in it waits for the device: losses, gradient norm and gates stay there until they
are read, and a step that is not finite is left out there.

Shape legend: B samples of a micro-batch, L text tokens, D context width, T loss terms, A
micro-batches of a step.
"""

import math
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from core.choices import Precision
from core.conditioning.attached import AttachedVariant
from core.conditioning.conditioning import Conditioning
from core.conditioning.stage import Stage
from core.randomness import torch_seeded
from core.training import guards
from core.training.batches import StepBatch
from core.training.ledger import BACKWARD, ENCODE, FORWARD, OPTIMISER, Ledger
from core.training.objective import DIFFUSION, per_sample_mse
from core.training.plan import TrainingPlan, learning_rate_factor
from core.training.precision import autocast
from core.training.results import StepReport
from core.training.scaling import LossScaler
from core.training.watch import GradientWatch


@dataclass(frozen=True)
class StepOutcome:
    """What a step leaves to report; loss is the sum of `losses`.

    grad_norm: before clipping; None where the step was skipped (float16 alone).
    """

    loss: float
    losses: Mapping[str, float]
    grad_norm: float | None
    gates: Mapping[str, float]
    lr: float

    @property
    def is_skipped(self) -> bool:
        """Whether an overflow of float16 kept the step from being applied."""
        return self.grad_norm is None

    def report(
        self,
        stage: Stage,
        *,
        step: int,
        global_step: int,
        total_steps: int,
        validation_loss: float | None,
    ) -> StepReport:
        """The same for the event log, with where in the schedule it is."""
        return StepReport(
            stage=stage.name,
            step=step,
            stage_steps=stage.steps,
            global_step=global_step,
            total_steps=total_steps,
            loss=self.loss,
            losses=self.losses,
            grad_norm=self.grad_norm,
            lr=self.lr,
            gates=self.gates,
            validation_loss=validation_loss,
        )


@dataclass(frozen=True, kw_only=True)
class StepNumbers:
    """A step's numbers on the device: one vector, so that reading it waits once.

    per_micro: terms of each micro-batch's loss. per_step: terms over the whole step.
    """

    values: Tensor
    per_micro: tuple[str, ...]
    per_step: tuple[str, ...]
    gates: tuple[str, ...]


@dataclass(frozen=True)
class PendingStep:
    """A step that was handed to the device."""

    numbers: StepNumbers
    stage: str
    step: int
    lr: float
    accumulation: int
    can_skip: bool

    def read(self) -> StepOutcome:
        """Wait for the step.

        Raises:
            GuardError: the loss or a gradient is not finite, so the step was not applied.
        """
        values = iter(self.numbers.values.tolist())
        losses: dict[str, float] = {}
        for _ in range(self.accumulation):
            for name in self.numbers.per_micro:
                losses[name] = losses.get(name, 0.0) + next(values) / self.accumulation
        for name in self.numbers.per_step:
            losses[name] = next(values)
        loss, grad_norm, scale = sum(losses.values()), next(values), next(values)
        is_skipped = self.can_skip and math.isfinite(loss) and not math.isfinite(grad_norm)
        guards.check_finite(
            losses, 0.0 if is_skipped else grad_norm, stage=self.stage, step=self.step
        )
        if is_skipped:
            guards.check_loss_scale(scale, stage=self.stage, step=self.step)
        return StepOutcome(
            loss=loss,
            losses=losses,
            grad_norm=None if is_skipped else grad_norm,
            gates=dict(zip(self.numbers.gates, values, strict=True)),
            lr=self.lr,
        )


class TrainingStep:
    """The optimiser step of one stage."""

    def __init__(
        self,
        model: AttachedVariant,
        *,
        plan: TrainingPlan,
        stage: Stage,
        seed: int,
        trained: Mapping[str, nn.Parameter],
        optimizer: torch.optim.Optimizer,
        null_text_LD: Tensor,
        ledger: Ledger | None = None,
    ) -> None:
        self.model = model
        self.plan = plan
        self.stage = stage
        self.seed = seed
        self.parameters = list(trained.values())
        self.optimizer = optimizer
        self.null_text_LD = null_text_LD.to(model.device)
        # On a GPU the host only launches what is computed later; nobody reads that one.
        is_timed = model.device.type == "cpu"
        self.ledger = (ledger if is_timed else None) or Ledger()
        self.watch = GradientWatch(list(trained), device=model.device)
        is_scaled = plan.precision == Precision.FLOAT16
        self.scaler = LossScaler(device=model.device) if is_scaled else None
        self.run: Callable[[StepBatch], StepNumbers] = self.compute
        """What hands `compute` to the device: itself, or its recorded kernels."""

    def __call__(self, batch: StepBatch, *, step: int) -> PendingStep:
        """Make optimiser step number `step` of the stage."""
        factor = learning_rate_factor(
            step, steps=self.stage.steps, warmup_steps=self.stage.warmup_steps
        )
        for group in self.optimizer.param_groups:
            set_rate(group, group["peak_lr"] * factor)
        self.model.set_training(True)
        with torch_seeded(self.seed, "dropout", self.stage.name, step):
            numbers = self.run(batch)
        return PendingStep(
            numbers=numbers,
            stage=self.stage.name,
            step=step,
            lr=self.optimizer.param_groups[0]["peak_lr"] * factor,
            accumulation=self.plan.accumulation,
            can_skip=self.scaler is not None,
        )

    def compute(self, batch: StepBatch) -> StepNumbers:
        """All that the device does in a step; waits for nothing on a GPU."""
        self.optimizer.zero_grad(set_to_none=True)
        terms = []
        for number in range(self.plan.accumulation):
            terms.append(self.differentiate(batch.micro(number, size=self.plan.micro_batch)))
        shared = self._step_losses(batch)
        if shared:
            self._backward(torch.stack(list(shared.values())).sum())
        losses = [value.detach().float() for micro in (*terms, shared) for value in micro.values()]
        with self.ledger.spending(OPTIMISER):
            if self.scaler is not None:
                self.scaler.unscale_(self.parameters)
            grad_norm = nn.utils.clip_grad_norm_(self.parameters, self.plan.grad_clip)
            is_finite = torch.isfinite(torch.stack([*losses, grad_norm])).all()
            self.watch.note(self.parameters, is_finite=is_finite)
            self._update(is_finite)
        scale = grad_norm.new_ones(()) if self.scaler is None else self.scaler.scale.clone()
        gates = self.model.variant.gate_factors()
        rest = [value.detach().to(grad_norm) for value in (grad_norm, scale, *gates.values())]
        return StepNumbers(
            values=torch.stack([*losses, *rest]),
            per_micro=tuple(terms[0]),
            per_step=tuple(shared),
            gates=tuple(gates),
        )

    def differentiate(self, micro: StepBatch) -> dict[str, Tensor]:
        """Add the gradients of one micro-batch; returns the terms of its loss."""
        losses = self._micro_losses(micro)
        guards.check_loss_has_gradient(losses[DIFFUSION], stage=self.stage.name)
        self._backward(torch.stack(list(losses.values())).sum() / self.plan.accumulation)
        return losses

    def _backward(self, loss: Tensor) -> None:
        with self.ledger.spending(BACKWARD):
            (loss if self.scaler is None else self.scaler.scaled(loss)).backward()

    def _update(self, is_finite: Tensor) -> None:
        """Let the optimiser step, unless the step is not finite."""
        if self.scaler is not None:
            self.scaler.update_(is_finite)
        if self.optimizer.param_groups[0]["fused"]:
            # The fused kernel leaves parameters and state alone where this is 1.
            self.optimizer.found_inf = (~is_finite).float()  # type: ignore[attr-defined]
            self.optimizer.step()
        elif bool(is_finite):
            self.optimizer.step()

    def _micro_losses(self, batch: StepBatch) -> dict[str, Tensor]:
        """The terms of one micro-batch's loss, scalars by name."""
        variant = self.model.variant
        with self.ledger.spending(FORWARD), self.autocast():
            conditioning = self._condition(batch)
            kept = conditioning.with_text_dropped(
                batch.drop_text_S, null_text_LC=self.null_text_LD
            ).with_audio_dropped(batch.drop_audio_S)
            prediction = self.model.predict(
                batch.noised.noisy_BCHW, batch.noised.timesteps_B, kept.context()
            )
            auxiliary: Mapping[str, Tensor] = {}
            if self.plan.accumulation == 1:  # the micro-batch is the whole step
                auxiliary = variant.auxiliary_losses(
                    batch.inputs, conditioning, stage=self.stage.name
                )
        with self.ledger.spending(FORWARD):
            mse_B = per_sample_mse(prediction, batch.noised.target_BCHW)
            return {DIFFUSION: (batch.weight_S * mse_B).mean(), **auxiliary}

    def _condition(self, batch: StepBatch) -> Conditioning:
        with self.ledger.spending(ENCODE):
            return self.model.variant.condition(batch.inputs)

    def _step_losses(self, batch: StepBatch) -> dict[str, Tensor]:
        """The variant's own terms over all samples of the step.

        One that compares samples would change with the micro-batch otherwise. They read the
        tokens, not the UNet, so that they are cheap to make again; after the micro-batches,
        whose dropout stays what it would be without them.
        """
        variant = self.model.variant
        if self.plan.accumulation == 1 or not variant.has_auxiliary_losses(self.stage.name):
            return {}
        with self.ledger.spending(FORWARD), self.autocast():
            conditioning = self._condition(batch)
            return dict(variant.auxiliary_losses(batch.inputs, conditioning, stage=self.stage.name))

    def autocast(self) -> AbstractContextManager[object]:
        """The run's precision, for a forward pass."""
        return autocast(self.plan.precision, device=self.model.device)


def set_rate(group: dict[str, object], rate: float) -> None:
    """Set the learning rate of an optimiser's group, on the device where it lies there."""
    current = group["lr"]
    if isinstance(current, Tensor):
        current.fill_(rate)
    else:
        group["lr"] = rate


def build_optimizer(
    groups: list[dict[str, object]], *, eps: float, device: torch.device
) -> torch.optim.AdamW:
    """AdamW over `groups`; on a GPU in one kernel, its rates and step counts on the device."""
    if device.type != "cuda":
        # The same operations on each tensor as one tensor at a time, without Python between them.
        return torch.optim.AdamW(groups, lr=0.0, eps=eps, foreach=True, fused=False)
    on_device = [{**group, "lr": torch.zeros((), device=device)} for group in groups]
    return torch.optim.AdamW(on_device, eps=eps, fused=True, capturable=True)
