"""Every metric, declared once: name, direction, role, unit and chance level.

Records, tables and reports read this table; none of them knows a metric by itself.
"""

from dataclasses import dataclass
from enum import StrEnum

from core.errors import UsageError, suggestion


class Level(StrEnum):
    """What one value of a metric belongs to."""

    CLIP = "clip"  # one image; averaged over draws, then over clips
    SET = "set"  # all images of an arm together
    TRAINING = "training"  # the trained model, without any image


class Role(StrEnum):
    """What a metric is for."""

    LISTENING = "listening"  # does the image show what only the sound says
    AGREEMENT = "agreement"  # do image and sound, or image and class, belong together
    TEXT = "text"  # does the caption survive
    QUALITY = "quality"  # do the images look like the real ones
    DIVERSITY = "diversity"  # do one clip's images differ
    FIT = "fit"  # how well the model learned its objective


class Extractor(StrEnum):
    """Which scorers a metric reads."""

    CLIP = "clip"
    IMAGE_JUDGE = "image_judge"
    JOINT = "image_judge+audio_judge"  # without the pair CLIP and Wav2CLIP, where there is one
    INCEPTION = "inception"
    DINOV2 = "dinov2"
    LPIPS = "lpips"
    OBJECTIVE = "denoising loss"  # no scorer: the training objective itself


@dataclass(frozen=True)
class Metric:
    """What a reader must know to read a number."""

    name: str
    """Key in records and tables."""
    higher_is_better: bool
    """Direction."""
    level: Level
    """Per image, or per set of images."""
    role: Role
    """What it is for."""
    extractor: Extractor
    """Which scorers it needs."""
    unit: str
    """What one unit of it is."""
    definition: str
    """One line for a reader of the report."""
    chance: float | None = None
    """Value of a model that does not listen; None where there is none or it depends on the data."""
    min_rankable_n: int | None = None
    """Fewest images at which it may rank; None where its expectation does not depend on n."""


FRECHET_MIN_N = 2048
"""Below it a Frechet distance ranks nothing: its bias, of the order D^2 / n, differs by branch."""

