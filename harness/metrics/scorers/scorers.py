"""The frozen models that score: loaded, fingerprinted, and refused when they also condition.

Shape legend: I images, T texts, R clips, A attributes, D embedding width.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, Self

import numpy as np
import torch
from numpy.typing import NDArray

from core.errors import MismatchError
from core.foundation.layout import CLIP, VISION
from core.foundation.sources import Source, missing_weights, resolve_source
from harness.metrics.extractor import Extractor
from harness.metrics.per_clip import unit_rows
from harness.metrics.pictures import square_batches
from harness.metrics.scorers.inception import InceptionScorer
from harness.metrics.scorers.judges import AudioJudge, ImageJudge, SourceScorer
from harness.metrics.scorers.loading import BATCH_SIZE, float64, pixel_normalisation, pretrained
from harness.metrics.scorers.lpips import LpipsScorer
from harness.metrics.scorers.pe_av import PeAvScorer
from harness.metrics.scorers.picture import PictureClassifier
from harness.metrics.scorers.provenance import refuse_conditioners
from harness.metrics.scorers.sound import SoundScorer
from harness.metrics.scorers.wav2clip import EMBEDDING_DIM, Wav2ClipScorer

Array = NDArray[np.float64]


class PictureScorer(Protocol):
    """Whatever turns picture files into features for distances between sets."""

    name: str
    fingerprint: str

    def images(self, paths: Sequence[Path]) -> Array:
        """[I, D] features of the files."""


class ClipScorer:
    """A CLIP model that has not conditioned anything."""

    def __init__(self, source: Source, *, device: torch.device) -> None:
        from transformers import AutoTokenizer, CLIPModel

        self._model = pretrained(CLIPModel, source, part="CLIP scorer", device=device)
        try:
            self._tokenizer = AutoTokenizer.from_pretrained(source.folder, local_files_only=True)
            self._mean, self._std = pixel_normalisation(source)
        except (OSError, ValueError, KeyError) as error:
            raise missing_weights(
                source, "CLIP scorer's tokenizer or preprocessor", error
            ) from error
        self._device = device
        self.name = source.name
        self.fingerprint = source.fingerprint(CLIP)

    @property
    def is_vit_b32(self) -> bool:
        """Whether it has the shape of OpenAI's ViT-B/32."""
        vision = self._model.config.vision_config
        shape = vision.patch_size, vision.hidden_size, self._model.config.projection_dim
        return shape == (32, 768, EMBEDDING_DIM)

    @torch.inference_mode()
    def images(self, paths: Sequence[Path]) -> Array:
        """[I, D] projected image embeddings, not scaled to unit length."""
        size = int(self._model.config.vision_config.image_size)
        features = []
        for pixels in square_batches(paths, size=size, batch_size=BATCH_SIZE):
            x_B3HW = torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255.0
            normal = ((x_B3HW - self._mean) / self._std).to(self._device)
            vision = self._model.vision_model(pixel_values=normal)
            features.append(self._model.visual_projection(vision.pooler_output))
        return float64(features)

    @torch.inference_mode()
    def texts(self, texts: Sequence[str]) -> Array:
        """[T, D] projected text embeddings, not scaled to unit length."""
        length = int(self._model.config.text_config.max_position_embeddings)
        features = []
        for start in range(0, len(texts), BATCH_SIZE):
            tokens = self._tokenizer(
                list(texts[start : start + BATCH_SIZE]),
                padding="max_length",
                max_length=length,
                truncation=True,
                return_tensors="pt",
            ).to(self._device)
            text = self._model.text_model(
                input_ids=tokens["input_ids"], attention_mask=tokens["attention_mask"]
            )
            features.append(self._model.text_projection(text.pooler_output))
        return float64(features)


