"""Which claims about listening rest on scorers that are at chance for them."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from core.errors import UsageError
from harness.metrics.extractor import Extractor
from harness.metrics.metric import Metric, Role
from harness.metrics.registry import metric as declared
from harness.records.certificate import (
    Certificate,
    Task,
    certificate_for,
    identity_of,
    load_certificate,
)
from harness.records.folders import ResultsFolder
from harness.records.parts import MetricValue
from harness.records.record import RunRecord
from harness.records.score_kind import Score


def task_of(metric: Metric) -> Task | None:
    """What a metric's scorers must be able to tell for it to show listening; None without any."""
    if metric.extractor in (Extractor.JOINT, Extractor.SOUND_AND_PICTURE):
        return Task.SOUND
    if metric.extractor in (Extractor.PIXELS, Extractor.OBJECTIVE):
        return None
    if metric.extractor is Extractor.SOURCE_JUDGE:
        return Task.SOURCES
    if metric.role is Role.TEXT:
        return Task.CAPTION
    if metric.extractor is Extractor.IMAGE_JUDGE and metric.role is Role.LISTENING:
        return Task.ATTRIBUTES
    return Task.PICTURE


def certificates_of(records: Iterable[RunRecord], *, results: Path) -> list[Certificate]:
    """The certificates of the scorers behind these runs' numbers, of those that there are.

    Found by the hashes that the numbers carry: of the scorer's files and of the split. Runs that
    read no test clips have none.

    Raises: DataError for a file that is not a certificate.
    """
    folder = ResultsFolder(results).certificates
    if not folder.is_dir():
        return []
    wanted: dict[str, None] = {}
    for record in records:
        if record.identity.score is not Score.TEST:
            continue
        for name, value in record.metrics.items():
            if (identity := _identity(record, name, value)) is not None:
                wanted[identity] = None
    found = [load_certificate(folder, identity) for identity in wanted]
    return [one for one in found if one is not None]


def refusals(
    records: Sequence[RunRecord], certificates: Sequence[Certificate]
) -> Mapping[str, str]:
    """By metric, why nothing is said of the matching against a mismatched sound of the class."""
    return _refusals(records, certificates, within=True)


def unfit(
    records: Sequence[RunRecord], metric: str, *, certificates: Sequence[Certificate]
) -> str | None:
    """Why a metric that asks whether a branch listens may not rank branches; None where it may."""
    about = _declared(records, metric)
    if about is None or not about.shows_listening:
        return None
    return _refusals(records, certificates, within=about.compares_within_class).get(metric)


def _refusals(
    records: Sequence[RunRecord], certificates: Sequence[Certificate], *, within: bool
) -> dict[str, str]:
    found: dict[str, str] = {}
    for record in records:
        for name, value in record.metrics.items():
            about = _declared([record], name)
            task = None if about is None else task_of(about)
            if task is None or name in found:
                continue
            one = certificate_for(
                certificates,
                task,
                scorer_hash=value.extractor_hash,
                split_hash=record.identity.split_hash,
            )
            reason = None if one is None else one.refusal(within=within)
            if reason is not None:
                found[name] = reason
    return found


def _identity(record: RunRecord, name: str, value: MetricValue) -> str | None:
    about = _declared([record], name)
    task = None if about is None else task_of(about)
    if task is None or value.extractor_hash is None:
        return None
    return identity_of(
        task,
        scorer_hash=value.extractor_hash,
        split_hash=record.identity.split_hash,
        part="test",
    )


def _declared(records: Sequence[RunRecord], name: str) -> Metric | None:
    recorded = {
        key: facts for record in records for key, facts in record.evaluation.foreign_metrics.items()
    }
    try:
        return declared(name, recorded=recorded)
    except UsageError:  # of a package that is gone, and that no record tells of
        return None
