"""What a run will be, before anything is computed: resolved settings, data, schedule, identity."""

import shlex
import shutil
from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Self

from core.choices import BudgetKind
from core.conditioning.config import VariantConfig
from core.conditioning.stage import STAGE_GROUPS, ParameterGroup, Stage
from core.data.splits.split import Part
from core.errors import DataError, MismatchError
from core.foundation.sources import resolve_source
from harness.branches.adapter_options import require_adapter_options
from harness.branches.registry import Registration, find_variant
from harness.data.source import Prepare, PreparedSplit, prepare_split, weights_of
from harness.metrics.registry import computed_metrics
from harness.records.folders import RunFolder
from harness.records.record import (
    RunIdentity,
    RunRecord,
    Status,
    load_record,
)
from harness.records.score_kind import Score as Score
from harness.run.budget import schedule_of, within_budget
from harness.run.code import code_hashes
from harness.run.models import model_commits, model_hashes
from harness.settings.branch_config import RunConfig, Tuning, load_run_config
from harness.settings.load import load_profile, parse_settings
from harness.settings.profile import DataSettings, Profile, StageSettings
from harness.wording.display import Display

if TYPE_CHECKING:
    from core.conditioning.variant import Variant
    from core.training.plan import TrainingPlan


@dataclass(frozen=True)
class RunRequest:
    """What the user asked for."""

    variant: str
    _: KW_ONLY
    profile: str = "tiny"
    seed: int = 0
    overrides: tuple[str, ...] = ()
    data: str | None = None
    results: Path = Path("results")
    config: Path | None = None
    """A file of the branch's settings, below `overrides` (`harness.settings.branch_config`)."""
    score: Score = Score.TEST
    """What follows training."""
    device: str | None = None
    """`cpu` or `cuda`; None takes the GPU where there is one."""

    @classmethod
    def of_command(cls, command: str) -> Self:
        """The request whose `command` this is.

        Raises:
            DataError: it is not one of ours.
        """
        words = shlex.split(command)
        given: dict[str, list[str]] = {}
        if words[:2] != ["harness", "run"] or len(words) % 2:
            raise DataError(f"not the command of a run: {command}")
        for option, value in zip(words[2::2], words[3::2], strict=True):
            given.setdefault(option, []).append(value)
        try:
            request = cls(
                variant=given["--variant"][-1],
                profile=given["--profile"][-1],
                seed=int(given["--seed"][-1]),
                overrides=tuple(given.get("--set", ())),
                data=given.get("--data", [None])[-1],
                results=Path(given["--results"][-1]),
                config=Path(given["--config"][-1]) if "--config" in given else None,
                score=Score(given.get("--score", [Score.TEST])[-1]),
                device=given.get("--device", [None])[-1],
            )
        except (KeyError, ValueError) as error:
            raise DataError(f"not the command of a run ({error!r}): {command}") from None
        return request

    @property
    def words(self) -> list[str]:
        """The command line that asks for the same, word by word."""
        words = ["harness", "run", "--variant", self.variant, "--profile", self.profile]
        words += ["--seed", str(self.seed)]
        if self.config is not None:
            words += ["--config", str(self.config)]
        for item in self.overrides:
            words += ["--set", item]
        if self.data is not None:
            words += ["--data", self.data]
        if self.score is not Score.TEST:
            words += ["--score", self.score.value]
        if self.device is not None:
            words += ["--device", self.device]
        return [*words, "--results", str(self.results)]

    @property
    def command(self) -> str:
        """The same as one line for a shell."""
        return shlex.join(self.words)


