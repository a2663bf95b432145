"""Every setting of a run, with its default, in one place.

A profile is a TOML file under `harness/settings/profiles/` that holds only what differs from here;
`--set stage2.lr=3e-5` goes on top. Models are frozen and refuse unknown keys, so a key that
nothing reads cannot pass unnoticed.
"""

from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    field_validator,
    model_validator,
)

from core.choices import (
    DEFAULT_BETA,
    EXPORTABLE,
    AudioFeature,
    BudgetKind,
    ClassWeighting,
    LossWeighting,
    Precision,
    Sampler,
    SsfScope,
    StopCriterion,
)
from core.conditioning.optional import NONE_BY_NAME
from core.features.log_mel_settings import LogMelSettings

OptionalText = Annotated[str | None, NONE_BY_NAME]
MIN_WINDOW_S, MAX_WINDOW_S = 0.5, 600.0
"""Of a window of sound; a shorter clip is not read, and a longer window is no clip."""


class _Settings(BaseModel):
    # No infinities: they would pass every lower bound, and have no place in a record.
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class FoundationSettings(_Settings):
    """Which frozen models."""

    stable_diffusion: str = "embedded:stable_diffusion"
    """Source of the SD pipeline folder: `embedded:NAME`, a folder, or a hub id[@revision]."""
    clap: str = "embedded:clap"
    """Source of the `ClapModel` that hears for every variant."""
    dtype: Precision = Precision.FLOAT32
    """Data type of the frozen weights; adapters are trained in float32 whatever it is."""
    exported: dict[AudioFeature, str] = {}
    """Folders of audio embeddings made by `harness features`, by feature; they stand in for CLAP's
    pooled embedding (clap_pooled) or add Microsoft's (msclap_pooled)."""

    separator: OptionalText = None
    """Name of an installed separator: CLAP then encodes a clip's separated sources beside it."""

    @model_validator(mode="after")
    def _separated_sounds_are_encoded_here(self) -> Self:
        if self.separator is not None and AudioFeature.CLAP_POOLED in self.exported:
            raise ValueError(
                "separator and exported.clap_pooled cannot be combined: exported embeddings are of "
                "whole clips, not of their separated sources; unset one of them"
            )
        return self

    @field_validator("exported")
    @classmethod
    def _pooled_features_alone(cls, value: dict[AudioFeature, str]) -> dict[AudioFeature, str]:
        others = sorted(set(value) - EXPORTABLE)
        if others:
            raise ValueError(
                f"{others[0].value} cannot be exported; only {', '.join(sorted(EXPORTABLE))} can"
            )
        return value


class ScorerSettings(_Settings):
    """Which models score; none of them may condition."""

    clip: str = "embedded:clip"
    """Source of the CLIP model behind clip_score, aic, iis_win, kid and cmmd."""
    image_judge: OptionalText = "embedded:image_judge"
    """Image half of the audio-image judge; without the pair the listening scores stay blank."""
    audio_judge: OptionalText = "embedded:audio_judge"
    """Sound half of the audio-image judge."""
    source_judge: OptionalText = "embedded:source_judge"
    """Source of the judge that finds several sources in one picture, for clips with labels; None
    leaves `source_recall` and its kin blank."""
    inception: OptionalText = None
    """Folder with the released Inception-v3 weights of FID; without it `fid` stays blank."""
    dinov2: OptionalText = None
    """Source of a DINOv2 model; without it `fd_dinov2` stays blank."""
    lpips: OptionalText = None
    """Folder with the released AlexNet weights and heads of LPIPS; without it `lpips_diversity`
    stays blank."""
    wav2clip: OptionalText = None
    """Folder with the weights of Wav2CLIP, which hears for real pairs beside CLIP ViT-B/32."""
    pe_av: OptionalText = None
    """Source of a PE-AV model, which hears and sees for real pairs in place of Wav2CLIP."""
    sound: OptionalText = None
    """Folder with the weights of the sound-effects encoder `aisfx`; with `picture` for
    `pair_win`, which tells kinds of sounds and not recordings of one kind."""
    picture: OptionalText = None
    """Folder with the weights of EfficientNet-Lite0; without it `kid_picture` stays blank."""

    @property
    def hears(self) -> bool:
        """Whether one of them is a scorer of sound."""
        return any(s is not None for s in (self.audio_judge, self.wav2clip, self.pe_av))

    @model_validator(mode="after")
    def _judges_come_in_pairs(self) -> Self:
        if (self.image_judge is None) != (self.audio_judge is None):
            raise ValueError("image_judge and audio_judge go together: give both or neither")
        if sum(s is not None for s in (self.audio_judge, self.wav2clip, self.pe_av)) > 1:
            raise ValueError(
                "only one scorer of sound is allowed: set either wav2clip, pe_av or the pair of "
                "judges"
            )
        return self


