"""An image edited towards a sound: inverted to noise, then sampled with the sound's guidance.

Shape legend: C latent channels, H W height and width.
"""

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from core.choices import KeptAttention
from core.data.media.decode_image import decode_image, to_square
from core.data.media.errors import MediaError
from core.errors import DataError, UsageError
from core.sampling.sampler import Guidance
from harness.generate.answer import Answer, pixels
from harness.generate.inverted import PLAIN, Inverted
from harness.generate.sounds import Sound
from harness.generate.trained import loaded_branch

_FEATHER_PX = 2
"""Inside the mask, over which the edit fades in; outside it nothing is touched."""


@dataclass(frozen=True, kw_only=True)
class EditOptions:
    """How to edit."""

    text: str = ""
    """Caption of the image as it should become."""
    source_text: str = ""
    """Caption of the image as it is; the inversion is conditioned on it."""
    strength: float = 0.7
    """Share of the steps that are taken back and sampled anew: near 0 the image stays, at 1 its
    noise alone is kept."""
    audio_scale: float = 1.0
    """Multiplies the run's audio guidance."""
    text_guidance: float | None = None
    """Guidance of the caption; None: the run's."""
    steps: int = 50
    """DDIM steps of the inversion and of the sampling."""
    kept: KeptAttention = KeptAttention.NONE
    """Attention that is kept from the reconstruction of the image."""
    kept_until: float = 0.5
    """Share of the sampled steps, from the first on, in which it is kept."""
    device: str = "cpu"


@dataclass(frozen=True)
class Edited:
    """An edited image and what the inversion cost."""

    image_HWC: NDArray[np.uint8]
    """The edit."""
    source_HWC: NDArray[np.uint8]
    """What was edited: the centre square at the branch's size."""
    reconstruction_HWC: NDArray[np.uint8]
    """The inverted noise sampled again without the sound: what an edit of nothing gives."""
    inversion_rmse: float
    """Root mean square error of the reconstruction against the image as the VAE alone gives it
    back, of pixels in 0 to 1: what the inversion itself loses."""
    vae_rmse: float
    """The same of the VAE alone against the image."""
    change_inside: float
    """Root mean square change of the edit inside the mask (without one: everywhere)."""
    change_outside: float | None
    """The same outside it; None without a mask."""
    layout_kept: float
    """Correlation of the edges of edit and source: 1 where every edge stays, 0 where none does."""
    steps_taken: int
    """Of `steps`, by strength."""
    steps_kept: int
    """Of those, in how many attention is kept."""
    notices: tuple[str, ...]
    """What may make it differ from the branch's images."""


def edit(
    run: Path,
    *,
    image: Path,
    sound: Sound,
    options: EditOptions,
    mask: Path | None = None,
) -> Edited:
    """The image edited by the branch of a finished run.

    mask: an image of any size whose bright pixels may change. Outside it the pixels of the
    source are kept as they are.

    Raises:
        UsageError: the run cannot generate; a strength or a mask that leaves nothing to edit.
        DataError: a file that is not an image.
    """
    for name, share in (("--strength", options.strength), ("--keep-until", options.kept_until)):
        if not 0 < share <= 1:
            raise UsageError(f"{name} {share:g}; expected a number above 0 and up to 1")
    taken = max(1, round(options.strength * options.steps))
    num_kept = 0
    if options.kept is not KeptAttention.NONE:
        num_kept = max(1, round(options.kept_until * taken))
    with loaded_branch(run, device=options.device) as branch:
        size, sampling = branch.foundation.image_size, branch.profile.sampling
        source_HWC = _square(image, size=size)
        mask_HW = None if mask is None else read_mask(mask, size=size)
        answer = Answer(branch, [sound.waveform_S], text=options.text)
        source = Answer(branch, [sound.waveform_S], text=options.source_text)
        mean_BCHW, _ = branch.foundation.encode_images(_tensor(source_HWC))
        clean_BCHW = mean_BCHW * branch.foundation.vae.config.scaling_factor
        inverted = Inverted.of(
            clean_BCHW, branch=branch, source=source, steps=options.steps, taken=taken
        )
        text = sampling.text_guidance if options.text_guidance is None else options.text_guidance
        edited_BCHW = inverted.edited(
            answer,
            guidance=Guidance(text=text, audio=sampling.audio_guidance * options.audio_scale),
            kept=options.kept,
            num_kept=num_kept,
            may_change_1HW=None
            if mask_HW is None
            else _at_latents(mask_HW, like=inverted.levels[taken]),
        )
        edited_HWC = pixels(branch, edited_BCHW)[0]
        again_HWC = pixels(branch, inverted.sampled(source, guidance=PLAIN))[0]
        coded_HWC = pixels(branch, clean_BCHW)[0]
        notices = branch.notices
    if mask_HW is not None:
        edited_HWC = _pasted(edited_HWC, source_HWC, mask_HW=mask_HW)
    inside_HW = np.ones(source_HWC.shape[:2], dtype=bool) if mask_HW is None else mask_HW
    return Edited(
        image_HWC=edited_HWC,
        source_HWC=source_HWC,
        reconstruction_HWC=again_HWC,
        inversion_rmse=_rmse(again_HWC, coded_HWC),
        vae_rmse=_rmse(coded_HWC, source_HWC),
        change_inside=_rmse(edited_HWC[inside_HW], source_HWC[inside_HW]),
        change_outside=(
            None if mask_HW is None else _rmse(edited_HWC[~inside_HW], source_HWC[~inside_HW])
        ),
        layout_kept=layout_kept(edited_HWC, source_HWC),
        steps_taken=taken,
        steps_kept=num_kept,
        notices=notices,
    )


