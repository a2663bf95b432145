"""Per-clip scores summed up by class."""

import numpy as np
import pandas as pd

from harness.records.parts import ClassValue


def class_values(means: pd.DataFrame) -> dict[str, dict[str, dict[str, ClassValue]]]:
    """Arm, metric, class -> its value, from `controls.clip_means`."""
    found: dict[str, dict[str, dict[str, ClassValue]]] = {}
    keys = ["arm", "metric", "class_name"]
    for (arm, name, class_name), of_class in means.groupby(keys, sort=False)["value"]:
        values = of_class.dropna().to_numpy(dtype=np.float64)
        value = ClassValue(
            n=len(values),
            mean=float(values.mean()) if len(values) else None,
            sd=float(values.std(ddof=1)) if len(values) > 1 else None,
        )
        found.setdefault(arm, {}).setdefault(name, {})[class_name] = value
    return found
