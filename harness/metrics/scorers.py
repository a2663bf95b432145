"""The frozen models that score: loaded, fingerprinted, and refused when they also condition.

Shape legend: I images, T texts, R clips, A attributes, D embedding width.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray

from core.errors import MismatchError, UsageError
from core.foundation.judge import Judge, prepare_images, prepare_sounds
from core.foundation.sources import Source, missing_weights, resolve_source
from harness.metrics.pictures import square_batches
from harness.metrics.provenance import refuse_conditioners
from harness.metrics.registry import Extractor

Array = NDArray[np.float64]

BATCH_SIZE = 64  # of 64 px images on a CPU; ViT-B/32 at 224 px needs 1 GB of GPU memory for it


class ClipScorer:
    """A CLIP model that has not conditioned anything."""

    def __init__(self, source: Source, *, device: torch.device) -> None:
        from transformers import AutoTokenizer, CLIPModel

        self._model = _load(CLIPModel, source, part="CLIP scorer", device=device)
        try:
            self._tokenizer = AutoTokenizer.from_pretrained(
                source.location, revision=source.revision
            )
            self._preprocessor = _preprocessor_config(source)
        except (OSError, ValueError, KeyError) as error:
            raise missing_weights(
                source, "CLIP scorer's tokenizer or preprocessor", error
            ) from error
        self._device = device
        self.name = source.name
        self.fingerprint = source.fingerprint()

    @torch.inference_mode()
    def images(self, paths: Sequence[Path]) -> Array:
        """[I, D] projected image embeddings, not scaled to unit length."""
        size = int(self._model.config.vision_config.image_size)
        mean, std = (
            torch.tensor(self._preprocessor[key], dtype=torch.float32)[:, None, None]
            for key in ("image_mean", "image_std")
        )
        features = []
        for pixels in square_batches(paths, size=size, batch_size=BATCH_SIZE):
            x_B3HW = torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255.0
            normal = ((x_B3HW - mean) / std).to(self._device)
            vision = self._model.vision_model(pixel_values=normal)
            features.append(self._model.visual_projection(vision.pooler_output))
        return _float64(features)

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
        return _float64(features)


@dataclass(frozen=True)
class ImageReading:
    """What the image judge says of I images."""

    embeddings: Array
    """[I, D], in the space shared with the audio judge."""
    attributes: Array
    """[I, A] in [0, 1], in the order of the judge's `attribute_names`."""


class ImageJudge:
    """The half of the judge pair that looks."""

    def __init__(self, source: Source, *, device: torch.device) -> None:
        self._model = _load_judge(source, modality="image", device=device)
        self._device = device
        self.attribute_names: tuple[str, ...] = tuple(self._model.config.attribute_names)
        self.embedding_dim = int(self._model.config.embedding_dim)
        self.name = source.name
        self.fingerprint = source.fingerprint()

    @torch.inference_mode()
    def read(self, paths: Sequence[Path]) -> ImageReading:
        """The judgement of each file."""
        size, _ = self._model.config.input_size
        embeddings, attributes = [], []
        for pixels in square_batches(paths, size=size, batch_size=BATCH_SIZE):
            judged = self._model(prepare_images(pixels, self._model.config).to(self._device))
            embeddings.append(judged.embedding)
            attributes.append(judged.attributes)
        return ImageReading(embeddings=_float64(embeddings), attributes=_float64(attributes))


class AudioJudge:
    """The half of the judge pair that hears."""

    def __init__(self, source: Source, *, device: torch.device) -> None:
        self._model = _load_judge(source, modality="audio", device=device)
        self._device = device
        self.sample_rate_hz = int(self._model.config.sample_rate_hz)
        self.embedding_dim = int(self._model.config.embedding_dim)
        self.name = source.name
        self.fingerprint = source.fingerprint()

    @torch.inference_mode()
    def embed(self, waveforms: Iterable[NDArray[np.float32]]) -> Array:
        """[R, D] embeddings of mono waveforms at `sample_rate_hz`, in the shared space.

        Clips are judged one by one, so that neither their number nor order moves a value.
        """
        embeddings = [
            self._model(
                prepare_sounds(np.asarray(waveform, dtype=np.float32)[None], self._model.config).to(
                    self._device
                )
            ).embedding
            for waveform in waveforms
        ]
        return _float64(embeddings)


