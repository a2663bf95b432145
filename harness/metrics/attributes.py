"""Attributes: what only the sound says, read off the image.

Shape legend: I images, R reference clips, A attributes.
"""

from typing import TYPE_CHECKING

from harness.metrics.extractor import Extractor
from harness.metrics.metric import Absent, ClipMetric, Role

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from harness.metrics.batch import Batch


def _errors(batch: "Batch") -> "dict[str, NDArray[np.float64]]":
    """[I] absolute error of each attribute that the judge reads and all clips have."""
    import numpy as np

    from harness.metrics.per_clip import attribute_errors

    judge, reading = batch.scorers.image_judge, batch.reading
    if judge is None or reading is None:
        raise ValueError("attributes are read by an image judge; none was loaded")
    known = [
        name
        for name in judge.attribute_names
        if all(name in (clip.attributes or {}) for clip in batch.clips)
    ]
    if not known:
        return {}
    true_RA = np.array([[(clip.attributes or {})[name] for name in known] for clip in batch.clips])
    errors_IA = attribute_errors(
        reading.attributes[:, [judge.attribute_names.index(name) for name in known]],
        true_IA=true_RA[batch.own],
    )
    return {name: errors_IA[:, index] for index, name in enumerate(known)}


def _attribute_error(batch: "Batch") -> "NDArray[np.float64] | Absent":
    import numpy as np

    errors = _errors(batch)
    if not errors:
        return Absent("the split's clips carry no attribute that the judge reads")
    return np.asarray(np.stack(list(errors.values()), axis=1).mean(axis=1))


METRICS = (
    ClipMetric(
        name="attribute_error",
        compute=_attribute_error,
        parts=_errors,
        higher_is_better=False,
        role=Role.LISTENING,
        extractor=Extractor.IMAGE_JUDGE,
        unit="of the attribute's range",
        definition="mean absolute difference between the attributes read off the image and "
        "the clip's true ones",
        part_definition="absolute difference between the {part} read off the image and the "
        "clip's true one",
        shows_listening=True,
        reading="The judge itself makes the error of arm `real`; a model that does not listen "
        "makes that of arm `text_only`.",
        lowest=0.0,
        highest=1.0,
        best=0.0,
    ),
)
