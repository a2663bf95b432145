"""The validation loss of a finished model, as a number of its record."""

from core.training.validation import planned_loss
from harness.metrics.fit import LOSS
from harness.records.parts import MetricValue
from harness.run.plan import PlannedRun
from harness.run.prepare import PreparedModel
from harness.run.sample import headline_arm


def measured_loss(ready: PreparedModel, *, planned: PlannedRun) -> MetricValue:
    """The unweighted denoising loss of the trained model over the validation clips."""
    value = planned_loss(
        ready.model,
        data=ready.data,
        plan=planned.plan,
        scheduler=ready.foundation.noise_scheduler,
        latent_shape=ready.foundation.latent_shape,
    )
    return MetricValue(
        metric=LOSS.name,
        arm=headline_arm(ready.model.variant),
        value=value,
        n=len(ready.data.validation_ids),
        higher_is_better=LOSS.higher_is_better,
        extractor=LOSS.extractor.value,
        extractor_hash=None,
        split_hash=planned.identity.split_hash,
    )
