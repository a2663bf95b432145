"""What it does to the scores of finished runs that another copy of their data lacks some clips."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.data.splits.split import Part, Split
from core.errors import HarnessError
from harness.comparison.runs import LoadedRun
from harness.data.diff import DataDiff, Side
from harness.metrics.metric import Level
from harness.metrics.registry import metric as declared
from harness.records.folders import ResultsFolder
from harness.records.names import split_of
from harness.records.record import RunRecord, Status, load_record


@dataclass(frozen=True, kw_only=True)
class ScoreWithout:
    """One score of a run, and what it is over the clips that the other copy has too."""

    metric: str
    """Its name."""
    value: float | None
    """As recorded, over all test clips."""
    without: float | None
    """Over those that the other copy has."""
    n: int
    """Clips behind the first."""
    n_without: int
    """Clips behind the second."""
    reason: str | None
    """Why there is no second value."""


@dataclass(frozen=True)
class RunWithout:
    """One finished run, and what it lacks with the other copy."""

    run_id: str
    """Which."""
    variant: str
    """Its branch."""
    seed: int
    """Its seed."""
    copy: str
    """Path of the copy that it was made on."""
    sizes: Mapping[Part, int]
    """Clips of each part."""
    lost: Mapping[Part, tuple[str, ...]]
    """Those that the other copy lacks, or has with other bytes."""
    scores: tuple[ScoreWithout, ...]
    """Its scores, by metric."""

    def share(self, part: Part) -> float:
        """Share of a part's clips that are lost."""
        return len(self.lost[part]) / max(1, self.sizes[part])

    def data(self) -> dict[str, Any]:
        """For scripts."""
        return {
            "run": self.run_id,
            "variant": self.variant,
            "seed": self.seed,
            "copy": self.copy,
            "lost": {part.value: list(self.lost[part]) for part in Part},
            "share": {part.value: self.share(part) for part in Part},
            "scores": [vars(score) for score in self.scores],
        }


@dataclass(frozen=True, kw_only=True)
class Consequences:
    """What the difference of two copies does to the finished runs of a results folder."""

    runs: tuple[RunWithout, ...]
    """Runs that were made on one of the two and lose clips with the other, by id."""
    num_whole: int
    """Finished runs of one of the two that lose none."""
    num_others: int
    """Finished runs on other data."""
    unread: tuple[str, ...]
    """Runs that cannot be told, each with its reason."""

    def data(self) -> dict[str, Any]:
        """For scripts."""
        return {
            "runs": [run.data() for run in self.runs],
            "unaffected": self.num_whole,
            "of_other_data": self.num_others,
            "unread": list(self.unread),
        }


def consequences(diff: DataDiff, *, results: Path) -> Consequences:
    """Hold every finished run of a results folder against two copies of its data.

    A run is of the copy that has all its clips, by id and bytes; of the first where both have.
    """
    found: list[RunWithout] = []
    num_whole = num_others = 0
    unread: list[str] = []
    for path in ResultsFolder(results).run_records:
        try:
            record = load_record(path)
            if record.status is not Status.FINISHED:
                continue
            split = split_of(record, results=results)
            own = next((d for d in (diff, diff.turned()) if _is_of(split, d.first)), None)
            if own is None:
                num_others += 1
            elif own.lost.keys().isdisjoint(split.samples):
                num_whole += 1
            else:
                found.append(_without(LoadedRun(record, path.parent), split=split, diff=own))
        except HarnessError as error:
            unread.append(f"{path.parent.name}: {error}")
    return Consequences(
        runs=tuple(found), num_whole=num_whole, num_others=num_others, unread=tuple(unread)
    )


def _is_of(split: Split, side: Side) -> bool:
    for id_, sample in split.samples.items():
        own = side.samples.get(id_)
        if own is None or (own.audio_sha256, own.image_sha256) != (
            sample.audio_sha256,
            sample.image_sha256,
        ):
            return False
    return True


def _without(run: LoadedRun, *, split: Split, diff: DataDiff) -> RunWithout:
    record = run.record
    lost = {part: tuple(i for i in split.parts[part] if i in diff.lost) for part in Part}
    return RunWithout(
        run_id=record.run_id,
        variant=record.identity.variant,
        seed=record.identity.seed,
        copy=str(diff.first.path),
        sizes={part: len(split.parts[part]) for part in Part},
        lost=lost,
        scores=_scores(run, record, lost=frozenset(lost[Part.TEST])),
    )


def _scores(run: LoadedRun, record: RunRecord, *, lost: frozenset[str]) -> tuple[ScoreWithout, ...]:
    found = []
    for name, score in record.metrics.items():
        if score.value is None:
            continue
        if not lost:
            same = ScoreWithout(
                metric=name,
                value=score.value,
                without=score.value,
                n=score.n,
                n_without=score.n,
                reason=None,
            )
            found.append(same)
            continue
        if declared(name).level is not Level.CLIP:
            why = "it is of all images together: score the run again on the other copy"
            found.append(
                ScoreWithout(
                    metric=name, value=score.value, without=None, n=score.n, n_without=0, reason=why
                )
            )
            continue
        table = run.per_clip
        rows = table[(table["metric"] == name) & (table["arm"] == score.arm)]
        means = rows.groupby("sample_id")["value"].mean().dropna()
        kept = means[~means.index.isin(lost)]
        value = float(kept.mean()) if len(kept) else None
        reason = None if len(kept) else "none of its clips is left"
        found.append(
            ScoreWithout(
                metric=name,
                value=score.value,
                without=value,
                n=score.n,
                n_without=len(kept),
                reason=reason,
            )
        )
    return tuple(found)
