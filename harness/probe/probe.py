"""Alter sounds one property at a time, sample every branch at the same noises, and measure.

Shape legend: I images, D draws of noise, N sounds, L levels.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from core.errors import UsageError
from core.files import write_atomic
from harness.generate.answer import Answer
from harness.generate.generate import Progress
from harness.generate.image_file import png_bytes
from harness.generate.trained import TrainedBranch, loaded_branch
from harness.metrics.scorers.scorers import Scorers
from harness.probe.alterations import Property, Wave
from harness.probe.cells import Cell, altered_sounds, cell_of
from harness.probe.measures import Kind, Measure, measures_of, read_images
from harness.probe.record import (
    ProbedMeasure,
    ProbedProperty,
    ProbedRun,
    ProbedSound,
    ProbeRecord,
    Response,
)
from harness.probe.responses import follow
from harness.statistics.multiplicity import benjamini_hochberg

Array = NDArray[np.float64]
Place = tuple[Cell, int]
"""An altered sound and the number of a noise."""
_ALPHA = 0.05


@dataclass(frozen=True, kw_only=True)
class ProbeSound:
    """A sound to alter."""

    label: str
    """What a person calls it."""
    sha256: str
    """Of its file."""
    waveform_S: Wave
    """48 kHz mono, at most one window."""
    text: str
    """The caption that it is sampled with."""


@dataclass(frozen=True, kw_only=True)
class ProbeOptions:
    """How to probe."""

    properties: tuple[Property, ...]
    """Which are altered."""
    num_draws: int = 1
    """Noises of each sound and level."""
    noise_seed: int = 0
    """Seed of the noises."""
    device: str = "cpu"


@dataclass(frozen=True)
class Probed:
    """A probe and what was made for it."""

    record: ProbeRecord
    """Every number."""
    cells: Mapping[Cell, Wave]
    """The altered sounds."""
    images: Mapping[str, Mapping[Place, Path]]
    """What each run generated, by its id."""


@dataclass(frozen=True)
class _How:
    """See `harness.generate.answer.HowSampled`: everything is as the run has it."""

    draw: int
    noise_seed: int
    text_guidance: float
    steps: int
    audio_scale: float = 1.0


def probe(
    runs: Mapping[str, Path],
    *,
    sounds: Sequence[ProbeSound],
    options: ProbeOptions,
    out: Path,
    command: str,
    progress: Progress = lambda what, done, total: None,
) -> Probed:
    """Write an image per run, altered sound and noise below `out/images`, measure them, and write
    `out/probe.json`.

    runs: folders of finished runs, by what each is called.

    Raises:
        UsageError: a run is not finished or does not condition on sound; nothing to alter.
        MismatchError: a run's files or models are not what they were.
    """
    properties, notices = _possible(options.properties, num_sounds=len(sounds))
    cells, left_out = altered_sounds([s.waveform_S for s in sounds], properties=properties)
    notices += left_out
    total = len(runs) * len(cells) * options.num_draws
    images: dict[str, dict[Place, Path]] = {}
    probed: list[ProbedRun] = []
    responses: list[Response] = []
    measures: tuple[Measure, ...] = ()
    heard: dict[str, dict[Place, float]] = {}
    for name, folder in runs.items():
        with loaded_branch(folder, device=options.device) as branch:
            notices += branch.notices
            run_id = branch.record.run_id
            images[run_id] = {}
            for place, path in _sampled(branch, sounds, cells=cells, options=options, out=out):
                images[run_id][place] = path
                progress("generating", sum(map(len, images.values())), total)
            scorers = _scorers_of(branch, device=options.device)
        if not measures:
            measures, heard = measures_of(scorers), _heard(scorers, cells)
        values, embeddings = _measured(images[run_id], scorers=scorers)
        values["change"] = _changes(embeddings)
        probed.append(
            ProbedRun(
                run_id=run_id,
                name=name,
                weights_sha256=branch.weights_sha256,
                other_noise=_between(embeddings, is_same_sound=True),
                other_sound=_between(embeddings, is_same_sound=False),
            )
        )
        responses += _responses(
            run_id, values, properties=properties, measures=measures, num_sounds=len(sounds)
        )
    of_sound = [measure for measure in measures if measure.name in heard]
    responses += _responses(
        None, heard, properties=properties, measures=of_sound, num_sounds=len(sounds)
    )
    record = ProbeRecord(
        command=command,
        runs=tuple(probed),
        sounds=tuple(ProbedSound(label=s.label, sha256=s.sha256, text=s.text) for s in sounds),
        properties=tuple(
            ProbedProperty(
                name=p.name, unit=p.unit, levels=p.levels, reference=p.reference, words=p.words
            )
            for p in properties
        ),
        measures=tuple(
            ProbedMeasure(name=m.name, kind=m.kind.value, words=m.words) for m in measures
        ),
        num_draws=options.num_draws,
        noise_seed=options.noise_seed,
        responses=tuple(responses),
        notices=tuple(dict.fromkeys(notices)),
    )
    record.save(out)
    return Probed(record, cells, images)


def _possible(
    properties: Sequence[Property], *, num_sounds: int
) -> tuple[list[Property], list[str]]:
    possible = [p for p in properties if num_sounds > 1 or not p.needs_second]
    if not possible:
        raise UsageError(
            "nothing to alter: mixing in a second sound needs at least two sounds, and one was "
            "given; give another, or choose another --property"
        )
    if len(possible) == len(properties):
        return possible, []
    return possible, ["no second sound was mixed in, since one sound was given"]


def _sampled(
    branch: TrainedBranch,
    sounds: Sequence[ProbeSound],
    *,
    cells: Mapping[Cell, Wave],
    options: ProbeOptions,
    out: Path,
) -> Iterator[tuple[Place, Path]]:
    """An image of each cell and noise, the cells of one sound in batches."""
    sampling = branch.profile.sampling
    folder = out / "images" / branch.record.run_id
    for number, sound in enumerate(sounds):
        own = [cell for cell in cells if cell.sound == number]
        for start in range(0, len(own), sampling.batch_size):
            batch = own[start : start + sampling.batch_size]
            answer = Answer(branch, [cells[cell] for cell in batch], text=sound.text)
            for draw in range(options.num_draws):
                how = _How(
                    draw=draw,
                    noise_seed=options.noise_seed,
                    text_guidance=sampling.text_guidance,
                    steps=sampling.steps,
                )
                for cell, pixels_HWC in zip(batch, answer.images(how), strict=True):
                    path = folder / f"{cell.stem}-noise{draw}.png"
                    write_atomic(path, content=png_bytes(pixels_HWC))
                    yield (cell, draw), path


def _scorers_of(branch: TrainedBranch, *, device: str) -> Scorers:
    """The judges, or CLIP alone where the run has none: nothing else is read of an image here."""
    settings, foundation = branch.profile.scorers, branch.profile.foundation
    return Scorers.load(
        clip=settings.clip,
        image_judge=settings.image_judge,
        audio_judge=settings.audio_judge,
        conditioners=[foundation.stable_diffusion, foundation.clap],
        device=device,
    )


def _measured(
    images: Mapping[Place, Path], *, scorers: Scorers
) -> tuple[dict[str, dict[Place, float]], dict[Place, Array]]:
    """Every measure of every image but `change`, and the embeddings that it is taken from."""
    reading = read_images(list(images.values()), scorers=scorers)
    values = {
        name: dict(zip(images, map(float, of_measure), strict=True))
        for name, of_measure in reading.values.items()
    }
    return values, dict(zip(images, reading.embeddings_ID, strict=True))


def _heard(scorers: Scorers, cells: Mapping[Cell, Wave]) -> dict[str, dict[Place, float]]:
    """What the sound judge reads in the altered sounds; empty without one."""
    judge = scorers.audio_judge
    if judge is None:
        return {}
    read_IA = judge.attributes(cells.values())
    return {
        name: {(cell, 0): float(row[index]) for cell, row in zip(cells, read_IA, strict=True)}
        for index, name in enumerate(judge.attribute_names)
    }


def _changes(embeddings: Mapping[Place, Array]) -> dict[Place, float]:
    found = {}
    for (cell, draw), embedding in embeddings.items():
        reference = embeddings[cell.as_is, draw]
        found[cell, draw] = max(0.0, 1.0 - float(embedding @ reference))
    return found


def _between(embeddings: Mapping[Place, Array], *, is_same_sound: bool) -> float | None:
    """Mean distance of unaltered sounds' images that differ in the noise, or in the sound."""
    plain = [(cell.sound, draw, e) for (cell, draw), e in embeddings.items() if cell.is_as_is]
    distances = [
        1.0 - float(one @ other)
        for index, (sound, draw, one) in enumerate(plain)
        for other_sound, other_draw, other in plain[index + 1 :]
        if (sound == other_sound) == is_same_sound and (draw == other_draw) != is_same_sound
    ]
    return float(np.mean(distances)) if distances else None