class DataSettings(_Settings):
    """Which pairs, and how they are split and read."""

    source: OptionalText = "embedded:corpus"
    """Where pairs come from without --data: a folder, a lock file, `embedded:corpus` (one source a
    clip) or `embedded:mixtures` (one to three); None means --data must be given."""
    corpus_seed: int = 0
    """Seed of the embedded corpora."""
    cap: int = Field(default=100, ge=3)
    """Most pairs of one class that enter the split."""
    group_cap: int | None = Field(default=None, ge=3)
    """The same of one label, or of one group of captions, for data without classes; None, the
    default, takes all."""
    split_seed: int = 0
    """Seed of the split."""
    max_excluded_share: float = Field(default=0.5, ge=0, le=1)
    """Largest share of unusable files before the run stops."""
    window_s: float = Field(default=10.0, ge=MIN_WINDOW_S, le=MAX_WINDOW_S)
    """Seconds of each clip that are heard at once; validation and test hear its start. From the
    shortest clip that is read to ten minutes; CLAP accepts less."""
    audio_crops: int = Field(default=1, ge=1)
    """Windows of a longer training clip, spread over it, of which each step draws one; 1 is its
    start alone, more let it be heard whole at the cost of as many rows in the cache."""
    horizontal_flip: bool = False
    """Train on mirrored images too; wrong where left and right carry meaning."""
    class_weights: ClassWeighting = ClassWeighting.SQRT
    """Loss weight of a class from its training count; the mean over samples stays 1."""
    class_weight_beta: float = Field(default=DEFAULT_BETA, ge=0, lt=1)
    """Of `effective` alone; nearer 1 weights rare classes more."""
    explicit_weights: dict[str, float] = {}
    """Of `explicit` alone: a weight for every class, relative to each other."""
    log_mel: LogMelSettings = LogMelSettings()
    """Spectrogram for variants that bring their own audio encoder."""

    @model_validator(mode="after")
    def _weights_fit_their_rule(self) -> Self:
        if bool(self.explicit_weights) != (self.class_weights is ClassWeighting.EXPLICIT):
            raise ValueError(
                "explicit_weights go with class_weights = 'explicit': give both or neither"
            )
        return self


class StageSettings(_Settings):
    """One stage of the schedule."""

    steps: int = Field(ge=0)
    """Optimiser steps."""
    lr: float = Field(gt=0)
    """Peak learning rate of the modules."""
    gate_lr: float = Field(gt=0)
    """Peak learning rate of the gates; they need about ten times the modules' to open."""
    weight_decay: float = Field(default=0.01, ge=0)
    """AdamW's weight decay; gates never decay."""
    warmup_steps: int = Field(default=0, ge=0)
    """Steps of linear warm-up before the cosine."""
    stop: StopCriterion = StopCriterion.STEPS
    """What ends the stage and which weights it keeps."""


