"""A branch measured on this machine: 20 steps of each stage, and what stands around them."""

import time
from dataclasses import replace
from itertools import pairwise
from statistics import median

from core.errors import UsageError
from core.training.results import StepReport
from harness.costs.cards import load_cards
from harness.costs.expected import CPU, this_device
from harness.costs.matrix import MatrixRequest, plan_branch
from harness.costs.observed import Observed, scored_items, speed_key
from harness.costs.times import image_flops, passes_of
from harness.costs.work import BranchWork
from harness.records.folders import ResultsFolder
from harness.records.record import RunRecord
from harness.records.score_kind import Score
from harness.run.plan import RunRequest
from harness.run.run import run
from harness.settings.profile import SamplingSettings
from harness.wording.display import Display

NUM_STEPS = 20


class _Clock(Display):
    """Hands everything on, and notes when each step came."""

    def __init__(self, inner: Display) -> None:
        self._inner = inner
        self.moments: dict[str, list[float]] = {}
        self.scoring: list[float] = []

    def say(self, line: str) -> None:
        self._inner.say(line)

    def phase(self, name: str, done: int, total: int, detail: str = "") -> None:
        if name == "scoring":  # first when the scorers are loaded, last when all is scored
            self.scoring.append(time.monotonic())
        self._inner.phase(name, done, total, detail)

    def step(self, report: StepReport) -> None:
        self.moments.setdefault(report.stage, []).append(time.monotonic())
        self._inner.step(report)


def measure(
    request: RunRequest, work: BranchWork, *, display: Display, num_steps: int = NUM_STEPS
) -> Observed:
    """Seconds of a branch on this machine, kept among the calibrations of its results folder.

    It is a run of a few steps that is scored on the validation clips, so that no test clip is
    read; the features it makes serve the runs that follow.

    Raises:
        HarnessError: what a run of the request would raise.
    """
    clock = _Clock(display)
    short = (
        *(f"{stage}.steps={num_steps}" for stage, own in work.stages.items() if own.flops),
        *(f"{stage}.steps=0" for stage, own in work.stages.items() if not own.flops),
        *(f"{stage}.warmup_steps=0" for stage in work.stages),
        f"training.validate_every={num_steps}",
        f"training.checkpoint_every={num_steps}",
    )
    # What was measured an hour ago is measured again: a finished run would answer at once.
    seed = 900_000 + int(time.time()) % 90_000
    kept = _kept_features(request)
    record = run(
        replace(
            request,
            seed=seed,
            score=Score.VALIDATION,
            overrides=(*request.overrides, *short),
        ),
        display=clock,
    )
    observed = _observed(record, clock, work, has_read_media=_kept_features(request) > kept)
    observed.save(request.results)
    return observed


def _kept_features(request: RunRequest) -> int:
    """Files of real media's features that scorers find instead of the media."""
    return sum(1 for _ in ResultsFolder(request.results).scorer_features.glob("*.npz"))


def measure_matrix(request: MatrixRequest, *, display: Display) -> MatrixRequest:
    """The request for this machine's device, after each branch was measured on it.

    Raises:
        UsageError: this machine's GPU is none of the cards.
        HarnessError: what a run of a branch would raise.
    """
    for name in request.variants:
        branch = plan_branch(name, request)
        display.say(f"measuring {name}: {NUM_STEPS} steps of each stage")
        run_request = RunRequest(
            name,
            profile=request.profile,
            overrides=request.overrides,
            data=request.data,
            results=request.results,
        )
        measure(run_request, branch.work, display=display)
    device = this_device()
    if device == CPU:
        return request
    card = load_cards(request.cards).of_device(device)
    if card is None:
        raise UsageError(
            f"{device} is none of the cards: add it to a file and pass that with --cards; what was "
            "measured is kept"
        )
    return replace(request, gpu=card)


def _observed(
    record: RunRecord, clock: _Clock, work: BranchWork, *, has_read_media: bool
) -> Observed:
    """has_read_media: whether scorers read the clips' pictures and sounds, or found features."""
    identity, seconds = record.identity, record.seconds
    training = identity.settings["training"]
    sampling = SamplingSettings.model_validate(identity.settings["sampling"])
    batch = training["micro_batch"] * training["accumulation"]
    gaps = {
        stage: [b - a for a, b in pairwise(moments)] for stage, moments in clock.moments.items()
    }
    # The last step of a stage ends after its validation; of the others the later half, for the
    # first ones are recorded, or fill caches.
    step_seconds = {stage: median(own[len(own) // 2 : -1]) for stage, own in gaps.items()}
    validations = [own[-1] - step_seconds[stage] for stage, own in gaps.items()]
    parts = [part for parts in record.split.counts.values() for part in parts.items()]
    num_clips = {name: sum(n for part, n in parts if part == name) for name in ("train", "val")}
    images = num_clips["val"] * int(identity.settings["sampling"]["images_per_clip"])
    scoring = clock.scoring[-1] - clock.scoring[0] if clock.scoring else 0.0
    items = scored_items(images, num_clips=num_clips["val"] if has_read_media else 0)
    in_stages = sum(stage.seconds for stage in record.stages)
    start = ("verify", "build")
    return Observed(
        variant=identity.variant,
        device=record.cost.device or "",
        key=speed_key(identity.variant, settings=identity.settings, config=identity.variant_config),
        source=f"{NUM_STEPS} steps of each stage on {record.cost.device}",
        step_seconds=step_seconds,
        step_flops={stage: work.stages[stage].flops * batch for stage in step_seconds},
        validation_seconds=max(0.0, median(validations)) if validations else 0.0,
        validation_clips=num_clips["val"],
        validation_draws=training["validation_draws"],
        fixed_seconds=sum(seconds.get(name, 0.0) for name in start)
        + max(0.0, seconds.get("train", 0.0) - in_stages),
        features_seconds=seconds.get("features", 0.0),
        num_clips=sum(num_clips.values()),
        image_seconds=seconds.get("sample", 0.0) / max(1, images),
        image_flops=image_flops(work, steps=sampling.steps, passes=passes_of(sampling)),
        score_seconds=max(0.0, seconds.get("score", 0.0) - scoring),
        score_item_seconds=scoring / max(1, items),
    )
