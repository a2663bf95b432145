"""One side of the comparison of training steps, in a process of its own.

    python -m benchmarks.speed.step_side SIDE --work FOLDER --size SIZE

`harness` is a run by the harness's own code, from its plan to its loop with every guard, journal
and event; `original` is the loop that people write, with the VAE, CLIP's text encoder and CLAP in
each step; `bare` is the same loop on features in memory, and nothing else. All three train the same
branch with its adapter (stage 2) on the same UNet with the same losses, draws of the same kind,
clipping and AdamW.

After each turn a line of JSON says its CPU seconds and the process's peak memory so far; then the
process waits for the number of steps of the next turn on its standard input, or for its end.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from benchmarks.speed.timing import forget_peak, peak_mib

VARIANT = "baseline"
SIDES = ("harness", "original", "bare")
COUNTS = {"fire": 5, "siren": 5, "thunder": 5}
"""Pairs of each class."""


@dataclass(frozen=True, kw_only=True)
class Size:
    """How large a side's models and steps are."""

    profile: str
    micro_batch: int
    """Samples of one pass."""
    accumulation: int
    """Passes of a step."""
    warm_up: int
    """Steps before the first that counts."""
    window_s: float
    """Sound that CLAP is given."""


SIZES = {
    "full": Size(profile="sd15", micro_batch=1, accumulation=1, warm_up=2, window_s=10.0),
    "tiny": Size(profile="tiny", micro_batch=4, accumulation=2, warm_up=10, window_s=3.0),
}


class OverError(Exception):
    """Nobody asks for more steps."""


class Turns:
    """Counts steps, says what a turn of them cost, and waits for the next."""

    def __init__(self, *, warm_up: int) -> None:
        self._left = warm_up
        self._before: float | None = None
        self._started = time.process_time()

    def after_step(self) -> None:
        """Raises OverError where the other end is closed."""
        self._left -= 1
        if self._left > 0:
            return
        cpu_s = time.process_time() - self._started
        stepping = peak_mib()
        if self._before is None:  # the warm-up: what comes from here on is steps alone
            self._before = stepping
            forget_peak()
        peak = max(self._before, stepping)
        answer = {"cpu_s": cpu_s, "stepping_mib": stepping, "peak_mib": peak}
        print(json.dumps(answer), flush=True)
        word = sys.stdin.readline()
        if not word.strip():
            raise OverError
        self._left, self._started = int(word), time.process_time()


def planned_run(work: Path, size: Size) -> Any:
    """The run that all sides are made of."""
    from core.embedded.corpus.folder import write_corpus
    from harness.records.score_kind import Score
    from harness.run.plan import RunRequest, plan_run
    from harness.wording.display import Display

    write_corpus(work / "pairs", counts=COUNTS, spoilt=False)
    overrides = [
        *(f"stage{k}.steps={steps}" for k, steps in ((1, 0), (2, 100_000), (3, 0))),
        "stage2.warmup_steps=0",
        "training.validate_every=1000000",
        "training.checkpoint_every=1000000",
        f"training.micro_batch={size.micro_batch}",
        f"training.accumulation={size.accumulation}",
        f"data.window_s={size.window_s}",
    ]
    if size.profile == "sd15":
        weights = work / "weights"
        overrides += [
            f"foundation.stable_diffusion={weights}/sd15",
            f"foundation.clap={weights}/clap",
            f"scorers.clip={weights}/clip",
            "foundation.dtype=float32",
            "training.precision=float32",
            "data.horizontal_flip=false",
        ]
    request = RunRequest(
        variant=VARIANT,
        profile=size.profile,
        overrides=tuple(overrides),
        data=str(work / "pairs"),
        results=work / f"results-{size.profile}",
        score=Score.LOSS,
        device="cpu",
    )
    return plan_run(request, display=Display())


def harness_side(work: Path, size: Size) -> None:
    """A run as `harness run` makes it, which waits after each turn."""
    from core.training import guards
    from harness.run.run import run_planned
    from harness.wording.display import Display

    turns = Turns(warm_up=size.warm_up)

    class Waiting(Display):
        def step(self, report: Any) -> None:
            turns.after_step()

    if size.profile == "sd15":  # a random VAE gives no picture back
        guards.check_latents_match_pictures = lambda *args, **kwargs: None
    run_planned(planned_run(work, size), display=Waiting())


