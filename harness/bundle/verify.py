"""Computes a bundle's comparison again, without a GPU and without torch, and says what differs."""

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from core.data.splits.split import load_split
from core.errors import DataError, HarnessError
from core.files import file_sha256
from harness.archive.read import extract_archive
from harness.bundle.contents import LOCK, BundleFacts, deciding_code, load_facts, results_of
from harness.bundle.differences import Difference, differences, num_numbers
from harness.bundle.of_run import of_run
from harness.bundle.pages import of_pages
from harness.bundle.recompute import bundled_looks, bundled_runs, recomputed
from harness.comparison.record import ComparisonRecord, load_comparison
from harness.comparison.runs import LoadedRun
from harness.metrics.metric import Level
from harness.metrics.registry import metric
from harness.records.folders import ReportFolder
from harness.records.record import Status
from harness.votes.of_comparison import scored_again
from harness.votes.summary import deciding_votes, is_of_other_runs, votes_on
from harness.wording.numbers import count, listed


@dataclass(frozen=True)
class Verification:
    """What was computed again, what differs, and what could not be checked."""

    path: Path
    """The bundle."""
    sha256: str
    """Of the file."""
    name: str
    """Name of the comparison."""
    verdict: str
    """Its sentence, as it follows from the evidence."""
    num_runs: int
    """Runs whose scores were read."""
    num_numbers: int
    """Numbers of the comparison that were computed again and compared."""
    differences: tuple[Difference, ...]
    """What does not follow from the evidence; empty: all of it does."""
    unchecked: tuple[str, ...]
    """What no bundle can show, or this one does not, a sentence each."""

    def data(self) -> dict[str, Any]:
        """For scripts."""
        return {
            "bundle": str(self.path),
            "sha256": self.sha256,
            "comparison": self.name,
            "verdict": self.verdict,
            "is_verified": not self.differences,
            "num_runs": self.num_runs,
            "num_numbers": self.num_numbers,
            "differences": [difference.data() for difference in self.differences],
            "unchecked": list(self.unchecked),
        }


def verify_bundle(path: Path, *, with_pages: bool = False) -> Verification:
    """Compute every statistic and the verdict of a bundle again from its runs' scores.

    with_pages: draw the report's text again too, which takes longest.

    Raises:
        DataError: it is not a bundle, or a part of it cannot be read.
        MismatchError: a byte of it has changed since it was made.
    """
    with tempfile.TemporaryDirectory(prefix="harness-verify-") as temporary:
        root = Path(temporary) / "bundle"
        extract_archive(path, root)
        try:
            return _verify(path, root, with_pages=with_pages)
        except HarnessError as error:
            # Sentences name files where they lie; here that is a folder nobody will find.
            plain = str(error).replace(f"{root}/", "")
            raise DataError(f"{path} cannot be verified: {plain}") from None


def _verify(path: Path, root: Path, *, with_pages: bool) -> Verification:
    facts = load_facts(root)
    folder = results_of(root).report(facts.comparison).path
    record = load_comparison(folder)
    runs = bundled_runs(root, record=record)
    again = recomputed(runs, record=record, facts=facts, looks=bundled_looks(root))
    found = [
        replace(difference, said=difference.said.replace(f"{root}/", ""))
        for difference in _differences(
            root, record, again, runs, folder=folder, with_pages=with_pages
        )
    ]
    unchecked = list(_unchecked(facts, record, runs, with_pages=with_pages))
    votes = votes_on(folder)
    if votes is not None and is_of_other_runs(votes, record=again):
        unchecked.append(
            "The listeners' votes: they were decided on other runs and decide nothing."
        )
    elif votes is not None:
        counted = scored_again(folder, votes, record=again, runs=runs)
        if counted is None:
            unchecked.append("The listeners' votes: they were scored before answers were kept.")
        else:
            found += differences(
                votes.model_dump(mode="json"),
                counted.model_dump(mode="json"),
                where=f"{record.name}/{ReportFolder(folder).votes.name}",
            )
            votes = counted
    deciding = deciding_votes(votes, record=again)
    if facts.code != deciding_code():
        worded = [difference for difference in found if difference.is_wording]
        found = [difference for difference in found if not difference.is_wording]
        if worded:
            unchecked.append(
                f"{count(len(worded), 'sentence')} of the bundle: other code worded them "
                f"(branch-harness {facts.made_by}). The verdict above is as this code words it."
            )
    return Verification(
        path=path,
        sha256=file_sha256(path),
        name=record.name,
        verdict=again.verdict if deciding is None else deciding.sentence,
        num_runs=len(runs),
        num_numbers=num_numbers(record.model_dump(mode="json")),
        differences=tuple(found),
        unchecked=tuple(unchecked),
    )


def _differences(
    root: Path,
    record: ComparisonRecord,
    again: ComparisonRecord,
    runs: Sequence[LoadedRun],
    *,
    folder: Path,
    with_pages: bool,
) -> Iterator[Difference]:
    split = load_split(root / LOCK)
    for run in runs:
        yield from of_run(run, split=split)
    yield from differences(
        comparable(record), comparable(again), where=f"{record.name}/comparison.json"
    )
    yield from of_pages(record, runs, folder=folder, with_pages=with_pages)


def comparable(record: ComparisonRecord) -> dict[str, Any]:
    """The record as JSON, without when and from what it was made, and where its runs lay."""
    return record.model_dump(
        mode="json", exclude={"created_at": True, "basis": True, "runs": {"__all__": {"folder"}}}
    )


def _unchecked(
    facts: BundleFacts,
    record: ComparisonRecord,
    runs: Sequence[LoadedRun],
    *,
    with_pages: bool,
) -> Iterator[str]:
    yield (
        "That the weights come from training on this split: no run was trained again. The records "
        "name the code, the settings and the frozen models by hash."
    )
    yield (
        "That the images come from these weights and the scores from these images: neither is in "
        "the bundle. The records name the SHA-256 of each."
    )
    yield "Seconds, memory, devices and losses: they are as the runs' own records have them."
    finished = [run for run in runs if run.record.status is Status.FINISHED]
    recorded = {k: v for run in finished for k, v in run.record.evaluation.foreign_metrics.items()}
    names = sorted({name for run in finished for name in run.record.metrics})
    summed = {str(name) for run in finished for name in run.contributions["metric"].unique()}
    whole = [n for n in names if metric(n, recorded=recorded).level is not Level.CLIP]
    if apart := [name for name in whole if name not in summed]:
        yield (
            f"The values of {listed(apart)} of each run: they are of all images together, and "
            "nothing smaller was kept."
        )
    if missing := sum(run.record_sha256 is None for run in record.runs):
        yield (
            f"Whether {count(missing, 'record')} was edited as a whole: the comparison was made "
            "before it kept their hashes."
        )
    if facts.notices:
        yield (
            f"{count(len(facts.notices), 'notice')} of what lay beside the runs when they were "
            "compared."
        )
    if not with_pages:
        yield "The text of the report's pages, apart from the verdict: --pages draws it again."
    yield "The plots, sounds and images of the report's pages: draw them again from the runs."
