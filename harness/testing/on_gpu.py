"""What a GPU would refuse, found without one."""

import torch

from core.conditioning.stage import ParameterGroup
from core.randomness import torch_seeded
from core.training.refused import refused_on_gpu
from harness.testing.bench import Bench, stages
from harness.testing.pretended_gpu import GPU, OnGpuError, pretended_gpu


class GpuChecks(Bench):
    """Checks on a GPU that is not there."""

    def test_a_gpu_can_compute_it(self) -> None:
        """No step mixes tensors of two devices, nor needs an operation that a GPU refuses.

        Operations are refused as with `training.deterministic`, the default.
        """
        was_deterministic = torch.are_deterministic_algorithms_enabled()
        torch.use_deterministic_algorithms(True)
        try:
            with pretended_gpu():
                self._train_a_step()
        except OnGpuError as error:
            raise AssertionError(f"on a GPU: {refused_on_gpu(error)}") from error
        finally:
            torch.use_deterministic_algorithms(was_deterministic)

    def _train_a_step(self) -> None:
        """Forward with every stage's own terms, and backward to all that is ever trained."""
        model = self.attached(device=GPU)
        inputs = self.inputs(model.variant).to(GPU)
        trained = model.train_only(tuple(ParameterGroup))
        model.set_training(True)
        with torch_seeded(0, "contract", "gpu"):
            conditioning = model.variant.condition(inputs)
            loss = self.predict(model.unet, conditioning.context()).square().mean()
            for name, _ in stages():
                terms = model.variant.auxiliary_losses(inputs, conditioning, stage=name)
                loss = loss + sum(terms.values())
        if trained and loss.requires_grad:
            loss.backward()
