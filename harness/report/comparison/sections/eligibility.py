"""Why these runs may be compared."""

from collections.abc import Sequence
from typing import Any

from core.files import json_sha256
from harness.comparison.eligibility import shared_settings
from harness.comparison.tuning import rates_sentence
from harness.report.comparison.facts import Facts, ReportRun
from harness.report.comparison.sections.common import branch_cell, run_cell
from harness.report.page.content import Blank, Cell, Column, Paragraph, Part, Section, Table
from harness.wording.numbers import count, label, listed, plain, short_hash

_YES, _NO, _ABSENT = "✓ yes", "✗ no", "not recorded"


def eligibility(facts: Facts) -> Section:
    """What is equal, what is not, which guards passed, what failed, how often test was opened."""
    if not facts.runs:
        blank = Blank("No run was found on disk.")
        return Section("eligibility", "Eligibility", [blank, *_absent(facts)])
    equalities = _equalities(facts)
    parts: list[Part] = [
        *_what_is_equal(equalities, num_runs=len(facts.runs)),
        *_budget_sentence(facts),
        equalities,
        _budget(facts),
    ]
    if facts.comparison is not None:
        rates = rates_sentence(facts.branches, tuning=facts.comparison.tuning)
        parts.append(Paragraph(plain(rates)))
        mixed = facts.comparison.eligibility.mixed_environment
        for field, values in mixed.items():
            described = "; ".join(
                f"{plain(value)}: {count(len(ids), 'run')}" for value, ids in values.items()
            )
            parts.append(
                Paragraph(f"Allowed to differ: {plain(field)} ({described}).", tone="warn")
            )
    parts += [_guards(facts), _branch_code(facts)]
    if facts.failed:
        parts.append(_failures(facts))
    parts += _absent(facts)
    return Section(
        "eligibility",
        "Eligibility",
        parts,
        lead="Runs are compared only where they are equal in everything but branch and seed.",
        is_brief=True,
    )


def _equalities(facts: Facts) -> Table:
    first = facts.runs[0].record.identity
    scorers = set(first.shared.scorers)
    models = sorted(_shared_models(facts))
    rows = [
        _equal("split", [run.record.identity.split_hash for run in facts.runs]),
        _equal("settings", [json_sha256(shared_settings(run.record)) for run in facts.runs]),
    ]
    for part in sorted(set(first.code) - {"variant"}):
        rows.append(_equal(f"code: {part}", [r.record.identity.code.get(part) for r in facts.runs]))
    for name in models:
        kind = "scorer" if name in scorers else "model"
        hashes = [run.record.identity.models.get(name) for run in facts.runs]
        rows.append(_equal(f"{kind}: {name}", hashes, note=_source(facts.runs[0], name)))
    rows.append(_equal("device", [run.record.cost.device for run in facts.runs]))
    return Table(
        f"Equal in all {count(len(facts.runs), 'run')}",
        (Column("what"), Column("equal"), Column("value (first digits of the hash)")),
        tuple(rows),
        is_folded=True,
    )


def _what_is_equal(table: Table, *, num_runs: int) -> list[Part]:
    """The folded table in a sentence; what differs, or is not recorded, is named first."""
    by_word: dict[str, list[str]] = {}
    for name, word, *_ in table.rows:
        by_word.setdefault(word.text, []).append(name.text)
    parts: list[Part] = [
        Paragraph(f"{said}: {listed(by_word[word])}.", tone="warn")
        for word, said in ((_NO, "Not equal"), (_ABSENT, "Not recorded"))
        if word in by_word
    ]
    if _YES in by_word:
        parts.append(Paragraph(f"Equal in all {count(num_runs, 'run')}: {listed(by_word[_YES])}."))
    return parts


def _shared_models(facts: Facts) -> set[str]:
    """Models that every run loads; the others are a branch's own."""
    return set.intersection(*(set(run.record.identity.models) for run in facts.runs))


def _equal(name: str, found: Sequence[Any], *, note: str = "") -> tuple[Cell, ...]:
    """A row: what, whether all runs that say it say the same, and what they say."""
    values = list(dict.fromkeys(value for value in found if value is not None))
    if not values:
        return (Cell(plain(name)), Cell(_ABSENT, tone="muted"), Cell(""))
    word = Cell(_YES, tone="good") if len(values) == 1 else Cell(_NO, tone="bad")
    return (
        Cell(plain(name), note=note),
        word,
        Cell(", ".join(short_hash(value) for value in values)),
    )


