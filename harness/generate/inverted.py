"""An image taken back to noise, and sampled again from there, with or without a sound.

Shape legend: C latent channels, H W height and width.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Self

from torch import Tensor

from core.choices import KeptAttention, Sampler
from core.sampling.attention import Attention
from core.sampling.inversion import invert_latents
from core.sampling.sampler import Guidance, Guided, build_solver, sample_latents
from harness.generate.answer import Answer
from harness.generate.trained import TrainedBranch

PLAIN = Guidance(text=1.0, audio=0.0)
"""The caption alone, as it is: neither guided nor with a sound."""


@dataclass(frozen=True)
class Inverted:
    """The latents of an image on its way to noise by DDIM inversion, and sampling from there."""

    branch: TrainedBranch
    levels: list[Tensor]
    """Latents [1, C, H, W] after each step towards noise; the first are the clean image's."""
    taken: int
    """Steps that are sampled anew, counted from the clean image."""
    plain: Guided
    """The UNet on the image's own caption, without guidance: what the inversion asks."""

    @classmethod
    def of(
        cls, clean_BCHW: Tensor, *, branch: TrainedBranch, source: Answer, steps: int, taken: int
    ) -> Self:
        """Invert an image's latents [1, C, H, W], conditioned on the caption of `source`.

        Raises: UsageError for a foundation that cannot be inverted.
        """
        plain = Guided(
            branch.model,
            conditioning=source.conditioning,
            null_text_LC=source.null_text_LC,
            guidance=PLAIN,
            precision=branch.profile.training.precision,
        )
        levels = invert_latents(plain, clean_BCHW, solver=_ddim(branch), steps=steps)
        return cls(branch, levels, taken, plain)

    def level(self, done: int) -> Tensor:
        """The image's own latents at the noise that is left after so many of all steps."""
        return self.levels[len(self.levels) - 1 - done]

    def sampled(
        self,
        answer: Answer,
        *,
        guidance: Guidance,
        before_step: Callable[[int, Tensor], None] = lambda done, timestep: None,
        after_step: Callable[[int, Tensor], Tensor] = lambda done, latents_BCHW: latents_BCHW,
    ) -> Tensor:
        """Latents sampled from the noise after `taken` steps; see `sample_latents`."""
        steps = len(self.levels) - 1
        return sample_latents(
            self.branch.model,
            conditioning=answer.conditioning,
            null_text_LC=answer.null_text_LC,
            noise_BCHW=self.levels[self.taken],
            solver=_ddim(self.branch),
            steps=steps,
            guidance=guidance,
            precision=self.branch.profile.training.precision,
            skipped=steps - self.taken,
            before_step=before_step,
            after_step=after_step,
        )

    def edited(
        self,
        answer: Answer,
        *,
        guidance: Guidance,
        kept: KeptAttention,
        num_kept: int,
        may_change_1HW: Tensor | None,
    ) -> Tensor:
        """The same, held to the image: attention in the first `num_kept` steps, and latents
        wherever `may_change_1HW` is 0."""
        skipped = len(self.levels) - 1 - self.taken

        def before_step(done: int, timestep: Tensor) -> None:
            attention.release()
            if done - skipped < num_kept:
                with attention.recording():
                    self.plain(self.level(done), timestep)

        def after_step(done: int, latents_BCHW: Tensor) -> Tensor:
            # Outside the mask the image's own way back from noise (Avrahami et al. 2022).
            if may_change_1HW is None:
                return latents_BCHW
            return may_change_1HW * latents_BCHW + (1 - may_change_1HW) * self.level(done)

        with Attention(self.branch.model.unet, kept=kept) as attention:
            return self.sampled(
                answer, guidance=guidance, before_step=before_step, after_step=after_step
            )


def _ddim(branch: TrainedBranch) -> Any:
    return build_solver(Sampler.DDIM, noise_scheduler=branch.foundation.noise_scheduler)