def _responses(
    run_id: str | None,
    values: Mapping[str, Mapping[Place, float]],
    *,
    properties: Sequence[Property],
    measures: Sequence[Measure],
    num_sounds: int,
) -> list[Response]:
    """Every measure against every property; p adjusted over all that were tested."""
    found: list[Response] = []
    for prop in properties:
        for measure in measures:
            of_measure = values[measure.name]
            num_draws = 1 + max(draw for _, draw in of_measure)
            table_DNL = np.array(
                [
                    [
                        [of_measure.get((cell_of(n, prop, v), d), math.nan) for v in prop.levels]
                        for n in range(num_sounds)
                    ]
                    for d in range(num_draws)
                ]
            )
            is_distance = measure.kind is Kind.DISTANCE
            followed = follow(
                table_DNL,
                levels=prop.levels,
                from_reference=prop.reference if is_distance else None,
            )
            if followed is None:
                continue
            found.append(
                Response(
                    run_id=run_id,
                    property=prop.name,
                    measure=measure.name,
                    num_sounds=int(np.isfinite(table_DNL).any(axis=(0, 2)).sum()),
                    means=followed.means,
                    slope=followed.slope,
                    low=followed.low,
                    high=followed.high,
                    monotonicity=followed.monotonicity,
                    monotonicity_low=followed.monotonicity_low,
                    monotonicity_high=followed.monotonicity_high,
                    # A distance rises from 0 by its nature; there is nothing to test.
                    p=None if is_distance else followed.p,
                    adjusted_p=None,
                    responds=False,
                )
            )
    adjusted = benjamini_hochberg([math.nan if r.p is None else r.p for r in found])
    return [
        response
        if math.isnan(p)
        else response.model_copy(update={"adjusted_p": float(p), "responds": bool(p <= _ALPHA)})
        for response, p in zip(found, adjusted, strict=True)
    ]