METRICS: dict[str, Metric] = {
    metric.name: metric
    for metric in (
        Metric(
            name="listening_rank",
            higher_is_better=True,
            level=Level.CLIP,
            role=Role.LISTENING,
            extractor=Extractor.JOINT,
            unit="share of clips",
            definition="share of the other scored clips of the same class whose sound fits the "
            "image less than the own sound does; ties count half",
            chance=0.5,
        ),
        Metric(
            name="attribute_error",
            higher_is_better=False,
            level=Level.CLIP,
            role=Role.LISTENING,
            extractor=Extractor.IMAGE_JUDGE,
            unit="of the attribute's range",
            definition="mean absolute difference between the attributes read off the image and "
            "the clip's true ones",
        ),
        Metric(
            name="ais_win",
            higher_is_better=True,
            level=Level.CLIP,
            role=Role.AGREEMENT,
            extractor=Extractor.JOINT,
            unit="share of clips",
            definition="share of all other scored clips whose sound fits the image less than the "
            "own sound does; ties count half",
            chance=0.5,
        ),
        Metric(
            name="ais_cos",
            higher_is_better=True,
            level=Level.CLIP,
            role=Role.AGREEMENT,
            extractor=Extractor.JOINT,
            unit="cosine",
            definition="cosine of the image and the clip's own sound in a space that both share",
        ),
        Metric(
            name="iis_win",
            higher_is_better=True,
            level=Level.CLIP,
            role=Role.AGREEMENT,
            extractor=Extractor.CLIP,
            unit="share of pictures",
            definition="share of the other clips' real pictures that the image resembles less than "
            "its own clip's, in CLIP; ties count half",
            chance=0.5,
        ),
        Metric(
            name="aic",
            higher_is_better=True,
            level=Level.CLIP,
            role=Role.AGREEMENT,
            extractor=Extractor.CLIP,
            unit="share of images",
            definition="zero-shot top-1: CLIP finds the clip's class caption closest to the image "
            "(chance: one over the number of classes)",
        ),
        Metric(
            name="clip_score",
            higher_is_better=True,
            level=Level.CLIP,
            role=Role.TEXT,
            extractor=Extractor.CLIP,
            unit="cosine",
            definition="cosine of image and caption in CLIP",
        ),
        Metric(
            name="kid",
            higher_is_better=False,
            level=Level.SET,
            role=Role.QUALITY,
            extractor=Extractor.CLIP,
            unit="squared kernel distance",
            definition="kernel distance (cubic polynomial) to the real images on CLIP image "
            "features, unbiased; not comparable with values published on Inception features",
        ),
        Metric(
            name="cmmd",
            higher_is_better=False,
            level=Level.SET,
            role=Role.QUALITY,
            extractor=Extractor.CLIP,
            unit="1000 x squared kernel distance",
            definition="kernel distance (Gaussian, sigma 10) to the real images on CLIP image "
            "features of length 1, unbiased",
        ),
        Metric(
            name="fid",
            higher_is_better=False,
            level=Level.SET,
            role=Role.QUALITY,
            extractor=Extractor.INCEPTION,
            unit="squared feature distance",
            definition="Frechet distance to the real images on Inception-v3 pool features, "
            "resized as clean-fid does; biased upwards at small n",
            min_rankable_n=FRECHET_MIN_N,
        ),
        Metric(
            name="fd_dinov2",
            higher_is_better=False,
            level=Level.SET,
            role=Role.QUALITY,
            extractor=Extractor.DINOV2,
            unit="squared feature distance",
            definition="Frechet distance to the real images on DINOv2 class tokens; biased "
            "upwards at small n",
            min_rankable_n=FRECHET_MIN_N,
        ),
        Metric(
            name="frechet_clip",
            higher_is_better=False,
            level=Level.SET,
            role=Role.QUALITY,
            extractor=Extractor.CLIP,
            unit="squared feature distance",
            definition="Frechet distance to the real images on CLIP image features; biased "
            "upwards at small n, never to be read as FID",
            min_rankable_n=FRECHET_MIN_N,
        ),
        Metric(
            name="lpips_diversity",
            higher_is_better=True,
            level=Level.CLIP,
            role=Role.DIVERSITY,
            extractor=Extractor.LPIPS,
            unit="LPIPS",
            definition="mean pairwise LPIPS (AlexNet, 256 px) of one clip's images over its draws",
        ),
        Metric(
            name="judge_diversity",
            higher_is_better=True,
            level=Level.CLIP,
            role=Role.DIVERSITY,
            extractor=Extractor.IMAGE_JUDGE,
            unit="1 - cosine",
            definition="mean pairwise distance of one clip's images over its draws, in the image "
            "judge's features; not LPIPS",
        ),
    )
}

VALIDATION_LOSS = "validation_loss"
"""Chooses settings and decides no comparison, so it is not among `METRICS`."""

_LOSS = Metric(
    name=VALIDATION_LOSS,
    higher_is_better=False,
    level=Level.TRAINING,
    role=Role.FIT,
    extractor=Extractor.OBJECTIVE,
    unit="squared error of the predicted noise",
    definition="mean denoising error on the validation clips, at fixed timesteps and noises",
)

_ATTRIBUTE_PREFIX = "attribute_error."


def attribute_metric(attribute: str) -> str:
    """Name of the error of one attribute, such as `attribute_error.pitch`."""
    return _ATTRIBUTE_PREFIX + attribute


def metric(name: str) -> Metric:
    """The declaration of a metric, also of `attribute_error.<attribute>` and `validation_loss`.

    Raises: UsageError for a name that is not a metric.
    """
    if name in METRICS:
        return METRICS[name]
    if name.startswith(_ATTRIBUTE_PREFIX):
        whole, attribute = METRICS["attribute_error"], name.removeprefix(_ATTRIBUTE_PREFIX)
        return Metric(
            name=name,
            higher_is_better=whole.higher_is_better,
            level=whole.level,
            role=whole.role,
            extractor=whole.extractor,
            unit=whole.unit,
            definition=f"absolute difference between the {attribute} read off the image and the "
            "clip's true one",
        )
    if name == VALIDATION_LOSS:
        return _LOSS
    raise UsageError(
        f"no metric named '{name}'; known: {', '.join(METRICS)}{suggestion(name, METRICS)}"
    )


def deciding_metric(name: str) -> Metric:
    """The same of a metric that a comparison may rest on.

    Raises: UsageError for the validation loss too, whatever its name promises.
    """
    if name == VALIDATION_LOSS:
        raise UsageError(
            f"{VALIDATION_LOSS} compares no branches: it is of the validation clips and chooses "
            f"settings; known: {', '.join(METRICS)}"
        )
    return metric(name)