def layout_kept(edited_HWC: NDArray[np.uint8], source_HWC: NDArray[np.uint8]) -> float:
    """Pearson's correlation of the sizes of both images' luminance gradients (Rec. 601 weights).

    Colour may change while layout stays. 0 where one of them has no edge.
    """
    edges = []
    for pixels_HWC in (edited_HWC, source_HWC):
        light_HW = pixels_HWC.astype(np.float64) @ np.array([0.299, 0.587, 0.114])
        edges.append(np.hypot(*np.gradient(light_HW)).ravel())
    if min(float(edge.std()) for edge in edges) == 0:
        return 0.0
    return float(np.corrcoef(*edges)[0, 1])


def read_mask(path: Path, *, size: int) -> NDArray[np.bool_]:
    """[size, size]: where an image may change, its pixels above half of white.

    Raises:
        DataError: the file is not an image.
        UsageError: nothing, or everything, may change.
    """
    mask_HW = np.asarray(_square(path, size=size).mean(axis=2) > 127.5)
    share = float(mask_HW.mean())
    if share in (0.0, 1.0):
        where = "nowhere" if share == 0 else "everywhere"
        raise UsageError(
            f"{path} is bright {where}; expected a mask with white where the image may change and "
            "black where it stays"
        )
    return mask_HW


def _square(path: Path, *, size: int) -> NDArray[np.uint8]:
    try:
        return to_square(decode_image(path), size=size)
    except (MediaError, OSError) as error:
        raise DataError(f"{path} cannot be read as an image: {error}") from error


def _tensor(pixels_HWC: NDArray[np.uint8]) -> Tensor:
    """[1, 3, H, W] in [-1, 1]."""
    image = torch.from_numpy(pixels_HWC.copy()).permute(2, 0, 1)[None].float()
    return image / 127.5 - 1.0


def _at_latents(mask_HW: NDArray[np.bool_], *, like: Tensor) -> Tensor:
    """[1, h, w]: 1 where any pixel of the latent may change."""
    mask = torch.from_numpy(mask_HW.astype(np.float32))[None, None]
    pooled = torch.nn.functional.adaptive_max_pool2d(mask, like.shape[-2:])[0]
    return pooled.to(like.device)


def _pasted(
    edited_HWC: NDArray[np.uint8], source_HWC: NDArray[np.uint8], *, mask_HW: NDArray[np.bool_]
) -> NDArray[np.uint8]:
    """The edit inside the mask, fading in over its rim; the source's own pixels outside."""
    from scipy import ndimage

    depth_HW = ndimage.distance_transform_edt(np.pad(mask_HW, 1, mode="edge"))[1:-1, 1:-1]
    share_HW1 = np.clip(depth_HW / (_FEATHER_PX + 1), 0, 1)[..., None]
    mixed_HWC = share_HW1 * edited_HWC + (1 - share_HW1) * source_HWC
    return np.asarray(mixed_HWC.round().astype(np.uint8))


def _rmse(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> float:
    difference = (one.astype(np.float64) - other.astype(np.float64)) / 255
    return math.sqrt(float((difference**2).mean()))
