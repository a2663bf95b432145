"""Everything a report shows, read from disk once: records, event logs, tables and media."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import pandas as pd

from core.data.splits.split import Split
from core.errors import DataError, HarnessError
from harness.comparison.certified import certificates_of, refusals
from harness.comparison.pair_result import PairResult
from harness.comparison.record import ComparisonRecord, MetricRow
from harness.comparison.runs import LoadedRun
from harness.metrics.arms import Arm
from harness.metrics.metric import Level, Metric
from harness.metrics.registry import known_metrics, metric
from harness.records.certificate import Certificate
from harness.records.folders import RunFolder
from harness.records.names import split_of
from harness.records.parts import ForeignMetric
from harness.records.record import RunRecord, Status
from harness.records.score_kind import Score
from harness.votes.record import VotesRecord, VotesVerdict
from harness.votes.summary import deciding_votes, votes_on


@dataclass(frozen=True)
class ReportRun:
    """One run: its record, and what lies in its folder."""

    loaded: LoadedRun

    @property
    def record(self) -> RunRecord:
        """Everything about the run."""
        return self.loaded.record

    @property
    def folder(self) -> Path:
        """Where it lies."""
        return self.loaded.folder

    @property
    def branch(self) -> str:
        """Its variant."""
        return self.record.identity.variant

    @property
    def seed(self) -> int:
        """Its seed."""
        return self.record.identity.seed

    @property
    def run_id(self) -> str:
        """Its identity."""
        return self.record.run_id

    @property
    def anchor(self) -> str:
        """Link to the run's entry on the page."""
        return f"#run-{self.run_id}"

    @cached_property
    def per_clip(self) -> pd.DataFrame | None:
        """The run's per-clip table; None where there is none (`per_clip_reason` says why)."""
        try:
            return self.loaded.per_clip
        except DataError:
            return None

    @cached_property
    def per_clip_reason(self) -> str:
        """Why `per_clip` is missing, or blank."""
        try:
            _ = self.loaded.per_clip
        except DataError as error:
            return str(error)
        return ""

    @cached_property
    def clip_scores(self) -> pd.DataFrame:
        """Columns arm, metric, class_name, sample_id, value: each clip's mean over its draws."""
        columns = ["arm", "metric", "class_name", "sample_id"]
        if self.per_clip is None:
            return pd.DataFrame(columns=[*columns, "value"])
        return self.per_clip.groupby(columns, sort=False, as_index=False)["value"].mean()

    @property
    def headline_arm(self) -> str:
        """The arm that the run's own numbers come from: its caption's where it hears nothing."""
        arms = [score.arm for score in self.record.metrics.values()]
        return arms[0] if arms else str(Arm.AUDIO)

    def scores(self, name: str, *, arm: str) -> pd.Series:
        """Value of each clip, by sample id."""
        return self._scores.get((name, arm), pd.Series(dtype="float64"))

    @cached_property
    def _scores(self) -> dict[tuple[str, str], pd.Series]:
        """By metric and arm; split once, since every card asks for single clips."""
        return {
            (str(name), str(arm)): part.set_index("sample_id")["value"]
            for (name, arm), part in self.clip_scores.groupby(["metric", "arm"], sort=False)
        }

    @cached_property
    def events(self) -> pd.DataFrame:
        """Columns step, loss, validation, gate_low, gate_mean, gate_high; empty without a log."""
        rows = []
        try:
            lines = RunFolder(self.folder).events.read_bytes().split(b"\n")
        except OSError:
            lines = []
        for line in lines:
            row = _event(line)
            if row is not None:
                rows.append(row)
        names = ["step", "loss", "validation", "gate_low", "gate_mean", "gate_high"]
        return pd.DataFrame(rows, columns=names, dtype="float64")

    @cached_property
    def nearest(self) -> pd.DataFrame | None:
        """Nearest training picture of each image, or None."""
        try:
            return pd.read_csv(
                RunFolder(self.folder).nearest,
                dtype={"sample_id": str, "class_name": str, "arm": str, "nearest_id": str},
                keep_default_na=False,
                na_values={"similarity": [""]},
            )
        except (OSError, ValueError):
            return None

    def value(self, name: str, *, arm: str | None = None) -> float | None:
        """A score of the whole run; of the matching sound without `arm`."""
        return self.record.value(name, arm=arm)

    @property
    def seconds(self) -> dict[str, float]:
        """Seconds by phase, of training over all processes."""
        return self.record.seconds

    @property
    def total_seconds(self) -> float | None:
        """All of them; None where none were recorded."""
        return sum(self.seconds.values()) if self.seconds else None

    @property
    def trainable(self) -> int | None:
        """Trainable parameters."""
        return sum(self.record.parameters.values()) if self.record.parameters else None


