"""Stand-in runs with known truth, put through the very code that judges real ones.

The model of a score, for branch b, training seed s and test clip c (all normal, independent):

    score = effect_b + seed_s + training_bs + class_k(c) + clip_c + interaction_bc + noise_bsc

`training_bs` is what another training of the same branch changes for every clip alike; it is what
one seed cannot tell from a better branch. `interaction_bc` is what one branch does better for one
clip in every training, which no number of seeds averages out. `seed_s`, what a seed does to all
branches alike, and the clips' own difficulty drop out by pairing.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from core.randomness import rng
from harness.comparison.analysis import analyse
from harness.comparison.record import ComparisonRecord
from harness.comparison.runs import LoadedRun
from harness.records.parts import MetricValue, SplitFacts
from harness.records.record import RunIdentity, RunRecord, Status
from harness.statistics.bootstrap import hierarchical_bootstrap

Array = NDArray[np.float64]

METRIC = "listening_rank"
CLASS_SIZES = (10, 10, 10, 10, 10, 9, 4, 3)
"""Test clips of each class, as in the embedded corpus (nearly)."""


@dataclass(frozen=True)
class World:
    """Sizes of the effects, in units of the noise of one image."""

    num_seeds: int = 6
    """Training seeds of each branch."""
    effects: tuple[float, ...] = (0.0, 0.0)
    """True mean of each branch; all equal: the same variant under several names."""
    training_sd: float = 0.05**0.5
    """What another training of the same branch changes for all clips alike; its variance here is
    5 % of an image's, the low end of what was found."""
    seed_sd: float = 0.1
    """What a seed changes for all branches alike."""
    class_sd: float = 0.3
    """Difficulty of a class."""
    clip_sd: float = 0.5
    """Difficulty of a clip."""
    noise_sd: float = 1.0
    """What is left of one image's score."""
    interaction_sd: float = 0.0
    """What a clip is worth to one branch in every training, in the difference of two branches."""
    class_sizes: tuple[int, ...] = field(default=CLASS_SIZES)
    """Test clips of each class."""

    @property
    def branches(self) -> tuple[str, ...]:
        """Names of the branches."""
        return tuple(f"branch_{chr(ord('a') + k)}" for k in range(len(self.effects)))

    @property
    def paired_sd(self) -> float:
        """True standard deviation over seeds of the difference between two branches."""
        clips = sum(self.class_sizes)
        return math.sqrt(2 * (self.training_sd**2 + self.noise_sd**2 / clips))

    def scores(self, draw: np.random.Generator) -> Array:
        """[branches, seeds, clips] scores of one experiment."""
        shape = (len(self.effects), self.num_seeds, sum(self.class_sizes))
        of_class = np.repeat(draw.normal(0, self.class_sd, len(self.class_sizes)), self.class_sizes)
        return (
            np.asarray(self.effects)[:, None, None]
            + draw.normal(0, self.seed_sd, (1, shape[1], 1))
            + draw.normal(0, self.training_sd, (*shape[:2], 1))
            + of_class
            + draw.normal(0, self.clip_sd, (1, 1, shape[2]))
            + draw.normal(0, self.interaction_sd / math.sqrt(2), (shape[0], 1, shape[2]))
            + draw.normal(0, self.noise_sd, shape)
        )


class StandInRun(LoadedRun):
    """A run that was never made: its record and its table, without a folder."""

    def __init__(self, record: RunRecord, table: pd.DataFrame) -> None:
        super().__init__(record, Path("stand-in") / record.run_id)
        object.__setattr__(self, "_table", table)

    @cached_property
    def per_clip(self) -> pd.DataFrame:
        """The simulated table."""
        table: pd.DataFrame = self.__dict__["_table"]
        return table


