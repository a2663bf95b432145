"""Settings and data become an attached variant whose every check has passed."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from core.choices import AudioFeature
from core.conditioning.attached import AttachedVariant
from core.conditioning.shapes import FoundationShapes
from core.conditioning.stage import ParameterGroup
from core.conditioning.variant import Variant
from core.data.media.decode_image import decode_image, to_square
from core.data.splits.split import Part, is_absent, verify
from core.data.splits.weights import ClassWeights
from core.errors import MismatchError
from core.features.exported import ExportedEmbeddings
from core.features.features import SplitFeatures, prepare_features
from core.foundation.captions import caption_notices
from core.foundation.foundation import Foundation
from core.foundation.separation import open_foundation
from core.randomness import torch_seeded
from core.training import guards
from core.training.built import check_built
from core.training.objective import TrainingData
from core.training.preflight import preflight
from harness.branches.unet_adapter import adapter_of
from harness.data.source import weights_of
from harness.records.folders import ResultsFolder
from harness.run.findings import Findings, variant_notices
from harness.run.plan import PlannedRun
from harness.wording.display import Display
from harness.wording.numbers import count

_PROBE_CLIPS = 8


@dataclass(frozen=True, kw_only=True)
class PreparedModel:
    """Everything that training and sampling need."""

    model: AttachedVariant
    data: TrainingData
    foundation: Foundation
    features: SplitFeatures


def prepare_model(
    planned: PlannedRun, *, device: str, findings: Findings, display: Display
) -> PreparedModel:
    """The variant on the frozen UNet, its features cached and the preflight guards passed.

    Raises:
        HarnessError: a changed file, missing weights, or a guard that refuses the run.
    """
    return _Preparation(planned, device=device, findings=findings, display=display).prepare()


def cache_features(planned: PlannedRun, *, device: str, display: Display) -> int:
    """Encode what the run needs and the cache lacks, as the run itself would; rows encoded.

    Raises:
        HarnessError: a changed file, missing weights, or a model that does not fit the settings.
    """
    findings = Findings()
    work = _Preparation(planned, device=device, findings=findings, display=display)
    work.verify()
    foundation = work.foundation()
    return work.features(foundation, work.build_variant(foundation)).num_computed


class _Preparation:
    def __init__(
        self, planned: PlannedRun, *, device: str, findings: Findings, display: Display
    ) -> None:
        self.planned = planned
        self.split = planned.prepared.split
        self.device = device
        self.findings = findings
        self.display = display
        self._rows = 0, 0
        """Of features: read from the cache, and encoded."""

    def prepare(self) -> PreparedModel:
        profile = self.planned.profile
        with self.findings.timed("verify"):
            self.verify()
        self._check_settings()
        weights = weights_of(self.split, settings=profile.data)
        foundation = self.foundation()
        samples = self.split.samples_of(self.planned.parts)
        self.findings.notices += caption_notices(
            {id_: sample.caption for id_, sample in samples.items()},
            tokenizer=foundation.tokenizer,
        )
        with self.findings.timed("build"):
            variant = self.build_variant(foundation)
        with self.findings.timed("features"):
            features = self.features(foundation, variant)
        self.display.say(f"features: {_cached_and_encoded(*self._rows)}")
        foundation.free_encoders()
        model, data = self._attach(foundation, variant, features=features, weights=weights)
        return PreparedModel(model=model, data=data, foundation=foundation, features=features)

    def verify(self) -> None:
        """Hold the media against the lock; those trained on may be absent."""
        parts = self.planned.parts
        if is_absent(self.split, Part.TRAIN) and not is_absent(self.split, Part.VAL):
            parts = tuple(part for part in parts if part is not Part.TRAIN)
            self.findings.notices.append(
                "the media that are trained on are not on this machine: features of them came "
                "from the cache, known by the hashes of the locked files"
            )
        verify(self.split, parts=parts)

    def foundation(self) -> Foundation:
        """The frozen models."""
        profile = self.planned.profile
        return open_foundation(
            stable_diffusion=profile.foundation.stable_diffusion,
            clap=profile.foundation.clap,
            separator=profile.foundation.separator,
            device=self.device,
            dtype=profile.foundation.dtype,
        )

    def _check_settings(self) -> None:
        sampling, training = self.planned.profile.sampling, self.planned.profile.training
        guards.check_guidance_was_trained(
            text_guidance=sampling.text_guidance,
            audio_guidance=sampling.audio_guidance,
            text_dropout=training.text_dropout,
            audio_dropout=training.audio_dropout,
        )
        self.findings.guards.append("guidance_was_trained")

    def build_variant(self, foundation: Foundation) -> Variant:
        """The branch as it is before training."""
        data = self.planned.profile.data
        shapes = foundation.shapes(
            log_mel=(data.log_mel.num_mels, data.log_mel.num_frames),
            num_classes=len(self.split.classes),
        )
        with torch_seeded(self.planned.request.seed, "init", "variant"):
            variant = self.planned.variant(self.planned.config, shapes=shapes)
        check_built(variant)
        return variant.to(self.device)

    def features(self, foundation: Foundation, variant: Variant) -> SplitFeatures:
        """What the frozen models make of the clips, from the cache where it is there."""
        data = self.planned.profile.data
        features = prepare_features(
            self.split,
            foundation=foundation,
            parts=self.planned.parts,
            audio_features=variant.audio_features,
            log_mel=data.log_mel,
            window_s=data.window_s,
            horizontal_flip=data.horizontal_flip,
            audio_crops=data.audio_crops,
            exported={
                feature: ExportedEmbeddings.load(Path(folder))
                for feature, folder in self.planned.profile.foundation.exported.items()
            },
            cache_dir=ResultsFolder(self.planned.request.results).features,
            progress=self._show_features,
        )
        self._check_widths(features, variant.shapes)
        self.findings.notices += features.notices
        return features

    def _show_features(self, done: int, total: int, encoded: int) -> None:
        self._rows = done - encoded, encoded
        self.display.phase("features", done, total, _cached_and_encoded(*self._rows))

    def _check_widths(self, features: SplitFeatures, shapes: FoundationShapes) -> None:
        widths = {
            AudioFeature.CLAP_POOLED: shapes.clap_pooled_dim,
            AudioFeature.MSCLAP_POOLED: shapes.msclap_pooled_dim,
        }
        for feature in self.planned.profile.foundation.exported:
            if feature in features.sounds:
                got = features.silence(feature).shape[-1]
                if got != widths[feature]:
                    raise MismatchError(
                        f"the exported {feature.value} is {got} wide; the variant was built for "
                        f"{widths[feature]}: it was made by a different encoder from the one in "
                        "the settings"
                    )

    def _attach(
        self,
        foundation: Foundation,
        variant: Variant,
        *,
        features: SplitFeatures,
        weights: ClassWeights,
    ) -> tuple[AttachedVariant, TrainingData]:
        """Attach the variant and run the preflight checks on real training clips."""
        profile, seed = self.planned.profile, self.planned.request.seed
        by_id = {i: weights.of(self.split.samples[i]) for i in self.split.train}
        guards.check_class_weights(list(by_id.values()))
        data = TrainingData(
            features=features,
            train_ids=self.split.train,
            validation_ids=self.split.val,
            class_weight=by_id,
            audio_features=variant.audio_features,
            scaling_factor=float(foundation.vae.config.scaling_factor),
            horizontal_flip=profile.data.horizontal_flip,
            num_crops=features.num_crops,
        )
        spread = len(self.split.train) / min(_PROBE_CLIPS, len(self.split.train))
        self.display.say(f"checking the model on {min(_PROBE_CLIPS, len(by_id))} training clips")
        ids = [self.split.train[int(k * spread)] for k in range(min(_PROBE_CLIPS, len(by_id)))]
        self._check_latents(foundation, features, ids)
        probe = guards.Probe.take(
            foundation.unet,
            data.inputs(ids).to(self.device),
            latent_shape=foundation.latent_shape,
            precision=profile.training.precision,
        )

        def adapter(unet: Any) -> Any:
            with torch_seeded(seed, "init", "unet_adapter"):
                return adapter_of(variant, profile=profile)(unet)

        model = AttachedVariant(variant, unet=foundation.unet, attach_adapter=adapter)
        self.findings.parameters = {
            str(group): sum(p.numel() for p in model.parameters([group]).values())
            for group in ParameterGroup
        }
        self.findings.guards += ["class_weights", *preflight(model, probe)]
        self.findings.notices += variant_notices(variant)
        return model, data

    def _check_latents(
        self, foundation: Foundation, features: SplitFeatures, ids: Sequence[str]
    ) -> None:
        """Decode the cached latents of some clips and hold them against the files.

        Where those that are trained on are not on this machine, as many of the validation part.
        """
        if is_absent(self.split, Part.TRAIN):
            ids = self.split.val[: len(ids)]
        mean_BCHW, _ = features.latent_moments(ids, [False] * len(ids))
        scaled_BCHW = mean_BCHW * float(foundation.vae.config.scaling_factor)
        size = foundation.image_size
        pixels = [
            to_square(decode_image(self.split.root / self.split.samples[i].image_path), size=size)
            for i in ids
        ]
        # One at a time: eight of 256 px side by side need a gigabyte more than any step does.
        decoded = [foundation.decode_latents(latent[None]) for latent in scaled_BCHW]
        guards.check_latents_match_pictures(
            torch.cat(decoded),
            pictures_B3HW=torch.from_numpy(np.stack(pixels)).permute(0, 3, 1, 2) / 255,
        )
        self.findings.guards.append("latents_match_pictures")


def _cached_and_encoded(num_cached: int, num_encoded: int) -> str:
    """What is done of the rows, of which a clip has one for each picture, caption and encoder."""
    if not num_encoded:
        return f"{count(num_cached, 'row')} read from the cache"
    if not num_cached:
        return f"{count(num_encoded, 'row')} encoded"
    return f"{count(num_cached, 'row')} read from the cache, {num_encoded:,} encoded"
