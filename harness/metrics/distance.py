"""Distance: do an arm's images look like the real ones, as a set.

The arithmetic is in `distribution`, what is compared with what in `against_real`.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from harness.metrics.extractor import Extractor
from harness.metrics.metric import Absent, Beside, Role, SetMetric, SetScore

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from harness.metrics.batch import Batch
    from harness.metrics.distribution import Distance

    Array = NDArray[np.float64]

FRECHET_MIN_N = 2048
"""Below it a Frechet distance ranks nothing: its bias, of the order D^2 / n, differs by branch."""
_GUARD = (
    "A guard of quality: it hardly rewards listening. Read it next to the real-vs-real floor (arm "
    "`real`); it may be negative."
)
_BIASED = (
    f"Biased upwards at small n: it ranks nothing below n = {FRECHET_MIN_N:,}. Read it next to the "
    "real-vs-real floor (arm `real`) at the same n."
)


def kid_distance(x_ND: "Array", y_MD: "Array", classes: "Sequence[str]") -> "Distance":
    """KID of an arm's features beside the clips' own real pictures."""
    from harness.metrics.distribution import KernelDistance, kid_kernel

    return KernelDistance.of(x_ND, y_MD=y_MD, kernel=kid_kernel, is_matched=True, classes=classes)


def _cmmd(x_ND: "Array", y_MD: "Array", classes: "Sequence[str]") -> "Distance":
    from harness.metrics.distribution import CMMD_SCALE, KernelDistance, cmmd_kernel

    return KernelDistance.of(
        x_ND,
        y_MD=y_MD,
        kernel=cmmd_kernel,
        scale=CMMD_SCALE,
        is_matched=True,
        classes=classes,
    )


def _frechet(x_ND: "Array", y_MD: "Array", classes: "Sequence[str]") -> "Distance":
    from harness.metrics.distribution import FrechetDistance

    return FrechetDistance.of(x_ND, y_MD=y_MD)


def against_real(
    name: str,
    *,
    extractor: Extractor,
    distance: "Callable[[Array, Array, Sequence[str]], Distance]",
    beside: Beside = Beside.OTHERS,
) -> "Callable[[Batch], dict[str, SetScore | Absent]]":
    """A set metric's `compute`: an arm's features against those of the real pictures."""

    def compute(batch: "Batch") -> dict[str, SetScore | Absent]:
        from harness.metrics.against_real import distance_scores

        return distance_scores(
            batch, metric=name, extractor=extractor, distance=distance, beside=beside
        )

    return compute


METRICS = (
    SetMetric(
        name="kid",
        compute=against_real(
            "kid", extractor=Extractor.CLIP, distance=kid_distance, beside=Beside.OWN
        ),
        higher_is_better=False,
        role=Role.QUALITY,
        extractor=Extractor.CLIP,
        unit="squared kernel distance",
        definition="kernel distance (cubic polynomial) to the real images on CLIP image "
        "features, unbiased; not comparable with values published on Inception features",
        reading=_GUARD,
        min_clips=2,
        is_zero_if_perfect=True,
    ),
    SetMetric(
        name="cmmd",
        compute=against_real("cmmd", extractor=Extractor.CLIP, distance=_cmmd, beside=Beside.OWN),
        higher_is_better=False,
        role=Role.QUALITY,
        extractor=Extractor.CLIP,
        unit="1000 x squared kernel distance",
        definition="kernel distance (Gaussian, sigma 10) to the real images on CLIP image "
        "features of length 1, unbiased",
        reading=_GUARD,
        min_clips=2,
        is_zero_if_perfect=True,
    ),
    SetMetric(
        name="fid",
        compute=against_real("fid", extractor=Extractor.INCEPTION, distance=_frechet),
        higher_is_better=False,
        role=Role.QUALITY,
        extractor=Extractor.INCEPTION,
        unit="squared feature distance",
        definition="Frechet distance to the real images on Inception-v3 pool features, "
        "resized as clean-fid does; biased upwards at small n",
        reading=_BIASED,
        lowest=0.0,
        min_clips=2,
        min_rankable_n=FRECHET_MIN_N,
    ),
    SetMetric(
        name="fd_dinov2",
        compute=against_real("fd_dinov2", extractor=Extractor.DINOV2, distance=_frechet),
        higher_is_better=False,
        role=Role.QUALITY,
        extractor=Extractor.DINOV2,
        unit="squared feature distance",
        definition="Frechet distance to the real images on DINOv2 class tokens; biased "
        "upwards at small n",
        reading=_BIASED,
        lowest=0.0,
        min_clips=2,
        min_rankable_n=FRECHET_MIN_N,
    ),
    SetMetric(
        name="frechet_clip",
        compute=against_real("frechet_clip", extractor=Extractor.CLIP, distance=_frechet),
        higher_is_better=False,
        role=Role.QUALITY,
        extractor=Extractor.CLIP,
        unit="squared feature distance",
        definition="Frechet distance to the real images on CLIP image features; biased "
        "upwards at small n, never to be read as FID",
        reading=_BIASED,
        lowest=0.0,
        min_clips=2,
        min_rankable_n=FRECHET_MIN_N,
    ),
)