def stand_in_runs(world: World, scores_BSC: Array) -> list[StandInRun]:
    """One run for each branch and seed with these scores."""
    clips = pd.DataFrame(
        {
            "sample_id": [f"clip{k}" for k in range(sum(world.class_sizes))],
            "class_name": np.repeat(
                [f"class{k}" for k in range(len(world.class_sizes))], world.class_sizes
            ),
            "arm": "audio",
            "draw": 0,
            "metric": METRIC,
        }
    )
    return [
        StandInRun(_record(branch, seed, values_C), clips.assign(value=values_C))
        for branch, of_branch in zip(world.branches, scores_BSC, strict=True)
        for seed, values_C in enumerate(of_branch)
    ]


def experiment(world: World, *, repeat: int, margin: float | None = None) -> ComparisonRecord:
    """One simulated comparison, through the code that judges real records."""
    scores = world.scores(rng(repeat, "study", *_key(world)))
    return analyse(
        stand_in_runs(world, scores),
        metric=METRIC,
        margins={} if margin is None else {METRIC: margin},
        folder=Path("stand-in"),
        command="harness compare",
    )


def naive_p(scores_BSC: Array) -> float:
    """p of the test this harness refuses: images of one training of each branch, paired by clip."""
    return float(stats.ttest_rel(scores_BSC[0, 0], scores_BSC[1, 0]).pvalue)


def naive_rate(world: World, *, repeats: int, alpha: float = 0.05) -> float:
    """How often the naive test calls a difference between the first two branches."""
    draw = rng(0, "naive", *_key(world))
    called = sum(naive_p(world.scores(draw)) <= alpha for _ in range(repeats))
    return called / repeats


def coverage(world: World, *, repeats: Sequence[int], num_resamples: int = 2_000) -> float:
    """How often the bootstrap interval of the first pair's difference holds the true one.

    Here the clips' difficulty differs between the branches (`clip_sd` and `class_sd` act on the
    difference): the interval speaks of other clips and classes, so these must vary. Below 5 classes
    it speaks of these classes, and so what they are worth is part of the truth.
    """
    planted = world.effects[0] - world.effects[1]
    names = [f"class{k}" for k, size in enumerate(world.class_sizes) for _ in range(size)]
    clips = [(name, str(place)) for place, name in enumerate(names)]
    shape = (world.num_seeds, len(clips))
    hits = 0
    for repeat in repeats:
        draw = rng(repeat, "coverage", *_key(world))
        seeds_S1 = draw.normal(0, math.sqrt(2) * world.training_sd, (shape[0], 1))
        of_class = draw.normal(0, world.class_sd, len(world.class_sizes))
        class_C = np.repeat(of_class, world.class_sizes)
        difference_SC = (
            planted
            + seeds_S1
            + class_C
            + draw.normal(0, world.clip_sd, (1, shape[1]))
            + draw.normal(0, math.sqrt(2) * world.noise_sd, shape)
        )
        found = hierarchical_bootstrap(
            difference_SC.T, clips=clips, num_resamples=num_resamples, seed=repeat
        )
        truth = planted if found.classes_drawn else planted + float(class_C.mean())
        hits += found.low <= truth <= found.high
    return hits / len(repeats)


def _key(world: World) -> tuple[int | str, ...]:
    return (world.num_seeds, repr(world))


def _record(branch: str, seed: int, values_C: Array) -> RunRecord:
    identity = RunIdentity.model_construct(
        variant=branch,
        seed=seed,
        profile="stand-in",
        settings={},
        variant_config={},
        split_hash="stand-in",
        code={"variant": "stand-in"},
        models={},
    )
    score = MetricValue(
        metric=METRIC,
        arm="audio",
        value=float(values_C.mean()),
        n=len(values_C),
        higher_is_better=True,
        extractor=None,
        extractor_hash=None,
    )
    split = SplitFacts(lock="", hash="stand-in", counts={}, excluded={}, num_input=None)
    return RunRecord.model_construct(
        run_id=f"{branch}-s{seed}",
        status=Status.FINISHED,
        identity=identity,
        command="",
        started_at="",
        finished_at="",
        split=split,
        metrics={METRIC: score},
    )
