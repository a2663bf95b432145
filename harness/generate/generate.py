"""Trained branches answer the same sounds from the same noise.

Every image is computed alone, so that it does not depend on the images next to it and comes out
bit-equal again from its own parameters, on the same kind of device with the same libraries.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from core.errors import MismatchError, UsageError
from core.files import file_sha256
from harness.generate.answer import Answer
from harness.generate.image_file import Parameters, RecordedPart, read_image, write_image
from harness.generate.sounds import Sound, SoundPart, load_part, mixture
from harness.generate.trained import TrainedBranch, loaded_branch, profile_of
from harness.records.folders import ResultsFolder, RunFolder
from harness.records.record import load_record

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, kw_only=True)
class GenerateOptions:
    """How to sample; what is None is as the run has it."""

    texts: tuple[str, ...] = ("",)
    """Captions; each sound is sampled with each of them."""
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
    per_sound = len(options.texts) * len(options.audio_scales) * options.num_draws
    total = len(runs) * len(sounds) * per_sound
    for folder in runs:
        with loaded_branch(folder, device=options.device) as branch:
            notices += branch.notices
            for index, sound in enumerate(sounds):
                for caption, text in enumerate(options.texts):
                    answer = Answer(branch, [sound.waveform_S], text=text)
                    for parameters in _asked(branch, sound, options, text=text):
                        words = f"{index:03d}"
                        if len(options.texts) > 1:
                            words += f"-text{caption:03d}"
                        words += f"-scale{parameters.audio_scale:g}-{parameters.draw}"
                        path = out / branch.record.run_id / f"{words}.png"
                        write_image(path, answer.images(parameters)[0], parameters=parameters)
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
        (again_HWC,) = Answer(branch, [sound.waveform_S], text=parameters.text).images(parameters)
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
            + "); run the command once for each length"
        )
    return next(iter(windows.values()))


def _asked(
    branch: TrainedBranch, sound: Sound, options: GenerateOptions, *, text: str
) -> Iterator[Parameters]:
    """The parameters of each image of one sound and caption."""
    for scale in options.audio_scales:
        for draw in range(options.num_draws):
            yield parameters_of(branch, sound, options, text=text, audio_scale=scale, draw=draw)


def parameters_of(
    branch: TrainedBranch,
    sound: Sound,
    options: GenerateOptions,
    *,
    text: str,
    audio_scale: float,
    draw: int,
) -> Parameters:
    """Of one image; what the options leave open is as the run has it."""
    sampling = branch.profile.sampling
    guidance = options.text_guidance
    return Parameters(
        run_id=branch.record.run_id,
        weights_sha256=branch.weights_sha256,
        sound=tuple(
            RecordedPart(
                path=str(part.path), sha256=part.sha256, start_s=part.start_s, weight=part.weight
            )
            for part in sound.parts
        ),
        text=text,
        draw=draw,
        noise_seed=options.noise_seed,
        audio_scale=audio_scale,
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
        parts.append(
            SoundPart(path=path, sha256=part.sha256, start_s=part.start_s, weight=part.weight)
        )
    if len(parts) > 1:
        return mixture(parts, window_s=window_s)
    return Sound(tuple(parts), load_part(parts[0], window_s=window_s))
