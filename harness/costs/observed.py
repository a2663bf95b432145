"""How fast a branch was on a device: by finished runs, by a few measured steps, or as it ships."""

import json
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from core.conditioning.config import SCHEDULE
from core.errors import DataError
from core.files import json_sha256, write_atomic
from harness.costs.bench import MEASURED_FOLDERS
from harness.costs.clips import Clips
from harness.costs.span import NOTHING, Span
from harness.costs.times import RunTime, image_flops, passes_of
from harness.costs.work import BranchWork
from harness.records.folders import ResultsFolder
from harness.records.record import RunRecord, Status, load_record
from harness.run.budget import STAGES, schedule_of
from harness.settings.profile import Profile, SamplingSettings
from harness.wording.numbers import count

_OF_RUNS = 1.15
_OF_STEPS = 1.3
_OF_ANOTHER_MACHINE = 2.5
"""Factors either way; what was measured under the same settings on the same device repeats to 15 %
on a quiet machine."""
_REAL = "real"


class Observed(BaseModel):
    """Seconds of one branch on one device, under settings that have the same speed."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    variant: str
    """The branch."""
    device: str
    """As records name it."""
    key: str
    """Hash of the settings that speed depends on, see `speed_key`."""
    source: str
    """Where this comes from, in words."""
    step_seconds: dict[str, float]
    """By stage, of an optimiser step."""
    step_flops: dict[str, float]
    """By stage, FLOPs of that step."""
    validation_seconds: float
    """Of one validation pass; 0 where the steps' own seconds hold it."""
    validation_clips: int
    """Clips of that pass."""
    validation_draws: int
    """Noises that each of them was validated with."""
    fixed_seconds: float
    """Start and checks, whatever the schedule."""
    features_seconds: float
    """Encoding all clips; most of it is spent once."""
    num_clips: int
    """Clips that were encoded."""
    image_seconds: float
    """Of sampling one image."""
    image_flops: float
    """FLOPs of that image; it takes longer with more solver steps."""
    score_seconds: float
    """Of scoring, however much there is: scorers are loaded, their code is imported."""
    score_item_seconds: float
    """Of scoring one image, or one picture or sound of a clip, which are scored with them."""

    def save(self, results: Path) -> Path:
        """Write it among the calibrations."""
        path = ResultsFolder(results).calibrations / f"speed-{self.variant}-{self.key}.json"
        write_atomic(path, content=(self.model_dump_json(indent=2) + "\n").encode())
        return path


def speed_key(variant: str, *, settings: Mapping[str, Any], config: Mapping[str, Any]) -> str:
    """Hash of what the seconds of a step depend on: not rates, steps, seeds or the data.

    settings: of a profile, or of a record's identity.
    """
    training = settings["training"]
    kept = ("micro_batch", "accumulation", "precision", "deterministic", "num_threads")
    content = {
        "variant": variant,
        "config": {name: value for name, value in config.items() if name not in SCHEDULE},
        "models": [settings["foundation"][name] for name in ("stable_diffusion", "clap", "dtype")],
        "training": {name: training[name] for name in kept},
        "others": [settings["data"]["log_mel"], settings["lora"], settings["ssf"]],
        "sampling": {k: v for k, v in settings["sampling"].items() if "guidance" in k},
    }
    return json_sha256(content)[:12]


def observed_runs(results: Path) -> list[RunRecord]:
    """The finished runs below a results folder whose seconds are known."""
    found = []
    for path in ResultsFolder(results).run_records:
        try:
            record = load_record(path)
        except DataError:
            continue  # `harness list --runs` names it; an estimate needs it not
        is_timed = record.total_seconds > 0 and record.cost.device is not None
        if record.status is Status.FINISHED and is_timed:
            found.append(record)
    return found


def from_runs(
    records: Sequence[RunRecord], *, key: str, device: str, work: BranchWork
) -> Observed | None:
    """What finished runs of the same speed on a device show; None where there is none."""
    alike = [
        record
        for record in records
        if record.identity.variant == work.variant
        and record.cost.device == device
        and _key_of(record) == key
    ]
    if not alike:
        return None
    stages = [stage for record in alike for stage in record.stages]
    steps = {s: [(g.seconds, g.steps_done) for g in stages if g.stage == s] for s in STAGES}
    num_images = sum(_num_images(record) for record in alike)
    num_items = sum(scored_items(_num_images(r), num_clips=_clips(r).get("test", 0)) for r in alike)
    return Observed(
        variant=work.variant,
        device=device,
        key=key,
        source=f"{count(len(alike), 'finished run')} on {device}",
        step_seconds={
            stage: sum(seconds for seconds, _ in pairs) / sum(n for _, n in pairs)
            for stage, pairs in steps.items()
            if sum(n for _, n in pairs)
        },
        step_flops={},
        validation_seconds=0.0,
        validation_clips=0,
        validation_draws=1,
        fixed_seconds=sum(_fixed(record) for record in alike) / len(alike),
        features_seconds=max(record.seconds.get("features", 0.0) for record in alike),
        num_clips=max(sum(_clips(record).values()) for record in alike),
        image_seconds=_ratio([r.seconds.get("sample", 0.0) for r in alike], num_images),
        image_flops=_ratio([_num_images(r) * _image_flops(r, work) for r in alike], num_images),
        score_seconds=0.0,
        score_item_seconds=_ratio([r.seconds.get("score", 0.0) for r in alike], num_items),
    )


