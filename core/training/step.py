"""One optimiser step: forward and backward over its micro-batches, clipping, the update.

Shape legend: B samples of a micro-batch, L text tokens, D context width.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from core.conditioning.attached import AttachedVariant
from core.conditioning.stage import Stage
from core.randomness import torch_seeded
from core.training import guards
from core.training.batches import StepBatch
from core.training.objective import per_sample_mse
from core.training.plan import TrainingPlan, learning_rate_factor
from core.training.precision import autocast


@dataclass(frozen=True)
class StepOutcome:
    """What a step leaves to report; loss is the sum of `losses`."""

    loss: float
    losses: Mapping[str, float]
    grad_norm: float


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
    ) -> None:
        self.model = model
        self.plan = plan
        self.stage = stage
        self.seed = seed
        self.trained = trained
        self.optimizer = optimizer
        self.null_text_LD = null_text_LD.to(model.device)
        self.reached: set[str] = set()

    def __call__(self, batch: StepBatch, *, step: int) -> StepOutcome:
        """Make optimiser step number `step` of the stage.

        Raises:
            GuardError: the loss or a gradient is not finite; nothing was updated.
        """
        plan = self.plan
        factor = learning_rate_factor(
            step, steps=self.stage.steps, warmup_steps=self.stage.warmup_steps
        )
        for group in self.optimizer.param_groups:
            group["lr"] = group["peak_lr"] * factor
        self.model.set_training(True)
        total: dict[str, float] = {}
        with torch_seeded(self.seed, "dropout", self.stage.name, step):
            for number in range(plan.accumulation):
                losses = self._losses(batch.micro(number, size=plan.micro_batch))
                loss = torch.stack(list(losses.values())).sum() / plan.accumulation
                loss.backward()
                for name, value in losses.items():
                    total[name] = total.get(name, 0.0) + value.item() / plan.accumulation
        parameters = list(self.trained.values())
        grad_norm = float(nn.utils.clip_grad_norm_(parameters, plan.grad_clip))
        loss_value = sum(total.values())
        guards.check_finite(loss_value, grad_norm, stage=self.stage.name, step=step)
        self._note_gradients()
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        return StepOutcome(loss_value, total, grad_norm)

    def _losses(self, batch: StepBatch) -> dict[str, Tensor]:
        """The terms of one micro-batch's loss, scalars by name."""
        with autocast(self.plan.precision, device=self.model.device):
            conditioning = self.model.variant.condition(batch.inputs)
            heard = conditioning.with_text_dropped(
                batch.drop_text_S, null_text_LC=self.null_text_LD
            ).with_audio_dropped(batch.drop_audio_S)
            prediction = self.model.predict(
                batch.noised.noisy_BCHW, batch.noised.timesteps_B, heard.context()
            )
            auxiliary = self.model.variant.auxiliary_losses(
                batch.inputs, conditioning, stage=self.stage.name
            )
        mse_B = per_sample_mse(prediction, batch.noised.target_BCHW)
        return {"diffusion": (batch.weight_S * mse_B).mean(), **auxiliary}

    def _note_gradients(self) -> None:
        for name, parameter in self.trained.items():
            if name in self.reached or parameter.grad is None:
                continue
            if bool((parameter.grad != 0).any()):
                self.reached.add(name)