class DinoScorer:
    """A DINOv2 vision transformer."""

    SIZE = 224
    """Side, in pixels, that Stein et al. 2023 (arXiv 2306.04675) show it."""

    def __init__(self, source: Source, *, device: torch.device) -> None:
        from transformers import Dinov2Model

        self._model = pretrained(Dinov2Model, source, part="DINOv2 scorer", device=device)
        try:
            self._mean, self._std = pixel_normalisation(source)
        except (OSError, ValueError, KeyError) as error:
            raise missing_weights(source, "DINOv2 scorer's preprocessor", error) from error
        self._device = device
        self.name = source.name
        self.fingerprint = source.fingerprint(VISION)

    @torch.inference_mode()
    def images(self, paths: Sequence[Path]) -> Array:
        """[I, D] class tokens after the last layer norm."""
        features = []
        for pixels in square_batches(paths, size=self.SIZE, batch_size=BATCH_SIZE):
            x_B3HW = torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255.0
            normal = ((x_B3HW - self._mean) / self._std).to(self._device)
            features.append(self._model(pixel_values=normal).pooler_output)
        return float64(features)


@dataclass(frozen=True)
class Agreement:
    """Whoever hears and whoever sees in one space, together."""

    see: Callable[[Sequence[Path]], Array]
    """[I, D] embeddings of picture files."""
    hear: Callable[[Iterable[NDArray[np.float32]]], Array]
    """[R, D] embeddings of mono waveforms at 48 kHz."""
    hearer: str
    """Hash of the files of the scorer that hears."""
    is_cosine: bool
    """Whether they agree by the cosine; False: by the inner product."""

    def similarity(self, seen_ID: Array, heard_RD: Array) -> Array:
        """[I, R] by which a sound fits a picture more than another does."""
        if self.is_cosine:
            seen_ID, heard_RD = unit_rows(seen_ID), unit_rows(heard_RD)
        return np.asarray(seen_ID @ heard_RD.T)


