"""What one run will take on a device: by what was observed there, else by what ships."""

from collections.abc import Sequence
from functools import cache
from pathlib import Path

from core.choices import Precision
from core.conditioning.config import VariantConfig
from harness.branches.registry import Registration, find_variant
from harness.costs.bench import Bench, newest_bench
from harness.costs.cards import Cards, load_cards
from harness.costs.clips import Clips
from harness.costs.known import branch_work, known_work
from harness.costs.observed import (
    from_runs,
    kept,
    observed_runs,
    shipped,
    speed_key,
    time_observed,
)
from harness.costs.times import RunTime, speed_of, time_on_card
from harness.costs.work import BranchWork
from harness.records.record import RunRecord
from harness.settings.load import load_profile, parse_settings
from harness.settings.profile import Profile

CPU = "cpu"
_SMALLEST_FLOPS = 1e11
"""Of a pass: a smaller UNet is bound by kernel launches on a GPU, and FLOPs say nothing."""


def expected_time(
    registration: Registration,
    *,
    profile: Profile,
    config: VariantConfig,
    clips: Clips,
    results: Path,
    device: str | None = None,
) -> RunTime | None:
    """What one run takes on this machine; None where nothing is known or it had to be counted.

    device: as `--device`.
    """
    work = known_work(registration, profile=profile, config=config)
    if work is None:
        return None
    here = this_device(device)
    found = observed_time(
        work,
        profile=profile,
        config=config,
        clips=clips,
        results=results,
        device=here,
        records=observed_runs(results),
    )
    cards, bench = load_cards(), newest_bench()
    name = cards.of_device(here)
    if found is not None or name is None or bench is None or why_no_estimate(work, bench):
        return found
    card, precision = cards.cards[name], profile.training.precision
    if card.tflops(precision) == 0:
        return None
    return card_time(
        work,
        profile=profile,
        clips=clips,
        cards=cards,
        name=name,
        precision=precision,
        micro_batch=profile.training.micro_batch,
        bench=bench,
    )


def observed_time(
    work: BranchWork,
    *,
    profile: Profile,
    config: VariantConfig,
    clips: Clips,
    results: Path,
    device: str,
    records: Sequence[RunRecord],
) -> RunTime | None:
    """By finished runs on the device, by steps measured there, or on a CPU by another one."""
    key = speed_key(
        work.variant,
        settings=profile.model_dump(mode="json"),
        config=config.model_dump(mode="json"),
    )
    found = from_runs(records, key=key, device=device, work=work) or kept(
        results, variant=work.variant, key=key, device=device
    )
    is_here = found is not None
    if found is None and device == CPU and work.pass_flops < _SMALLEST_FLOPS:
        found = shipped().get(work.variant)
    if found is None:
        return None
    return time_observed(found, work, profile=profile, clips=clips, is_here=is_here)


def why_no_estimate(work: BranchWork, bench: Bench | None) -> str | None:
    """Why nothing can be said of a card from FLOPs; None where something can."""
    if bench is None:
        return "no measurement of a GPU ships with this version; pass --measure on the card"
    if work.pass_flops < _SMALLEST_FLOPS:
        return (
            "so small a model is bound by kernel launches, not by FLOPs: only --measure on the "
            "card tells"
        )
    return None


def card_time(
    work: BranchWork,
    *,
    profile: Profile,
    clips: Clips,
    cards: Cards,
    name: str,
    precision: Precision,
    micro_batch: int,
    bench: Bench,
) -> RunTime:
    """What one run takes on a card, by a measurement of another one."""
    return time_on_card(
        work,
        profile=profile,
        clips=clips,
        speed=speed_of(cards.cards[name], cards=cards, bench=bench, precision=precision),
        micro_batch=micro_batch,
        measured_works=_measured_works(tuple(bench.sd15)),
    )


@cache
def _measured_works(branches: tuple[str, ...]) -> dict[str, BranchWork]:
    """What the measured branches computed: SD v1.5's profile as it ships. Asked for each card."""
    profile = load_profile("sd15")
    works = {}
    for name in branches:
        registration = find_variant(name)
        config = parse_settings(
            registration.load_config(),
            profile.variants.get(name, {}),
            what=f"setting of variant {name}:",
        )
        works[name] = branch_work(registration, profile=profile, config=config)
    return works


def this_device(asked: str | None = None) -> str:
    """What runs here compute on, as records name it; a CPU where torch is not installed."""
    if asked == CPU:
        return CPU
    try:
        from harness.run.device import device_name, training_device
    except ImportError:
        return CPU
    return device_name(training_device())