def kept(results: Path, *, variant: str, key: str, device: str) -> Observed | None:
    """What `harness plan --measure` kept of these settings on this device."""
    path = ResultsFolder(results).calibrations / f"speed-{variant}-{key}.json"
    try:
        found = Observed.model_validate_json(path.read_bytes())
    except (OSError, ValidationError):  # not measured, or by another version: measure again
        return None
    return found if found.device == device else None


@cache
def shipped() -> dict[str, Observed]:
    """By branch, what was measured of `tiny` on a CPU, as it ships."""
    for folder in MEASURED_FOLDERS:
        for path in sorted(folder.glob("cpu-*.json"), reverse=True):
            rows = TypeAdapter(list[Observed]).validate_python(json.loads(path.read_bytes()))
            return {row.variant: row for row in rows}
    return {}


def time_observed(
    observed: Observed, work: BranchWork, *, profile: Profile, clips: Clips, is_here: bool
) -> RunTime:
    """Seconds of one run, at the speed that was observed.

    is_here: whether it was observed on the device that is planned for, under the same settings.
    """
    training = profile.training
    batch = training.micro_batch * training.accumulation
    factor = _OF_RUNS if observed.validation_clips == 0 else _OF_STEPS
    factor = factor if is_here else _OF_ANOTHER_MACHINE
    steps: dict[str, Span] = {}
    train = validate = NOTHING
    for stage, number in schedule_of(profile).items():
        if not number or stage not in observed.step_seconds or not work.stages[stage].flops:
            continue
        seconds = observed.step_seconds[stage]
        if not is_here and observed.step_flops.get(stage):
            seconds *= work.stages[stage].flops * batch / observed.step_flops[stage]
        steps[stage] = Span.about(seconds, factor=factor)
        train += steps[stage].times(number)
        if observed.validation_clips:
            passes = -(-number // training.validate_every)
            share = clips.val / observed.validation_clips
            share *= training.validation_draws / observed.validation_draws
            validate += Span.about(observed.validation_seconds * share * passes, factor=factor)
    images = clips.test * clips.num_arms(work.num_arms) * profile.sampling.images_per_clip
    sampling = profile.sampling
    flops = image_flops(work, steps=sampling.steps, passes=passes_of(sampling))
    each = observed.image_seconds * flops / observed.image_flops if observed.image_flops else 0.0
    items = scored_items(images, num_clips=clips.test)
    score = observed.score_seconds + observed.score_item_seconds * items
    features = observed.features_seconds * clips.total / max(1, observed.num_clips)
    phases = {
        "start": Span.about(observed.fixed_seconds, factor=factor),
        "features": Span.about(features, factor=2),
        "train": train,
        "validate": validate,
        "sample": Span.about(each * images, factor=factor),
        "score": Span.about(score, factor=factor),
    }
    return RunTime(phases, observed.source, steps)


def scored_items(num_images: int, *, num_clips: int) -> int:
    """What scorers read of so many images of clips: these, and each clip's picture and sound."""
    return num_images + 2 * num_clips


def _key_of(record: RunRecord) -> str | None:
    identity = record.identity
    try:
        return speed_key(
            identity.variant, settings=identity.settings, config=identity.variant_config
        )
    except (KeyError, TypeError):  # of a version with other settings
        return None


def _clips(record: RunRecord) -> dict[str, int]:
    totals: dict[str, int] = {}
    for parts in record.split.counts.values():
        for part, n in parts.items():
            totals[part] = totals.get(part, 0) + n
    return totals


def _image_flops(record: RunRecord, work: BranchWork) -> float:
    kept = record.identity.settings.get("sampling", {})
    known = {name: kept[name] for name in SamplingSettings.model_fields if name in kept}
    sampling = SamplingSettings.model_validate(known)
    return image_flops(work, steps=sampling.steps, passes=passes_of(sampling))


def _num_images(record: RunRecord) -> int:
    per_clip = int(record.identity.settings.get("sampling", {}).get("images_per_clip", 1))
    arms = [arm for arm in record.arms if arm != _REAL]
    return _clips(record).get("test", 0) * per_clip * len(arms)


def _fixed(record: RunRecord) -> float:
    seconds = record.seconds
    counted = {"sample", "score", "features", "train"}
    others = sum(value for name, value in seconds.items() if name not in counted)
    in_stages = sum(stage.seconds for stage in record.stages)
    return others + max(0.0, seconds.get("train", 0.0) - in_stages)


def _ratio(seconds: Sequence[float], number: int) -> float:
    return sum(seconds) / number if number else 0.0