@dataclass(frozen=True)
class Scorers:
    """All models that score a run. Metrics whose model is not here stay blank."""

    clip: ClipScorer
    """Sees images and captions."""
    image_judge: ImageJudge | None = None
    """Sees images beside sounds, and reads attributes off them."""
    audio_judge: AudioJudge | None = None
    """Hears the clips' own sound."""
    source_judge: SourceScorer | None = None
    """Finds several sources in one image."""
    inception: InceptionScorer | None = None
    """What `fid` is defined on."""
    dinov2: DinoScorer | None = None
    """What `fd_dinov2` is defined on."""
    lpips: LpipsScorer | None = None
    """Perceptual distance of two images."""
    wav2clip: Wav2ClipScorer | None = None
    """Hears where there is no pair of judges; the CLIP scorer then is the half that sees."""
    pe_av: PeAvScorer | None = None
    """Hears and sees where there is neither."""
    sound: SoundScorer | None = None
    """Tells kinds of sounds, for `pair_win`."""
    picture: PictureClassifier | None = None
    """Tells kinds of pictures, for `pair_win` and `kid_picture`."""

    @classmethod
    def load(
        cls,
        *,
        clip: str,
        image_judge: str | None = None,
        audio_judge: str | None = None,
        source_judge: str | None = None,
        inception: str | None = None,
        dinov2: str | None = None,
        lpips: str | None = None,
        wav2clip: str | None = None,
        pe_av: str | None = None,
        sound: str | None = None,
        picture: str | None = None,
        conditioners: Iterable[str] = (),
        device: str | torch.device = "cpu",
    ) -> Self:
        """Load the scorers from sources (`embedded:NAME`, a folder, a hub id[@revision]).

        conditioners: sources of whatever the branches condition on; none of their weights files
            may be a scorer's.

        Raises:
            UsageError: a source that does not exist, or a judge of the wrong kind.
            MissingWeightsError: a folder or hub id whose files are not there.
            MismatchError: weights that do not fit the model, or judges of different spaces.
            GuardError: a scorer is a conditioner.
        """
        where = torch.device(device)
        named = {
            "clip": clip,
            "image_judge": image_judge,
            "audio_judge": audio_judge,
            "source_judge": source_judge,
            "inception": inception,
            "dinov2": dinov2,
            "lpips": lpips,
            "wav2clip": wav2clip,
            "pe_av": pe_av,
            "sound": sound,
            "picture": picture,
        }
        sources = {role: resolve_source(name) for role, name in named.items() if name is not None}
        refuse_conditioners(sources, conditioners=[resolve_source(name) for name in conditioners])
        loaded: dict[str, Any] = {
            role: _CLASSES[role](source, device=where) for role, source in sources.items()
        }
        scorers = cls(**loaded)
        scorers._require_one_space()
        return scorers

    @property
    def present(self) -> dict[str, Any]:
        """The scorers that were loaded, by role."""
        return {role: getattr(self, role) for role in _CLASSES if getattr(self, role) is not None}

    @property
    def fingerprint(self) -> dict[str, str]:
        """Hash of each scorer's files, by role."""
        return {role: scorer.fingerprint for role, scorer in self.present.items()}

    def extractor(self, extractor: Extractor) -> tuple[str, str] | None:
        """(names, hashes) of the scorers behind an extractor; None without one, or not loaded."""
        if extractor is Extractor.PIXELS:
            return None
        roles = extractor.value.split("+")
        if extractor is Extractor.JOINT and not self.has_judges:
            if self.wav2clip is not None:
                roles = ["clip", "wav2clip"]
            elif self.pe_av is not None:
                roles = ["pe_av"]
        parts = [getattr(self, role) for role in roles]
        if None in parts:
            return None
        return "+".join(part.name for part in parts), "+".join(part.fingerprint for part in parts)

    @property
    def has_judges(self) -> bool:
        """Whether the pair of judges is there."""
        return self.image_judge is not None and self.audio_judge is not None

    @property
    def agreement(self) -> Agreement | None:
        """Who says whether sound and picture belong together; None where nobody hears."""
        image_judge, audio_judge, pe_av = self.image_judge, self.audio_judge, self.pe_av
        if image_judge is not None and audio_judge is not None:
            see = image_judge.read
            return Agreement(
                lambda paths: see(paths).embeddings,
                audio_judge.embed,
                hearer=audio_judge.fingerprint,
                is_cosine=True,
            )
        if self.wav2clip is not None:
            hearer = self.wav2clip.fingerprint
            return Agreement(self.clip.images, self.wav2clip.embed, hearer=hearer, is_cosine=True)
        if pe_av is None:
            return None
        return Agreement(pe_av.images, pe_av.embed, hearer=pe_av.fingerprint, is_cosine=False)

    def pictures(self, extractor: Extractor) -> PictureScorer | None:
        """The scorer whose image features an extractor's distances are measured on."""
        scorer: PictureScorer | None = getattr(self, extractor.value)
        return scorer

    def _require_one_space(self) -> None:
        if self.wav2clip is not None and not self.clip.is_vit_b32:
            raise MismatchError(
                f"Wav2CLIP embeds sounds in the space of CLIP ViT-B/32; the CLIP scorer "
                f"'{self.clip.name}' is another model: set scorers.clip to "
                "openai/clip-vit-base-patch32, or scorers.wav2clip to none"
            )
        if self.image_judge is None or self.audio_judge is None:
            return
        widths = self.image_judge.embedding_dim, self.audio_judge.embedding_dim
        if widths[0] != widths[1]:
            raise MismatchError(
                f"the image judge embeds in {widths[0]} dimensions, the audio judge in "
                f"{widths[1]}; expected a pair that was trained together"
            )


_CLASSES: dict[str, Any] = {
    "clip": ClipScorer,
    "image_judge": ImageJudge,
    "audio_judge": AudioJudge,
    "source_judge": SourceScorer,
    "inception": InceptionScorer,
    "dinov2": DinoScorer,
    "lpips": LpipsScorer,
    "wav2clip": Wav2ClipScorer,
    "pe_av": PeAvScorer,
    "sound": SoundScorer,
    "picture": PictureClassifier,
}
