"""How long a run takes on a card that nobody has measured: by FLOPs and a measured share of peak.

A step of a branch was measured on one card. On another it takes longer by something between the
ratio of their matrix peaks and that of their memory bandwidths, for it is bound by neither alone;
both ends are widened by a quarter for drivers, clocks and hosts.
"""

from dataclasses import dataclass

from core.choices import Precision
from core.errors import UsageError
from harness.costs.bench import SAMPLED_PASSES, SAMPLED_STEPS, Bench
from harness.costs.cards import Card, Cards
from harness.costs.clips import Clips
from harness.costs.disk import checkpoint_bytes
from harness.costs.span import NOTHING, Span
from harness.costs.work import BranchWork
from harness.run.budget import schedule_of
from harness.settings.profile import Profile, SamplingSettings

_WIDER = 1.25
_FLOAT32_SHARES = (0.25, 0.6)
"""Share of the float32 peak that a step may reach; a guess, for none was measured."""
_PER_SAMPLE_MS, _PER_MICRO_BATCH_MS = 11.57, 23.5
"""Of a stage-2 step of `sonic` recorded as a graph on an H100: 17.3 ms a sample at micro-batch 4,
14.5 at 8 and 12.3 at 32 fit a + b / micro-batch."""
_START_S = 45.0
"""Imports, hashes, models, preflight: 30 to 50 s on an H100's host."""
_SCORE_S, _SCORE_PER_IMAGE_S = 8.0, 0.05
"""Scorers and their reading: 7 to 8 s for 24 images there."""
_ENCODE_PER_CLIP_S = 0.14
"""Decoding media on one core: some 90 s for 664 pairs. On the GPU there is little to do."""
_CHECKPOINT_BYTES_PER_S = 0.27e9
"""Written, hashed, read back and hashed again: 1.08 GB in 3 to 5 s on NVMe."""


@dataclass(frozen=True)
class RunTime:
    """Seconds of one run by phase."""

    phases: dict[str, Span]
    """Each phase; `features` is spent once for all runs that share a results folder."""
    basis: str
    """What they are derived from, in a sentence."""
    step_seconds: dict[str, Span]
    """By stage."""

    @property
    def each(self) -> Span:
        """Of every run, without what is shared."""
        return sum((s for name, s in self.phases.items() if name != "features"), NOTHING)

    @property
    def shared(self) -> Span:
        """Once for all runs."""
        return self.phases.get("features", NOTHING)


@dataclass(frozen=True, kw_only=True)
class Speed:
    """How a card compares with the one that was measured."""

    bench: Bench
    """What was measured."""
    reference: Card
    """The card it was measured on."""
    card: Card
    """The card that is planned for."""
    precision: Precision
    """Arithmetic of the run."""

    def seconds(self, measured: float, *, flops: float) -> Span:
        """Of work that took `measured` seconds in bfloat16 on the reference."""
        peak = self.card.tflops(self.precision)
        if self.precision is Precision.FLOAT32:
            return Span.between(*(flops / (share * peak * 1e12) for share in _FLOAT32_SHARES))
        return Span.between(
            measured * self.reference.bf16_tflops / peak,
            measured * self.reference.bandwidth_gb_s / self.card.bandwidth_gb_s,
            factor=_WIDER,
        )


def speed_of(card: Card, *, cards: Cards, bench: Bench, precision: Precision) -> Speed:
    """How a card compares with the measured one.

    Raises:
        UsageError: the measured card is not among `cards`, or this one lacks the arithmetic.
    """
    name = cards.of_device(bench.card)
    if name is None:
        raise UsageError(
            f"the card that steps were measured on, {bench.card}, is not among the cards; "
            "add it to the file of --cards"
        )
    if card.tflops(precision) == 0:
        raise UsageError(f"the card has no units for {precision.value}")
    return Speed(bench=bench, reference=cards.cards[name], card=card, precision=precision)