def _event(line: bytes) -> tuple[float | None, ...] | None:
    """What a line of the log says; None for a damaged one, or half of one that a kill left."""
    try:
        event = json.loads(line)
        gates = [float(value) for value in event["gates"].values()]
        # The diffusion loss alone compares: some branches add terms of their own.
        loss = float(event["losses"].get("diffusion", event["loss"]))
        validation = event["validation_loss"]
        gate = (min(gates), sum(gates) / len(gates), max(gates)) if gates else (None,) * 3
        step = float(event["global_step"])
        return (step, loss, None if validation is None else float(validation), *gate)
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError):
        return None


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What one report is about."""

    name: str
    """Name of its folder."""
    folder: Path
    """Where it is written."""
    runs: tuple[ReportRun, ...]
    """Finished and failed runs, by seed and branch."""
    comparison: ComparisonRecord | None = None
    """What is said of the runs together; None for a report of runs that were not compared."""
    absent: dict[str, str] = field(default_factory=dict)
    """Runs of the comparison that are no longer on disk, with the reason."""
    rows: Sequence[MetricRow] = ()
    """The table of all metrics."""
    source: Path | None = None
    """The folder that holds the comparison; None: where the report is written."""

    @property
    def finished(self) -> tuple[ReportRun, ...]:
        """Runs with scores."""
        return tuple(run for run in self.runs if run.record.status is Status.FINISHED)

    @property
    def failed(self) -> tuple[ReportRun, ...]:
        """Runs that ended without."""
        return tuple(run for run in self.runs if run.record.status is Status.FAILED)

    @property
    def score(self) -> Score:
        """What the runs computed; runs of several kinds are never in one report."""
        return self.runs[0].record.identity.score if self.runs else Score.TEST

    @property
    def clip_word(self) -> str:
        """What the scored clips are called: those of a sweep's trial are not the test clips."""
        return "test clip" if self.score is Score.TEST else "validation clip"

    @cached_property
    def votes(self) -> VotesRecord | None:
        """Listeners' votes, scored; None where nobody has voted."""
        return votes_on(self.source or self.folder)

    @cached_property
    def votes_verdict(self) -> VotesVerdict | None:
        """The comparison's verdict where it rests on votes."""
        if self.comparison is None:
            return None
        return deciding_votes(self.votes, record=self.comparison)

    @cached_property
    def certificates(self) -> Sequence[Certificate]:
        """What the scorers were found to tell: as the comparison knew, else as is there now."""
        if self.comparison is not None:
            return self.comparison.certificates
        if not self.finished:
            return ()
        results = self.finished[0].folder.resolve().parent.parent
        return certificates_of([run.record for run in self.finished], results=results)

    @cached_property
    def refused(self) -> Mapping[str, str]:
        """By metric, why nothing is said of the matching against a mismatched sound."""
        return refusals([run.record for run in self.finished], self.certificates)

    @cached_property
    def branches(self) -> tuple[str, ...]:
        """In the order they were asked for."""
        if self.comparison is not None:
            return tuple(self.comparison.branches)
        return tuple(dict.fromkeys(run.branch for run in self.runs))

    @cached_property
    def seeds(self) -> tuple[int, ...]:
        """Seeds of the finished runs."""
        return tuple(sorted({run.seed for run in self.finished}))

    def of_branch(self, branch: str) -> tuple[ReportRun, ...]:
        """Finished runs of one branch, by seed."""
        own = [run for run in self.finished if run.branch == branch]
        return tuple(sorted(own, key=lambda run: run.seed))

    def index(self, branch: str) -> int:
        """Which colour and marker a branch has, everywhere."""
        return self.branches.index(branch)

    def run(self, run_id: str) -> ReportRun | None:
        """A run by id."""
        return next((run for run in self.runs if run.run_id == run_id), None)

    @cached_property
    def foreign_metrics(self) -> dict[str, ForeignMetric]:
        """The metrics of other packages that the runs computed, by name."""
        of_runs = (run.record.evaluation.foreign_metrics for run in self.finished)
        return {name: facts for of_run in of_runs for name, facts in of_run.items()}

    def declared(self, name: str) -> Metric:
        """What a metric of these runs is."""
        return metric(name, recorded=self.foreign_metrics)

    @cached_property
    def primary(self) -> Metric | None:
        """The metric the verdict rests on; the first that has a value where nothing was compared.

        None where no run has any value.
        """
        if self.comparison is not None:
            return self.declared(self.comparison.metric)
        for name in dict.fromkeys((*known_metrics(), *self.foreign_metrics)):
            if any(run.value(name) is not None for run in self.finished):
                return self.declared(name)
        return None

    @cached_property
    def clip_metric(self) -> Metric | None:
        """The metric that speaks of single clips: the primary one, or the first that does."""
        candidates = [self.primary.name] if self.primary is not None else []
        for name in (*candidates, *known_metrics(), *self.foreign_metrics):
            if self.declared(name).level is Level.CLIP and any(
                run.value(name) is not None for run in self.finished
            ):
                return self.declared(name)
        return None

    @cached_property
    def focus(self) -> PairResult | None:
        """The pair that is furthest apart on the primary metric."""
        if self.comparison is None or not self.comparison.pairs:
            return None
        return max(self.comparison.pairs, key=lambda pair: abs(pair.effect))

    @cached_property
    def split(self) -> Split | None:
        """Where the clips lie now; None where the lock is gone (`split_reason` says why)."""
        return self._split_or_reason[0]

    @cached_property
    def split_reason(self) -> str:
        """Why `split` is missing, or blank."""
        return self._split_or_reason[1]

    @cached_property
    def _split_or_reason(self) -> tuple[Split | None, str]:
        if not self.runs:
            return None, "no run was found"
        run = self.runs[0]
        if not run.record.split.lock:
            return None, f"{run.run_id} does not record where its split is"
        try:
            return split_of(run.record, results=run.folder.resolve().parent.parent), ""
        except HarnessError as error:
            return None, str(error)


def is_embedded(record: RunRecord) -> bool:
    """Whether the run generated with the small models that this package ships."""
    source = record.identity.shared.foundation.stable_diffusion
    return source is not None and source.startswith("embedded:")