def _source(run: ReportRun, name: str) -> str:
    """What a model's hash belongs to, as the settings name it."""
    source = run.record.identity.shared.source_of(name)
    return "" if source is None else plain(source)


def _absent(facts: Facts) -> list[Part]:
    """Runs of the comparison that are gone."""
    return [
        Paragraph(f"{plain(run_id)} is no longer on disk: {plain(reason)}", tone="warn")
        for run_id, reason in facts.absent.items()
    ]


def _budget_sentence(facts: Facts) -> list[Part]:
    """What was equal for every branch."""
    if facts.comparison is None:
        return []
    budget = facts.comparison.eligibility.budget
    kind = label(budget.kind.value)
    amounts = [
        f"{label(name)} {_amount(value)}"
        for name, value in budget.model_dump(exclude={"kind"}, exclude_none=True).items()
    ]
    detail = f" ({', '.join(amounts)})" if amounts else ""
    return [Paragraph(f"Equal budget by {kind}{detail}.")]


def _amount(value: Any) -> str:
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:.4g}" if isinstance(value, float) else plain(value)


def _budget(facts: Facts) -> Table:
    rows = []
    for branch in facts.branches:
        runs = facts.of_branch(branch)
        steps = sorted({run.record.steps_done for run in runs})
        samples = sorted({run.record.samples_seen for run in runs})
        openings = sorted({run.record.test_openings for run in runs})
        rows.append(
            (
                branch_cell(facts, branch),
                Cell(str(len(runs))),
                Cell(_numbers(steps)),
                Cell(_numbers(samples)),
                Cell(_numbers(openings)),
                Cell(str(sum(run.branch == branch for run in facts.failed))),
            )
        )
    return Table(
        "Budget spent by each run, and openings of the test split",
        (
            Column("branch"),
            Column("finished runs", is_number=True),
            Column("steps per run", is_number=True),
            Column("samples per run", is_number=True),
            Column("test openings per run", is_number=True),
            Column("failed runs", is_number=True),
        ),
        tuple(rows),
    )


def _numbers(values: list[int]) -> str:
    return " or ".join(f"{value:,}" for value in values)


def _guards(facts: Facts) -> Part:
    runs = facts.finished
    if not runs:
        return Blank("No run finished, so no run passed all guards.")
    names = list(dict.fromkeys(name for run in runs for name in run.record.guards_passed))
    everywhere = [n for n in names if all(n in run.record.guards_passed for run in runs)]
    text = (
        f"Guards passed by all {len(runs)} finished runs: "
        if len(runs) > 1
        else "Guards passed by the run: "
    )
    text += listed(name.replace("_", " ") for name in everywhere) + "." if everywhere else "none."
    partly = [n for n in names if n not in everywhere]
    if partly:
        text += f" Only by some: {listed(name.replace('_', ' ') for name in partly)}."
    return Paragraph(text)


def _branch_code(facts: Facts) -> Table:
    rows = []
    for branch in facts.branches:
        codes = {run.record.identity.code["variant"] for run in facts.runs if run.branch == branch}
        configs = [run.record.identity.variant_config for run in facts.runs if run.branch == branch]
        config = configs[0] if configs else {}
        models = {
            name: found
            for run in facts.runs
            if run.branch == branch
            for name, found in run.record.identity.models.items()
            if name not in _shared_models(facts)
        }
        rows.append(
            (
                branch_cell(facts, branch),
                Cell(", ".join(short_hash(code) for code in sorted(codes))),
                Cell(", ".join(f"{plain(k)} {short_hash(v)}" for k, v in sorted(models.items()))),
                Cell(", ".join(f"{plain(k)} {plain(v)}" for k, v in config.items())),
            )
        )
    return Table(
        "Each branch's own code and settings",
        (Column("branch"), Column("code"), Column("own models"), Column("settings")),
        tuple(rows),
        is_folded=True,
    )


def _failures(facts: Facts) -> Table:
    return Table(
        "Failed runs, which are not left out of the comparison",
        (Column("run"), Column("why")),
        tuple((run_cell(run), Cell(plain(run.record.error or ""))) for run in facts.failed),
    )
