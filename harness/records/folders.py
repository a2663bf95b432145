"""What lies where below a results folder: every name of a file or folder, written once.

    results/
      runs/RUN_ID/               a run that is scored on the test clips
      validation/RUN_ID/         one that is not: `--score loss` or `validation`, a sweep's trial
        identity.json              what it is, written when it starts
        events.jsonl               a line for each optimiser step
        checkpoints/step-N/        the newest ones, verified; of no use after the run
        weights.safetensors        the trained branch
        previews/STEP/CLIP.png     what it made of a few validation clips while it trained
        images/ARM/CLIP-DRAW.png   what it generated
        per_clip.csv               every score of every image
        distance_contributions.csv what each clip adds to each kernel distance
        nearest_training.csv       the training picture nearest to each image
        record.json                everything about it, written when it ends; a failed one too
        test_openings.jsonl        a line for each time that it read the test clips
        sessions.jsonl             a line when a process begins on it, and one when it ends
        progress.json              how far it is, written anew every few seconds while it goes on
        control.json               what another terminal asks of the process on it
        failures.jsonl             a line for each failure
        traceback.txt              where in the code the last unexpected failure came from
        run.log                    what its process said, where another one started it
        run.lock, holder.json      held while a process works on it, and which process that is
      reports/NAME/              a comparison, or a report of runs that were not compared
        comparison.json            every number of the comparison
        question.json              what was asked of the runs, when first, and every look at it
        matrix.json                the runs that it makes, written when it starts
        sessions.jsonl             as of a run; control.json likewise
        contact_sheet.png          the same clips as each branch generates them
        votes/PLAN.json            what listeners were asked, and what is behind each image
        votes/PLAN/SHA256.json     their answers, a listener each
        votes.json                 the answers, scored
        index.html                 its report; a sweep has one too
      sweeps/NAME/               a sweep
        sweep.json                 every trial
        journal.log                the study, unless --storage puts it elsewhere
        sweep.lock                 held while a process writes the two
        sessions.jsonl             as of a run
        BRANCH.toml                a branch's best settings
      data/NAME/                 a folder of pairs as it was read
        split.json                 its split, locked; the other files belong to `core.data`
        split-seed1.json           the same by another seed of the split
      cache/                     made again when needed
        features/                  of the frozen encoders
        scorer_features/           of the scorers, for real pictures and sounds
        embeddings/ENCODER/        exported ones
        counted/                   FLOPs of branches that the shipped table lacks
      certificates/TASK-KEY.json what a scorer was found to tell on a split
      calibrations/              measured seconds of a step, and of what stands around it
      environments/              of encoders that cannot share ours
      orders/KEY/                inputs of a run on another machine, while it goes on
      mirror/                    copies for a tracker, in its own format

What else a report adds to a folder is named where it is written (`harness.report`).
"""

from dataclasses import dataclass
from pathlib import Path

RUNS = "runs"
VALIDATION = "validation"
REPORTS = "reports"
SWEEPS = "sweeps"

RECORD = "record.json"
EVENTS = "events.jsonl"
CHECKPOINTS = "checkpoints"
PREVIEWS = "previews"
PER_CLIP = "per_clip.csv"
CONTRIBUTIONS = "distance_contributions.csv"
NEAREST = "nearest_training.csv"
IDENTITY = "identity.json"
OPENINGS = "test_openings.jsonl"
SESSIONS = "sessions.jsonl"
PROGRESS = "progress.json"
CONTROL = "control.json"
FAILURES = "failures.jsonl"
RUN_LOG = "run.log"
RUN_LOCK = "run.lock"
HOLDER = "holder.json"
COMPARISON = "comparison.json"
QUESTION = "question.json"
MATRIX = "matrix.json"
SWEEP = "sweep.json"
JOURNAL = "journal.log"
SPLIT = "split.json"
PAGE = "index.html"


