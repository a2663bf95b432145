"""The comparison again, from the runs of an unpacked bundle, by the code that decides."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from core.errors import DataError
from harness.bundle.contents import LOOKS, BundleFacts, results_of
from harness.comparison.analysis import analyse
from harness.comparison.evidence import Looks
from harness.comparison.looks import Look, looks_among
from harness.comparison.record import ComparisonRecord
from harness.comparison.runs import LoadedRun, load_run


def bundled_runs(root: Path, *, record: ComparisonRecord) -> list[LoadedRun]:
    """The runs of the comparison, in its order.

    Raises:
        DataError: one is missing or its record was edited.
    """
    results = results_of(root)
    return [load_run(results.run(run.run_id).path) for run in record.runs]


def bundled_looks(root: Path) -> list[Look]:
    """Earlier looks at some of these runs. Raises: DataError where they cannot be read."""
    try:
        return [Look(**row) for row in json.loads((root / LOOKS).read_bytes())]
    except (OSError, ValueError, TypeError):
        raise DataError(f"its {LOOKS} cannot be read") from None


def looks_content(looks: Sequence[Look]) -> bytes:
    """The file of them."""
    return (json.dumps([asdict(look) for look in looks], indent=2) + "\n").encode()


def recomputed(
    runs: Sequence[LoadedRun],
    *,
    record: ComparisonRecord,
    facts: BundleFacts,
    looks: Sequence[Look],
) -> ComparisonRecord:
    """What the runs say, whatever the comparison says of them.

    record: gives its name, its command, how branches were tuned and what its scorers were found to
    tell; no number of its decision.

    Raises:
        MismatchError: runs that may not be compared.
        DataError: scores that are not those a record sums up.
    """
    num_seeds = len({run.record.identity.seed for run in runs})
    seen: Looks = looks_among(
        looks,
        run_ids=[run.record.run_id for run in runs],
        metric=facts.metric,
        num_seeds=num_seeds,
        planned=facts.planned_looks,
    )
    return analyse(
        runs,
        metric=facts.metric,
        margins=facts.margins,
        folder=Path(facts.comparison),
        command=record.command,
        allow_mixed_environment=facts.allow_mixed_environment,
        notices=facts.notices,
        tuning=record.tuning,
        looks=seen,
        certificates=record.certificates,
    )
