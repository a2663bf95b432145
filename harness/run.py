"""One run: settings and data in, a record out. Everything else only calls this or reads records."""

import json
import resource
import shutil
import sys
import time
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch

from core.conditioning.adapters import attach_unet_adapter
from core.conditioning.attached import AttachedVariant
from core.conditioning.conditioning import AudioFeature
from core.conditioning.shapes import FoundationShapes
from core.conditioning.stage import ParameterGroup
from core.conditioning.variant import Variant
from core.data.atomic import write_atomic
from core.data.decode import decode_audio, decode_image, to_square
from core.data.exported import ExportedEmbeddings
from core.data.features import SplitFeatures, prepare_features
from core.data.split import verify
from core.data.weights import ClassWeights
from core.errors import BusyError, HarnessError, MismatchError, NoSpaceError
from core.foundation.foundation import Foundation
from core.randomness import torch_seeded
from core.training import guards
from core.training.checkpoints import CheckpointFolder, no_space_is_a_sentence
from core.training.interrupts import Interrupted
from core.training.loop import NOTHING_TO_TRAIN, StepReport, TrainingResult, train
from core.training.objective import TrainingData
from harness.arms import sample_arms
from harness.events import EventLog
from harness.metrics.arms import GeneratedImage, ScoredClip
from harness.metrics.feature_cache import FeatureCache
from harness.metrics.score import RunScores, score_images
from harness.metrics.scorers import Scorers
from harness.openings import OpeningJournal
from harness.planning import PlannedRun, RunRequest, plan_run
from harness.progress import Display
from harness.records import (
    RunRecord,
    Status,
    environment,
    now,
)
from harness.runlock import held
from harness.splits import weights_of

_PROBE_CLIPS = 8


def run(request: RunRequest, *, display: Display) -> RunRecord:
    """The record of a finished run: found, resumed, or made.

    Raises:
        HarnessError: a sentence and an exit code; a failed run leaves a record that says so.
    """
    planned = plan_run(request, display=display)
    found = planned.finished_record
    if found is not None:
        return found
    with no_space_is_a_sentence(planned.folder):
        planned.folder.mkdir(parents=True, exist_ok=True)
    with held(planned.folder):
        _require_same_identity(planned)
        found = planned.finished_record
        return found if found is not None else _execute(planned, display=display)


def measure_step_seconds(
    request: RunRequest, *, num_steps: int, display: Display
) -> dict[str, float]:
    """Median device seconds of an optimiser step of each stage, on this machine.

    Raises:
        HarnessError: what a run of the same request would raise.
    """
    planned = plan_run(request, display=display)
    planned.folder.mkdir(parents=True, exist_ok=True)
    try:
        return _Work(planned, display=display).step_seconds(num_steps)
    finally:
        with suppress(OSError):  # a run that was begun before keeps its folder
            planned.folder.rmdir()


def training_device() -> str:
    """What a run computes on: the GPU, where there is one."""
    return "cuda" if torch.cuda.is_available() else "cpu"


def device_name() -> str:
    """The kind of `training_device`."""
    return torch.cuda.get_device_name() if training_device() == "cuda" else "cpu"


def device_seconds(device: str) -> float:
    """A clock of the device's work: of the GPU, or the CPU seconds of this process."""
    if device == "cuda":
        torch.cuda.synchronize()
        return time.monotonic()
    return time.process_time()


def _require_same_identity(planned: PlannedRun) -> None:
    path = planned.folder / "identity.json"
    content = planned.identity.model_dump_json(indent=2) + "\n"
    if path.is_file():
        ours = json.loads(content)
        try:
            theirs = dict(json.loads(path.read_bytes()))
        except (ValueError, TypeError):
            raise MismatchError(
                f"{path} is damaged: whose run the folder holds cannot be known; move the folder "
                "away and run again"
            ) from None
        changed = [key for key in ours if ours[key] != theirs.get(key) and key != "profile"]
        if changed:
            raise MismatchError(
                f"{planned.folder} holds a run with another {', '.join(changed)}; it was edited or "
                "copied: move the folder away and run again"
            )
        return
    write_atomic(path, content=content.encode())


