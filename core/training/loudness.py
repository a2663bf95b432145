"""A check that loudness reaches the tokens of a variant that reads the log-mel spectrogram.

A quieter sound is a lower log-mel, by the same everywhere. What standardises each clip by itself,
or divides it by its peak, takes just that away.
"""

from dataclasses import replace

import torch
from torch import Tensor

from core.conditioning.attached import AttachedVariant
from core.conditioning.conditioning import AudioFeature, ConditioningInputs
from core.errors import GuardError
from core.randomness import torch_seeded
from core.training.apart import buffers_kept

# Of what another clip's log-mel changes. Sound encoders have .4 and more, fresh and trained;
# where each clip is standardised, rounding is left.
_LEAST_SHARE = 0.01
# Relative; a change by another clip below it is rounding, and nothing can be said yet.
_ROUNDING = 1e-5


def check_loudness_heard(model: AttachedVariant, inputs: ConditioningInputs) -> bool:
    """Whether a quieter sound was found to change the tokens; False where it cannot be judged.

    It cannot where the variant reads no log-mel, says by `hears_loudness` that it means not to, or
    where its tokens depend on no log-mel yet (behind a projection that starts at zero). In
    evaluation and in training mode; nothing of the model is changed.

    inputs: several clips that differ.

    Raises:
        GuardError: another clip's log-mel changes the tokens and a lower one of the same clip
            does not.
    """
    if AudioFeature.LOG_MEL not in inputs.audio or not model.variant.hears_loudness:
        return False
    was_training, shares = model.variant.training, []
    with buffers_kept(model):
        for is_training in (False, True):
            model.variant.train(is_training)
            try:
                shares.append(loudness_share(model, inputs))
            finally:
                model.variant.train(was_training)
    heard = [share for share in shares if share is not None]
    if heard and min(heard) < _LEAST_SHARE:
        raise GuardError(
            f"the same sounds, quieter, change the tokens by {min(heard):.2g} of what other sounds "
            "change them by: something takes the loudness away, as standardising each clip, or "
            "dividing it by its peak, does. Standardise by numbers of the whole data set; a "
            "variant that is meant to ignore loudness declares hears_loudness = False"
        )
    return bool(heard)


def loudness_share(model: AttachedVariant, inputs: ConditioningInputs) -> float | None:
    """Change of the tokens by a quieter sound, as a share of that by another clip's log-mel.

    Quieter by one standard deviation of the log-mel values of `inputs`, some 20 dB. None where
    another clip's log-mel changes nothing.
    """
    log_mel_BMT = inputs.audio[AudioFeature.LOG_MEL]

    def tokens(changed_BMT: Tensor) -> Tensor:
        audio = {**inputs.audio, AudioFeature.LOG_MEL: changed_BMT}
        with torch_seeded(0, "preflight", "loudness"):  # dropout stays where it was
            return model.variant.condition(replace(inputs, audio=audio)).context().float()

    with torch.no_grad(), torch.autocast(model.device.type, enabled=False):
        own = tokens(log_mel_BMT)
        by_other = float((tokens(log_mel_BMT.roll(1, dims=0)) - own).norm())
        by_quieter = float((tokens(log_mel_BMT - log_mel_BMT.std()) - own).norm())
    if by_other <= _ROUNDING * float(own.norm()):
        return None
    return by_quieter / by_other
