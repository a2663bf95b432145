"""What one optimiser step reads, put together on the device before the step begins.

Shape legend: S slots of an optimiser step (all its micro-batches), C latent channels, H W latent
height and width, L text tokens, D context width.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from core.conditioning.conditioning import AudioFeature, ConditioningInputs
from core.conditioning.stage import Stage
from core.training.ledger import DATA, TRANSFER, Ledger
from core.training.objective import (
    NoisedBatch,
    StepDraws,
    TrainingData,
    add_noise,
    draw_step,
    sample_latents,
    to_device,
)
from core.training.plan import TrainingPlan, batch_indices, timestep_weights


@dataclass(frozen=True)
class StepBatch:
    """The inputs, noise and targets of all slots of one optimiser step.

    weight_S: of each slot in the diffusion loss, by its class and its noise level.
    """

    inputs: ConditioningInputs
    noised: NoisedBatch
    drop_text_S: Tensor
    drop_audio_S: Tensor
    weight_S: Tensor

    def tensors(self) -> dict[str, Tensor]:
        """Every tensor by name, in one order."""
        return {
            "text": self.inputs.text_BLC,
            **{f"audio.{feature}": values for feature, values in self.inputs.audio.items()},
            "class_index": self.inputs.class_index_B,
            "noisy": self.noised.noisy_BCHW,
            "timesteps": self.noised.timesteps_B,
            "target": self.noised.target_BCHW,
            "drop_text": self.drop_text_S,
            "drop_audio": self.drop_audio_S,
            "weight": self.weight_S,
        }

    @classmethod
    def of(cls, tensors: Mapping[str, Tensor]) -> "StepBatch":
        """The batch that `tensors` named so."""
        return cls(
            inputs=ConditioningInputs(
                text_BLC=tensors["text"],
                audio={
                    AudioFeature(name.removeprefix("audio.")): values
                    for name, values in tensors.items()
                    if name.startswith("audio.")
                },
                class_index_B=tensors["class_index"],
            ),
            noised=NoisedBatch(tensors["noisy"], tensors["timesteps"], tensors["target"]),
            drop_text_S=tensors["drop_text"],
            drop_audio_S=tensors["drop_audio"],
            weight_S=tensors["weight"],
        )

    def micro(self, number: int, *, size: int) -> "StepBatch":
        """The slots of one micro-batch."""
        slots = slice(number * size, (number + 1) * size)
        return StepBatch.of({name: tensor[slots] for name, tensor in self.tensors().items()})


class Batches:
    """The step batches of one stage: pure functions of seed, stage and step."""

    def __init__(
        self,
        data: TrainingData,
        *,
        plan: TrainingPlan,
        stage_index: int,
        scheduler: Any,
        latent_shape: Sequence[int],
        seed: int,
        device: torch.device,
        ledger: Ledger | None = None,
    ) -> None:
        self.data = data
        self.plan = plan
        self.stage: Stage = plan.stages[stage_index]
        self.first_step = plan.first_step(stage_index)
        self.scheduler = scheduler
        self.latent_shape = latent_shape
        self.seed = seed
        self.device = device
        self._ledger = ledger or Ledger()
        self._timestep_weight_T = timestep_weights(
            plan.loss_weighting, alphas_cumprod_T=scheduler.alphas_cumprod
        ).to(device)

    def at(self, step: int) -> StepBatch:
        """The batch of the stage's optimiser step number `step`."""
        with self._ledger.spending(DATA):
            return self._made(step)

    def _made(self, step: int) -> StepBatch:
        data, draws = self.data, self._draws(step)
        chosen = batch_indices(
            self.first_step + step,
            batch_size=self.plan.batch_size,
            num_samples=len(data.train_ids),
            seed=self.seed,
        )
        ids = [data.train_ids[index] for index in chosen]
        latents_SCHW = sample_latents(data, ids, draws.flipped.tolist(), draws.latent_noise)
        noised = add_noise(
            self.scheduler,
            self._moved(latents_SCHW),
            noise_BCHW=self._moved(draws.noise),
            timesteps_B=self._moved(torch.from_numpy(draws.timesteps)),
        )
        class_weight_S = self._moved(torch.tensor([data.class_weight[i] for i in ids]))
        inputs = data.inputs(ids, crop_draws=draws.crops.tolist())
        return StepBatch(
            inputs=ConditioningInputs(
                text_BLC=self._moved(inputs.text_BLC),
                audio={name: self._moved(values) for name, values in inputs.audio.items()},
                class_index_B=self._moved(inputs.class_index_B),
            ),
            noised=noised,
            drop_text_S=self._moved(torch.from_numpy(draws.drop_text)),
            drop_audio_S=self._moved(torch.from_numpy(draws.drop_audio)),
            weight_S=class_weight_S * self._timestep_weight_T[noised.timesteps_B],
        )

    def _moved(self, tensor: Tensor) -> Tensor:
        with self._ledger.spending(TRANSFER):
            return to_device(tensor, self.device)

    def _draws(self, step: int) -> StepDraws:
        plan = self.plan
        return draw_step(
            seed=self.seed,
            stage=self.stage.name,
            step=step,
            slots=plan.batch_size,
            latent_shape=self.latent_shape,
            num_timesteps=int(self.scheduler.config.num_train_timesteps),
            text_dropout=plan.text_dropout,
            audio_dropout=plan.audio_dropout,
            horizontal_flip=self.data.horizontal_flip,
        )
