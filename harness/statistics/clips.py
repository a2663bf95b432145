"""What a test part can decide, before any run: its clips bound it, whatever the number of seeds."""

import math

from scipy import stats

from harness.statistics.crossed import freedom_of_clips


def smallest_clip_effect(
    num_clips: int, *, num_classes: int, alpha: float = 0.05, power: float = 0.8
) -> float:
    """Smallest true mean difference, in standard deviations between clips of a class, that the test
    for other clips finds in `power` of cases with as many seeds as one likes.

    With the trainings' share of the error at 0, `crossed_test` is a t-test over clips within
    classes; t quantiles of level and power added, over the root of the clips (Cohen 1988, 2.5).
    Infinite below 2 clips.
    """
    if num_clips < 2:
        return math.inf
    freedom = freedom_of_clips(num_clips, num_classes=num_classes)
    reach = stats.t.ppf(1 - alpha / 2, freedom) + stats.t.ppf(power, freedom)
    return float(reach) / math.sqrt(num_clips)