@dataclass(kw_only=True)
class PlannedRun:
    """A run whose settings are resolved and whose identity is known; nothing is computed yet."""

    request: RunRequest
    profile: Profile
    registration: Registration
    config: VariantConfig
    prepared: PreparedSplit
    identity: RunIdentity
    tuning: Tuning | None = None
    """How the settings were found, as the request's config says; it decides no number."""
    notices: tuple[str, ...] = ()
    """What a reader of its record must know of its settings."""
    commits: dict[str, str] = field(default_factory=dict)
    """By role, the commit that is read of each model that a hub id names."""

    @property
    def folder(self) -> Path:
        """Where the run lives."""
        return self.request.results / self.request.score.folder / self.identity.run_id

    @property
    def parts(self) -> tuple[Part, ...]:
        """The parts of the split whose sounds and pictures the run opens."""
        return tuple(Part) if self.request.score is Score.TEST else (Part.TRAIN, Part.VAL)

    @property
    def finished_record(self) -> RunRecord | None:
        """The record of a finished run of the same identity, or None.

        Raises: MismatchError for a record that is damaged, or of another run.
        """
        path = RunFolder(self.folder).record
        if not path.is_file():
            return None
        try:
            record = load_record(path)
        except DataError as error:
            raise MismatchError(f"{error}; move it away and run again") from None
        if record.identity.run_id != self.identity.run_id:
            raise MismatchError(
                f"{path} is the record of {record.identity.run_id}, not of {self.identity.run_id}; "
                "it was edited or copied: move it away"
            )
        return record if record.status is Status.FINISHED else None

    def leave_numbers(self) -> None:
        """Remove the checkpoints of a trial, for trials are many and each can be made again."""
        if self.request.score is not Score.TEST:
            shutil.rmtree(RunFolder(self.folder).checkpoints, ignore_errors=True)

    @cached_property
    def variant(self) -> "type[Variant]":
        """The variant's class. It brings torch, which a finished run needs not.

        Raises:
            UsageError: it cannot be imported.
        """
        return self.registration.load()

    @cached_property
    def plan(self) -> "TrainingPlan":
        """The schedule in the loop's own terms."""
        from core.training.plan import TrainingPlan

        profile, config = self.profile, self.config
        settings = (profile.stage1, profile.stage2, profile.stage3)
        steps = moved_steps(
            [stage.steps for stage in settings],
            share=config.moved_steps,
            costs=[profile.budget.step_cost.get(f"stage{k}", 1.0) for k in (1, 2, 3)],
        )
        stages = tuple(
            _stage(f"stage{k}", settings[k - 1], groups, steps=steps[k - 1], config=config)
            for k, groups in enumerate(STAGE_GROUPS, start=1)
        )
        training = profile.training
        return TrainingPlan(
            stages=stages,
            micro_batch=training.micro_batch,
            accumulation=training.accumulation,
            grad_clip=training.grad_clip,
            precision=training.precision,
            text_dropout=training.text_dropout,
            audio_dropout=training.audio_dropout,
            checkpoint_every=training.checkpoint_every,
            validate_every=training.validate_every,
            validation_draws=training.validation_draws,
            loss_weighting=training.loss_weighting,
            adam_eps=training.adam_eps,
            deterministic=training.deterministic,
        )


def moved_steps(steps: Sequence[int], *, share: float, costs: Sequence[float]) -> list[int]:
    """Steps of the three stages after a share of stage 1's is made in stage 2 (negative: of stage
    2's in stage 1), for as much as they cost together before.

    costs: of a step of each stage.
    """
    found = list(steps)
    source, target = (0, 1) if share >= 0 else (1, 0)
    moved = round(abs(share) * found[source])
    if not moved or costs[target] <= 0:
        return found
    found[source] -= moved
    found[target] += int(moved * costs[source] / costs[target] + 1e-9)
    return found


def _stage(
    name: str,
    settings: StageSettings,
    groups: tuple[ParameterGroup, ...],
    *,
    steps: int,
    config: VariantConfig,
) -> Stage:
    return Stage(
        name=name,
        steps=steps,
        lr=settings.lr * config.lr_factor,
        gate_lr=settings.gate_lr * config.gate_lr_factor,
        weight_decay=settings.weight_decay,
        warmup_steps=settings.warmup_steps,
        trains=groups,
        stop=settings.stop,
    )


def plan_run(request: RunRequest, *, display: Display) -> PlannedRun:
    """Resolve settings, data and identity.

    Raises:
        UsageError, DataError, MismatchError, MissingWeightsError: what the user has to change.
    """
    return Planner(display).plan(request)


