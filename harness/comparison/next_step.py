"""What to run next: the command that is expected to settle an undecided comparison."""

import shlex
from dataclasses import dataclass

from harness.comparison.record import ComparisonRecord
from harness.statistics.outcome import MAX_SEEDS, MIN_SEEDS_FOR_A_WIN, Outcome, Strength

_SEEDS = "--seeds"
_NUM_SPLITS = 4
"""With fewer their sd is hardly known."""


@dataclass(frozen=True)
class NextStep:
    """What a reader does next."""

    sentence: str
    """Why."""
    command: str | None = None
    """A line for the shell; None where none settles it, or it cannot be told from the record."""


def next_step(found: ComparisonRecord) -> NextStep:
    """What would settle it, by the record alone."""
    if found.failed:
        return NextStep(
            "Run it again: finished runs are kept, and failed ones are made again.", found.command
        )
    if not found.pairs:
        return NextStep("Nothing was tested; choose another metric with --metric.")
    if found.outcome is not Outcome.UNDECIDED:
        return _of_decided(found)
    if found.trainings is None:
        return NextStep("The verdict says why nothing was tested; compare by another --metric.")
    if all(pair.verdict is not Outcome.UNDECIDED for pair in found.pairs):
        return NextStep(
            "Every pair is decided, and no branch wins against every other: the pairs say which "
            "differ and which tie."
        )
    num_seeds = len(found.seeds)
    if num_seeds < MIN_SEEDS_FOR_A_WIN:
        return _first_look(found)
    if found.looks.planned:
        return _planned_look(found)
    return _further_look(found)


def _of_decided(found: ComparisonRecord) -> NextStep:
    if len(found.seeds) < MIN_SEEDS_FOR_A_WIN:
        return _with_seeds(
            found,
            f"Below {MIN_SEEDS_FOR_A_WIN} seeds everything is exploratory, and no look has counted "
            f"yet: with {MIN_SEEDS_FOR_A_WIN} the comparison decides.",
            MIN_SEEDS_FOR_A_WIN,
        )
    if found.strength is Strength.EXPLORATORY:
        return NextStep(
            "Exploratory results are confirmed by runs that nobody has looked at, with the looks "
            "named beforehand: another split (docs/statistics.md, Other splits)."
        )
    if found.strength is Strength.THESE_CLIPS:
        return NextStep(
            "It is decided on these clips. For other clips it takes more test clips, on which "
            "every run is made again."
        )
    return NextStep(
        "It is decided for this split. A claim about the task repeats it on other splits "
        "(docs/statistics.md, Other splits).",
        _over_splits(found),
    )


def _over_splits(found: ComparisonRecord) -> str | None:
    """The comparison's command on several splits; none for one of named runs or a named split."""
    words = shlex.split(found.command)
    if _SEEDS not in words or any(word.startswith("data.split_seed") for word in words):
        return None
    return shlex.join([*words, "--split-seeds", str(_NUM_SPLITS)])


def _first_look(found: ComparisonRecord) -> NextStep:
    """Below the fewest seeds of a win nothing was looked at yet: more are free."""
    wanted = found.to_add.seeds if found.to_add is not None else None
    if wanted is None:
        fewest = (
            f"{MIN_SEEDS_FOR_A_WIN} seeds are the fewest at which a win is possible; whether they "
            "settle it, these runs cannot tell."
        )
        sentence = fewest if found.to_add is None else f"{found.to_add.sentence} {fewest}"
        return _with_seeds(found, sentence, MIN_SEEDS_FOR_A_WIN)
    assert found.to_add is not None
    return _with_seeds(found, found.to_add.sentence, len(found.seeds) + wanted)


def _planned_look(found: ComparisonRecord) -> NextStep:
    later = [seeds for seeds in found.looks.planned if seeds > len(found.seeds)]
    told = "" if found.to_add is None else f"{found.to_add.sentence} "
    if later:
        return _with_seeds(found, f"{told}The next planned look is at {later[0]} seeds.", later[0])
    return NextStep(
        f"{told}The planned looks are used up: a further one lowers what may be claimed to "
        "exploratory."
    )


def _further_look(found: ComparisonRecord) -> NextStep:
    """A second look that no plan names costs, and says what."""
    if found.to_add is None:
        return NextStep(
            "What would settle it cannot be computed: the metric has no values of single clips, or "
            "the branches do not differ."
        )
    if found.to_add.seeds is None:
        return NextStep(found.to_add.sentence)
    from harness.statistics.looks import level_of_looks

    total = len(found.seeds) + found.to_add.seeds
    level = level_of_looks(sorted({*found.looks.earlier, len(found.seeds), total}))
    return _with_seeds(
        found,
        f"{found.to_add.sentence} That is a further look, which no plan names: with it equal "
        f"branches would be told apart in up to {level:.1%} of cases, so a win there would be "
        "exploratory.",
        total,
    )


def _with_seeds(found: ComparisonRecord, sentence: str, seeds: int) -> NextStep:
    """The comparison's command with so many seeds; none for one of named runs."""
    words = shlex.split(found.command)
    if seeds > MAX_SEEDS:
        return NextStep(sentence)
    if _SEEDS not in words[:-1]:
        return NextStep(
            f"{sentence} These runs were named one by one: train seeds up to {seeds - 1} of every "
            "branch with the runs' own commands, then name them all with --from."
        )
    words[words.index(_SEEDS) + 1] = str(seeds)
    return NextStep(sentence, shlex.join(words))