@dataclass(frozen=True)
class Scorers:
    """All models that score a run. Without the judge pair the metrics that need it stay blank."""

    clip: ClipScorer
    """Sees images and captions."""
    image_judge: ImageJudge | None = None
    """Sees images beside sounds, and reads attributes off them."""
    audio_judge: AudioJudge | None = None
    """Hears the clips' own sound."""

    @classmethod
    def load(
        cls,
        *,
        clip: str,
        image_judge: str | None = None,
        audio_judge: str | None = None,
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
        sources = {
            role: resolve_source(name)
            for role, name in (
                ("clip", clip),
                ("image_judge", image_judge),
                ("audio_judge", audio_judge),
            )
            if name is not None
        }
        refuse_conditioners(sources, conditioners=[resolve_source(name) for name in conditioners])
        scorers = cls(
            clip=ClipScorer(sources["clip"], device=where),
            image_judge=ImageJudge(sources["image_judge"], device=where) if image_judge else None,
            audio_judge=AudioJudge(sources["audio_judge"], device=where) if audio_judge else None,
        )
        scorers._require_one_space()
        return scorers

    @property
    def fingerprint(self) -> dict[str, str]:
        """Hash of each scorer's files, by role."""
        present = {
            "clip": self.clip,
            "image_judge": self.image_judge,
            "audio_judge": self.audio_judge,
        }
        return {role: scorer.fingerprint for role, scorer in present.items() if scorer}

    def extractor(self, extractor: Extractor) -> tuple[str, str] | None:
        """(names, hashes) of the scorers behind an extractor; None when one is not loaded."""
        parts = [getattr(self, role) for role in extractor.value.split("+")]
        if None in parts:
            return None
        return "+".join(part.name for part in parts), "+".join(part.fingerprint for part in parts)

    def _require_one_space(self) -> None:
        if self.image_judge is None or self.audio_judge is None:
            return
        widths = self.image_judge.embedding_dim, self.audio_judge.embedding_dim
        if widths[0] != widths[1]:
            raise MismatchError(
                f"the image judge embeds in {widths[0]} dimensions, the audio judge in "
                f"{widths[1]}; expected a pair that was trained together"
            )


def _load(cls: Any, source: Source, *, part: str, device: torch.device) -> Any:
    try:
        model, info = cls.from_pretrained(
            source.location, revision=source.revision, output_loading_info=True
        )
    except (OSError, ValueError) as error:
        raise missing_weights(source, part, error) from error
    # from_pretrained fills missing weights with random ones and only warns.
    wrong = sorted(map(str, [*info["missing_keys"], *info["mismatched_keys"]]))
    if wrong:
        raise MismatchError(
            f"the weights of '{source.name}' do not fit a {cls.__name__}: {len(wrong)} missing or "
            f"of another shape, such as {wrong[0]}; fetch or rebuild the model"
        )
    return model.requires_grad_(False).eval().to(device, torch.float32)


def _load_judge(source: Source, *, modality: str, device: torch.device) -> Any:
    model = _load(Judge, source, part=f"{modality} judge", device=device)
    if model.config.modality != modality:
        raise UsageError(
            f"'{source.name}' judges {model.config.modality}; expected a judge of {modality}"
        )
    return model


def _preprocessor_config(source: Source) -> dict[str, Any]:
    """Pixel mean and std as the model was trained with; the resizer is ours for all scorers."""
    from transformers.utils.hub import cached_file

    for filename in ("preprocessor_config.json", "processor_config.json"):
        path = cached_file(
            source.location,
            filename,
            revision=source.revision,
            _raise_exceptions_for_missing_entries=False,
        )
        if path is not None:
            config = json.loads(Path(path).read_text())
            config = config.get("image_processor", config)
            return {key: config[key] for key in ("image_mean", "image_std")}
    raise OSError("no preprocessor_config.json")


def _float64(batches: Sequence[torch.Tensor]) -> Array:
    return np.concatenate([batch.float().cpu().numpy() for batch in batches]).astype(np.float64)
