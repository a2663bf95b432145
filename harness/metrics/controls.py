"""Does the model listen: paired margins of the own sound over what it is compared with."""

import math

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from harness.metrics.arms import CONTROL_ARMS, Arm
from harness.metrics.registry import metric as declared
from harness.records.parts import ListeningMargin
from harness.statistics.rounding import is_rounding


def clip_means(per_clip: pd.DataFrame) -> pd.DataFrame:
    """Columns metric, arm, sample_id, class_name, value: the mean over each clip's draws.

    A draw without a score (NaN) is left out; a clip without any keeps NaN.
    """
    keys = ["metric", "arm", "sample_id", "class_name"]
    return per_clip.groupby(keys, sort=False, as_index=False)["value"].mean()


def listening_margins(per_clip: pd.DataFrame) -> list[ListeningMargin]:
    """Margins of every per-clip metric over every control arm that was sampled."""
    means = clip_means(per_clip)
    margins = []
    for name, of_metric in means.groupby("metric", sort=False):
        by_arm = of_metric.pivot(index="sample_id", columns="arm", values="value")
        if Arm.AUDIO not in by_arm:
            continue
        sign = 1.0 if declared(str(name)).higher_is_better else -1.0
        for control in CONTROL_ARMS:
            if control in by_arm:
                advantage = sign * (by_arm[Arm.AUDIO] - by_arm[control]).dropna()
                margins.append(
                    _margin(advantage.to_numpy(dtype=np.float64), metric=str(name), control=control)
                )
    return margins


def _margin(
    advantage: NDArray[np.float64], *, metric: str, control: Arm, level: float = 0.95
) -> ListeningMargin:
    n = len(advantage)
    mean = float(advantage.mean()) if n else None
    if mean is None or n < 2:
        return ListeningMargin(metric=metric, control=control, n=n, mean=mean)
    sd = float(advantage.std(ddof=1))
    if mean != 0 and is_rounding(sd, scale=float(np.abs(advantage).max())):
        # All clips agree, as on a coarse grid: there is no spread to make an interval of. (That all
        # are 0 is what a branch without a sound has by construction, and there 0 to 0 is right.)
        return ListeningMargin(metric=metric, control=control, n=n, mean=mean, sd=0.0)
    error = sd / math.sqrt(n)
    half = float(stats.t.ppf(0.5 + level / 2, n - 1)) * error
    return ListeningMargin(
        metric=metric,
        control=control,
        n=n,
        mean=mean,
        sd=sd,
        z=mean / error if error > 0 else None,
        low=mean - half,
        high=mean + half,
    )