def loop_side(work: Path, size: Size, *, encodes: bool) -> None:
    """The loop that people write: with the encoders in it, or on features in memory."""
    import torch

    planned = planned_run(work, size)
    torch.set_num_threads(1)
    torch.manual_seed(0)
    models = load_models(planned)
    clips = clips_of(planned, models, size)
    batches = encoded(clips, models, size) if encodes else in_memory(clips, models, size)
    train(planned, models, batches, size)


@dataclass
class Models:
    """What the loop loads, by the libraries' own calls."""

    unet: Any
    vae: Any
    text_encoder: Any
    tokenizer: Any
    clap: Any
    processor: Any
    scheduler: Any


def load_models(planned: Any) -> Models:
    """All parts of Stable Diffusion but the safety checker, and CLAP."""
    from diffusers import AutoencoderKL, DDPMScheduler, UNet2DConditionModel
    from transformers import ClapFeatureExtractor, ClapModel, CLIPTextModel, CLIPTokenizer

    from core.foundation.sources import resolve_source

    settings = planned.profile.foundation
    sd = resolve_source(settings.stable_diffusion).folder
    clap = resolve_source(settings.clap).folder
    models = Models(
        unet=UNet2DConditionModel.from_pretrained(sd, subfolder="unet"),
        vae=AutoencoderKL.from_pretrained(sd, subfolder="vae"),
        text_encoder=CLIPTextModel.from_pretrained(sd, subfolder="text_encoder"),
        tokenizer=CLIPTokenizer.from_pretrained(sd, subfolder="tokenizer"),
        clap=ClapModel.from_pretrained(clap),
        processor=ClapFeatureExtractor.from_pretrained(clap),
        scheduler=DDPMScheduler.from_pretrained(sd, subfolder="scheduler"),
    )
    for model in (models.unet, models.vae, models.text_encoder, models.clap):
        model.requires_grad_(False)
        model.eval()
    return models


@dataclass(frozen=True)
class Clip:
    """A pair as a data loader hands it over, decoded already."""

    image_3HW: Any
    waveform: Any
    caption: str


def clips_of(planned: Any, models: Models, size: Size) -> list[Clip]:
    """The training clips, decoded: what files cost is left out of both loops."""
    import torch

    from core.data.media.decode_audio import decode_audio
    from core.data.media.decode_image import decode_image, to_square

    split = planned.prepared.split
    factor = 2 ** (len(models.vae.config.block_out_channels) - 1)
    side = models.unet.config.sample_size * factor
    clips = []
    for sample in (split.samples[id_] for id_ in split.train):
        pixels = to_square(decode_image(split.root / sample.image_path), size=side)
        image = torch.from_numpy(pixels.copy()).permute(2, 0, 1) / 127.5 - 1
        sound = decode_audio(split.root / sample.audio_path, window_s=size.window_s)
        clips.append(Clip(image, sound, sample.caption))
    return clips


Batch = tuple[Any, Any, Any]
"""Scaled latents [B, C, H, W], text states [B, L, C], CLAP's pooled embeddings [B, D]."""


def encode(clips: list[Clip], models: Models) -> Batch:
    """What the frozen encoders make of these clips."""
    import torch

    with torch.no_grad():
        posterior = models.vae.encode(torch.stack([clip.image_3HW for clip in clips])).latent_dist
        latents = posterior.sample() * models.vae.config.scaling_factor
        tokens = models.tokenizer(
            [clip.caption for clip in clips],
            padding="max_length",
            max_length=models.tokenizer.model_max_length,
            truncation=True,
            return_tensors="pt",
        )
        text = models.text_encoder(tokens.input_ids)[0]
        sounds = models.processor(
            [clip.waveform for clip in clips], sampling_rate=48_000, return_tensors="pt"
        )
        audio = models.clap.get_audio_features(**sounds).pooler_output
    return latents, text, audio


