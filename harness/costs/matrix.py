"""What a matrix of runs will take, on cards or on this machine, before anything is rented."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from core.choices import Precision
from core.conditioning.config import VariantConfig
from core.errors import UsageError
from harness.branches.registry import find_variant
from harness.costs.bench import Bench, newest_bench
from harness.costs.cards import Card, Cards, load_cards
from harness.costs.clips import Clips, clips_of
from harness.costs.disk import Disk, disk_of
from harness.costs.expected import card_time, observed_time, this_device, why_no_estimate
from harness.costs.known import branch_work
from harness.costs.memory import largest_micro_batch, memory_need
from harness.costs.observed import observed_runs
from harness.costs.span import NOTHING, Span
from harness.costs.times import RunTime
from harness.costs.work import BranchWork
from harness.records.folders import ResultsFolder
from harness.records.record import RunRecord
from harness.run.budget import schedule_of
from harness.settings.load import load_profile, parse_settings
from harness.settings.profile import Profile


@dataclass(frozen=True, kw_only=True)
class MatrixRequest:
    """What is asked about."""

    variants: tuple[str, ...]
    num_seeds: int
    profile: str
    overrides: tuple[str, ...] = ()
    gpu: str | None = None
    """Cards by name, or `all`; None: all for a profile that needs a GPU, else this machine."""
    cards: Path | None = None
    """A file of cards on top of those that ship."""
    data: str | None = None
    num_clips: int | None = None
    """Clips of the split, where no data is named."""
    results: Path = Path("results")
    price_per_hour: float | None = None
    """On any device; None: what the card's entry says."""
    jobs: int = 1
    """Runs at a time on one machine."""


@dataclass(frozen=True, kw_only=True)
class BranchPlan:
    """The work of one run of one branch."""

    variant: str
    profile: Profile
    config: VariantConfig
    work: BranchWork

    @property
    def steps(self) -> int:
        """Optimiser steps; a stage that trains nothing has none."""
        schedule = schedule_of(self.profile)
        return sum(n for stage, n in schedule.items() if self.work.stages[stage].flops)

    @property
    def batch_size(self) -> int:
        """Samples of a step."""
        return self.profile.training.micro_batch * self.profile.training.accumulation

    @property
    def train_flops(self) -> float:
        """Of all optimiser steps."""
        schedule = schedule_of(self.profile)
        return self.batch_size * sum(
            n * self.work.stages[stage].flops for stage, n in schedule.items()
        )

    def data(self) -> dict[str, Any]:
        """For scripts."""
        return {
            "variant": self.variant,
            "steps": self.steps,
            "samples": self.steps * self.batch_size,
            "train_flops": self.train_flops,
            "flops_per_step": {
                stage: own.flops * self.batch_size for stage, own in self.work.stages.items()
            },
            "trainable": self.work.trainable,
        }


@dataclass(frozen=True, kw_only=True)
class DevicePlan:
    """The matrix on one device."""

    device: str
    """Card, or this machine's device."""
    runs: dict[str, RunTime]
    """By branch; empty where `problem` says why nothing can be said."""
    total: Span
    """Seconds of the whole matrix on the clock."""
    price_per_hour: float | None
    memory_gb: float | None = None
    micro_batch: int | None = None
    """What the times are for; on a CPU the profile's own."""
    largest_micro_batch: int | None = None
    """Of a card: the largest that fits."""
    memory_need: float | None = None
    """Bytes of GPU memory at `micro_batch`, of the branch that takes most."""
    settings: tuple[str, ...] = ()
    """What must be `--set` for this card, where the profile as it is does not run there."""
    problem: str | None = None

    @property
    def dollars(self) -> Span | None:
        """Of the whole matrix; None without a price."""
        if self.price_per_hour is None:
            return None
        return self.total.times(self.price_per_hour / 3600)

    def data(self) -> dict[str, Any]:
        """For scripts."""
        return {
            "device": self.device,
            "memory_gb": self.memory_gb,
            "micro_batch": self.micro_batch,
            "largest_micro_batch": self.largest_micro_batch,
            "memory_need_bytes": self.memory_need,
            "settings": list(self.settings),
            "hours": None if self.problem else self.total.times(1 / 3600).data(),
            "price_per_hour": self.price_per_hour,
            "dollars": None if self.problem or self.dollars is None else self.dollars.data(),
            "runs": {
                name: {
                    "seconds": time.each.data(),
                    "phases": {phase: span.data() for phase, span in time.phases.items()},
                    "step_seconds": {s: span.data() for s, span in time.step_seconds.items()},
                    "basis": time.basis,
                }
                for name, time in self.runs.items()
            },
            "problem": self.problem,
        }