def split_of_seed(seed: int) -> str:
    """Name of the lock of a split drawn by this seed, so that several lie side by side."""
    return SPLIT if seed == 0 else f"{Path(SPLIT).stem}-seed{seed}{Path(SPLIT).suffix}"


@dataclass(frozen=True)
class WorkFolder:
    """A folder that processes work on, one after the other."""

    path: Path
    """Where it lies."""

    @property
    def sessions(self) -> Path:
        """When processes began on it, and how they ended."""
        return self.path / SESSIONS


class RunFolder(WorkFolder):
    """The folder of one run."""

    @property
    def record(self) -> Path:
        """Everything about the run."""
        return self.path / RECORD

    @property
    def identity(self) -> Path:
        """What the run is, from its start on."""
        return self.path / IDENTITY

    @property
    def events(self) -> Path:
        """A line for each optimiser step."""
        return self.path / EVENTS

    @property
    def checkpoints(self) -> Path:
        """Folder of its checkpoints."""
        return self.path / CHECKPOINTS

    @property
    def weights(self) -> Path:
        """The trained branch."""
        return self.path / "weights.safetensors"

    @property
    def images(self) -> Path:
        """Folder of what it generated, by arm."""
        return self.path / "images"

    @property
    def previews(self) -> Path:
        """Folder of what it generated while it trained, by step."""
        return self.path / PREVIEWS

    @property
    def per_clip(self) -> Path:
        """Every score of every image."""
        return self.path / PER_CLIP

    @property
    def contributions(self) -> Path:
        """What each clip adds to each kernel distance."""
        return self.path / CONTRIBUTIONS

    @property
    def nearest(self) -> Path:
        """The training picture nearest to each image."""
        return self.path / NEAREST

    @property
    def openings(self) -> Path:
        """A line for each time that it read the test clips."""
        return self.path / OPENINGS

    @property
    def progress(self) -> Path:
        """How far the process on it is."""
        return self.path / PROGRESS

    @property
    def failures(self) -> Path:
        """A line for each failure."""
        return self.path / FAILURES

    @property
    def traceback(self) -> Path:
        """Where in the code the last unexpected failure came from."""
        return self.path / "traceback.txt"

    @property
    def log(self) -> Path:
        """What its process said."""
        return self.path / RUN_LOG

    @property
    def lock(self) -> Path:
        """Held while a process works on it."""
        return self.path / RUN_LOCK

    @property
    def holder(self) -> Path:
        """Which process that is."""
        return self.path / HOLDER


class ReportFolder(WorkFolder):
    """The folder of a comparison."""

    @property
    def comparison(self) -> Path:
        """Every number of the comparison."""
        return self.path / COMPARISON

    @property
    def question(self) -> Path:
        """What was asked of the runs, and when for the first time."""
        return self.path / QUESTION

    @property
    def matrix(self) -> Path:
        """The runs that it makes."""
        return self.path / MATRIX

    @property
    def page(self) -> Path:
        """Its report."""
        return self.path / PAGE

    @property
    def contact_sheet(self) -> Path:
        """The same clips as each branch generates them."""
        return self.path / "contact_sheet.png"

    @property
    def votes(self) -> Path:
        """Listeners' answers, scored."""
        return self.path / "votes.json"

    def vote_plan(self, plan_id: str) -> Path:
        """What listeners were asked, and what is behind each image."""
        return self.path / "votes" / f"{plan_id}.json"

    def vote_answers(self, plan_id: str, *, sha256: str) -> Path:
        """A listener's answers to it as they gave them."""
        return self.path / "votes" / plan_id / f"{sha256}.json"


class SweepFolder(WorkFolder):
    """The folder of a sweep."""

    @property
    def record(self) -> Path:
        """Every trial."""
        return self.path / SWEEP

    @property
    def journal(self) -> Path:
        """The study."""
        return self.path / JOURNAL

    @property
    def lock(self) -> Path:
        """Held while a process writes the two."""
        return self.path / "sweep.lock"

    @property
    def page(self) -> Path:
        """Its report."""
        return self.path / PAGE

    def config(self, branch: str) -> Path:
        """A branch's best settings."""
        return self.path / f"{branch}.toml"