class Planner:
    """Plans runs of one command; what they share, data and code, is read once."""

    def __init__(self, display: Display, *, prepare: Prepare = prepare_split) -> None:
        """prepare: what makes a split of `--data`; `split_as_prepared` writes nothing."""
        self._display = display
        self._prepare = prepare
        self._variants: dict[str, Registration] = {}
        self._splits: dict[tuple[str | None, Path, str], PreparedSplit] = {}
        self._codes: dict[str, dict[str, str]] = {}

    def plan(self, request: RunRequest) -> PlannedRun:
        """As `plan_run`."""
        # An installed package whose metrics cannot be had is refused here.
        computed_metrics()
        registration = self._variant(request.variant)
        variant_config = registration.load_config()
        tuned = None if request.config is None else load_run_config(request.config)
        if tuned is not None and request.config is not None:
            tuned.require_agreement(
                request.config, variant=request.variant, profile=request.profile
            )
        asked = load_profile(
            request.profile,
            overrides=request.overrides,
            variant=request.variant,
            variants=None if tuned is None else tuned.variants,
        )
        profile = within_budget(asked)
        for name in profile.variants:
            self._variant(name)
        models = model_hashes(profile)  # before the data, which can take minutes to read
        config = parse_settings(
            variant_config,
            profile.variants.get(request.variant, {}),
            what=f"setting of variant {request.variant}:",
        )
        require_adapter_options(config)
        models |= {
            role: resolve_source(name).fingerprint() for role, name in config.sources().items()
        }
        prepared = self._split(request, profile.data)
        # Refused here, not after the models load.
        weights_of(prepared.split, settings=profile.data)
        # How runs will be compared or settings searched is not part of what a run is.
        settings = profile.model_dump(
            mode="json", exclude={"variants", "comparison", "sweep", "hardware"}
        )
        # --data says where pairs lie; what they are is in the split's hash.
        settings["data"].pop("source")
        settings["data"].pop("group_cap")  # so is the cap of data without classes
        if profile.budget.kind is not BudgetKind.SAMPLES:
            settings["budget"]["schedule"] = schedule_of(asked)
        # Neither how often it can be resumed from, nor what changes roundings of pictures alone and
        # shrinks by itself where memory is short.
        settings["training"].pop("checkpoint_every")
        settings["training"].pop("preview_every")
        settings["sampling"].pop("batch_size")
        # Likewise embeddings: what made them is in `models`.
        settings["foundation"].pop("exported")
        identity = RunIdentity(
            variant=request.variant,
            seed=request.seed,
            profile=request.profile,
            settings=settings,
            variant_config=config.model_dump(mode="json"),
            split_hash=prepared.split.hash,
            code=self._code(registration),
            models=models,
            score=request.score,
        )
        tuning: Tuning | None = None
        notices: tuple[str, ...] = ()
        if tuned is not None and tuned.tuning is not None:
            tuning, notices = _tuning_of(tuned, tuned.tuning, identity, request.overrides)
        return PlannedRun(
            request=request,
            profile=profile,
            registration=registration,
            config=config,
            prepared=prepared,
            identity=identity,
            tuning=tuning,
            notices=notices,
            commits=model_commits(profile),
        )

    def _variant(self, name: str) -> Registration:
        if name not in self._variants:
            self._variants[name] = find_variant(name)
        return self._variants[name]

    def _split(self, request: RunRequest, settings: DataSettings) -> PreparedSplit:
        key = (request.data, request.results, settings.model_dump_json())
        if key not in self._splits:
            self._splits[key] = self._prepare(
                request.data,
                settings=settings,
                results=request.results,
                progress=self._display.phase,
            )
            capped = self._splits[key].cap_sentence(settings)
            if capped is not None:
                self._display.say(capped)
        return self._splits[key]

    def _code(self, registration: Registration) -> dict[str, str]:
        if registration.name not in self._codes:
            self._codes[registration.name] = code_hashes(registration.sources)
        return self._codes[registration.name]


def _tuning_of(
    config: RunConfig, tuning: Tuning, identity: RunIdentity, overrides: Sequence[str]
) -> tuple[Tuning, tuple[str, ...]]:
    """How the run's settings were found, and what keeps it from being what was tuned."""
    notices = []
    if config.is_edited:
        notices.append(
            f"the settings in its config were changed after they were tuned ({tuning.sweep}): the "
            "sweep's result does not apply to this run"
        )
    if identity.score is Score.TEST and tuning.seed == identity.seed:
        notices.append(
            f"seed {tuning.seed} is the one that its settings were chosen with ({tuning.sweep}): "
            "that seed's luck is part of why they were chosen, so this run overstates them"
        )
    if tuning.split_hash not in (None, identity.split_hash):
        notices.append(
            f"its settings were tuned ({tuning.sweep}) on split {str(tuning.split_hash)[:12]}, but "
            f"this run uses split {identity.split_hash[:12]}: clips used to choose them may be "
            "test clips here"
        )
    if tuning.shared_settings_hash not in (None, identity.settings_hash):
        notices.append(
            f"its settings were tuned ({tuning.sweep}) with other shared settings (steps, learning "
            "rates and so on) than this run's: the sweep's result may not apply to it"
        )
    own = ("variant.", f"variants.{identity.variant}.")
    changed = [item for item in overrides if item.strip().startswith(own)]
    if changed:
        notices.append(
            f"{', '.join(changed)} was set on top of tuned settings ({tuning.sweep}): the "
            "sweep's result does not apply to this run"
        )
    is_changed = bool(changed) or config.is_edited
    return tuning.model_copy(update={"is_changed": is_changed}), tuple(notices)
