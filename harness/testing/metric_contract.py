"""The contract of a metric: every promise a test, with a sentence for the one who breaks it."""

import math
from contextlib import AbstractContextManager
from typing import ClassVar

import numpy as np
import pytest

from core.data.items import DataKind
from harness.metrics.arms import REAL, Arm
from harness.metrics.batch import Batch
from harness.metrics.computing import compute_all
from harness.metrics.extractor import Extractor
from harness.metrics.metric import Absent, ClipMetric, Role, SetMetric
from harness.testing.bench import require
from harness.testing.toy_world import CLIPS_PER_CLASS, NUM_CLASSES, ToyImage, ToyWorld, toy_world

_NUM_CLIPS = NUM_CLASSES * CLIPS_PER_CLASS
_OWN = range(_NUM_CLIPS)
_NEXT = [*range(1, _NUM_CLIPS), 0]  # a clip of another class
_ROUNDING = 1e-6  # features are kept in float32
_ORDER = 1e-9
_CHANCE = 0.02

Values = dict[tuple[str, str, int], float]
"""By clip (blank: all), arm and draw."""


class MetricContract:
    """Derive a class named `Test...` and set `metric`; pytest then checks every promise.

    metric: the declaration. It is tried on a small world where picture, sound and caption of a clip
    agree exactly. Override `better_images` and `worse_images` where what the metric calls better is
    not the clip's own picture.
    """

    metric: ClassVar[ClipMetric | SetMetric]

    def better_images(self, world: ToyWorld) -> list[ToyImage]:
        """Answers that the metric should find better: each clip's own picture.

        For diversity: another picture at each draw.
        """
        if self.metric.role is Role.DIVERSITY:
            return world.noise(num_draws=self.metric.min_draws)
        return world.answered(_OWN, num_draws=self.metric.min_draws)

    def worse_images(self, world: ToyWorld) -> list[ToyImage]:
        """Answers that it should find worse: pictures of another class, or that show nothing.

        For diversity: the same picture at each draw.
        """
        draws = self.metric.min_draws
        if self.metric.role is Role.DIVERSITY:
            return world.answered(_OWN, num_draws=draws)
        if isinstance(self.metric, SetMetric):
            return world.noise(num_draws=draws)
        return world.answered(_NEXT, num_draws=draws)

    def test_it_says_what_it_is(self) -> None:
        """A reader of the report finds unit, definition and a way to read the number."""
        declared = self.metric
        for name in ("unit", "definition", "reading"):
            require(bool(getattr(declared, name).strip()), f"`{name}` is empty; write one line")
        require(
            declared.name.isidentifier(),
            f"'{declared.name}' cannot name a metric; use letters, digits and underscores",
        )
        require(
            declared.lowest < declared.highest,
            f"the range {declared.lowest} to {declared.highest} holds no value",
        )
        for name in ("best", "chance"):
            value = getattr(declared, name)
            require(
                value is None or declared.lowest <= value <= declared.highest,
                f"`{name}` is {value}, outside the range {declared.lowest} to {declared.highest}",
            )

    def test_a_clips_own_picture_gets_the_best_value(self) -> None:
        """The real picture as answer scores `best`, and like the real picture itself."""
        with self._world() as world:
            draws = self.metric.min_draws
            images = world.answered(_OWN, num_draws=draws)
            values = self._values(world.batch(images))
        mean = _mean(values)
        best = self.metric.best
        require(
            best is None or math.isclose(mean, best, abs_tol=_ROUNDING),
            f"every clip's own picture scores {mean:.6g}; `best` says {best}",
        )
        if isinstance(self.metric, ClipMetric) and draws == 1:
            real = _mean(values, arm=REAL)
            require(
                math.isclose(mean, real, abs_tol=_ROUNDING),
                f"the real pictures score {real:.6g} as arm real and {mean:.6g} as answers: images "
                "of all arms have to be treated alike",
            )

    def test_values_stay_inside_the_stated_range(self) -> None:
        """`lowest` and `highest` hold for good, bad and meaningless answers."""
        low, high = self.metric.lowest - _ROUNDING, self.metric.highest + _ROUNDING
        with self._world() as world:
            noise = world.noise(num_draws=self.metric.min_draws)
            for images in (self.better_images(world), self.worse_images(world), noise):
                outside = [
                    v for v in self._values(world.batch(images)).values() if not low <= v <= high
                ]
                require(
                    not any(math.isfinite(v) for v in outside),
                    f"got {outside[:1]}, outside the range {self.metric.lowest} to "
                    f"{self.metric.highest}; widen it or repair `compute`",
                )

    def test_an_answer_that_ignores_the_clip_scores_chance(self) -> None:
        """One picture for all clips, whichever, gets the chance level on average."""
        draws = self.metric.min_draws
        levels, means = [], []
        with self._world() as world:
            for chosen in range(_NUM_CLIPS):
                batch = world.batch(world.answered([chosen] * _NUM_CLIPS, num_draws=draws))
                level = self.metric.chance_level(batch)
                if level is None:
                    pytest.skip("no chance level is declared")
                levels.append(level)
                means.append(_mean(self._values(batch)))
        mean, chance = math.fsum(means) / len(means), math.fsum(levels) / len(levels)
        require(
            abs(mean - chance) <= _CHANCE,
            f"one picture for all clips scores {mean:.3f} on average; the chance level is declared "
            f"as {chance:.3f}",
        )

    def test_the_direction_is_real(self) -> None:
        """What should be better scores better, in the direction of `higher_is_better`."""
        with self._world() as world:
            better = _mean(self._values(world.batch(self.better_images(world))))
            worse = _mean(self._values(world.batch(self.worse_images(world))))
        word = "higher" if self.metric.higher_is_better else "lower"
        require(
            better > worse if self.metric.higher_is_better else better < worse,
            f"the better answers score {better:.6g}, the worse ones {worse:.6g}, but {word} is "
            "said to be better; turn `higher_is_better`, or override `better_images` and "
            "`worse_images`",
        )

    def test_the_same_images_get_the_same_values(self) -> None:
        """Two computations agree to the last bit: draw from core.randomness, by name."""
        with self._world() as world:
            images = self.worse_images(world)
            first, second = (self._values(world.batch(images)) for _ in range(2))
        require(
            np.array_equal(list(first.values()), list(second.values()), equal_nan=True),
            "computed twice on the same images, the values differ: draw from `core.randomness`, by "
            "name",
        )

    def test_the_order_of_the_clips_does_not_matter(self) -> None:
        """A value belongs to its image, not to its place."""
        with self._world() as world:
            images = self.worse_images(world)
            first = self._values(world.batch(images))
            batch = world.batch(images[::-1], clips=world.clips[::-1])
            second = self._values(batch)
        require(
            _same(first, second),
            "with the clips in another order a value differs: find an image's clip by `batch.own`",
        )

    def test_too_few_clips_give_a_reason(self) -> None:
        """Below `min_clips` there is no number; at one clip, where that is enough, there is."""
        with self._world() as world:
            enough = self.metric.min_clips <= 1
            clips = world.clips[: 1 if enough else self.metric.min_clips - 1]
            kept = {clip.sample_id for clip in clips}
            images = [i for i in self.better_images(world) if i.clip.sample_id in kept]
            values = self._values(world.batch(images, clips=clips), allow_absent=True)
        finite = [v for (_, arm, _), v in values.items() if arm == Arm.AUDIO and math.isfinite(v)]
        require(
            bool(finite) == enough,
            f"`min_clips` is {self.metric.min_clips}, but {len(clips)} clip(s) "
            + ("give no value" if enough else f"give {finite[:1]}; return Absent with a reason"),
        )

    def test_a_feature_that_is_not_finite_makes_no_number(self) -> None:
        """An image that a scorer could not read is refused or left undefined."""
        if self.metric.extractor is Extractor.PIXELS:
            pytest.skip("it reads no scorer's features")
        with self._world() as world:
            images = self.better_images(world)
            victim = images[0]
            batch = world.batch(images, blind_to=victim.path)
            try:
                values = self._values(batch, allow_absent=True)
            except ValueError:
                return
        mine = [
            v
            for (clip, arm, draw), v in values.items()
            if arm == Arm.AUDIO and clip in ("", victim.clip.sample_id) and draw == victim.draw
        ]
        require(
            not any(math.isfinite(v) for v in mine),
            f"an image whose features are NaN scores {mine[:1]}; raise ValueError, or leave NaN",
        )

    def _world(self) -> AbstractContextManager[ToyWorld]:
        return toy_world(self.metric.only_of or DataKind.CLASSES)

    def _values(self, batch: Batch, *, allow_absent: bool = False) -> Values:
        found = compute_all(batch, {self.metric.name: self.metric})
        values: Values = {}
        for of_clips in found.of_clips:
            if isinstance(of_clips.values, Absent):
                require(allow_absent, f"it has no values: {of_clips.values.reason}")
                continue
            if of_clips.declared is self.metric:
                rows = zip(batch.rows, np.asarray(of_clips.values).tolist(), strict=True)
                values |= {(row.sample_id, row.arm, row.draw): value for row, value in rows}
        for of_sets in found.of_sets:
            for arm, score in of_sets.by_arm.items():
                if not isinstance(score, Absent):
                    values["", arm, 0] = score.value
                elif arm == Arm.AUDIO:
                    require(allow_absent, f"it has no value: {score.reason}")
        return values


def _mean(values: Values, *, arm: str = Arm.AUDIO) -> float:
    of_arm = [v for (_, at, _), v in values.items() if at == arm and not math.isnan(v)]
    require(bool(of_arm), f"every value of arm {arm} is undefined")
    return math.fsum(of_arm) / len(of_arm)


def _same(first: Values, second: Values) -> bool:
    """Equal but for rounding; the floor of a set, whose halves are told by place, is left out."""
    return first.keys() == second.keys() and all(
        (math.isnan(first[key]) and math.isnan(second[key]))
        or math.isclose(first[key], second[key], rel_tol=_ORDER, abs_tol=_ORDER)
        for key in first
        if key[:2] != ("", REAL)
    )
