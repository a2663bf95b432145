"""Images of a few validation clips while a run trains."""

from collections.abc import Callable

import torch
from PIL import Image

from core.data.splits.split import Split
from core.randomness import normal, torch_seeded
from core.sampling.sampler import Guidance, build_solver, sample_latents
from core.training.preview import Preview
from harness.records.folders import RunFolder
from harness.records.image_names import file_stem
from harness.run.plan import PlannedRun
from harness.run.prepare import PreparedModel
from harness.run.sample import SampleRequest, conditioning_of, headline_arm, pixels_of

NUM_CLIPS = 4


def preview_clips(split: Split) -> list[str]:
    """The same validation clips for every run on a split: the first of each class in turn."""
    by_class = [
        [i for i in split.val if split.samples[i].class_name == name] for name in split.classes
    ]
    longest = max(map(len, by_class), default=0)
    in_turn = [own[place] for place in range(longest) for own in by_class if place < len(own)]
    return in_turn[:NUM_CLIPS]


def previews_of(
    ready: PreparedModel, *, planned: PlannedRun, say: Callable[[str], None]
) -> Preview | None:
    """What looks at the run; None where that is not asked for."""
    every = planned.profile.training.preview_every
    return _Previews(ready, planned=planned, every=every, say=say) if every else None


class _Previews(Preview):
    def __init__(
        self,
        ready: PreparedModel,
        *,
        planned: PlannedRun,
        every: int,
        say: Callable[[str], None],
    ) -> None:
        self._ready = ready
        self._planned = planned
        self._every = every
        self._say = say
        self._folder = RunFolder(planned.folder).previews
        self._ids = preview_clips(planned.prepared.split)
        self._has_failed = False

    def is_due(self, global_step: int) -> bool:
        return not self._has_failed and global_step % self._every == 0

    def show(self, global_step: int) -> None:
        try:
            self._paint(global_step)
        except torch.OutOfMemoryError:
            # The run fits without: it goes on.
            self._has_failed = True
            self._say(f"out of memory at the preview of step {global_step}; there are no further")

    def _paint(self, global_step: int) -> None:
        ready, settings = self._ready, self._planned.profile.sampling
        foundation, seed = ready.foundation, self._planned.request.seed
        arm = headline_arm(ready.model.variant)
        requests = [
            SampleRequest(sample_id=sample_id, arm=arm, draw=0, heard_id=sample_id)
            for sample_id in self._ids
        ]
        # Of its own name, so that neither the training's draws nor the images' are touched.
        noise = [normal(foundation.latent_shape, seed=seed, name=("preview", i)) for i in self._ids]
        with torch_seeded(seed, "preview", global_step):
            latents_BCHW = sample_latents(
                ready.model,
                conditioning=conditioning_of(
                    ready.model, requests, features=ready.features, arm=arm
                ),
                null_text_LC=ready.features.null_text,
                noise_BCHW=torch.stack(noise),
                solver=build_solver(settings.sampler, noise_scheduler=foundation.noise_scheduler),
                steps=settings.steps,
                guidance=Guidance(text=settings.text_guidance, audio=settings.audio_guidance),
                precision=self._planned.profile.training.precision,
            )
            pixels = pixels_of(foundation, latents_BCHW)
        folder = self._folder / f"step-{global_step:08d}"
        folder.mkdir(parents=True, exist_ok=True)
        for sample_id, picture in zip(self._ids, pixels, strict=True):
            Image.fromarray(picture).save(folder / f"{file_stem(sample_id)}.png")
