"""A check that what is trained on is the UNet's own answer to the scheduler's own noise.

Shape legend: B clips, C latent channels, H W latent height and width, K context tokens.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from core.conditioning.attached import AttachedVariant
from core.errors import GuardError
from core.training.apart import buffers_kept
from core.training.guards import Probe
from core.training.precision import in_float32


def check_answer_is_the_unets(model: AttachedVariant, probe: Probe) -> None:
    """Raises GuardError where something of the variant's stands before or behind the UNet.

    The UNet's first layers have to get the noisy latents and timesteps that they are given: noise
    or a schedule of the variant's own is not the one that is sampled by. The prediction has to be
    what its last layer makes: a loss on anything else says nothing of what is trained.
    """
    given = {"conv_in": probe.noisy_BCHW, "time_proj": probe.timesteps_B}
    with buffers_kept(model), torch.no_grad(), in_float32(model.unet):
        for is_training in (False, True):
            model.set_training(is_training)
            try:
                context_BKC = model.variant.condition(probe.inputs).context()
                with _seen(model.unet) as seen:
                    answer = model.predict(probe.noisy_BCHW, probe.timesteps_B, context_BKC)
            finally:
                model.set_training(False)
            for name, expected in given.items():
                if not torch.equal(seen[name].float(), expected.float()):
                    raise GuardError(
                        f"the UNet's {name} gets other {_WHAT[name]} than the training step made: "
                        "the variant adds noise or a schedule of its own to the scheduler's, which "
                        "sampling does not repeat. A variant may change what happens inside the "
                        "UNet, but not its inputs"
                    )
            if not torch.equal(seen["conv_out"].float(), answer.float()):
                raise GuardError(
                    "the prediction is not what the UNet's last layer made: a hook or a forward of "
                    "the variant's own replaces it, so the loss hardly depends on the UNet. A "
                    "variant may change what happens inside the UNet, but not its output"
                )


_WHAT = {"conv_in": "latents", "time_proj": "timesteps"}


@contextmanager
def _seen(unet: Any) -> Iterator[dict[str, Tensor]]:
    """What the first layers get, behind every other hook, and the last gives, before any other."""
    seen: dict[str, Tensor] = {}
    hooks = [
        getattr(unet, name).register_forward_pre_hook(
            lambda module, args, name=name: seen.update({name: args[0].detach().clone()})
        )
        for name in _WHAT
    ]
    hooks.append(
        unet.conv_out.register_forward_hook(
            lambda module, args, output: seen.update(conv_out=output.detach().clone()),
            prepend=True,
        )
    )
    try:
        yield seen
    finally:
        for hook in hooks:
            hook.remove()
