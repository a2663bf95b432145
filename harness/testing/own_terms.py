"""What a variant's own loss terms train, and where they pull."""

from collections.abc import Iterator, Mapping

from torch import Tensor, nn

from core.conditioning.attached import AttachedVariant
from core.conditioning.stage import ParameterGroup
from core.errors import GuardError
from core.randomness import normal, torch_seeded
from core.training.own_terms import gradients_of, pulled_by_own_terms
from harness.testing.bench import require, stages
from harness.testing.training import TrainingChecks

# Behind a shut gate or a zero LoRA factor a gradient takes two steps.
_STEPS = 4
_ALL = tuple(ParameterGroup)


class OwnTermChecks(TrainingChecks):
    """Checks on the terms of `auxiliary_losses`, in each stage that has them."""

    def test_own_terms_train_what_the_images_use(self) -> None:
        """What an own term gives a gradient, the diffusion loss reaches too, or it is declared."""
        for model, stage, trained in self._stages_with_terms():
            declared = {f"variant.{n}" for n in model.variant.loss_only_parameters()}
            unknown = sorted(declared - model.parameters(_ALL).keys())
            require(
                not unknown,
                f"loss_only_parameters() names {', '.join(unknown)}, which the variant does not "
                "train",
            )
            with torch_seeded(0, "contract", "own_terms", stage):
                try:
                    own = pulled_by_own_terms(
                        model.variant, self.inputs(model.variant), stage=stage, trained=trained
                    )
                except GuardError:
                    continue  # of another check
                reached = {
                    name
                    for name, gradient in gradients_of(self._diffusion(model), trained).items()
                    if gradient is not None and bool(gradient.any())
                }
            alone = sorted(own - reached - declared)
            require(
                not alone,
                f"{stage}: {', '.join(alone[:4])} get a gradient from the variant's own terms "
                "alone: they are not in the graph of the tokens, so what they learn reaches no "
                "image. A head that only a loss needs is named by loss_only_parameters()",
            )

    def test_own_terms_pull_where_they_say(self) -> None:
        """A term moves the quantity of its goal the stated way; one of entropy states a goal."""
        for model, stage, trained in self._stages_with_terms():
            with torch_seeded(0, "contract", "own_terms", stage):
                try:
                    pulled_by_own_terms(
                        model.variant, self.inputs(model.variant), stage=stage, trained=trained
                    )
                except GuardError as error:
                    raise AssertionError(str(error)) from error

    def _stages_with_terms(
        self,
    ) -> Iterator[tuple[AttachedVariant, str, Mapping[str, nn.Parameter]]]:
        model = self.attached()
        for stage, groups in stages():
            trained = model.train_only(groups)
            if not trained or not model.variant.has_auxiliary_losses(stage):
                continue
            for _ in self.training(model, stage=stage, trained=trained, steps=_STEPS):
                pass
            model.set_training(True)
            yield model, stage, trained

    def _diffusion(self, model: AttachedVariant) -> Tensor:
        inputs = self.inputs(model.variant)
        target_BCHW = normal((len(inputs), *self.foundation.latent_shape), seed=0, name=("eps",))
        context_BKC = model.variant.condition(inputs).context()
        return (self.predict(model.unet, context_BKC) - target_BCHW).square().mean()