class TrainingSettings(_Settings):
    """The staged loop."""

    micro_batch: int = Field(default=4, ge=1, le=65_536)
    """Samples in one forward pass."""
    accumulation: int = Field(default=2, ge=1, le=65_536)
    """Forward passes for one optimiser step."""
    grad_clip: float = Field(default=0.5, gt=0)
    """Largest norm of the gradient."""
    precision: Precision = Precision.FLOAT32
    """Arithmetic of the forward pass; master weights are float32."""
    adam_eps: float = Field(default=1e-15, gt=0)
    """AdamW's eps; parameters whose gradients lie far below it hardly move, and a Mamba encoder's
    lie below torch's 1e-8. Squares of gradients below 3e-18 are lost in float32 anyway."""
    text_dropout: float = Field(default=0.1, ge=0, lt=1)
    """Share of training samples that see the empty prompt, for guidance."""
    audio_dropout: float = Field(default=0.1, ge=0, lt=1)
    """Share of training samples that hear nothing, for guidance."""
    loss_weighting: LossWeighting = LossWeighting.UNIFORM
    """How much each noise level counts; `high_noise` learns what a sound asks for sooner."""
    checkpoint_every: int = Field(default=500, ge=1)
    """Optimiser steps between checkpoints; there is one at each stage end too."""
    validate_every: int = Field(default=250, ge=1)
    """Optimiser steps between validation passes."""
    validation_draws: int = Field(default=4, ge=1)
    """Fixed (timestep, noise) pairs for each validation clip."""
    deterministic: bool = True
    """On a GPU, kernels that add in a fixed order: the same command and a resumed run give the same
    bits on one kind of card. Off is faster, and pairing by seed is then approximate."""
    preview_every: int = Field(default=0, ge=0)
    """Optimiser steps between images of a few validation clips; 0: none. Changes no number."""
    num_threads: int = Field(default=1, ge=1, le=1024)
    """CPU threads of a run; another number gives other roundings, so it is a setting."""


class LoraSettings(_Settings):
    """LoRA on the UNet's attention, for variants that adapt by it."""

    rank: int = Field(default=8, ge=1)
    """Rank of the update."""
    alpha: float = Field(default=32, gt=0)
    """Scale numerator: the update is multiplied by alpha / rank."""
    dropout: float = Field(default=0.1, ge=0, lt=1)
    """Dropout on the update's input."""


class SsfSettings(_Settings):
    """SSF on the UNet, for variants that adapt by it."""

    scope: SsfScope = SsfScope.CROSS_ATTENTION
    """Operations it follows: attn2, attn1+attn2 or all; at SD v1.5 99,840, 199,680 and 837,128
    parameters."""


class SamplingSettings(_Settings):
    """How test images are made; equal for every branch that is compared."""

    sampler: Sampler = Sampler.DPM_SOLVER_PP
    """ODE solver; all are deterministic given the first noise."""
    steps: int = Field(default=20, ge=1, le=1000)
    """Solver steps; the noise schedule has 1,000, and the steps are some of these."""
    text_guidance: float = Field(default=5.0, ge=1)
    """Weight of the caption against the empty prompt; 1 is none."""
    audio_guidance: float = Field(default=2.0, ge=1)
    """Weight of the sound against the caption alone; 1 is none."""
    images_per_clip: int = Field(default=1, ge=1)
    """Images for each test clip, each from its own noise."""
    batch_size: int = Field(default=16, ge=1)
    """Images made at once; changes roundings only, and halves by itself where memory is short."""


class BudgetSettings(_Settings):
    """What a run may spend on training; `harness compare --budget` fills it in."""

    kind: BudgetKind = BudgetKind.SAMPLES
    """What is counted."""
    amount: float | None = Field(default=None, gt=0)
    """Seconds or FLOPs; the stages' steps are then scaled by one factor. None: by samples."""
    step_cost: dict[str, Annotated[float, Field(ge=0)]] = {}
    """By stage, what one optimiser step costs this branch: measured, or counted."""

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        is_scaled = self.kind is not BudgetKind.SAMPLES
        if is_scaled != (self.amount is not None) or is_scaled != bool(self.step_cost):
            raise ValueError(
                "amount and step_cost belong to a budget of gpu_seconds or flops, and to no other"
            )
        return self


