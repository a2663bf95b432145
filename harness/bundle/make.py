"""Makes a bundle of a comparison, and takes back one that its own check refuses."""

import os
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from core.data.splits.split import load_split
from core.errors import DataError, HarnessError, MismatchError
from core.files import TEMPORARY_PREFIX, file_sha256
from harness.archive.write import Member, write_archive
from harness.bundle.contents import FACTS, LOCK, LOOKS, RESULTS, BundleFacts, deciding_code
from harness.bundle.recompute import looks_content, recomputed
from harness.bundle.verify import Verification, verify_bundle
from harness.comparison.looks import Look, all_looks
from harness.comparison.record import ComparisonRecord, load_comparison
from harness.comparison.runs import LoadedRun, load_run
from harness.records.folders import REPORTS, RUNS, ReportFolder, RunFolder
from harness.records.names import locks_of
from harness.records.record import RunRecord


@dataclass(frozen=True, kw_only=True)
class Bundle:
    """A bundle that was made."""

    path: Path
    """The file."""
    sha256: str
    """Of the file."""
    num_bytes: int
    """Its size."""
    verification: Verification
    """What its own check said of it."""


def make_bundle(
    folder: Path, *, out: Path, progress: Callable[[int, int], None] | None = None
) -> Bundle:
    """Write the evidence of the comparison in `folder` to the file `out`, and check it.

    Raises:
        DataError: the comparison, a run of it or the lock of their split is missing or damaged.
        MismatchError: the comparison does not follow from its runs any more.
    """
    record = load_comparison(folder)
    runs = [load_run(record.run_folder(run, folder=folder)) for run in record.runs]
    looks = _looks(record, results=_results_of(folder))
    facts = _facts(record, runs, looks)
    members = [
        Member(FACTS, (facts.model_dump_json(indent=2) + "\n").encode()),
        Member(LOOKS, looks_content(looks)),
        Member(LOCK, _lock(runs[0].record, folder=runs[0].folder).read_bytes()),
        *_report(folder, name=record.name),
        *(member for run in runs for member in _run(run)),
    ]
    # Checked under another name: what does not verify is never there under its own.
    beside = out.parent / f"{TEMPORARY_PREFIX}{secrets.token_hex(8)}"
    try:
        write_archive(beside, members=members, progress=progress)
        found = verify_bundle(beside)
        if found.differences:
            first = found.differences[0].sentence()
            if found.differences[0].where.startswith(
                f"{record.name}/{ReportFolder(folder).votes.name}"
            ):
                raise MismatchError(
                    f"the votes on {record.name} no longer follow from the listeners' answers and "
                    f"its runs ({first}); count them again: harness report {record.name} --votes "
                    "FILE..."
                )
            raise MismatchError(
                f"{record.name} no longer follows from its runs ({first}); compare them again, "
                "which writes the comparison and its report anew: "
                f"{record.command}"
            )
        os.replace(beside, out)
    finally:
        beside.unlink(missing_ok=True)
    return Bundle(
        path=out, sha256=file_sha256(out), num_bytes=out.stat().st_size, verification=found
    )


def _facts(record: ComparisonRecord, runs: list[LoadedRun], looks: list[Look]) -> BundleFacts:
    facts = BundleFacts(
        made_by=_version(),
        code=deciding_code(),
        comparison=record.name,
        metric=record.metric,
        margins={
            **{
                pair.metric: pair.margin
                for pair in (*record.pairs, *record.secondary)
                if pair.margin > 0
            },
            **{row.metric: row.margin for row in record.near_real},
        },
        planned_looks=record.looks.planned,
        allow_mixed_environment=bool(record.eligibility.mixed_environment),
        notices=[],
    )
    # The notices that follow from the runs come last; the others were given to the comparison.
    following = recomputed(runs, record=record, facts=facts, looks=looks).notices
    num_given = len(record.notices) - len(following)
    if num_given > 0 and record.notices[num_given:] == following:
        return facts.model_copy(update={"notices": record.notices[:num_given]})
    return facts


def _looks(record: ComparisonRecord, *, results: Path) -> list[Look]:
    """The looks before this one at some of its runs."""
    ours = {run.run_id for run in record.runs}
    return [
        look
        for look in all_looks(results)
        if look.at <= record.created_at and ours & set(look.run_ids)
    ]


def _results_of(folder: Path) -> Path:
    """The results folder that a run or a comparison lies in."""
    return folder.resolve().parent.parent


def _lock(record: RunRecord, *, folder: Path) -> Path:
    problems: list[HarnessError] = []
    for path in locks_of(record.split.lock, results=_results_of(folder)):
        try:
            if load_split(path).hash == record.identity.split_hash:
                return path
        except HarnessError as error:
            problems.append(error)
    if problems:
        raise problems[0]
    raise DataError(
        f"the lock file {record.split.lock} of the split is not there any more, or holds another "
        "split; a bundle shows which clips were tested on, so put it back"
    )


def _report(folder: Path, *, name: str) -> list[Member]:
    return [
        Member(f"{RESULTS}/{REPORTS}/{name}/{path.relative_to(folder).as_posix()}", path)
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.name.startswith(".")
    ]


def _run(run: LoadedRun) -> list[Member]:
    files = RunFolder(run.folder)
    named = f"{RESULTS}/{RUNS}/{run.record.run_id}"
    return [
        Member(f"{named}/{path.name}", path)
        for path in (files.record, files.per_clip, files.contributions, files.nearest)
        if path.is_file()
    ]


def _version() -> str:
    try:
        return version("branch-harness")
    except PackageNotFoundError:
        return "not installed"
