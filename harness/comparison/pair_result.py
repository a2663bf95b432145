"""What is known of one pair of branches on one metric, as a comparison keeps it."""

from typing import Literal

from harness.comparison.evidence import (
    ClipBootstrap,
    Interval,
    OtherClips,
    Part,
    Selection,
    Variance,
)
from harness.statistics.outcome import Outcome, Population, Strength


class PairResult(Part):
    """One pair of branches on one metric, paired by seed. None: too few seeds for the number."""

    metric: str
    """Name in the registry."""
    higher_is_better: bool
    """Direction of the metric; `effect` keeps the metric's own sign."""
    first: str
    """Branch the difference is taken from."""
    second: str
    """Branch that is subtracted."""
    n: int
    """Seeds that both branches have."""
    effect: float
    """Mean over seeds of first minus second, in the metric's unit."""
    sd: float | None
    """Standard deviation of the difference over seeds."""
    interval: Interval | None
    """Student's t interval of the effect over seeds."""
    bootstrap: ClipBootstrap | None
    """Interval over seeds, classes and clips; None for a metric of whole sets of images."""
    p: float | None
    """Two-sided p of the seed-paired t-test."""
    adjusted_p: float | None
    """The same after the adjustment named below; what the verdict rests on."""
    adjustment: Literal["holm", "benjamini_hochberg"]
    """Holm over the pairs of the primary metric, Benjamini-Hochberg over everything else."""
    sign_flip_p: float | None
    """Two-sided p of the exact sign-flip test over seeds."""
    smallest_sign_flip_p: float | None
    """What `sign_flip_p` cannot go below with this many seeds."""
    margin: float
    """Differences within this are a tie; set before the runs; 0: no tie can be claimed."""
    detectable: float | None
    """True difference that a comparison like this one calls a win in 80 % of cases, by the whole
    rule and with the sd as uncertain as these seeds leave it; in the metric's unit."""
    verdict: Outcome
    """Win, tie or undecided."""
    strength: Strength
    """Exploratory below 6 seeds, and on every metric but the primary one; none where 6 or more
    seeds establish nothing."""
    winner: str | None
    """The better branch of a win."""
    ahead: str | None
    """The branch with the better mean, whatever the verdict; None when equal."""
    sentence: str
    """All of it in words."""
    differences: dict[int, float]
    """First minus second of each seed."""
    population: Population = Population.THESE_CLIPS
    """What a win or tie speaks of, beyond the trainings that were made."""
    simultaneous: Interval | None = None
    """The t interval widened so that all pairs (Bonferroni) and all planned looks hold together."""
    sd_interval: Interval | None = None
    """Where the true `sd` lies."""
    why_no_detectable: str | None = None
    """Why `detectable` is blank."""
    adjusted_both_p: float | None = None
    """The larger p of the t-test and the test for other clips, adjusted as `adjusted_p` is."""
    other_clips: OtherClips | None = None
    """The difference for other trainings and other clips of these classes."""
    other_classes: OtherClips | None = None
    """The same for other classes too; None below 5 classes that weigh alike."""
    variance: Variance | None = None
    """Where the variance comes from."""
    selection: Selection | None = None
    """Of a win: how much its difference is likely to exaggerate."""
