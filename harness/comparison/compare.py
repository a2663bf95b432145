"""Run what is missing of the matrix, pair the records, draw the sheet."""

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from core.data.atomic import json_sha256, write_atomic
from core.data.split import Split
from harness.comparison.eligibility import require_comparable
from harness.comparison.request import CompareRequest, plan_matrix, power_sentence
from harness.comparison.sheet import draw_sheet
from harness.matrix import run_all
from harness.metrics.registry import metric as declared
from harness.progress import Display
from harness.records import RunRecord, Status, load_record
from harness.show import number
from harness.statistics import MIN_SEEDS_FOR_A_WIN, Outcome, PairVerdict, compare_pairs, leader


@dataclass(frozen=True)
class Comparison:
    """Records of a whole matrix, paired by seed, and what may be said of them."""

    metric: str
    records: tuple[RunRecord, ...]
    failed: tuple[RunRecord, ...]
    pairs: tuple[PairVerdict, ...]
    folder: Path
    sheet: Path | None

    @property
    def branches(self) -> tuple[str, ...]:
        """In the order they were asked for."""
        return tuple(dict.fromkeys(r.identity.variant for r in (*self.records, *self.failed)))

    @property
    def verdict(self) -> str:
        """One sentence."""
        seeds = len({r.identity.seed for r in self.records})
        counted = "1 seed is" if seeds == 1 else f"{seeds} seeds are"
        winner = leader(self.pairs)
        if self.failed:
            names = ", ".join(sorted({r.identity.variant for r in self.failed}))
            return f"undecided: runs of {names} failed, and a failed run is not left out"
        blank = [r for r in self.records if _value(r, self.metric) is None]
        if blank:
            reason = blank[0].metrics.get(self.metric, {}).get("reason") or "it was not scored"
            return (
                f"undecided: {self.metric} is blank in {len(blank)} of {len(self.records)} runs "
                f"({reason})"
            )
        if winner is not None:
            return f"{winner} wins on {self.metric} over {seeds} seeds"
        if self.pairs and all(pair.outcome is Outcome.TIE for pair in self.pairs):
            return f"tie on {self.metric} over {seeds} seeds"
        if seeds < MIN_SEEDS_FOR_A_WIN:
            return (
                f"undecided: {counted} exploratory, a win on {self.metric} needs at least "
                f"{MIN_SEEDS_FOR_A_WIN}"
            )
        return f"undecided: {seeds} seeds do not separate the branches on {self.metric}"

    def data(self) -> dict[str, Any]:
        """The comparison for scripts."""
        return _finite(
            {
                "verdict": self.verdict,
                "metric": self.metric,
                "comparison": str(self.folder / "comparison.json"),
                "contact_sheet": None if self.sheet is None else str(self.sheet),
                "runs": [r.run_id for r in self.records],
                "failed": [r.run_id for r in self.failed],
                "means": {name: self._row(name) for name in self._metrics()},
                "pairs": [asdict(pair) for pair in self.pairs],
            }
        )

    def view(self) -> RenderableType:
        """The comparison for people: verdict, means, paired differences, listening."""
        parts: list[RenderableType] = [Text(self.verdict, style="bold"), Text("")]
        parts += [self._means_table(), Text("")]
        if self.pairs:
            parts += [self._pairs_table(), Text("")]
        parts += [self._listening_table(), Text("")]
        for record in self.failed:
            parts.append(Text(f"failed: {record.run_id}: {record.error}", style="red"))
        parts.append(Text(f"comparison     {self.folder / 'comparison.json'}"))
        if self.sheet is not None:
            parts.append(Text(f"contact sheet  {self.sheet}"))
        return Group(*parts)

    def _metrics(self) -> list[str]:
        return list(dict.fromkeys(name for r in self.records for name in r.metrics))

    def _row(self, name: str) -> dict[str, float | None]:
        return {branch: self._mean(branch, name) for branch in self.branches}

    def _mean(self, branch: str, name: str) -> float | None:
        values = [
            r.metrics[name]["value"]
            for r in self.records
            if r.identity.variant == branch and name in r.metrics
        ]
        if not values or None in values:
            return None
        return math.fsum(values) / len(values)

    def _means_table(self) -> Table:
        seeds = len({r.identity.seed for r in self.records})
        table = Table(
            "metric",
            "better",
            *self.branches,
            title=f"Means over {seeds} seeds",
            title_justify="left",
        )
        for column in table.columns[2:]:
            column.justify = "right"
        for name in self._metrics():
            row = self._row(name)
            if "." in name or all(value is None for value in row.values()):
                continue
            direction = "higher" if declared(name).higher_is_better else "lower"
            table.add_row(name, direction, *[number(value) for value in row.values()])
        return table

    def _pairs_table(self) -> Table:
        table = Table(
            "pair",
            "seeds",
            "difference",
            "95 % interval",
            "p (Holm)",
            "p (sign flip)",
            "detectable",
            "outcome",
            title=f"{self.metric}, paired by seed",
            title_justify="left",
        )
        for pair in self.pairs:
            found = pair.difference
            outcome = pair.outcome.value
            if pair.winner:
                outcome += f": {pair.winner}"
            elif pair.ahead:
                outcome += f" ({pair.ahead} ahead)"
            table.add_row(
                f"{pair.first} - {pair.second}",
                str(found.n),
                f"{found.mean:+.3f}",
                f"{found.low:+.3f} .. {found.high:+.3f}" if found.n > 1 else "",
                f"{pair.adjusted_p:.3f}" if found.n > 1 else "",
                f"{found.sign_flip_p:.3f}" if found.n > 1 else "",
                number(pair.detectable) if found.n > 1 else "",
                outcome,
            )
        return table

    def _listening_table(self) -> Table:
        table = Table(
            "branch",
            "seed",
            "own sound",
            "shuffled",
            "text only",
            "z over shuffled",
            "z over text",
            title="Does it listen? listening_rank, paired by clip within each run",
            title_justify="left",
        )
        for r in self.records:
            cells = {
                arm: r.arms.get(arm, {}).get("listening_rank", {}).get("value")
                for arm in ("audio", "shuffled", "text_only")
            }
            z = {
                margin["control"]: margin["z"]
                for margin in r.controls
                if margin["metric"] == "listening_rank"
            }
            table.add_row(
                r.identity.variant,
                str(r.identity.seed),
                *[number(value) for value in cells.values()],
                number(z.get("shuffled"), digits=1),
                number(z.get("text_only"), digits=1),
            )
        return table


