"""What was left out, what this does not prove, how to make it again."""

from harness.comparison.tuning import are_rates_tuned
from harness.report.comparison.facts import Facts, is_embedded
from harness.report.page.content import (
    Blank,
    Bullets,
    Cell,
    Column,
    Command,
    Paragraph,
    Part,
    Section,
    Table,
)
from harness.statistics.outcome import MIN_SEEDS_FOR_A_WIN
from harness.wording.data_kinds import group_word
from harness.wording.numbers import count, label, number, plain


def limits(facts: Facts) -> Section:
    """Exclusions, notices, limits and commands."""
    parts: list[Part] = [*_exclusions(facts), *_split_table(facts)]
    notices = [plain(notice) for notice in _split_notices(facts)]
    notices += [
        f"{plain(run.run_id)}: {plain(notice)}"
        for run in facts.runs
        for notice in run.record.notices
    ]
    if notices:
        parts += [Paragraph("Notices of the data and the runs:"), Bullets(tuple(notices))]
    parts += [Paragraph("What this does and does not show:"), Bullets(tuple(_limits(facts)))]
    parts += [Paragraph("To reproduce it:"), Command(tuple(_commands(facts)))]
    return Section("limits", "Exclusions, limits, rerun", parts, is_brief=True)


def _exclusions(facts: Facts) -> list[Part]:
    if not facts.runs:
        return [Blank("No run was found on disk.")]
    split = facts.runs[0].record.split
    excluded = split.excluded
    seen = split.num_input
    if not excluded:
        text = "No file was excluded." if seen else "The split was given as a lock file; what "
        if not seen:
            text += "was excluded when it was made is not recorded with the runs."
        return [Paragraph(text)]
    total = sum(excluded.values())
    return [
        Table(
            f"Left out: {total} of {number(seen, digits=0)} items" if seen else "Left out",
            (Column("reason"), Column("items", is_number=True)),
            tuple((Cell(label(reason)), Cell(f"{n:,}")) for reason, n in excluded.items()),
            is_folded=True,
        )
    ]


def _split_notices(facts: Facts) -> list[str]:
    """What was noted when the split was made."""
    return facts.runs[0].record.split.notices if facts.runs else []


def _split_table(facts: Facts) -> list[Part]:
    counts = facts.runs[0].record.split.counts if facts.runs else None
    if not counts:
        return []
    parts = ("train", "val", "test")
    word = group_word(facts.runs[0].record.split.kind).one
    rows = [
        (Cell(label(name)), *(Cell(str(row.get(part, 0))) for part in parts))
        for name, row in counts.items()
    ]
    totals = (Cell(f"{sum(row.get(part, 0) for row in counts.values()):,}") for part in parts)
    rows.append((Cell("all"), *totals))
    return [
        Table(
            f"Clips per {word} and part",
            (Column(word), *(Column(part, is_number=True) for part in parts)),
            tuple(rows),
            is_folded=True,
        )
    ]


def _limits(facts: Facts) -> list[str]:
    found = []
    if any(is_embedded(run.record) for run in facts.runs):
        found.append(
            "These runs use the embedded models: a real stack at small size on a procedural "
            "corpus, scored by the small judges and CLIP that the package ships. They can show "
            "that the harness works and that a branch listens, not which branch is better at full "
            "size."
        )
    if facts.comparison is not None:
        seeds = len(facts.seeds)
        if seeds < MIN_SEEDS_FOR_A_WIN:
            found.append(
                f"{count(seeds, 'seed')}: exploratory. The exact sign-flip test cannot reach .05 "
                f"below {MIN_SEEDS_FOR_A_WIN}, so no branch can win here, whatever its scores."
            )
        found.append(
            "Intervals over seeds speak of other trainings on these test clips; those for other "
            "clips speak of other clips of these classes, split as these are, not of other data."
        )
        if not are_rates_tuned(facts.comparison.branches, tuning=facts.comparison.tuning):
            found.append(
                "Learning rates, rates of gates and stage lengths are the profile's for every "
                "branch: they were not tuned for each, and a branch whose best rate is another one "
                "may lose for that alone."
            )
        found.append(
            "One split was used: who wants a claim about the task repeats the comparison on other "
            "splits (harness compare --split-seeds 4; docs/statistics.md, Other splits)."
        )
        if not any(pair.margin > 0 for pair in facts.comparison.pairs):
            found.append("No tie margin was set before the runs, so no tie can be claimed.")
    trainable = {run.trainable for run in facts.finished if run.trainable is not None}
    if len(trainable) > 1:
        found.append(
            f"Equal budget, not equal size: the branches train {min(trainable):,} to "
            f"{max(trainable):,} parameters."
        )
    found.append(
        "Margins and intervals over clips generalise to other clips with the same trained model."
    )
    if facts.comparison is not None:
        found.append(
            "One metric decides the verdict; its significance level holds only if it was chosen "
            "before any result was seen. The others are descriptive."
        )
    return found


def _commands(facts: Facts) -> list[str]:
    if facts.comparison is not None:
        return [plain(facts.comparison.command)]
    return list(dict.fromkeys(plain(run.record.command) for run in facts.runs))
