"""Trained branches answer the same sounds from the same noise.

Every image is computed alone, so that it does not depend on the images next to it and comes out
bit-equal again from its own parameters, on the same kind of device with the same libraries.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from core.conditioning.conditioning import AudioFeature, Conditioning, ConditioningInputs
from core.data.media.decode_audio import SAMPLE_RATE_HZ, resample
from core.errors import DataError, MismatchError, UsageError
from core.features.log_mel import log_mel
from core.files import file_sha256
from core.sampling.sampler import Guidance, build_solver, initial_noise, sample_latents
from harness.generate.image_file import Parameters, RecordedPart, read_image, write_image
from harness.generate.sounds import Sound, SoundPart, load_part, mixture
from harness.generate.trained import (
    TrainedBranch,
    loaded_branch,
    profile_of,
)
from harness.records.folders import ResultsFolder, RunFolder
from harness.records.record import load_record

_NOISE = "generate"
"""Names the first noise, which depends on nothing but the draw: sounds and branches pair."""

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, kw_only=True)
class GenerateOptions:
    """How to sample; what is None is as the run has it."""

    text: str = ""
    num_draws: int = 1
    noise_seed: int = 0
    audio_scales: tuple[float, ...] = (1.0,)
    text_guidance: float | None = None
    steps: int | None = None
    device: str = "cpu"


@dataclass(frozen=True, kw_only=True)
class Generated:
    """One image that was written."""

    path: Path
    branch: str
    """Name of the variant."""
    sound: Sound
    parameters: Parameters


def generate(
    runs: Sequence[Path],
    *,
    sounds: Sequence[Sound],
    options: GenerateOptions,
    out: Path,
    progress: Progress = lambda what, done, total: None,
) -> tuple[list[Generated], list[str]]:
    """Write an image per run, sound, audio scale and draw below `out`; and what to know of them.

    runs: folders of finished runs.

    Raises:
        UsageError: a run is not finished, does not condition on sound, or needs embeddings of
            another environment; the runs use windows of different length.
        MismatchError: a frozen model or a branch's code is not what it was trained with.
    """
    images: list[Generated] = []
    notices: list[str] = []
    total = len(runs) * len(sounds) * len(options.audio_scales) * options.num_draws
    for folder in runs:
        with loaded_branch(folder, device=options.device) as branch:
            notices += branch.notices
            digest = file_sha256(RunFolder(folder).weights)
            for index, sound in enumerate(sounds):
                answer = _Answer(branch, sound, text=options.text)
                for scale in options.audio_scales:
                    for draw in range(options.num_draws):
                        parameters = _parameters(
                            branch, sound, options, digest=digest, scale=scale, draw=draw
                        )
                        name = f"{index:03d}-scale{scale:g}-{draw}.png"
                        path = out / branch.record.run_id / name
                        write_image(path, answer.image(parameters), parameters=parameters)
                        variant = branch.record.identity.variant
                        images.append(
                            Generated(path=path, branch=variant, sound=sound, parameters=parameters)
                        )
                        progress("generating", len(images), total)
    return images, notices


def generate_again(
    image: Path, *, results: Path, device: str, audio: Sequence[Path] = ()
) -> tuple[np.ndarray, bool]:
    """The image anew from the parameters inside it, and whether every pixel is equal.

    audio: where its sounds lie now, if not where they were.

    Raises:
        DataError: the file holds no parameters.
        UsageError: the run or a sound is not there.
        MismatchError: the run's weights or a sound are other files than those it was made from.
    """
    pixels_HWC, parameters = read_image(image)
    folder = ResultsFolder(results).run(parameters.run_id).path
    weights = RunFolder(folder).weights
    if not weights.is_file():
        raise UsageError(f"{weights} does not exist; give the results folder with --results")
    if file_sha256(weights) != parameters.weights_sha256:
        raise MismatchError(f"{weights} is not the file that {image} was made with")
    with loaded_branch(folder, device=device) as branch:
        sound = _same_sound(parameters, audio=audio, window_s=branch.profile.data.window_s)
        again_HWC = _Answer(branch, sound, text=parameters.text).image(parameters)
    return again_HWC, bool(np.array_equal(again_HWC, pixels_HWC))


def window_of(runs: Sequence[Path]) -> float:
    """Seconds of sound that these runs condition on.

    Raises:
        UsageError: they differ.
    """
    windows = {folder.name: profile_of(load_record(folder)).data.window_s for folder in runs}
    if len(set(windows.values())) > 1:
        raise UsageError(
            "these runs condition on windows of different length ("
            + ", ".join(f"{name}: {seconds:g} s" for name, seconds in windows.items())
            + "); generate from each apart"
        )
    return next(iter(windows.values()))


class _Answer:
    """One branch conditioned on one sound: encoded once, sampled often."""

    def __init__(self, branch: TrainedBranch, sound: Sound, *, text: str) -> None:
        self._branch = branch
        torch.set_num_threads(branch.profile.training.num_threads)
        self._conditioning = _conditioning(branch, sound, text=text)
        self._null_text_LC = branch.foundation.encode_text([""])[0]

    def image(self, parameters: Parameters) -> np.ndarray:
        """uint8 [H, W, 3]."""
        branch = self._branch
        sampling, foundation = branch.profile.sampling, branch.foundation
        latents_BCHW = sample_latents(
            branch.model,
            conditioning=self._conditioning,
            null_text_LC=self._null_text_LC,
            noise_BCHW=initial_noise(
                [_NOISE],
                draws=[parameters.draw],
                seed=parameters.noise_seed,
                latent_shape=foundation.latent_shape,
            ),
            solver=build_solver(sampling.sampler, noise_scheduler=foundation.noise_scheduler),
            steps=parameters.steps,
            guidance=Guidance(
                text=parameters.text_guidance,
                audio=sampling.audio_guidance * parameters.audio_scale,
            ),
            precision=branch.profile.training.precision,
        )
        image_3HW = foundation.decode_latents(latents_BCHW)[0]
        if not bool(torch.isfinite(image_3HW).all()):
            raise DataError(f"{branch.record.run_id} gave an image of NaN for {parameters.sound}")
        rounded_3HW = (image_3HW * 255).round().to(torch.uint8)
        return rounded_3HW.permute(1, 2, 0).contiguous().numpy()


@torch.no_grad()
def _conditioning(branch: TrainedBranch, sound: Sound, *, text: str) -> Conditioning:
    variant, foundation, device = branch.model.variant, branch.foundation, branch.model.device
    name = branch.record.identity.variant
    if not variant.audio_features:
        raise UsageError(f"variant '{name}' does not condition on sound; there is nothing to hear")
    if variant.reads_class:
        raise UsageError(f"variant '{name}' is told the class of a clip, which a sound has not")
    audio: dict[AudioFeature, Any] = {}
    for feature in sorted(variant.audio_features):
        if feature is AudioFeature.MSCLAP_POOLED or (
            f"exported.{feature.value}" in branch.record.identity.models
        ):
            raise UsageError(
                f"{branch.record.run_id} reads {feature.value} of an encoder that runs in an "
                "environment of its own (harness features); it cannot be computed here"
            )
        if feature is AudioFeature.LOG_MEL:
            settings = branch.profile.data.log_mel
            waveform_S = resample(
                sound.waveform_S, from_hz=SAMPLE_RATE_HZ, to_hz=settings.sample_rate_hz
            )
            audio[feature] = log_mel(torch.from_numpy(waveform_S)[None], settings=settings)
            continue
        encoding = foundation.encode_audio([sound.waveform_S])
        is_pooled = feature is AudioFeature.CLAP_POOLED
        audio[feature] = encoding.pooled_BD if is_pooled else encoding.sequence_BTD
    inputs = ConditioningInputs(
        text_BLC=foundation.encode_text([text]),
        audio=audio,
        class_index_B=torch.zeros(1, dtype=torch.long),
    )
    return variant.condition(inputs.to(device))


def _parameters(
    branch: TrainedBranch,
    sound: Sound,
    options: GenerateOptions,
    *,
    digest: str,
    scale: float,
    draw: int,
) -> Parameters:
    sampling = branch.profile.sampling
    guidance = options.text_guidance
    return Parameters(
        run_id=branch.record.run_id,
        weights_sha256=digest,
        sound=tuple(
            RecordedPart(
                path=str(part.path), sha256=part.sha256, start_s=part.start_s, weight=part.weight
            )
            for part in sound.parts
        ),
        text=options.text,
        draw=draw,
        noise_seed=options.noise_seed,
        audio_scale=scale,
        text_guidance=sampling.text_guidance if guidance is None else guidance,
        steps=sampling.steps if options.steps is None else options.steps,
    )


def _same_sound(parameters: Parameters, *, audio: Sequence[Path], window_s: float) -> Sound:
    by_hash = {file_sha256(path): path for path in audio}
    parts = []
    for part in parameters.sound:
        path = by_hash.get(part.sha256, Path(part.path))
        if not path.is_file():
            raise UsageError(f"{path} does not exist; say where it lies now with --audio")
        if file_sha256(path) != part.sha256:
            raise MismatchError(f"{path} is not the sound that the image was made from")
        parts.append(SoundPart(path, part.sha256, part.start_s, part.weight))
    if len(parts) > 1:
        return mixture(parts, window_s=window_s)
    return Sound(tuple(parts), load_part(parts[0], window_s=window_s))