def _execute(planned: PlannedRun, *, display: Display) -> RunRecord:
    started_at = now()
    work = _Work(planned, display=display)
    try:
        with no_space_is_a_sentence(planned.folder):
            record = work.finish(started_at=started_at)
    except (Interrupted, NoSpaceError, BusyError):
        raise  # the run is not over: the same command goes on with it
    except torch.OutOfMemoryError as error:
        failure = HarnessError(
            "out of memory: lower training.micro_batch and raise training.accumulation by the "
            "same factor (their product is the batch size, which a comparison keeps), or lower "
            f"sampling.batch_size ({str(error).splitlines()[0]})"
        )
        work.fail(failure, started_at=started_at)
        raise failure from error
    except HarnessError as error:
        work.fail(error, started_at=started_at)
        raise
    except Exception as error:
        (planned.folder / "traceback.txt").write_text(traceback.format_exc())
        work.fail(error, started_at=started_at)
        raise
    record.save(planned.folder)
    return record


class _Work:
    """The phases of one run; each leaves its seconds."""

    def __init__(self, planned: PlannedRun, *, display: Display) -> None:
        self.planned = planned
        self.display = display
        self.folder = planned.folder
        self.split = planned.prepared.split
        self.seconds: dict[str, float] = {}
        self.guards: list[str] = []
        self.notices: list[str] = []
        self.training: TrainingResult | None = None
        self.parameters: dict[str, int] = {}
        self.train_device_seconds: float | None = None
        self.openings = OpeningJournal(planned.folder)
        self.device = training_device()
        torch.set_num_threads(planned.profile.training.num_threads)

    def finish(self, *, started_at: str) -> RunRecord:
        """All phases, one after the other."""
        model, data, foundation, features = self._prepare()
        with self._timed("train"):
            started = device_seconds(self.device)
            self.training = self._train(model, data=data, foundation=foundation)
            self.train_device_seconds = device_seconds(self.device) - started
        self.guards += self.training.guards_passed
        self._save_weights(model)
        with self._timed("sample"):
            images = self._sample(model, foundation=foundation, features=features)
        model.detach()
        with self._timed("score"):
            scores = self._score(images)
        return self._record(started_at=started_at, scores=scores)

    def step_seconds(self, num_steps: int) -> dict[str, float]:
        """Median device seconds of an optimiser step of each stage, by a short training."""
        model, data, foundation, _ = self._prepare()
        plan = replace(
            self.planned.plan,
            stages=tuple(
                replace(stage, steps=min(stage.steps, num_steps), warmup_steps=0)
                for stage in self.planned.plan.stages
            ),
            # Work that is no optimiser step; at a stage's end there is some all the same.
            validate_every=num_steps + 1,
            checkpoint_every=num_steps + 1,
        )
        ends: dict[str, list[float]] = {stage.name: [] for stage in plan.stages}
        with TemporaryDirectory(dir=self.folder) as scratch:
            train(
                model,
                data=data,
                plan=plan,
                scheduler=foundation.noise_scheduler,
                latent_shape=foundation.latent_shape,
                seed=self.planned.request.seed,
                checkpoints=CheckpointFolder(Path(scratch)),
                on_step=lambda report: ends[report.stage].append(device_seconds(self.device)),
                on_resume=lambda step: None,
            )
        model.detach()
        # The last step of a stage ends after its validation: a median does not see it.
        return {
            name: float(np.median(np.diff(moments))) if len(moments) > 2 else 0.0
            for name, moments in ends.items()
        }

    def _prepare(self) -> tuple[AttachedVariant, TrainingData, Foundation, SplitFeatures]:
        """Everything that training needs, checked."""
        profile = self.planned.profile
        with self._timed("verify"):
            verify(self.split)
        self._check_settings()
        weights = weights_of(self.split, settings=profile.data)
        foundation = Foundation(
            stable_diffusion=profile.foundation.stable_diffusion,
            clap=profile.foundation.clap,
            device=self.device,
            dtype=profile.foundation.dtype,
        )
        with self._timed("build"):
            variant = self._build_variant(foundation)
        with self._timed("features"):
            features = self._features(foundation, variant)
        model, data = self._attach(foundation, variant, features=features, weights=weights)
        return model, data, foundation, features

    # Phases ------------------------------------------------------------------------------

    def _check_settings(self) -> None:
        sampling, training = self.planned.profile.sampling, self.planned.profile.training
        guards.check_guidance_was_trained(
            text_guidance=sampling.text_guidance,
            audio_guidance=sampling.audio_guidance,
            text_dropout=training.text_dropout,
            audio_dropout=training.audio_dropout,
        )
        self.guards.append("guidance_was_trained")

    def _build_variant(self, foundation: Foundation) -> Variant:
        data = self.planned.profile.data
        shapes = foundation.shapes(
            log_mel=(data.log_mel.num_mels, data.log_mel.num_frames),
            num_classes=len(self.split.classes),
        )
        with torch_seeded(self.planned.request.seed, "init", "variant"):
            return self.planned.variant(self.planned.config, shapes=shapes).to(self.device)

    def _features(self, foundation: Foundation, variant: Variant) -> SplitFeatures:
        data = self.planned.profile.data
        features = prepare_features(
            self.split,
            foundation=foundation,
            audio_features=variant.audio_features,
            log_mel=data.log_mel,
            window_s=data.window_s,
            horizontal_flip=data.horizontal_flip,
            audio_crops=data.audio_crops,
            exported={
                feature: ExportedEmbeddings.load(Path(folder))
                for feature, folder in self.planned.profile.foundation.exported.items()
            },
            cache_dir=self.planned.request.results / "cache" / "features",
            progress=lambda done, total: self.display.phase("encoding pairs", done, total),
        )
        self._check_widths(features, variant.shapes)
        self.notices += features.notices
        return features

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
                        f"{widths[feature]}: it was made by another encoder than the setting says"
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
        by_id = {i: weights.weights[self.split.samples[i].class_name] for i in self.split.train}
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
        ids = [self.split.train[int(k * spread)] for k in range(min(_PROBE_CLIPS, len(by_id)))]
        self._check_latents(foundation, features, ids)
        autocast = torch.autocast(
            self.device, dtype=torch.bfloat16, enabled=profile.training.precision == "bfloat16"
        )
        with autocast:  # as in the checks below, or the roundings alone would differ
            probe = guards.Probe.take(
                foundation.unet,
                data.inputs(ids).to(self.device),
                latent_shape=foundation.latent_shape,
            )

        def adapter(unet: Any) -> Any:
            with torch_seeded(seed, "init", "unet_adapter"):
                return attach_unet_adapter(
                    unet,
                    kind=variant.unet_adapter,
                    lora_rank=profile.lora.rank,
                    lora_alpha=profile.lora.alpha,
                    lora_dropout=profile.lora.dropout,
                )

        model = AttachedVariant(variant, unet=foundation.unet, attach_adapter=adapter)
        self.parameters = {
            str(group): sum(p.numel() for p in model.parameters([group]).values())
            for group in ParameterGroup
        }
        with autocast:
            self.guards += ["class_weights", *guards.preflight(model, probe)]
        return model, data

    def _check_latents(
        self, foundation: Foundation, features: SplitFeatures, ids: Sequence[str]
    ) -> None:
        """Decode the cached latents of some clips and hold them against the files."""
        mean_BCHW, _ = features.latent_moments(ids, [False] * len(ids))
        scaled_BCHW = mean_BCHW * float(foundation.vae.config.scaling_factor)
        size = foundation.image_size
        pixels = [
            to_square(decode_image(self.split.root / self.split.samples[i].image_path), size=size)
            for i in ids
        ]
        guards.check_latents_match_pictures(
            foundation.decode_latents(scaled_BCHW),
            pictures_B3HW=torch.from_numpy(np.stack(pixels)).permute(0, 3, 1, 2) / 255,
        )
        self.guards.append("latents_match_pictures")

    def _train(
        self, model: AttachedVariant, *, data: TrainingData, foundation: Foundation
    ) -> TrainingResult:
        checkpoints = CheckpointFolder(self.folder / "checkpoints")
        with EventLog(self.folder / "events.jsonl") as events:

            def on_step(report: StepReport) -> None:
                events.write(report)
                self.display.step(report)

            result = train(
                model,
                data=data,
                plan=self.planned.plan,
                scheduler=foundation.noise_scheduler,
                latent_shape=foundation.latent_shape,
                seed=self.planned.request.seed,
                checkpoints=checkpoints,
                on_step=on_step,
                on_resume=lambda step: self._resumed(step, events),
            )
        self.notices += checkpoints.notices
        self.notices += [
            f"{stage.stage}: variant '{self.planned.request.variant}' has nothing to train in it, "
            f"so its {stage.steps_planned} steps were left out"
            for stage in result.stages
            if stage.stopped_by == NOTHING_TO_TRAIN
        ]
        return result

    def _resumed(self, step: int, events: "EventLog") -> None:
        events.keep_up_to(step)
        if step:
            self.display.say(f"resuming {self.planned.identity.run_id} after step {step}")

    def _save_weights(self, model: AttachedVariant) -> None:
        from safetensors.torch import save

        tensors = {n: t.cpu().contiguous() for n, t in model.state_dict().items()}
        write_atomic(self.folder / "weights.safetensors", content=save(tensors))

    def _sample(
        self, model: AttachedVariant, *, foundation: Foundation, features: SplitFeatures
    ) -> list[GeneratedImage]:
        self.openings.note(now())
        profile = self.planned.profile
        out = self.folder / "images"
        shutil.rmtree(out, ignore_errors=True)
        with no_space_is_a_sentence(out):
            return sample_arms(
                model,
                split=self.split,
                features=features,
                foundation=foundation,
                settings=profile.sampling,
                seed=self.planned.request.seed,
                precision=profile.training.precision,
                out=out,
                progress=lambda done, total: self.display.phase("sampling", done, total),
            )

    def _score(self, images: Sequence[GeneratedImage]) -> RunScores:
        profile, split = self.planned.profile, self.split
        self.display.phase("scoring", 0, len(images))
        scorers = Scorers.load(
            **profile.scorers.model_dump(),
            conditioners=[profile.foundation.stable_diffusion, profile.foundation.clap],
            device=self.device,
        )
        window_s = profile.data.window_s
        code = self.planned.identity.code
        cache = FeatureCache(
            self.planned.request.results / "cache" / "scorer_features",
            context={
                "split": split.hash,
                "core": code["core"],
                "metrics": code["metrics"],
                "window_s": window_s,
                "device": self.device,
            },
        )

        def pictures(ids: Sequence[str]) -> dict[str, Path]:
            return {i: split.root / split.samples[i].image_path for i in ids}

        scores = score_images(
            images,
            clips=[
                ScoredClip(
                    sample_id=sample_id,
                    class_name=split.samples[sample_id].class_name,
                    caption=split.samples[sample_id].caption,
                    image=split.root / split.samples[sample_id].image_path,
                    attributes=split.samples[sample_id].attributes,
                )
                for sample_id in split.test
            ],
            scorers=scorers,
            waveform_of=lambda sample_id: decode_audio(
                split.root / split.samples[sample_id].audio_path, window_s=window_s
            ),
            floor_images=pictures(split.val),
            training_images=pictures(split.train),
            split_hash=split.hash,
            cache=cache,
        )
        self.notices += cache.notices
        for name, content in scores.files().items():
            write_atomic(self.folder / name, content=content)
        self.display.phase("scoring", len(images), len(images))
        return scores

    # Records -----------------------------------------------------------------------------

    def fail(self, error: Exception, *, started_at: str) -> None:
        """Leave a record that says why the run failed."""
        message = str(error) or type(error).__name__
        self._record(started_at=started_at, error=message).save(self.folder)

    def _record(
        self, *, started_at: str, scores: RunScores | None = None, error: str | None = None
    ) -> RunRecord:
        scored: Mapping[str, Any] = scores.record() if scores is not None else {}
        return RunRecord(
            run_id=self.planned.identity.run_id,
            status=Status.FINISHED if error is None else Status.FAILED,
            identity=self.planned.identity,
            command=self.planned.request.command,
            started_at=started_at,
            finished_at=now(),
            split=self._split_facts(),
            parameters=self.parameters,
            stages=[asdict(stage) for stage in self.training.stages] if self.training else [],
            guards_passed=self.guards,
            metrics=scored.get("summary", {}),
            arms=scored.get("arms", {}),
            controls=scored.get("controls", []),
            evaluation=scored.get("evaluation", {}),
            test_openings=self.openings.count,
            cost={
                "seconds": {name: round(value, 3) for name, value in self.seconds.items()},
                "peak_memory_bytes": _peak_memory_bytes(self.device),
                # Of this process alone, as all seconds here: a resumed run has spent more.
                "train_device_seconds": self.train_device_seconds,
                "device": device_name(),
                "resumed_from_step": self.training.resumed_from if self.training else None,
            },
            environment=environment(),
            notices=self.notices,
            error=error,
        )

    def _split_facts(self) -> dict[str, Any]:
        weights = weights_of(self.split, settings=self.planned.profile.data)
        return {
            "lock": str(self.planned.prepared.lock),
            "hash": self.split.hash,
            "notices": list(self.split.notices),
            "counts": {
                name: {part.value: n for part, n in parts.items()}
                for name, parts in self.split.counts.items()
            },
            "class_weights": weights.weights,
            "class_weighting": weights.data(),
            "excluded": dict(self.planned.prepared.exclusions),
            "num_input": self.planned.prepared.num_input,
        }

    @contextmanager
    def _timed(self, phase: str) -> Iterator[None]:
        started = time.monotonic()
        try:
            yield
        finally:
            self.seconds[phase] = time.monotonic() - started


def _peak_memory_bytes(device: str) -> int:
    if device == "cuda":
        return int(torch.cuda.max_memory_allocated())
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
