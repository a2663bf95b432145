"""Per-clip scores summed up by class."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from harness.records.parts import ClassValue


def class_values(
    means: pd.DataFrame, *, labels: Mapping[str, Sequence[str]] | None = None
) -> dict[str, dict[str, dict[str, ClassValue]]]:
    """Arm, metric, class -> its value, from `controls.clip_means`.

    labels: of each clip by id, where clips have several: then by label, and a clip counts at each.
    """
    if labels:
        own = means["sample_id"].map(lambda id_: list(labels[id_]))
        means = means.assign(class_name=own).explode("class_name")
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
