"""What the rungs of `onset_study.py` share: a prepared branch, its training, and images judged.

Shape legend: N clips, A attributes, D draws, L text tokens, C channels or width, H W latent sides.
"""

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

import core.training.loop as training_loop
from core.conditioning.conditioning import AudioFeature, Conditioning
from core.embedded.corpus.classes import ATTRIBUTES
from core.foundation.judge import Judge, prepare_images
from core.foundation.sources import resolve_source
from core.sampling.sampler import Guidance, build_solver, initial_noise, sample_latents
from core.training.checkpoints import CheckpointFolder
from core.training.objective import TrainingData
from harness.run.findings import Findings
from harness.run.plan import PlannedRun, RunRequest, plan_run
from harness.run.prepare import PreparedModel, prepare_model
from harness.run.sample import pixels_of
from harness.wording.display import Display

ONSET = ATTRIBUTES.index("onset")
TOLD_CENTRES = np.linspace(0.0, 1.0, 6)
TOLD_HEIGHT = 0.15
"""An entry of CLAP's embedding is about .04: what is told is as plain as what it hears."""


@dataclass(frozen=True)
class Branch:
    """A variant on the frozen UNet, and the run that it is of."""

    planned: PlannedRun
    ready: PreparedModel

    @classmethod
    def prepare(
        cls, variant: str, *, seed: int, overrides: Sequence[str], results: Path
    ) -> "Branch":
        """As `harness run --variant variant --seed seed --set ...` begins."""
        request = RunRequest(variant, seed=seed, overrides=tuple(overrides), results=results)
        planned = plan_run(request, display=Display())
        ready = prepare_model(planned, device="cpu", findings=Findings(), display=Display())
        return cls(planned, ready)

    @property
    def data(self) -> TrainingData:
        """What it trains on."""
        return self.ready.data

    @property
    def test_ids(self) -> tuple[str, ...]:
        """The test clips."""
        return tuple(self.planned.prepared.split.test)

    def truth(self, ids: Sequence[str]) -> np.ndarray:
        """The clips' attributes [N, A]."""
        samples = self.planned.prepared.split.samples
        return np.array([[samples[i].attributes[name] for name in ATTRIBUTES] for i in ids])

    def told(self) -> "Branch":
        """The same with the true onset written over six numbers of CLAP's embedding: an oracle."""
        inner, truth = self.data.features, self.truth

        class Told:
            def __getattr__(self, name: str) -> Any:
                return getattr(inner, name)

            def audio(
                self, feature: AudioFeature, ids: Sequence[str], crops: Any = None
            ) -> torch.Tensor:
                values = inner.audio(feature, ids, crops)
                if feature is not AudioFeature.CLAP_POOLED:
                    return values
                onset_N1 = truth(ids)[:, ONSET, None]
                code = np.exp(-0.5 * ((onset_N1 - TOLD_CENTRES) / 0.2) ** 2) - 0.5
                values = values.clone()
                values[:, : len(TOLD_CENTRES)] = torch.from_numpy(TOLD_HEIGHT * code).float()
                return values

        # Nothing to move where everything is on the CPU; it would also look for tables to move.
        training_loop.on_device = lambda data, device: data  # type: ignore[assignment]
        data = replace(self.data, features=Told())
        return replace(self, ready=replace(self.ready, data=data))

    def train(self) -> dict[str, float | None]:
        """Train by the run's own plan; returns the validation loss at the end of each stage."""
        foundation = self.ready.foundation
        with tempfile.TemporaryDirectory() as scratch:
            found = training_loop.train(
                self.ready.model,
                data=self.data,
                plan=self.planned.plan,
                scheduler=foundation.noise_scheduler,
                latent_shape=foundation.latent_shape,
                seed=self.planned.request.seed,
                checkpoints=CheckpointFolder(Path(scratch)),
            )
        return {stage.stage: stage.validation_loss for stage in found.stages}

    @torch.no_grad()
    def condition(
        self, ids: Sequence[str], *, heard: Mapping[AudioFeature, torch.Tensor] | None = None
    ) -> Conditioning:
        """The clips' conditioning; heard: features in place of the clips' own."""
        self.ready.model.set_training(False)
        inputs = self.data.inputs(ids)
        if heard is not None:
            inputs = replace(inputs, audio={**inputs.audio, **heard})
        return self.ready.model.variant.condition(inputs)

    def images(
        self,
        names: Sequence[str],
        conditioning: Conditioning,
        *,
        draw: int = 0,
        audio_guidance: float | None = None,
        text_guidance: float | None = None,
    ) -> np.ndarray:
        """uint8 [N, H, W, 3] sampled as a run samples; noise by name and draw."""
        foundation, sampling = self.ready.foundation, self.planned.profile.sampling
        latents = sample_latents(
            self.ready.model,
            conditioning=conditioning,
            null_text_LC=self.ready.features.null_text,
            noise_BCHW=initial_noise(
                names,
                draws=[draw] * len(names),
                seed=self.planned.request.seed,
                latent_shape=foundation.latent_shape,
            ),
            solver=build_solver(sampling.sampler, noise_scheduler=foundation.noise_scheduler),
            steps=sampling.steps,
            guidance=Guidance(
                text=text_guidance or sampling.text_guidance,
                audio=audio_guidance or sampling.audio_guidance,
            ),
        )
        return pixels_of(foundation, latents)


class ImageReader:
    """The embedded image judge, as metrics use it."""

    def __init__(self) -> None:
        folder = resolve_source("embedded:image_judge").folder
        self.judge = Judge.from_pretrained(folder, local_files_only=True).eval()

    @torch.no_grad()
    def attributes(self, images_NHWC: np.ndarray) -> np.ndarray:
        """[N, A] read off images."""
        parts = [
            self.judge(prepare_images(images_NHWC[first : first + 64], self.judge.config))
            for first in range(0, len(images_NHWC), 64)
        ]
        return torch.cat([part.attributes for part in parts]).numpy()
