"""What is kept: state through a file, and a UNet that is given back as it was."""

import tempfile
from pathlib import Path
from typing import Any

import torch
from torch import nn

from core.conditioning.stage import ParameterGroup
from core.randomness import normal, torch_seeded
from core.sampling.sampler import Guidance, sample_latents
from harness.testing.bench import ROUNDING, Bench, difference, require, stir, stirred


class KeepingChecks(Bench):
    """Checks on saving, attaching and on other code that uses the UNet."""

    def test_state_survives_a_safetensors_file(self) -> None:
        """Saved and loaded into a variant of another seed, the output is the same bit by bit."""
        from safetensors.torch import load_file, save_file

        first = self.attached()
        stirred(first.variant)
        stir(first.adapter.named_parameters().values())
        inputs = self.inputs(first.variant)
        before = self.answer(first.unet, first.variant, inputs)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "weights.safetensors"
            save_file({n: t.contiguous() for n, t in first.state_dict().items()}, path)
            state = load_file(path)
        second = self.attached(seed=1)
        try:
            second.load_state_dict(dict(state))
        except Exception as error:
            raise AssertionError(f"the saved state cannot be loaded: {error}") from error
        again = second.state_dict()
        require(
            again.keys() == state.keys()
            and all(
                again[n].dtype == t.dtype and torch.equal(again[n], t) for n, t in state.items()
            ),
            "a tensor comes back from the file other than it was saved",
        )
        require(
            torch.equal(self.answer(second.unet, second.variant, inputs), before),
            "the loaded variant gives another output than the saved one: something that shapes "
            "the output is not in the state dict (a tensor kept outside parameters and buffers)",
        )
        third = self.attached(seed=2)
        own = {n[8:]: t for n, t in state.items() if n.startswith("variant.")}
        third.variant.load_state_dict(own, assign=True)
        third.adapter.load_state_dict(
            {n[13:]: t for n, t in state.items() if n.startswith("unet_adapter.")}
        )
        require(
            torch.equal(self.answer(third.unet, third.variant, inputs), before),
            "loading with assign=True has no effect on the output: a processor keeps a tensor "
            "where it should keep the module that owns it",
        )

    def test_attaching_and_detaching_leave_the_unet_as_it_was(self) -> None:
        """Attached, the UNet has the same state; detached, also the same processors and hooks."""
        unet = self.foundation.unet()
        inputs = self.inputs(self.build(unet))
        plain = self.predict(unet, inputs.text_BLC)
        state = {name: tensor.clone() for name, tensor in unet.state_dict().items()}
        processors, hooks = _processors(unet), _hooks(unet)
        variant = stirred(self.build(unet))
        variant.detach()
        variant.attach(unet)
        require(
            list(unet.state_dict()) == list(state),
            "attaching changed the keys of the UNet's state dict: modules belong in the variant, "
            "processors are plain objects",
        )
        own = {id(p) for p in unet.parameters()}
        require(
            not any(id(p) in own for p in variant.parameters()),
            "the variant holds parameters of the UNet and would train and save them",
        )
        first = self.answer(unet, variant, inputs)
        variant.detach()
        require(
            all(torch.equal(t, state[n]) for n, t in unet.state_dict().items())
            and list(unet.state_dict()) == list(state),
            "after detach() the UNet's tensors are not what they were",
        )
        require(
            _processors(unet) == processors and _hooks(unet) == hooks,
            "after detach() a processor or a hook of the variant stays in the UNet and would work "
            "on in the next branch",
        )
        require(
            torch.equal(self.predict(unet, inputs.text_BLC), plain),
            "after detach() the UNet's output is not what it was",
        )
        variant.attach(unet)
        require(
            torch.equal(self.answer(unet, variant, inputs), first),
            "attached a second time the variant gives another output",
        )

    def test_plain_pipeline_paints_what_our_sampler_does(self) -> None:
        """The same UNet in a plain `StableDiffusionPipeline` gives the latents of our sampler."""
        model = self.attached()
        stirred(model.variant)
        with torch.no_grad():
            conditioning = model.variant.condition(self.inputs(model.variant))
        null_LC = self.foundation.null_text()
        shape = self.foundation.latent_shape
        noise_BCHW = torch.stack(
            [normal(shape, seed=0, name=("paint", k)) for k in range(len(conditioning.text_BLC))]
        )
        # Text and sound guided alike, which is all that a plain pipeline can do.
        expected = sample_latents(
            model,
            conditioning=conditioning,
            null_text_LC=null_LC,
            noise_BCHW=noise_BCHW,
            solver=_solver(),
            steps=2,
            guidance=Guidance(text=3.0, audio=3.0),
        )
        everywhere = torch.ones(len(noise_BCHW), dtype=torch.bool)
        null = conditioning.with_audio_dropped(everywhere).with_text_dropped(
            everywhere, null_text_LC=null_LC
        )
        with torch.no_grad():
            painted = _pipeline(model.unet)(
                prompt_embeds=conditioning.context(),
                negative_prompt_embeds=null.context(),
                latents=noise_BCHW,
                num_inference_steps=2,
                guidance_scale=3.0,
                output_type="latent",
            ).images
        changed = difference(painted, expected)
        require(
            changed <= 100 * ROUNDING,
            f"a plain pipeline samples other latents than our sampler (difference {changed:.2g}): "
            "what the layers need must be in the context, not in the order of rows or in state "
            "that only our own code sets",
        )

    def test_bfloat16_unet_is_served(self) -> None:
        """On a bfloat16 UNet, as at full size, outputs and gradients stay finite."""
        model = self.attached(dtype=torch.bfloat16)
        inputs = self.inputs(model.variant)
        trained = model.train_only(tuple(ParameterGroup))
        with torch.autocast("cpu", dtype=torch.bfloat16):
            answer = self.predict(model.unet, model.variant.condition(inputs).context())
            loss = answer.float().square().mean()
        require(bool(torch.isfinite(answer).all()), "the output on a bfloat16 UNet is not finite")
        if not trained:
            return
        loss.backward()
        wrong = [
            n for n, p in trained.items() if p.grad is not None and not p.grad.isfinite().all()
        ]
        require(not wrong, f"gradients under bfloat16 are not finite: {', '.join(wrong[:4])}")


def _processors(unet: Any) -> dict[str, int]:
    return {name: id(processor) for name, processor in unet.attn_processors.items()}


def _hooks(unet: nn.Module) -> int:
    return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in unet.modules())


def _solver() -> Any:
    from diffusers import DDIMScheduler

    return DDIMScheduler(steps_offset=1, clip_sample=False)


def _pipeline(unet: Any) -> Any:
    """diffusers' own pipeline around this UNet."""
    from diffusers import AutoencoderKL, StableDiffusionPipeline

    with torch_seeded(0, "contract", "vae"):
        vae = AutoencoderKL(
            block_out_channels=(4,) * 4,
            norm_num_groups=2,
            down_block_types=("DownEncoderBlock2D",) * 4,
            up_block_types=("UpDecoderBlock2D",) * 4,
        )
    pipeline: Any = StableDiffusionPipeline(
        vae=vae,
        text_encoder=None,
        tokenizer=None,
        unet=unet,
        scheduler=_solver(),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipeline.set_progress_bar_config(disable=True)
    return pipeline
