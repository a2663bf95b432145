"""The parts of a run's record: frozen models, from whoever computes a value to the last reader.

Fields stand in the order in which a run writes them. One with a default may be absent on disk:
it came to the format later, or the run had nothing to say of it.
"""

from pydantic import BaseModel, ConfigDict

from core.choices import BudgetKind
from core.data.items import DataKind
from core.errors import DataError


class Part(BaseModel):
    """A part of a record: fixed once it is made, and without unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class ClassWeightTable(Part):
    """How the weights of the classes came about; see `core.data.splits.weights.ClassWeights`."""

    rule: str
    """How the table was made."""
    counts: dict[str, int]
    """Training samples of each class."""
    relative: dict[str, float]
    """Before normalisation: the largest class has 1, or what the user gave."""
    weights: dict[str, float]
    """What multiplies the loss; its mean over the training samples is 1."""


class SplitFacts(Part):
    """What a run's split was made of."""

    lock: str
    """Path of the lock file, from where the run was started."""
    hash: str
    """Hash of the split."""
    notices: list[str] = []
    """What was noted when it was made."""
    kind: DataKind = DataKind.CLASSES
    """Whether a clip has one class, any number of labels, or captions alone."""
    counts: dict[str, dict[str, int]]
    """Clips by class, or group of labels or captions, then by part."""
    class_weights: dict[str, float] = {}
    """Weight of each class in the training loss."""
    class_weighting: ClassWeightTable | None = None
    """How these came about; None: not recorded."""
    excluded: dict[str, int]
    """Items left out, by reason."""
    num_input: int | None
    """Items seen; None for a split that was given as a lock file."""


class StageFacts(Part):
    """One finished stage; made from a `core.training.results.StageResult`."""

    stage: str
    """Its name."""
    steps_planned: int
    """Optimiser steps it was given."""
    steps_done: int
    """Optimiser steps it took."""
    seconds: float
    """Wall-clock seconds."""
    device_seconds: float | None = None
    """Seconds of the device; None: not recorded."""
    samples_seen: int
    """Training samples, repeats included."""
    last_loss: float | None
    """Training loss of the last step; None where nothing was trained."""
    validation_loss: float | None
    """The last one that was measured; None where none was."""
    kept_step: int | None
    """Step whose weights were kept."""
    trainable_parameters: int
    """Parameters that the stage trained."""
    stopped_by: str
    """What ended it."""
    gates: dict[str, float]
    """Value of each gate at its end."""
    skipped_steps: int = 0
    """Steps that overflowed in float16 and were not applied."""
    is_recorded: bool = False
    """Whether its steps were replayed from a CUDA graph."""
    unmoved: int = 0
    """Parameters that had not moved at the end of a stage too short to judge them by that."""


class MetricValue(Part):
    """One number of one arm, with what is needed to compare it."""

    metric: str
    """Name in the registry."""
    arm: str
    """Arm it was measured in; `real` for the reference."""
    value: float | None
    """The number; None when it could not be had."""
    n: int
    """Clips (per-clip metrics) or generated images of one draw (distances) behind it."""
    higher_is_better: bool
    """Direction."""
    extractor: str | None
    """Names of the scorers."""
    extractor_hash: str | None
    """Hashes of the scorers' files."""
    split_hash: str | None = None
    """Hash of the split it was measured on: on the test part, or the part that the run's identity
    names."""
    standard_error: float | None = None
    """Over the clips of this run, never over training seeds; None where it is not known."""
    chance: float | None = None
    """Value of a model that does not listen, where there is one."""
    is_rankable: bool = True
    """Whether branches may be ranked by it; never where there is no value."""
    caution: str | None = None
    """A sentence to print beside the value."""
    reason: str | None = None
    """Why there is no value."""


class ListeningMargin(Part):
    """Advantage of the clip's own sound over a control, over clips of one run.

    Positive always means that the own sound is better, also where lower is better. The interval
    speaks of other clips under the same trained model, not of other training seeds.
    """

    metric: str
    """Name of the per-clip metric."""
    control: str
    """Arm that the own sound was compared with."""
    n: int
    """Clips that have the score in both arms."""
    mean: float | None
    """Mean advantage; None without clips."""
    sd: float | None = None
    """Standard deviation of the advantage over clips; None with fewer than 2."""
    z: float | None = None
    """Mean over its standard error; None where the standard error is 0 or unknown."""
    low: float | None = None
    """Lower end of the 95 % t interval; None where all clips agree, so that there is no spread."""
    high: float | None = None
    """Upper end of the 95 % t interval; None as above."""


class ScorerFacts(Part):
    """A scorer that read a run's images."""

    name: str
    """Its source."""
    fingerprint: str
    """Hash of its files."""


