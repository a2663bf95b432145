"""The report in a bundle, against the numbers it was drawn from."""

import math
from collections.abc import Iterator, Sequence
from html import unescape
from io import StringIO
from pathlib import Path

import numpy as np
import pandas as pd

from harness.bundle.differences import RELATIVE, Difference
from harness.comparison.record import ComparisonRecord
from harness.comparison.runs import LoadedRun
from harness.records.folders import PAGE
from harness.report.comparison.export import CSV, PARQUET, numbers
from harness.report.comparison.facts import Facts, ReportRun
from harness.report.page.page import TWIN


def of_pages(
    record: ComparisonRecord, runs: Sequence[LoadedRun], *, folder: Path, with_pages: bool
) -> Iterator[Difference]:
    """Where the report's tables, or with `with_pages` its text, are not what the runs give.

    A report that was never drawn differs in nothing.
    """
    facts = Facts(
        name=record.name,
        folder=folder,
        runs=tuple(ReportRun(run) for run in runs),
        comparison=record,
        rows=record.metrics,
    )
    if (folder / CSV).is_file() or (folder / PARQUET).is_file():
        expected = _as_text(numbers(facts))
        for name, read in ((CSV, _read_csv), (PARQUET, _read_parquet)):
            if (folder / name).is_file():
                yield from _of_table(name, read(folder / name), expected)
    for name in (TWIN, PAGE):
        path = folder / name
        if path.is_file() and not _has_verdict(path, record.verdict):
            yield Difference(
                where=name,
                said="nothing of the verdict",
                recomputed=record.verdict,
                is_wording=True,
            )
    if with_pages and (folder / TWIN).is_file():
        yield from _of_text(folder, facts)


def _as_text(table: pd.DataFrame) -> pd.DataFrame:
    """The table as its CSV has it."""
    return _read_csv(StringIO(table.to_csv(index=False)))


def _read_csv(source: Path | StringIO) -> pd.DataFrame:
    return pd.read_csv(source, keep_default_na=False, dtype=str)


def _read_parquet(path: Path) -> pd.DataFrame:
    return _as_text(pd.read_parquet(path))


def _of_table(name: str, said: pd.DataFrame, expected: pd.DataFrame) -> Iterator[Difference]:
    if list(said.columns) != list(expected.columns) or len(said) != len(expected):
        yield Difference(
            where=name,
            said=f"{len(said)} rows of {len(said.columns)} columns",
            recomputed=f"{len(expected)} rows",
        )
        return
    for row, column in np.argwhere((said != expected).to_numpy()):
        ours, theirs = str(said.iat[row, column]), str(expected.iat[row, column])
        if not _is_same(ours, theirs):
            yield Difference(
                where=f"{name}, line {row + 2}, {said.columns[column]}",
                said=ours,
                recomputed=theirs,
            )


def _is_same(said: str, expected: str) -> bool:
    try:
        return math.isclose(float(said), float(expected), rel_tol=RELATIVE)
    except ValueError:
        return False


def _has_verdict(path: Path, verdict: str) -> bool:
    text = path.read_text(encoding="utf-8", errors="replace")
    return _letters(verdict) in _letters(unescape(text))


def _letters(text: str) -> str:
    """Without what Markdown and HTML escape, and without capitals."""
    return "".join(character for character in text.casefold() if character.isalnum())


def _of_text(folder: Path, facts: Facts) -> Iterator[Difference]:
    from harness.report.comparison.write import comparison_text

    said = (folder / TWIN).read_text(encoding="utf-8").splitlines()
    drawn = comparison_text(facts).splitlines()
    for number in range(max(len(said), len(drawn))):
        ours = said[number] if number < len(said) else "nothing"
        theirs = drawn[number] if number < len(drawn) else "nothing"
        if ours != theirs:
            where = f"{TWIN}, line {number + 1}"
            yield Difference(
                where=where, said=repr(ours[:160]), recomputed=repr(theirs[:160]), is_wording=True
            )
