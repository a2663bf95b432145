"""What stands behind a pair and a verdict beyond the seeds: other clips, shapes, looks; on disk."""

from typing import Literal

from pydantic import BaseModel, ConfigDict

from harness.statistics.outcome import Population, Speaks


class Part(BaseModel):
    """A part of a comparison's record."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Interval(Part):
    """Where a value lies with the stated coverage."""

    low: float
    """Lower end."""
    high: float
    """Upper end."""
    level: float
    """Nominal coverage, such as 0.95."""


class ClipBootstrap(Part):
    """Interval of a paired difference by resampling seeds, classes and clips."""

    interval: Interval
    """Where the mean difference would fall for other seeds, classes and clips."""
    num_seeds: int
    """Seeds drawn from."""
    num_classes: int
    """Classes drawn from."""
    num_clips: int
    """Clips drawn from."""
    classes_drawn: bool
    """Whether it speaks of other classes too; False: of these classes only."""


class OtherClips(Part):
    """A paired difference, tested for other trainings and other clips (or classes) at once."""

    population: Population
    """What it speaks of: other clips of these classes, or other classes too."""
    interval: Interval | None
    """Of the mean difference; of the primary metric, holding over all pairs and planned looks. None
    where trainings or clips agree to the last digit, so that there is no spread to make it of."""
    p: float
    """Two-sided p of a mean of 0."""
    freedom: float
    """Degrees of freedom of its t distribution."""
    num_clips: int
    """Clips that every training has a value for."""
    left_out: int
    """Clips that some training has no value for."""
    classes_apart: bool
    """Whether the clips' variance is that within classes; False: each class has one clip."""


class Variance(Part):
    """Where the variance of a paired difference comes from, and what would narrow its interval."""

    seeds: float
    """Variance between trainings, what a seed changes for every clip alike."""
    clips: float
    """Variance between clips of a class, what holds for a clip in every training."""
    rest: float
    """What is left of one clip in one training, the noise of its images among it."""
    half_width: float
    """Expected half width of the interval for other trainings and clips, as it is."""
    twice_the_seeds: float
    """The same with twice the seeds."""
    twice_the_clips: float
    """The same with twice the clips."""
    twice_the_images: float
    """The least it can be with twice the images of each clip."""

    @property
    def best(self) -> Literal["seeds", "clips", "images per clip"]:
        """What narrows the interval most when it is doubled."""
        if self.twice_the_images < min(self.twice_the_seeds, self.twice_the_clips):
            return "images per clip"
        return "seeds" if self.twice_the_seeds <= self.twice_the_clips else "clips"


class Selection(Part):
    """How much larger a win's difference is printed than it is, since only large ones win."""

    factor: float
    """Expected ratio of the printed difference to the true one."""
    shrunken: float
    """The difference divided by it."""
    is_at_least: bool
    """Whether the factor is a lower limit."""


class Trainings(Part):
    """How the trainings of the comparison are distributed on the deciding metric."""

    collapsed: dict[str, list[int]]
    """By branch, the seeds far on the worse side of its median."""
    num_seeds: int
    """Trainings of each branch."""
    unseen_share: float
    """Upper 95 % limit of the share of collapsing trainings of a branch that shows none."""
    skewed: list[str]
    """Pairs whose differences over seeds are skewed."""
    speaks: Speaks
    """Whether a win speaks of the typical training or of the mean over trainings."""


class Looks(Part):
    """How often this question was looked at, and what that costs."""

    planned: list[int] = []
    """Numbers of seeds at which it was planned to decide; empty: this one alone."""
    earlier: list[int] = []
    """Numbers of seeds at which it was decided before, from 6 on."""
    unplanned: list[int] = []
    """Those of them that no plan names."""
    level: float | None = None
    """Upper limit of the level that all looks have together where some are unplanned; None where
    the stated level holds."""


class Listening(Part):
    """In how many of a branch's trainings the matching sound beats the mismatched one."""

    branch: str
    """Variant."""
    metric: str
    """What the images were scored by, clip by clip."""
    num_runs: int
    """Finished runs that were given a mismatched sound; 0: the branch takes no sound."""
    num_above: int
    """Those of them whose 95 % interval over clips lies above 0."""
    num_below: int
    """Those whose interval lies below 0: the mismatched sound scores better."""
    mean: float | None
    """Mean advantage of the matching sound over runs, positive is better; None without a run."""
    refused: str | None = None
    """Why nothing is claimed: the scorers are at chance within a class; counts are 0 then."""


class NearReal(Part):
    """Whether a branch is shown to lie within a margin of real pictures, by one distance."""

    metric: str
    """The distance; 0 on average for a perfect generator."""
    branch: str
    """Variant."""
    margin: float
    """Distance too small to matter, set before the runs."""
    distance: float
    """Mean over trainings and clips."""
    interval: Interval | None
    """Of it, for other trainings and other clips of these classes; by itself. None where trainings
    or clips do not vary."""
    num_seeds: int
    """Trainings."""
    num_clips: int
    """Clips that every training has a value for."""
    adjusted_p: float | None
    """p of two one-sided tests against a distance at the margin, adjusted by Hochberg over all
    branches and distances; None where it was not tested."""
    is_shown: bool
    """Whether it is."""
    sentence: str
    """All of it in words."""


class ToAdd(Part):
    """What an undecided pair would take to be decided, if the difference is as seen."""

    seeds: int | None
    """More seeds of each branch; None where no number of seeds up to 40 would do."""
    clips: int | None
    """More test clips; None where no number of clips up to ten times these would do."""
    seconds_for_seeds: float | None
    """Seconds of device time that the seeds would take; None where it is not known."""
    seconds_for_clips: float | None
    """The same of the clips: new runs throughout, since they change the split."""
    sentence: str
    """The cheaper of the two, in words."""
