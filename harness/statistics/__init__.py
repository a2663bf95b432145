"""What a comparison may claim: paired tests over training seeds, intervals, verdicts.

The unit of replication is the training seed. Images of one trained model are not independent
evidence about its branch: a test over images calls winners between equal branches.
"""

from harness.statistics.bootstrap import BootstrapInterval, hierarchical_bootstrap
from harness.statistics.multiplicity import benjamini_hochberg, holm
from harness.statistics.paired import (
    MAX_SEEDS,
    PairedDifference,
    detectable_effect,
    paired_difference,
    sign_flip_p,
    smallest_sign_flip_p,
)
from harness.statistics.power import detectable_win, win_power
from harness.statistics.verdict import (
    MIN_SEEDS_FOR_A_WIN,
    Outcome,
    PairVerdict,
    Strength,
    compare_pairs,
    leader,
    verdict,
)

__all__ = [
    "MAX_SEEDS",
    "MIN_SEEDS_FOR_A_WIN",
    "BootstrapInterval",
    "Outcome",
    "PairVerdict",
    "PairedDifference",
    "Strength",
    "benjamini_hochberg",
    "compare_pairs",
    "detectable_effect",
    "detectable_win",
    "hierarchical_bootstrap",
    "holm",
    "leader",
    "paired_difference",
    "sign_flip_p",
    "smallest_sign_flip_p",
    "verdict",
    "win_power",
]
