"""Whether a generator's distance to real pictures is shown to lie within a margin. float64.

A distance of sets that averages 0 for a perfect generator is tested by what each clip adds to it
in each training: two one-sided tests on the crossed model of trainings and clips. That nothing was
found to tell images from pictures is not equivalence; this test is what such a claim takes.
"""

from harness.statistics.crossed import CrossedTest
from harness.statistics.outcome import MIN_SEEDS_FOR_A_WIN

NEAR_P_FACTOR = 2.0
"""On the p of the crossed test. Squared distances are skewed over trainings and clips, and small
ones come with small errors: as it is, the test finds up to 9 % at a stated 5 % (docs/statistics.md,
Within a margin of real pictures)."""
MIN_CLIPS_NEAR = 30
"""Below it what the clips add is too skewed even so."""


def near_real_p(found: CrossedTest, *, margin: float) -> float:
    """p of the claim that the mean lies within the margin for other trainings and other clips; 1
    without a margin."""
    return min(1.0, NEAR_P_FACTOR * found.equivalence_p(margin))


def why_not_tested(*, num_seeds: int, num_clips: int) -> str | None:
    """What is missing for the claim; None where it may be tested."""
    if num_seeds < MIN_SEEDS_FOR_A_WIN:
        counted = "1 seed is" if num_seeds == 1 else f"{num_seeds} seeds are"
        return f"{counted} exploratory, and it takes {MIN_SEEDS_FOR_A_WIN}"
    if num_clips < MIN_CLIPS_NEAR:
        return f"{num_clips} test clips are too few, and it takes {MIN_CLIPS_NEAR}"
    return None