@dataclass(frozen=True, kw_only=True)
class MatrixPlan:
    """What the matrix is, and what it takes on each device."""

    request: MatrixRequest
    branches: list[BranchPlan]
    clips: Clips
    disk: Disk
    devices: list[DevicePlan]
    cards_dated: str
    bench: Bench | None = field(default=None, repr=False)

    @property
    def num_runs(self) -> int:
        """Branches times seeds."""
        return len(self.branches) * self.request.num_seeds

    def data(self) -> dict[str, Any]:
        """For scripts."""
        clips = self.clips
        return {
            "profile": self.request.profile,
            "runs": self.num_runs,
            "seeds": self.request.num_seeds,
            "jobs": self.request.jobs,
            "clips": {
                "train": clips.train, "val": clips.val, "test": clips.test, "source": clips.source,
            },
            "branches": [branch.data() for branch in self.branches],
            "disk_bytes": self.disk.data(),
            "devices": [device.data() for device in self.devices],
            "cards_dated": self.cards_dated,
        }  # fmt: skip


def plan_matrix(request: MatrixRequest) -> MatrixPlan:
    """What a matrix takes; needs neither weights nor a GPU, and reads no media.

    Raises:
        UsageError: an unknown branch, setting, card or profile.
    """
    branches = [plan_branch(name, request) for name in request.variants]
    profile = branches[0].profile
    clips = clips_of(request.data, number=request.num_clips, settings=profile.data)
    disk = disk_of(
        [branch.work for branch in branches],
        num_seeds=request.num_seeds,
        profile=profile,
        clips=clips,
    )
    planner = _Planner(request, branches, clips)
    return MatrixPlan(
        request=request,
        branches=branches,
        clips=clips,
        disk=disk,
        devices=planner.devices(),
        cards_dated=planner.cards.dated,
        bench=planner.bench,
    )


def plan_branch(name: str, request: MatrixRequest) -> BranchPlan:
    """The work of one run of one branch.

    Raises: as `plan_matrix`.
    """
    registration = find_variant(name)
    profile = load_profile(request.profile, overrides=request.overrides, variant=name)
    config = parse_settings(
        registration.load_config(),
        profile.variants.get(name, {}),
        what=f"setting of variant {name}:",
    )
    work = branch_work(
        registration,
        profile=profile,
        config=config,
        kept_in=ResultsFolder(request.results).counted,
    )
    return BranchPlan(variant=name, profile=profile, config=config, work=work)


