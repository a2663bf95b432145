"""Every look at a question, kept in its journal, and what the looks before this one cost."""

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from core.errors import DataError, HarnessError
from core.files import write_atomic
from harness.comparison.evidence import Looks
from harness.comparison.record import ComparisonRecord, load_comparison
from harness.records.folders import (
    COMPARISON,
    QUESTION,
    ReportFolder,
    ResultsFolder,
    folders_with,
)
from harness.records.record import now
from harness.statistics.outcome import ALPHA, MIN_SEEDS_FOR_A_WIN


@dataclass(frozen=True)
class Look:
    """One time that runs were compared."""

    at: str
    """UTC time."""
    metric: str
    """What decided."""
    run_ids: list[str]
    """Every run that was compared."""
    num_seeds: int
    """Seeds of each branch."""
    planned: list[int]
    """Numbers of seeds at which it was planned to decide, this one among them; empty: this one
    alone."""
    outcome: str
    """Win, tie or undecided."""


def read_question(folder: Path) -> dict[str, Any]:
    """The folder's journal: `asked`, `asked_at` and `looks`; empty without one.

    Raises:
        DataError: it cannot be read.
    """
    path = ReportFolder(folder).question
    if not path.is_file():
        return {}
    try:
        found = json.loads(path.read_bytes())
        if not {"asked", "looks"} & set(found):
            raise ValueError("neither a question nor a look")
        looks = [asdict(Look(**look)) for look in found.get("looks", [])]
    except (ValueError, AttributeError, TypeError):
        raise DataError(f"{path} is damaged; delete it, and the comparison is asked anew") from None
    return {**found, "looks": looks}


def write_question(folder: Path, content: dict[str, Any]) -> None:
    """Write the journal, whole or not at all."""
    write_atomic(
        ReportFolder(folder).question, content=(json.dumps(content, indent=2) + "\n").encode()
    )


def note_look(folder: Path, *, record: ComparisonRecord) -> None:
    """Append this look to the journal of the comparison's folder, whatever the folder's name."""
    found = read_question(folder)
    look = Look(
        at=now(),
        metric=record.metric,
        run_ids=sorted(run.run_id for run in record.runs),
        num_seeds=len(record.seeds),
        planned=record.looks.planned,
        outcome=record.outcome.value,
    )
    write_question(folder, {**found, "looks": [*found.get("looks", []), asdict(look)]})


def looks_so_far(
    run_ids: Sequence[str],
    *,
    metric: str,
    num_seeds: int,
    planned: Sequence[int],
    results: Path,
) -> Looks:
    """The looks at this question before the one with these runs.

    Those of every comparison in the results folder; see `looks_among`.
    """
    return looks_among(
        all_looks(results), run_ids=run_ids, metric=metric, num_seeds=num_seeds, planned=planned
    )


def looks_among(
    looks: Sequence[Look],
    *,
    run_ids: Sequence[str],
    metric: str,
    num_seeds: int,
    planned: Sequence[int],
) -> Looks:
    """Those of some looks that were at the question of these runs, before this one.

    A look is an earlier one where it had seeds enough to end at a win and runs of two of these
    branches: with fewer seeds at any time; with as many or more if it was made before these very
    runs were first compared, unless it had none but these. It is planned where it named the same
    numbers of seeds as this one does, and no branch has been dropped since.
    """
    wanted = _by_branch(run_ids)
    ours = frozenset(run_ids)
    first = min(
        (look.at for look in looks if look.metric == metric and ours == frozenset(look.run_ids)),
        default=None,
    )
    earlier: dict[int, bool] = {}
    most_branches, apart = len(wanted), set()
    for look in looks:
        own = _by_branch(look.run_ids)
        shared = [name for name in wanted if wanted[name] & own.get(name, frozenset())]
        if look.metric != metric or look.num_seeds < MIN_SEEDS_FOR_A_WIN or len(shared) < 2:
            continue
        is_later = first is not None and look.at >= first
        if look.num_seeds >= num_seeds and (is_later or frozenset(look.run_ids) <= ours):
            continue
        is_planned = bool(planned) and look.planned == list(planned) and len(own) <= len(wanted)
        earlier[look.num_seeds] = earlier.get(look.num_seeds, True) and is_planned
        if len(own) > most_branches:
            most_branches = len(own)
        if not all(own[n] <= wanted[n] or own[n] >= wanted[n] for n in shared):
            apart.add(frozenset(look.run_ids))
    unplanned = sorted(seeds for seeds, is_planned in earlier.items() if not is_planned)
    level = None
    if unplanned:
        # A plan that was kept has paid for its own looks; together with others it has not.
        level = _level(
            sorted({*earlier, num_seeds}),
            num_pairs=math.comb(len(wanted), 2),
            chosen_of=math.comb(most_branches, 2),
            num_apart=len(apart),
        )
    return Looks(planned=list(planned), earlier=sorted(earlier), unplanned=unplanned, level=level)


def _by_branch(run_ids: Sequence[str]) -> dict[str, frozenset[str]]:
    """The runs of each branch, by the branch's name at the start of a run's id."""
    found: dict[str, set[str]] = {}
    for run_id in run_ids:
        found.setdefault(run_id.rpartition("-s")[0], set()).add(run_id)
    return {name: frozenset(own) for name, own in found.items()}


def _level(seeds: Sequence[int], *, num_pairs: int, chosen_of: int, num_apart: int) -> float:
    """Upper limit of how often equal branches are told apart at some of these looks.

    num_pairs: of the branches compared. chosen_of: pairs that they were chosen from. num_apart:
    looks with other seeds, none of which is the first part of the other; each adds a whole level.
    """
    from harness.statistics.looks import level_of_looks  # scipy

    level = level_of_looks(seeds)
    if chosen_of > num_pairs:
        level = max(level, chosen_of * level_of_looks(seeds, alpha=ALPHA / num_pairs))
    return min(1.0, level + ALPHA * num_apart)


def all_looks(results: Path) -> list[Look]:
    """Of every folder under reports: its journal, or the comparison of a time before journals."""
    found = []
    for folder in folders_with(ResultsFolder(results).reports, QUESTION, COMPARISON):
        try:
            journal = [Look(**look) for look in read_question(folder).get("looks", [])]
            found += journal or [_of_comparison(load_comparison(folder))]
        except HarnessError:
            continue  # of another format, damaged, or asked and never made
    return found


def _of_comparison(record: ComparisonRecord) -> Look:
    return Look(
        at=record.created_at,
        metric=record.metric,
        run_ids=[run.run_id for run in record.runs],
        num_seeds=len(record.seeds),
        planned=record.looks.planned,
        outcome=record.outcome.value,
    )


def looks_notices(looks: Looks) -> list[str]:
    """What the looks before this one mean for it."""
    if not looks.unplanned or looks.level is None:
        return []
    shown = ", ".join(f"{seeds} seeds" for seeds in looks.unplanned)
    return [
        f"some of these runs were compared before: at {shown}, without a plan that names them. "
        "Whoever adds seeds until there is a win, or chooses among seeds and branches, finds one "
        f"between equal branches in up to {looks.level:.1%} of cases, so what is found here is "
        "exploratory; name the looks beforehand with --looks, and drop no branch"
    ]
