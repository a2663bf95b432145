"""Fit: how well the model learned its objective. Computed by a run from the model, not from images
(`core.training.validation.planned_loss`)."""

from harness.metrics.extractor import Extractor
from harness.metrics.metric import Metric, Role

VALIDATION_LOSS = "validation_loss"
"""Chooses settings and decides no comparison, so it is not among `METRICS`."""

LOSS = Metric(
    name=VALIDATION_LOSS,
    higher_is_better=False,
    role=Role.FIT,
    extractor=Extractor.OBJECTIVE,
    unit="squared error of the predicted noise",
    definition="mean denoising error on the validation clips, at fixed timesteps and noises",
    reading="It chooses settings; it does not say which branch's images are better.",
    lowest=0.0,
)