def encoded(clips: list[Clip], models: Models, size: Size) -> Iterator[Batch]:
    """Micro-batches, encoded anew each time."""
    import torch

    while True:
        chosen = torch.randint(0, len(clips), (size.micro_batch,)).tolist()
        yield encode([clips[index] for index in chosen], models)


def in_memory(clips: list[Clip], models: Models, size: Size) -> Iterator[Batch]:
    """Micro-batches of features that were encoded once; the encoders are let go."""
    import torch

    parts = [encode([clip], models) for clip in clips]
    latents, text, audio = (torch.cat(tensors) for tensors in zip(*parts, strict=True))
    models.vae = models.text_encoder = models.clap = None
    while True:
        chosen = torch.randint(0, len(clips), (size.micro_batch,))
        yield latents[chosen], text[chosen], audio[chosen]


def train(planned: Any, models: Models, batches: Iterator[Batch], size: Size) -> None:
    """AdamW on the branch and its adapter, as many steps as are asked for."""
    import torch

    from core.choices import AudioFeature
    from core.conditioning.attached import AttachedVariant
    from core.conditioning.conditioning import ConditioningInputs
    from core.conditioning.stage import ParameterGroup
    from core.foundation.foundation import foundation_shapes
    from harness.branches.unet_adapter import adapter_of

    profile = planned.profile
    latents, text, audio = next(batches)
    shapes = foundation_shapes(
        models.unet,
        num_text_tokens=text.shape[1],
        clap_config=planned_clap_config(planned),
        log_mel=(128, 1024),
        num_classes=len(COUNTS),
    )
    variant = planned.variant(planned.config, shapes=shapes)
    model = AttachedVariant(
        variant, unet=models.unet, attach_adapter=adapter_of(variant, profile=profile)
    )
    model.adapter.enable()
    model.set_training(True)
    trained = list(model.train_only(tuple(ParameterGroup)).values())
    optimizer = torch.optim.AdamW(trained, lr=profile.stage2.lr)
    null_text = torch.zeros_like(text[0])
    num_timesteps = models.scheduler.config.num_train_timesteps
    turns = Turns(warm_up=size.warm_up)
    while True:
        for _ in range(size.accumulation):
            latents, text, audio = next(batches)
            noise = torch.randn_like(latents)
            timesteps = torch.randint(0, num_timesteps, (len(latents),))
            noisy = models.scheduler.add_noise(latents, noise, timesteps)
            inputs = ConditioningInputs(
                text_BLC=text,
                audio={AudioFeature.CLAP_POOLED: audio},
                class_index_B=torch.zeros(len(latents), dtype=torch.int64),
            )
            context = (
                variant.condition(inputs)
                .with_text_dropped(torch.rand(len(latents)) < 0.1, null_text_LC=null_text)
                .with_audio_dropped(torch.rand(len(latents)) < 0.1)
                .context()
            )
            predicted = model.predict(noisy, timesteps, context)
            loss = (predicted - noise).square().mean() / size.accumulation
            loss.backward()
            loss.item()
        torch.nn.utils.clip_grad_norm_(trained, profile.training.grad_clip)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        turns.after_step()


def planned_clap_config(planned: Any) -> Any:
    """CLAP's sizes."""
    from transformers import ClapConfig

    from core.foundation.sources import resolve_source

    return ClapConfig.from_pretrained(resolve_source(planned.profile.foundation.clap).folder)


def main() -> None:
    """Make steps until nobody asks for more."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("side", choices=SIDES)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--size", choices=SIZES, required=True)
    parser.add_argument("--samples", type=int, default=None, help="in a forward pass")
    given = parser.parse_args()
    size = SIZES[given.size]
    if given.samples is not None:
        size = replace(size, micro_batch=given.samples)
    sides: dict[str, Callable[[], None]] = {
        "harness": lambda: harness_side(given.work, size),
        "original": lambda: loop_side(given.work, size, encodes=True),
        "bare": lambda: loop_side(given.work, size, encodes=False),
    }
    try:
        sides[given.side]()
    except OverError:
        return


if __name__ == "__main__":
    main()
