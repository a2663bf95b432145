"""Every check that needs the model, on real clips, before the first step."""

from core.conditioning.attached import AttachedVariant
from core.training import guards
from core.training.answer import check_answer_is_the_unets
from core.training.apart import check_clips_apart_in_training
from core.training.guards import Probe
from core.training.loudness import check_loudness_heard


def preflight(model: AttachedVariant, probe: Probe) -> list[str]:
    """Run the checks; returns the names of those passed.

    Raises:
        GuardError: the first check that fails.
    """
    passed = []
    if probe.inputs.audio:
        guards.check_features_differ(probe.inputs)
        passed.append("features_differ")
    guards.check_batch_equals_singles(model, probe.inputs)
    passed.append("batch_equals_singles")
    check_clips_apart_in_training(model, probe)
    passed.append("clips_apart_in_training")
    if check_loudness_heard(model, probe.inputs):
        passed.append("loudness_heard")
    guards.check_silent_identity(model, probe)
    guards.check_adapter_identity(model, probe)
    check_answer_is_the_unets(model, probe)
    return [*passed, "silent_identity", "adapter_identity", "answer_is_the_unets"]
