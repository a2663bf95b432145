"""Which branches condition on their sound: the matching one against a mismatched one."""

from collections.abc import Mapping, Sequence

from harness.comparison.evidence import Listening
from harness.metrics.arms import Arm
from harness.metrics.registry import METRICS
from harness.records.parts import ListeningMargin
from harness.records.record import RunRecord


def listening_of(
    records: Sequence[RunRecord],
    *,
    branches: Sequence[str],
    primary: str,
    refused: Mapping[str, str] | None = None,
) -> list[Listening]:
    """A row for each branch; none where no run was given mismatched sounds.

    By the primary metric where it scores single clips, else by the first listening metric that
    every one of these runs has. records: the finished runs. refused: by metric, why its scorers
    cannot tell a mismatched sound of the class; another metric is taken where there is one, and
    otherwise the rows say why nothing is claimed.
    """
    margins = {record.run_id: _margins(record) for record in records}
    given = [found for found in margins.values() if found]
    if not given:
        return []
    names = [primary, *(name for name, about in METRICS.items() if about.shows_listening)]
    possible = [name for name in names if all(name in found for found in given)]
    if not possible:
        return []
    refused = refused or {}
    metric = next((name for name in possible if name not in refused), possible[0])
    reason = refused.get(metric)
    rows = []
    for branch in branches:
        runs = [r for r in records if r.identity.variant == branch and margins[r.run_id]]
        own = [] if reason is not None else [margins[run.run_id][metric] for run in runs]
        means = [margin.mean for margin in own if margin.mean is not None]
        rows.append(
            Listening(
                branch=branch,
                metric=metric,
                num_runs=len(runs),
                num_above=sum(m.low is not None and m.low > 0 for m in own),
                num_below=sum(m.high is not None and m.high < 0 for m in own),
                mean=sum(means) / len(means) if means else None,
                refused=reason,
            )
        )
    return rows


def _margins(record: RunRecord) -> dict[str, ListeningMargin]:
    """By metric, the advantage over the mismatched sound."""
    return {m.metric: m for m in record.controls if m.control == Arm.SHUFFLED}