def compare(request: CompareRequest, *, display: Display) -> Comparison:
    """Run what is missing of the matrix, then pair it.

    Raises:
        UsageError: fewer than one branch, one named twice, an unknown metric.
        MismatchError: records that may not be compared.
        HarnessError: a run did not end in a record.
    """
    planned = plan_matrix(request, display=display)
    missing = [run for run in planned if run.finished_record is None]
    display.say(
        f"{len(planned)} runs ({len(request.variants)} branches x {request.num_seeds} seeds), "
        f"{len(planned) - len(missing)} of them done. {power_sentence(request.num_seeds)}"
    )
    run_all(missing, jobs=request.jobs, display=display)
    return compare_records(
        [load_record(run.folder) for run in planned],
        metric=request.metric,
        results=request.results,
        runs=[run.folder for run in planned],
        split=planned[0].prepared.split,
    )


def compare_records(
    records: Sequence[RunRecord],
    *,
    metric: str,
    results: Path,
    runs: Sequence[Path],
    split: Split,
) -> Comparison:
    """Pair finished records by seed and write the comparison and its contact sheet.

    runs: the records' folders. split: where the clips of the sheet lie now.

    Raises:
        MismatchError: they differ in more than branch and seed.
    """
    require_comparable(records)
    finished = tuple(r for r in records if r.status is Status.FINISHED)
    failed = tuple(r for r in records if r.status is Status.FAILED)
    name = json_sha256({"runs": sorted(r.run_id for r in records), "metric": metric})[:12]
    folder = results / "reports" / f"compare-{name}"
    values = [
        {"branch": r.identity.variant, "seed": r.identity.seed, "value": _value(r, metric)}
        for r in finished
    ]
    pairs: list[PairVerdict] = []
    # A run that failed or has no value must not drop out of the pairing unseen.
    is_whole = not failed and all(v["value"] is not None for v in values)
    if is_whole and len({v["branch"] for v in values}) > 1:
        pairs = compare_pairs(
            pd.DataFrame(values), higher_is_better=declared(metric).higher_is_better
        )
    sheet = None
    if finished:
        sheet = draw_sheet(finished, runs=runs, split=split, out=folder / "contact_sheet.png")
    comparison = Comparison(metric, finished, failed, tuple(pairs), folder, sheet)
    content = json.dumps(comparison.data(), indent=2, allow_nan=False) + "\n"
    write_atomic(folder / "comparison.json", content=content.encode())
    return comparison


def _value(record: RunRecord, metric: str) -> float | None:
    return record.metrics.get(metric, {}).get("value")


def _finite(value: Any) -> Any:
    """NaN is not JSON: a number that could not be had is null."""
    if isinstance(value, dict):
        return {key: _finite(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(inner) for inner in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