class _Planner:
    def __init__(self, request: MatrixRequest, branches: Sequence[BranchPlan], clips: Clips):
        self.request = request
        self.branches = list(branches)
        self.clips = clips
        self.cards: Cards = load_cards(request.cards)
        self.bench = newest_bench()
        self.records: list[RunRecord] = observed_runs(request.results)

    def devices(self) -> list[DevicePlan]:
        profile = self.branches[0].profile
        gpu = self.request.gpu or ("all" if profile.hardware.needs_gpu else None)
        if gpu is None:
            return [self._here()]
        return [self._on_card(name, card) for name, card in self.cards.chosen(gpu).items()]

    def _here(self) -> DevicePlan:
        device = this_device()
        runs = {}
        for branch in self.branches:
            found = self._observed(branch, device)
            if found is None:
                return self._unknown(
                    device,
                    f"nothing is known of {branch.variant} on {device}: pass --measure to make 20 "
                    "steps of each stage here",
                )
            runs[branch.variant] = found
        micro_batch = self.branches[0].profile.training.micro_batch
        return DevicePlan(
            device=device,
            runs=runs,
            total=self._total(runs),
            price_per_hour=self.request.price_per_hour,
            micro_batch=micro_batch,
        )

    def _observed(self, branch: BranchPlan, device: str) -> RunTime | None:
        return observed_time(
            branch.work,
            profile=branch.profile,
            config=branch.config,
            clips=self.clips,
            results=self.request.results,
            device=device,
            records=self.records,
        )

    def _on_card(self, name: str, card: Card) -> DevicePlan:
        profile = self.branches[0].profile
        price = self.request.price_per_hour
        price = card.price_per_hour if price is None else price
        works = [branch.work for branch in self.branches]
        precision = profile.training.precision
        settings: tuple[str, ...] = ()
        if card.tflops(precision) == 0:
            precision = Precision.FLOAT16
            settings = ("training.precision=float16", "foundation.dtype=float16")
        batch_size = self.branches[0].batch_size
        largest = largest_micro_batch(works, card=card, precision=precision, batch_size=batch_size)
        if largest is None:
            least = max(memory_need(w, precision=precision, micro_batch=1).num_bytes for w in works)
            return self._unknown(
                name, f"needs {least / 1e9:.1f} GB even for one sample at a time", card=card
            )
        micro_batch = min(profile.training.micro_batch, largest)
        if micro_batch != profile.training.micro_batch:
            settings += (
                f"training.micro_batch={micro_batch}",
                f"training.accumulation={batch_size // micro_batch}",
            )
        runs = {}
        for branch in self.branches:
            found = self._of_known_card(branch, name)
            if found is None:
                problem = why_no_estimate(branch.work, self.bench)
                if problem is not None or self.bench is None:
                    return self._unknown(name, str(problem), card=card)
                found = card_time(
                    branch.work,
                    profile=branch.profile,
                    clips=self.clips,
                    cards=self.cards,
                    name=name,
                    precision=precision,
                    micro_batch=micro_batch,
                    bench=self.bench,
                )
            runs[branch.variant] = found
        needs = [memory_need(w, precision=precision, micro_batch=micro_batch) for w in works]
        return DevicePlan(
            device=name,
            runs=runs,
            total=self._total(runs),
            price_per_hour=price,
            memory_gb=card.memory_gb,
            micro_batch=micro_batch,
            largest_micro_batch=largest,
            memory_need=max(need.num_bytes for need in needs),
            settings=settings,
        )

    def _of_known_card(self, branch: BranchPlan, name: str) -> RunTime | None:
        """From runs or measured steps on a device that is this card; None where there are none."""
        devices = {record.cost.device or "" for record in self.records}
        calibrated = ResultsFolder(self.request.results).calibrations
        if calibrated.is_dir() and any(calibrated.glob("speed-*.json")):
            devices.add(this_device())
        for device in sorted(devices):
            if self.cards.of_device(device) == name:
                found = self._observed(branch, device)
                if found is not None:
                    return found
        return None

    def _total(self, runs: dict[str, RunTime]) -> Span:
        """Seconds on the clock: what is shared once, all runs `jobs` at a time."""
        shared = max((time.shared for time in runs.values()), key=lambda span: span.mid)
        each = sum((time.each for time in runs.values()), NOTHING)
        num_runs = len(self.branches) * self.request.num_seeds
        at_a_time = max(1, min(self.request.jobs, num_runs))
        return shared + each.times(self.request.num_seeds / at_a_time)

    def _unknown(self, name: str, problem: str, *, card: Card | None = None) -> DevicePlan:
        price = self.request.price_per_hour
        if card is not None and price is None:
            price = card.price_per_hour
        memory = None if card is None else card.memory_gb
        return DevicePlan(
            device=name,
            runs={},
            total=NOTHING,
            price_per_hour=price,
            memory_gb=memory,
            problem=problem,
        )


def require_one_device(request: MatrixRequest) -> None:
    """Raises: UsageError where steps are to be measured here and a card is named."""
    if request.gpu is not None:
        raise UsageError("--measure runs on this machine's device; drop --gpu")