class ComparisonSettings(_Settings):
    """What a comparison decides by, set before its runs; it changes no run and no run id."""

    metric: str = "kid"
    """The one metric the verdict rests on."""
    metric_without_hearing: str | None = None
    """What decides instead where no scorer hears; None: `metric` all the same."""
    margins: dict[str, Annotated[float, Field(gt=0)]] = {}
    """By metric: a difference within this, in the metric's own unit, is too small to matter, and
    branches shown to lie within it tie. Without one no tie can be claimed on the metric."""


class SweepSettings(_Settings):
    """How settings are searched; it changes no run and no run id."""

    sampler: Literal["tpe", "random"] = "tpe"
    """What proposes settings: the tree-structured Parzen estimator, multivariate, or chance."""
    startup_trials: int = Field(default=10, ge=1)
    """Trials drawn by chance before the sampler proposes, and made before any is pruned."""
    pruner: Literal["median", "none"] = "median"
    """Whether a trial ends early whose best validation loss so far is above the median of what
    the complete ones had at the same step."""
    max_retries: int = Field(default=3, ge=0)
    """How often a trial whose worker died is tried again before it counts as failed."""
    heartbeat_s: float = Field(default=30.0, gt=0)
    """On a database, seconds between a worker's signs of life; silent for a few of them it is
    dead. A journal's workers are known to be dead at once."""
    patience_s: float = Field(default=600.0, ge=0)
    """Seconds that a worker waits for a database that is away before it gives up."""


class HardwareSettings(_Settings):
    """What a run is made for and on; it changes no number and no run id."""

    needs_gpu: bool = False
    """Whether a machine without a GPU is refused unless `--device cpu` asks for it: at full size
    a CPU would be at it for weeks."""
    price_per_hour: float | None = Field(default=None, ge=0)
    """Dollars per hour of the machine, for what runs cost; None: nobody named a price."""
    max_hours: float | None = Field(default=None, gt=0)
    """Hours of all processes on a run after which it stops, to be continued; None: no limit."""
    max_cost: float | None = Field(default=None, gt=0)
    """Likewise in dollars; requires the price."""


class Profile(_Settings):
    """All settings but the variant's name and the seed."""

    foundation: FoundationSettings = FoundationSettings()
    scorers: ScorerSettings = ScorerSettings()
    data: DataSettings = DataSettings()
    stage1: StageSettings = StageSettings(steps=3000, lr=1e-4, gate_lr=1e-3, warmup_steps=100)
    stage2: StageSettings = StageSettings(steps=7000, lr=5e-5, gate_lr=5e-4, warmup_steps=200)
    stage3: StageSettings = StageSettings(
        steps=2000, lr=0.1, gate_lr=0.1, weight_decay=0.0, stop=StopCriterion.VALIDATION_LOSS
    )
    training: TrainingSettings = TrainingSettings()
    lora: LoraSettings = LoraSettings()
    ssf: SsfSettings = SsfSettings()
    sampling: SamplingSettings = SamplingSettings()
    budget: BudgetSettings = BudgetSettings()
    comparison: ComparisonSettings = ComparisonSettings()
    sweep: SweepSettings = SweepSettings()
    hardware: HardwareSettings = HardwareSettings()
    variants: dict[str, dict[str, Any]] = {}
    """Differences from each variant's own defaults, by variant name."""

    @property
    def deciding(self) -> ComparisonSettings:
        """What comparisons decide by with these scorers."""
        instead = self.comparison.metric_without_hearing
        if self.scorers.hears or instead is None:
            return self.comparison
        return self.comparison.model_copy(update={"metric": instead})
