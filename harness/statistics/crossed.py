"""Trainings and clips as two crossed samples: variance components and tests of the mean. float64.

The paired difference of two branches, of training seed s and test clip c, is taken as

    d[s, c] = mean + seed_s + clip_c + rest_sc

Many trainings make the mean over these clips sure, never the mean over other clips: `clip_c`
(what one branch does better for one clip, whatever the seed) does not shrink with more seeds.

Where trainings agree to the last digit, or the clips of each class do, as on a coarse grid of
values, there is no spread to divide by. Then signs alone are counted (Fisher 1935): f + 1 agreeing
units (or f units that repeat the first of their class) lie on one side of a centre that is
elsewhere in 2^-f of cases. That is the p, half of it the p of a tie, and there is no interval.

Shape legend: S seeds, C clips, K classes.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from harness.statistics.outcome import Population
from harness.statistics.rounding import no_less_than_rounding

Array = NDArray[np.float64]

MIN_CLASSES = 5
"""Fewest classes from which one may speak of other classes."""


def freedom_of_clips(num_clips: int, *, num_classes: int) -> int:
    """Degrees of freedom of the clips' mean square: within classes, or over all where each class
    has one clip."""
    return max(1, num_clips - (num_classes if num_clips > num_classes else 1))


@dataclass(frozen=True)
class Components:
    """Where the variance of a paired difference comes from; by the method of moments, so a
    component may come out as 0 where the truth is small."""

    seeds: float
    """Of a training: what another seed changes for every clip alike."""
    clips: float
    """Of a clip within its class: what holds for this clip in every training."""
    rest: float
    """What is left of one clip in one training, the noise of its images among it."""
    num_seeds: int
    """Trainings of each branch."""
    num_clips: int
    """Clips that every training has a value for."""
    num_classes: int
    """Classes of these clips."""

    def error(self, *, seeds: int, clips: int, images: float = 1.0) -> float:
        """Standard error of the mean for other numbers of trainings and clips.

        images: factor on the images of a clip. All of `rest` is divided by it, as if it were the
        noise of images alone, so this is the most that more images can do.
        """
        rest = self.rest / (seeds * clips * images)
        return math.sqrt(self.seeds / seeds + self.clips / clips + rest)

    def half_width(
        self, *, seeds: int, clips: int, images: float = 1.0, level: float = 0.95
    ) -> float:
        """Expected half width of the interval of `crossed_test` for these numbers."""
        rest = self.rest / images
        spare = freedom_of_clips(clips, num_classes=self.num_classes)
        errors = _errors(
            clips * self.seeds + rest,
            seeds * self.clips + rest,
            rest,
            freedoms=(seeds - 1, spare, (seeds - 1) * spare),
            cells=seeds * clips,
        )
        return max((one.half_width(level) for one in errors if one.error > 0), default=0.0)

    def smallest_p(self, *, seeds: int, clips: int) -> float:
        """What the p of `crossed_test` cannot go below for these numbers where trainings or clips
        agree to the last digit; 0 where both vary."""
        spare = freedom_of_clips(clips, num_classes=self.num_classes)
        of_seeds = 0.0 if self.seeds + self.rest > 0 else 2.0 ** (1 - seeds)
        return max(of_seeds, 0.0 if self.clips + self.rest > 0 else 2.0**-spare)


@dataclass(frozen=True)
class StandardError:
    """A standard error and the degrees of freedom it is known by; 0: the units agree."""

    error: float
    """Of the mean."""
    freedom: float
    """Of the t distribution."""

    def half_width(self, level: float) -> float:
        """Of the t interval; NaN without a spread to make it of."""
        if self.error == 0:
            return math.nan
        return float(special.stdtrit(self.freedom, 0.5 + level / 2)) * self.error

    def p(self, mean: float) -> float:
        """Two-sided p of the mean against 0; by signs alone without a spread."""
        if self.error > 0:
            return float(2 * special.stdtr(self.freedom, -abs(mean) / self.error))
        return 1.0 if mean == 0 else 2.0**-self.freedom


@dataclass(frozen=True)
class CrossedTest:
    """The mean of a paired difference, for other trainings and other clips.

    A claim for both is never easier than for one of them: interval and p are the widest and the
    largest of three, by trainings and clips together, by trainings alone and by clips alone. With
    few trainings the first alone is too narrow (Satterthwaite's degrees of freedom are those of
    the clips where two trainings happen to agree): at 2 seeds it found up to 12 % of equal branches
    different at a stated 5 %, at 3 seeds 7 %.
    """

    population: Population
    """What the interval and p speak of."""
    mean: float
    """Mean over the clips that every training has."""
    error: float
    """Its standard error, over trainings and clips."""
    freedom: float
    """Degrees of freedom of its t distribution (Satterthwaite 1946)."""
    alone: tuple[StandardError, ...]
    """The same by trainings alone, and by clips (or classes) alone."""
    low: float
    """Lower end of the interval; NaN where trainings or clips agree, so that none can be made."""
    high: float
    """Upper end of the interval; NaN as above."""
    level: float
    """Coverage of the interval."""
    p: float
    """Two-sided p against a mean of 0."""
    components: Components
    """Where the variance comes from."""
    left_out: int
    """Clips that some training has no value for."""
    classes_apart: bool
    """Whether the clips' variance was taken within classes; False: every class has one clip, and
    the differences between classes count as differences between clips."""

    def at_level(self, level: float) -> tuple[float, float]:
        """Ends of the interval at another coverage; NaN where `low` is."""
        half = _widest(self._errors, level)
        return self.mean - half, self.mean + half

    @property
    def _errors(self) -> tuple[StandardError, ...]:
        return StandardError(self.error, self.freedom), *self.alone

    def equivalence_p(self, margin: float) -> float:
        """p of the two one-sided tests against a mean outside the margin (Schuirmann 1987)."""
        return max(
            equivalence_p(self.mean, error=one.error, freedom=one.freedom, margin=margin)
            for one in self._errors
        )


def equivalence_p(mean: float, *, error: float, freedom: float, margin: float) -> float:
    """The larger p of two one-sided t-tests, below -margin and above +margin; 1 without one.

    Without a spread by signs: were their centre on or past the margin, freedom + 1 units would all
    lie within it in 2^-(freedom + 1) of cases.
    """
    if margin <= 0:
        return 1.0
    room = margin - abs(mean)
    if error == 0:
        return 2.0 ** -(freedom + 1) if room > 0 else 1.0
    return float(special.stdtr(freedom, -room / error))


def crossed_test(
    differences_SC: ArrayLike,
    *,
    classes: Sequence[str],
    level: float = 0.95,
    scale: float | None = None,
) -> CrossedTest | None:
    """Whether the mean differs from 0 for other trainings and other clips of these classes.

    Mean squares of a two-way table without replicates (Searle, Casella and McCulloch 1992,
    section 4.3); the clips' are taken within classes, since the classes are the same again. The
    variance of the mean, (seeds' + clips' - rest's mean square) / (S C), is never taken below the
    larger of the first two alone. A clip that some training lacks is left out of all and counted.

    differences_SC: NaN where there is no value. classes: of each clip. scale: the largest score
    that the differences were taken of, whose rounding is no spread; by default the largest of them.

    Returns None with fewer than 2 seeds or 2 clips that every training has.
    Raises: ValueError where the classes do not fit the clips.
    """
    table = _whole_clips(differences_SC, classes=classes)
    if table is None:
        return None
    values_SC, class_C, left_out = table
    num_seeds, num_clips = values_SC.shape
    mean = float(values_SC.mean())
    seed_S, clip_C = values_SC.mean(axis=1), values_SC.mean(axis=0)
    num_classes = int(class_C.max()) + 1
    classes_apart = num_clips > num_classes
    group_C = class_C if classes_apart else np.zeros_like(class_C)
    freedom_clips = num_clips - (int(group_C.max()) + 1)
    within_C = clip_C - _class_means(clip_C[None], group_C)[0]
    residual_SC = values_SC - _class_means(values_SC, group_C) - within_C
    of_seeds = num_clips * float(((seed_S - mean) ** 2).sum()) / (num_seeds - 1)
    of_clips = num_seeds * float((within_C**2).sum()) / freedom_clips
    freedom_rest = (num_seeds - 1) * freedom_clips
    of_rest = float((residual_SC**2).sum()) / freedom_rest
    largest = float(np.abs(values_SC).max()) if scale is None else scale
    of_seeds = no_less_than_rounding(of_seeds, scale=largest, cells=num_clips)
    of_clips = no_less_than_rounding(of_clips, scale=largest, cells=num_seeds)
    of_rest = no_less_than_rounding(of_rest, scale=largest)
    components = Components(
        seeds=max(0.0, of_seeds - of_rest) / num_clips,
        clips=max(0.0, of_clips - of_rest) / num_seeds,
        rest=of_rest,
        num_seeds=num_seeds,
        num_clips=num_clips,
        num_classes=num_classes,
    )
    return _tested(
        Population.CLIPS,
        mean=mean,
        errors=_errors(
            of_seeds,
            of_clips,
            of_rest,
            freedoms=(num_seeds - 1, freedom_clips, freedom_rest),
            cells=num_seeds * num_clips,
        ),
        level=level,
        components=components,
        left_out=left_out,
        classes_apart=classes_apart,
    )


def class_test(
    differences_SC: ArrayLike,
    *,
    classes: Sequence[str],
    level: float = 0.95,
    scale: float | None = None,
) -> CrossedTest | None:
    """The same for other classes too: trainings and whole classes are the two samples.

    Variance clustered two ways (Cameron, Gelbach and Miller 2011), each part widened by
    n / (n - 1). Where few clips make up most classes' share, the classes count as fewer:
    (sum w^2)^2 / sum w^4 - 1 degrees of freedom for class shares w.

    Returns None below 5 classes, below 2 seeds, or where one class outweighs the others so much
    that less than one degree of freedom is left.
    """
    within = crossed_test(differences_SC, classes=classes, level=level, scale=scale)
    table = _whole_clips(differences_SC, classes=classes)
    if within is None or table is None:
        return None
    values_SC, class_C, left_out = table
    num_seeds, num_clips = values_SC.shape
    num_classes = int(class_C.max()) + 1
    share_K = np.bincount(class_C) / num_clips
    freedom_classes = float((share_K**2).sum() ** 2 / (share_K**4).sum()) - 1
    if num_classes < MIN_CLASSES or freedom_classes < 1:
        return None
    mean = float(values_SC.mean())
    centred_SC = values_SC - mean
    seed_S = centred_SC.mean(axis=1)
    share_SK = np.stack([centred_SC[:, class_C == k].sum(axis=1) for k in range(num_classes)], 1)
    share_SK = share_SK / num_clips
    class_K = share_SK.mean(axis=0)
    rest_SK = share_SK - class_K - seed_S[:, None] * share_K
    wide_S, wide_K = num_seeds / (num_seeds - 1), num_classes / (num_classes - 1)
    of_seeds = wide_S * float((seed_S**2).sum()) / num_seeds**2
    of_classes = wide_K * float((class_K**2).sum())
    of_rest = wide_S * wide_K * float((rest_SK**2).sum()) / num_seeds**2
    largest = float(np.abs(values_SC).max()) if scale is None else scale
    of_seeds, of_classes, of_rest = (
        no_less_than_rounding(part, scale=largest) for part in (of_seeds, of_classes, of_rest)
    )
    return _tested(
        Population.CLASSES,
        mean=mean,
        errors=_errors(
            of_seeds,
            of_classes,
            of_rest,
            freedoms=(num_seeds - 1, freedom_classes, (num_seeds - 1) * freedom_classes),
        ),
        level=level,
        components=within.components,
        left_out=left_out,
        classes_apart=True,
    )


def _tested(
    population: Population,
    *,
    mean: float,
    errors: Sequence[StandardError],
    level: float,
    components: Components,
    left_out: int,
    classes_apart: bool,
) -> CrossedTest:
    half = _widest(errors, level)
    both, *alone = errors
    return CrossedTest(
        population=population,
        mean=mean,
        error=both.error,
        freedom=both.freedom,
        alone=tuple(alone),
        low=mean - half,
        high=mean + half,
        level=level,
        p=max(one.p(mean) for one in errors),
        components=components,
        left_out=left_out,
        classes_apart=classes_apart,
    )


def _widest(errors: Sequence[StandardError], level: float) -> float:
    """Half width of the widest interval; NaN where one of them cannot be made."""
    return float(np.max([one.half_width(level) for one in errors]))


def _whole_clips(
    differences_SC: ArrayLike, *, classes: Sequence[str]
) -> tuple[Array, NDArray[np.int64], int] | None:
    """Clips without a gap, the class number of each, and how many have some value but a gap."""
    values_SC = np.asarray(differences_SC, dtype=np.float64)
    if values_SC.ndim != 2 or values_SC.shape[1] != len(classes):
        raise ValueError(
            f"got differences of shape {values_SC.shape} and {len(classes)} classes; expected "
            "seeds x clips and a class for each clip"
        )
    is_there_SC = np.isfinite(values_SC)
    whole_C = is_there_SC.all(axis=0)
    if len(values_SC) < 2 or whole_C.sum() < 2:
        return None
    _, class_C = np.unique(np.asarray(classes)[whole_C], return_inverse=True)
    gaps = int((is_there_SC.any(axis=0) & ~whole_C).sum())
    return values_SC[:, whole_C], class_C.astype(np.int64), gaps


def _class_means(values_SC: Array, class_C: NDArray[np.int64]) -> Array:
    """[S, C] each clip's class mean in each row."""
    sizes = np.bincount(class_C)
    total_SK = np.stack([np.bincount(class_C, weights=row) for row in values_SC])
    return np.asarray((total_SK / sizes)[:, class_C])


def _errors(
    of_seeds: float,
    of_clips: float,
    of_rest: float,
    *,
    freedoms: tuple[float, float, float],
    cells: int = 1,
) -> tuple[StandardError, StandardError, StandardError]:
    """By both samples, by seeds alone and by clips alone, from mean squares over `cells`."""
    total = max(of_seeds + of_clips - of_rest, of_seeds, of_clips)
    freedom = _satterthwaite(of_seeds, of_clips, of_rest, freedoms=freedoms)
    return (
        StandardError(math.sqrt(total / cells), freedom),
        StandardError(math.sqrt(of_seeds / cells), freedoms[0]),
        StandardError(math.sqrt(of_clips / cells), freedoms[1]),
    )


def _satterthwaite(
    first: float, second: float, both: float, *, freedoms: tuple[float, float, float]
) -> float:
    """Degrees of freedom of first + second - both, or of the larger where that is more."""
    total = first + second - both
    if total < max(first, second) or total <= 0:
        return freedoms[0] if first >= second else freedoms[1]
    parts = (first, second, both)
    return float(total**2 / sum(p**2 / f for p, f in zip(parts, freedoms, strict=True)))