class ForeignMetric(Part):
    """A metric of another package as it was when a run computed it: enough to read its numbers
    where the package is not installed."""

    module: str
    """Module that declares it."""
    distribution: str
    """Package and version; empty where unknown."""
    code_hash: str
    """Hash of its sources."""
    level: str
    """`clip` or `set`: what one value belongs to."""
    role: str
    """What it is for."""
    extractor: str
    """Which scorers it needs."""
    higher_is_better: bool
    """Direction."""
    unit: str
    """What one unit is."""
    definition: str
    """One line for a reader of the report."""
    reading: str
    """A sentence on how to read a value."""
    part_definition: str = ""
    """The definition of a part, with `{part}` for its name."""


class ClassValue(Part):
    """A per-clip metric over the clips of one class."""

    n: int
    """Clips that have the score."""
    mean: float | None
    """Mean over clips; None without any."""
    sd: float | None
    """Standard deviation over clips; None with fewer than 2."""


class CurvePoint(Part):
    """A distance at one number of images."""

    metric: str
    """Name in the registry."""
    arm: str
    """Arm; `real` is the real-vs-real floor at the same n."""
    n: int
    """Images on each side; the last point of an arm takes everything and is the reported value."""
    mean: float | None
    """Mean over the subsets; None where the distance is undefined."""
    sd: float | None
    """Standard deviation over the subsets; None at the last point."""
    repeats: int
    """Subsets that were drawn."""


class NearestOfArm(Part):
    """How close an arm's images come to training pictures."""

    n: int
    """Images."""
    mean: float | None
    """Mean cosine of an image and its nearest training picture; None where it is undefined."""
    max: float | None
    """Largest of them."""
    share_above_real_p95: float | None
    """Share of images that are closer to a training picture than 95 % of the real test pictures
    are; about 0.05 without memorisation. None without real pictures."""


class NearestSummary(Part):
    """Nearest training picture of every image of a run, summed up by arm."""

    extractor: str
    """Name of the scorer."""
    extractor_hash: str
    """Hash of its files."""
    num_training: int
    """Training pictures that were searched."""
    arms: dict[str, NearestOfArm]
    """By arm; `real` are the real test pictures."""


class TrainingBudget(BaseModel):
    """What a run's settings say of its budget; settings of other versions may say more."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    kind: BudgetKind = BudgetKind.SAMPLES
    """What is counted."""
    amount: float | None = None
    """Seconds or FLOPs; None: by samples."""
    step_cost: dict[str, float] = {}
    """By stage, what one optimiser step costs the branch; empty: by samples."""
    schedule: dict[str, int] = {}
    """By stage, the steps that were scaled to the amount; empty: by samples."""


class FoundationSources(BaseModel):
    """Where a run's frozen models came from."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    stable_diffusion: str | None = None
    """What generated."""
    clap: str | None = None
    """What encoded the sounds."""


class SoundSettings(BaseModel):
    """How a run cut its sounds."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    window_s: float
    """Seconds of a sound that were used."""


class SharedSettings(BaseModel):
    """What readers of a record ask of its settings; those of other versions may say more or less.

    The settings whole are a table, since they are what an id is the hash of.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    foundation: FoundationSources = FoundationSources()
    """Where the frozen models came from."""
    scorers: dict[str, str | None] = {}
    """By role, where a scorer came from; None: the run had none."""
    data: SoundSettings | None = None
    """How sounds were cut; None in a record that does not say."""
    budget: TrainingBudget = TrainingBudget()
    """What training might spend."""

    @property
    def window_s(self) -> float:
        """Seconds of a sound that were used.

        Raises:
            DataError: the record does not say.
        """
        if self.data is None:
            raise DataError("the record does not say data.window_s, so its sounds cannot be read")
        return self.data.window_s

    def source_of(self, role: str) -> str | None:
        """Where the model of a role came from, as the profile named it; None for another role."""
        known = {**self.foundation.model_dump(), **self.scorers}
        return known.get(role)


class Evaluation(Part):
    """What was measured besides the scores of the arms; empty for a run that was not scored."""

    extractors: dict[str, ScorerFacts] = {}
    """The scorers, by role."""
    foreign_metrics: dict[str, ForeignMetric] = {}
    """The metrics of other packages that were computed, by name."""
    per_class: dict[str, dict[str, dict[str, ClassValue]]] = {}
    """Arm, metric, class: a per-clip score by class."""
    distance_curves: list[CurvePoint] = []
    """Distances against the number of images."""
    nearest_training: NearestSummary | None = None
    """How near the images come to training pictures; None where none were given."""