def time_on_card(
    work: BranchWork,
    *,
    profile: Profile,
    clips: Clips,
    speed: Speed,
    micro_batch: int,
    measured_works: dict[str, BranchWork],
) -> RunTime:
    """Seconds of one run of a branch.

    micro_batch: of the run; its accumulation keeps the profile's batch. measured_works: of the
    branches that were measured, at the settings they were measured with.
    """
    like = work.variant if work.variant in speed.bench.sd15 else "baseline"
    bench, its_work = speed.bench.sd15[like], measured_works[like]
    training = profile.training
    batch = training.micro_batch * training.accumulation
    slower = _per_sample(micro_batch) / _per_sample(speed.bench.batch)
    steps, validate = {}, NOTHING
    train = NOTHING
    for stage, count in schedule_of(profile).items():
        own = work.stages[stage]
        measured_s = bench.step_seconds(stage)
        if not own.flops or not count:
            continue
        rate_from = stage if measured_s and its_work.stages[stage].flops else "stage2"
        seconds = bench.step_seconds(rate_from)
        assert seconds is not None
        per_flop = seconds / (its_work.stages[rate_from].flops * speed.bench.batch)
        flops = own.flops * batch
        steps[stage] = speed.seconds(per_flop * flops * slower, flops=flops)
        train += steps[stage].times(count)
        # The last step of a stage is validated too.
        num_passes = -(-count // training.validate_every)
        flops = own.forward_flops * clips.val * training.validation_draws * num_passes
        validate += speed.seconds(per_flop * flops, flops=flops)
    num_checkpoints = sum(-(-n // training.checkpoint_every) for n in schedule_of(profile).values())
    saving = checkpoint_bytes(work) * num_checkpoints / _CHECKPOINT_BYTES_PER_S
    images = clips.test * clips.num_arms(work.num_arms) * profile.sampling.images_per_clip
    encode = work.encode_flops * (2 if profile.data.horizontal_flip else 1)
    sample_s, image_flops = _image(work, its_work, bench, profile=profile)
    phases = {
        "start": Span.about(_START_S, factor=1.5),
        "features": Span.about(_ENCODE_PER_CLIP_S * clips.total, factor=2)
        + speed.seconds(sample_s * encode / image_flops * clips.total, flops=encode * clips.total),
        "train": train,
        "validate": validate,
        "checkpoints": Span.about(saving, factor=2),
        "sample": speed.seconds(sample_s, flops=image_flops).times(images),
        "score": Span.about(_SCORE_S + _SCORE_PER_IMAGE_S * images, factor=2),
    }
    where = f"{speed.bench.card}, {speed.bench.date}, random weights of SD v1.5's size"
    basis = f"steps measured on an {where}"
    if like != work.variant:
        basis += f", of {like}, for this branch was not measured"
    return RunTime(phases, basis, steps)


def _image(
    work: BranchWork, its_work: BranchWork, bench: object, *, profile: Profile
) -> tuple[float, float]:
    """Seconds on the measured card and FLOPs of one sampled and decoded picture."""
    sampling = profile.sampling
    flops = image_flops(work, steps=sampling.steps, passes=passes_of(sampling))
    measured = SAMPLED_STEPS * SAMPLED_PASSES * its_work.pass_flops + its_work.decode_flops
    images_per_s = getattr(bench, "images_per_s", None) or 1.0
    return flops / measured / images_per_s, flops


def image_flops(work: BranchWork, *, steps: int, passes: int) -> float:
    """Of one sampled and decoded picture. passes: of the UNet for each solver step."""
    return steps * passes * work.pass_flops + work.decode_flops


def passes_of(sampling: SamplingSettings) -> int:
    """Passes of the UNet for each solver step: for sound, caption alone, and nothing."""
    return 1 + (sampling.audio_guidance != sampling.text_guidance) + (sampling.text_guidance != 1)


def _per_sample(micro_batch: int) -> float:
    return _PER_SAMPLE_MS + _PER_MICRO_BATCH_MS / micro_batch
