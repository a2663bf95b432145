"""Sampling a run's clips in every arm, at the same noise."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from core.choices import Precision
from core.conditioning.attached import AttachedVariant
from core.conditioning.conditioning import AudioFeature, Conditioning, ConditioningInputs
from core.conditioning.variant import Variant
from core.data.items import DataKind
from core.data.splits.split import Part, Split
from core.errors import GuardError
from core.features.features import SplitFeatures
from core.foundation.batches import BatchLimit
from core.foundation.foundation import Foundation
from core.sampling.sampler import Guidance, build_solver, initial_noise, sample_latents
from harness.metrics.arms import Arm, GeneratedImage
from harness.records.image_names import file_stem
from harness.run.partners import partners_of, shuffle_all
from harness.settings.profile import SamplingSettings


@dataclass(frozen=True, kw_only=True)
class SampleRequest:
    """One image to paint: of a clip, in an arm, from a draw of noise, hearing a clip."""

    sample_id: str
    arm: Arm
    draw: int
    heard_id: str | None


def sample_arms(
    model: AttachedVariant,
    *,
    split: Split,
    features: SplitFeatures,
    foundation: Foundation,
    settings: SamplingSettings,
    seed: int,
    precision: Precision,
    out: Path,
    progress: Callable[[int, int], None],
    say: Callable[[str], None] = lambda line: None,
    part: Part = Part.TEST,
    arms: frozenset[Arm] | None = None,
) -> list[GeneratedImage]:
    """Write one PNG for each arm, clip of `part` and draw below `out`, at `<arm>/<id>-<draw>.png`.

    arms: by default all in which the variant can differ.
    """
    variant = model.variant
    requests = list(
        sample_requests(
            split,
            draws=settings.images_per_clip,
            arms=arms_of(variant, kind=split.kind) if arms is None else arms,
            hears=bool(variant.audio_features),
            part=part,
        )
    )
    solver = build_solver(settings.sampler, noise_scheduler=foundation.noise_scheduler)
    images: list[GeneratedImage] = []
    limit = BatchLimit("sampling", size=settings.batch_size, say=say)

    def sampled(batch: Sequence[SampleRequest]) -> np.ndarray:
        latents_BCHW = sample_latents(
            model,
            conditioning=conditioning_of(model, batch, features=features, arm=batch[0].arm),
            null_text_LC=features.null_text,
            noise_BCHW=initial_noise(
                [request.sample_id for request in batch],
                draws=[request.draw for request in batch],
                seed=seed,
                latent_shape=foundation.latent_shape,
            ),
            solver=solver,
            steps=settings.steps,
            guidance=Guidance(text=settings.text_guidance, audio=settings.audio_guidance),
            precision=precision,
        )
        pixels = pixels_of(foundation, latents_BCHW)
        require_pictures(latents_BCHW, pixels, batch)
        return pixels

    for arm in Arm:
        of_arm = [request for request in requests if request.arm is arm]
        for batch, pixels in limit.over(of_arm, work=sampled):
            for request, picture in zip(batch, pixels, strict=True):
                path = out / arm / f"{file_stem(request.sample_id)}-{request.draw}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(picture).save(path)
                images.append(
                    GeneratedImage(
                        sample_id=request.sample_id,
                        arm=arm,
                        draw=request.draw,
                        path=path,
                        heard_id=request.heard_id,
                    )
                )
            progress(len(images), len(requests))
    return images


def require_pictures(
    latents_BCHW: torch.Tensor, pixels_BHWC: np.ndarray, batch: Sequence[SampleRequest]
) -> None:
    """Return if each of a batch's images is a picture, whatever arm it is of.

    A branch that fails in the silent arm alone would look as if it won by listening.
    Raises: GuardError naming the clip and the arm.
    """
    for request, latent, picture in zip(batch, latents_BCHW, pixels_BHWC, strict=True):
        place = f"the image of clip {request.sample_id!r} in arm {request.arm.value}"
        if not bool(torch.isfinite(latent).all()):
            raise GuardError(
                f"the latents of {place} are not finite numbers: the branch makes NaN or infinity "
                "of what it is given there (a division by the spread of a silent clip, say); its "
                "scores would be void"
            )
        if bool((picture == picture[:1, :1]).all()):
            raise GuardError(
                f"{place} is one flat colour: the branch drives the sampler out of the range of "
                "the VAE, or conditions on nothing; its scores would be void"
            )


def arms_of(variant: Variant, *, kind: DataKind = DataKind.CLASSES) -> frozenset[Arm]:
    """The arms in which this variant can differ from its other arms.

    Without sound and class there is the caption alone. What is told the class paints by its own
    and without; another clip of the class, or silence, would repeat its own. Data without classes
    have two mismatched sounds, a hard one and one by chance.
    """
    if variant.audio_features:
        return frozenset(Arm) - ({Arm.CHANCE} if kind is DataKind.CLASSES else set())
    return frozenset({Arm.AUDIO, Arm.TEXT_ONLY} if variant.reads_class else {Arm.TEXT_ONLY})


def headline_arm(variant: Variant) -> Arm:
    """The own sound, or the only arm there is."""
    found = arms_of(variant)
    return next(arm for arm in Arm if arm in found)


def sample_requests(
    split: Split, *, draws: int, arms: frozenset[Arm], hears: bool, part: Part = Part.TEST
) -> Iterator[SampleRequest]:
    """Every image of a run. hears: whether the variant reads sound, its own or another's."""
    ids = split.parts[part]
    mismatched = {Arm.SHUFFLED: partners_of(split, ids=ids)}
    if Arm.CHANCE in arms:
        mismatched[Arm.CHANCE] = shuffle_all(split, ids=ids)
    for sample_id in ids:
        heard = {Arm.AUDIO: sample_id if hears else None} | {
            arm: partners.get(sample_id) for arm, partners in mismatched.items()
        }
        for draw in range(draws):
            for arm in Arm:
                if arm in arms and not (arm in mismatched and heard[arm] is None):
                    yield SampleRequest(
                        sample_id=sample_id, arm=arm, draw=draw, heard_id=heard.get(arm)
                    )


@torch.no_grad()
def conditioning_of(
    model: AttachedVariant, batch: Sequence[SampleRequest], *, features: SplitFeatures, arm: Arm
) -> Conditioning:
    """What training saw, from `Variant.condition`, with the arm's sound in place of the own."""
    ids = [request.sample_id for request in batch]
    heard = [request.heard_id or request.sample_id for request in batch]

    def audio(feature: AudioFeature) -> torch.Tensor:
        if arm is Arm.SILENCE:
            return torch.stack([features.silence(feature)] * len(batch))
        return features.audio(feature, heard)

    device = model.device
    model.set_training(False)
    conditioning = model.variant.condition(
        ConditioningInputs(
            text_BLC=features.text(ids).to(device),
            audio={f: audio(f).to(device) for f in sorted(model.variant.audio_features)},
            class_index_B=features.class_index(ids).to(device),
        )
    )
    if arm is Arm.TEXT_ONLY:
        everything_B = torch.ones(len(batch), dtype=torch.bool, device=device)
        return conditioning.with_audio_dropped(everything_B)
    return conditioning


def pixels_of(foundation: Foundation, latents_BCHW: torch.Tensor) -> np.ndarray:
    images_B3HW = foundation.decode_latents(latents_BCHW)
    rounded = (images_B3HW * 255).round().to(torch.uint8)
    return rounded.permute(0, 2, 3, 1).contiguous().numpy()