@dataclass(frozen=True)
class ResultsFolder:
    """A results folder (`--results`)."""

    path: Path
    """Where it lies."""

    @property
    def runs(self) -> Path:
        """Folder of the runs that are scored on the test clips."""
        return self.path / RUNS

    @property
    def validation(self) -> Path:
        """Folder of the runs that are not."""
        return self.path / VALIDATION

    @property
    def reports(self) -> Path:
        """Folder of the comparisons."""
        return self.path / REPORTS

    @property
    def sweeps(self) -> Path:
        """Folder of the sweeps."""
        return self.path / SWEEPS

    @property
    def data(self) -> Path:
        """Folder of the data that was read."""
        return self.path / "data"

    @property
    def features(self) -> Path:
        """Cached features of the frozen encoders."""
        return self.path / "cache" / "features"

    @property
    def scorer_features(self) -> Path:
        """Cached features of real pictures and sounds, as the scorers see them."""
        return self.path / "cache" / "scorer_features"

    @property
    def embeddings(self) -> Path:
        """Exported embeddings, a folder for each encoder."""
        return self.path / "cache" / "embeddings"

    @property
    def counted(self) -> Path:
        """FLOPs of branches that the shipped table lacks."""
        return self.path / "cache" / "counted"

    @property
    def certificates(self) -> Path:
        """What scorers were found to tell on splits."""
        return self.path / "certificates"

    @property
    def calibrations(self) -> Path:
        """Measured seconds of a step."""
        return self.path / "calibrations"

    @property
    def environments(self) -> Path:
        """Environments of encoders that cannot share ours."""
        return self.path / "environments"

    @property
    def orders(self) -> Path:
        """Inputs of runs on this machine that another one ordered."""
        return self.path / "orders"

    @property
    def mirror(self) -> Path:
        """Copies of runs for trackers, in their own formats."""
        return self.path / "mirror"

    def run(self, run_id: str) -> RunFolder:
        """A run that is scored on the test clips."""
        return RunFolder(self.runs / run_id)

    def trial(self, run_id: str) -> RunFolder:
        """A run that is not."""
        return RunFolder(self.validation / run_id)

    def report(self, name: str) -> ReportFolder:
        """A comparison."""
        return ReportFolder(self.reports / name)

    def sweep(self, name: str) -> SweepFolder:
        """A sweep."""
        return SweepFolder(self.sweeps / name)

    @property
    def run_records(self) -> list[Path]:
        """The records of the runs that are scored on the test clips, by id."""
        return sorted(self.runs.glob(f"*/{RECORD}"))

    @property
    def trial_records(self) -> list[Path]:
        """The records of the runs that are not, by id."""
        return sorted(self.validation.glob(f"*/{RECORD}"))

    @property
    def run_folders(self) -> list[Path]:
        """The runs that are scored on the test clips, those without a record too, by id."""
        return folders_with(self.runs, IDENTITY, RECORD)

    @property
    def trial_folders(self) -> list[Path]:
        """The runs that are not, those without a record too, by id."""
        return folders_with(self.validation, IDENTITY, RECORD)

    @property
    def comparison_folders(self) -> list[Path]:
        """The comparisons, those that are not concluded too, by name."""
        return folders_with(self.reports, MATRIX, COMPARISON)

    @property
    def comparisons(self) -> list[Path]:
        """The records of the comparisons, by name."""
        return sorted(self.reports.glob(f"*/{COMPARISON}"))

    @property
    def sweep_records(self) -> list[Path]:
        """The records of the sweeps, by name."""
        return sorted(self.sweeps.glob(f"*/{SWEEP}"))


def folders_with(parent: Path, *names: str) -> list[Path]:
    """The folders below `parent` with a file of one of the names."""
    return sorted({path.parent for name in names for path in parent.glob(f"*/{name}")})
