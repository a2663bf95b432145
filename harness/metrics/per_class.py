"""Per-clip scores summed up by class."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd


@dataclass(frozen=True)
class ClassValue:
    """A per-clip metric over the clips of one class."""

    n: int
    """Clips that have the score."""
    mean: float | None
    """Mean over clips; None without any."""
    sd: float | None
    """Standard deviation over clips; None with fewer than 2."""


def class_values(means: pd.DataFrame) -> dict[str, dict[str, dict[str, dict[str, Any]]]]:
    """Arm, metric, class -> `ClassValue` ready for JSON, from `controls.clip_means`."""
    found: dict[str, dict[str, dict[str, dict[str, Any]]]] = {}
    keys = ["arm", "metric", "class_name"]
    for (arm, name, class_name), of_class in means.groupby(keys, sort=False)["value"]:
        values = of_class.dropna().to_numpy(dtype=np.float64)
        value = ClassValue(
            n=len(values),
            mean=float(values.mean()) if len(values) else None,
            sd=float(values.std(ddof=1)) if len(values) > 1 else None,
        )
        found.setdefault(arm, {}).setdefault(name, {})[class_name] = asdict(value)
    return found
