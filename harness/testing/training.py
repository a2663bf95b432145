"""What is trained: all that a stage declares, and nothing else."""

import math
from collections.abc import Iterator, Mapping

import torch
from torch import nn

from core.conditioning.attached import AttachedVariant
from core.conditioning.counting import parameters_by_module
from core.conditioning.stage import ParameterGroup
from core.errors import GuardError
from core.randomness import normal, torch_seeded
from core.training.built import check_built
from core.training.guards import parameters_hash
from harness.testing.bench import Bench, adapter_of, require, stages

# Steps in which a gradient must arrive: behind a shut gate or a zero LoRA factor it needs two.
_STEPS = 4


class TrainingChecks(Bench):
    """Checks on gradients, frozen parameters and counts."""

    def test_gradient_reaches_every_parameter_a_stage_trains(self) -> None:
        """Within a few steps of a stage, every parameter it trains has had a gradient."""
        model = self.attached()
        for name, groups in stages():
            trained = model.train_only(groups)
            reached: set[str] = set()
            for _ in self.training(model, stage=name, trained=trained, steps=_STEPS):
                for parameter_name, parameter in trained.items():
                    gradient = parameter.grad
                    if gradient is None:
                        continue
                    require(
                        bool(torch.isfinite(gradient).all()),
                        f"{name}: the gradient of {parameter_name} is not finite",
                    )
                    if bool((gradient != 0).any()):
                        reached.add(parameter_name)
                if reached == trained.keys():
                    break
            dead = sorted(trained.keys() - reached)
            require(
                not dead,
                f"{name} trains {len(dead)} parameters that the loss never reaches: "
                f"{', '.join(dead[:4])}. They are not in the graph, or cut off by a detach",
            )

    def test_parameters_can_be_trained(self) -> None:
        """Every parameter has a size and finite values; what is trained is float32."""
        try:
            check_built(self.build(self.foundation.unet()))
        except GuardError as error:
            raise AssertionError(str(error)) from error

    def test_frozen_parameters_stay_frozen(self) -> None:
        """No step changes the UNet, nor what the stage does not train."""
        model = self.attached()
        before = parameters_hash(model.frozen_parameters())
        for name, groups in stages():
            trained = model.train_only(groups)
            others = {
                n: p for n, p in model.parameters(tuple(ParameterGroup)).items() if n not in trained
            }
            others_before = {n: p.detach().clone() for n, p in others.items()}
            for _ in self.training(model, stage=name, trained=trained, steps=1):
                pass
            moved = [n for n, p in others.items() if not torch.equal(p, others_before[n])]
            require(
                not moved,
                f"{name} changed {', '.join(moved[:4])}, which it does not train: parameters "
                "change in the optimiser alone",
            )
            require(
                parameters_hash(model.frozen_parameters()) == before,
                f"{name} changed the frozen UNet: a run would no longer measure the variant alone",
            )

    def test_parameter_groups_hold_every_parameter_once(self) -> None:
        """Gates and the rest are told apart, and each gate has a value to log."""
        variant = self.build(self.foundation.unet())
        groups = variant.parameter_groups()
        grouped = sorted(id(p) for group in groups.values() for p in group.values())
        require(
            grouped == sorted(id(p) for p in variant.parameters()),
            "parameter_groups() must hold every parameter of the variant exactly once",
        )
        gates, values = variant.gates(), variant.gate_values()
        require(
            {id(p) for p in gates.values()}
            == {id(p) for p in groups.get(ParameterGroup.GATES, {}).values()},
            "gates() must name parameters of the variant: what is none of them is neither trained "
            "in stage 3 nor saved",
        )
        require(
            gates.keys() == values.keys() and all(math.isfinite(v) for v in values.values()),
            f"gate_values() must give a finite number for each of gates(); got {values}",
        )

    def test_parameter_counts_need_no_weights(self) -> None:
        """`harness list` counts on the meta device what a run then trains."""
        real = self.attached()
        with torch.device("meta"):
            unet = self.foundation.unet()
            variant = self.build(unet)
            counted = AttachedVariant(variant, unet=unet, attach_adapter=adapter_of(variant))
        on_device = [n for n, p in counted.variant.named_parameters() if not p.is_meta]
        require(
            not on_device,
            f"{', '.join(on_device[:4])} ignore the current device: build parameters without "
            "naming one, so that full-size counts need no memory",
        )
        for name, groups in stages():
            promised = parameters_by_module(counted, groups)
            trained = real.train_only(groups)
            require(
                promised == parameters_by_module(real, groups)
                and sum(promised.values()) == sum(p.numel() for p in trained.values()),
                f"{name} trains {parameters_by_module(real, groups)} where the meta device counts "
                f"{promised}: sizes must follow from config and shapes alone",
            )

    def training(
        self,
        model: AttachedVariant,
        *,
        stage: str,
        trained: Mapping[str, nn.Parameter],
        steps: int,
    ) -> Iterator[int]:
        """Optimiser steps of a stage; yields between each backward pass and the update."""
        if not trained:
            return
        if stage == "stage1":
            model.adapter.disable()
        else:
            model.adapter.enable()
        inputs = self.inputs(model.variant)
        target_BCHW = normal((len(inputs), *self.foundation.latent_shape), seed=0, name=("eps",))
        optimizer = torch.optim.AdamW(list(trained.values()), lr=1e-2)
        # A caller may have left an earlier stage between its backward pass and its update.
        optimizer.zero_grad(set_to_none=True)
        model.set_training(True)
        for step in range(steps):
            with torch_seeded(0, "contract", "dropout", stage, step):
                conditioning = model.variant.condition(inputs)
                predicted = self.predict(model.unet, conditioning.context())
                terms = model.variant.auxiliary_losses(inputs, conditioning, stage=stage)
                loss = (predicted - target_BCHW).square().mean()
                for term in terms.values():
                    loss = loss + term
            require(
                loss.requires_grad,
                f"{stage} trains {len(trained)} parameters and the loss depends on none of them",
            )
            loss.backward()
            yield step
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        model.set_training(False)
