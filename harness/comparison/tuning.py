"""Whether the branches of a comparison were tuned alike.

Each is to get the same number of trials, on validation clips alone. Records cannot tell how
settings were found that a person typed: they count as not tuned.
"""

from collections.abc import Mapping, Sequence

from harness.records.record import RunRecord
from harness.settings.branch_config import Tuning

UNEQUAL = "The branches were not tuned alike"


def tuning_by_branch(
    records: Sequence[RunRecord], *, known: Mapping[str, Tuning] | None = None
) -> dict[str, Tuning]:
    """How each branch's settings were found; without the branches of which nobody says so.

    known: what is known besides, by branch; a run that was made before the sweep which came to the
    same settings says nothing of it. Where runs of a branch disagree, the most trials count.
    """
    found = dict(known or {})
    for record in records:
        if record.tuning is None:
            continue
        tuning = record.tuning
        branch = record.identity.variant
        if branch not in found or tuning.num_made > found[branch].num_made:
            found[branch] = tuning
    return found


def inequalities(
    branches: Sequence[str], *, tuning: Mapping[str, Tuning], split_hash: str
) -> list[str]:
    """What was not alike, a clause each; none where no branch was tuned.

    split_hash: of the split that the branches are compared on.
    """
    tuned = {branch: tuning[branch] for branch in branches if branch in tuning}
    if not tuned:
        return []
    found = []
    untuned = [branch for branch in branches if branch not in tuned]
    if untuned:
        found.append(
            f"{', '.join(tuned)} by a sweep and {', '.join(untuned)} not at all, so a difference "
            "between them may come from the tuning alone"
        )
    if len({one.num_made for one in tuned.values()}) > 1:
        shown = ", ".join(f"{branch} {one.num_made}" for branch, one in tuned.items())
        found.append(
            f"with unequal numbers of trials ({shown}), and more trials find better scores"
        )
    if len({one.metric for one in tuned.values()}) > 1:
        shown = ", ".join(f"{branch} {one.metric or 'unknown'}" for branch, one in tuned.items())
        found.append(f"for different metrics ({shown})")
    changed = [branch for branch, one in tuned.items() if one.is_changed]
    if changed:
        found.append(f"{', '.join(changed)} with settings that were changed after the sweep")
    if len({one.shared_settings_hash for one in tuned.values()} - {None}) > 1:
        found.append("with different shared settings (steps, learning rates and so on)")
    with_rates = [branch for branch, one in tuned.items() if one.has_rates]
    if with_rates and len(with_rates) < len(tuned):
        others = [branch for branch in tuned if branch not in with_rates]
        found.append(
            f"with learning rates and stage lengths searched for {', '.join(with_rates)}, and not "
            f"for {', '.join(others)}"
        )
    elsewhere = {
        branch: str(one.split_hash)[:12]
        for branch, one in tuned.items()
        if one.split_hash not in (None, split_hash)
    }
    if elsewhere:
        shown = ", ".join(f"{branch} on {short}" for branch, short in elsewhere.items())
        found.append(
            f"on another split than this one ({shown}), so clips used to choose them may be test "
            "clips here"
        )
    return found


def are_rates_tuned(branches: Sequence[str], *, tuning: Mapping[str, Tuning]) -> bool:
    """Whether a search tuned learning rates, gate rates and stage lengths for each branch."""
    found = [tuning.get(branch) for branch in branches]
    return all(one is not None and one.has_rates and not one.is_changed for one in found)


def rates_sentence(branches: Sequence[str], *, tuning: Mapping[str, Tuning]) -> str:
    """How learning rates and stage lengths were chosen, and what that means for who loses."""
    if are_rates_tuned(branches, tuning=tuning):
        trials = ", ".join(f"{branch} {tuning[branch].num_made}" for branch in branches)
        return (
            "Learning rates, gate rates and stage lengths were searched for each branch on "
            f"validation clips (trials: {trials})."
        )
    fixed = [branch for branch in branches if not are_rates_tuned([branch], tuning=tuning)]
    return (
        f"Learning rates, gate rates and stage lengths were not tuned for {', '.join(fixed)}: a "
        "branch whose rates are off can lose for that alone. `harness sweep` searches them with "
        "equal trials for each branch."
    )


def chosen_by_sentence(tuning: Mapping[str, Tuning], *, seeds: Sequence[int]) -> str:
    """That settings were chosen with a seed that is compared; blank where none was."""
    chosen = {branch: one.seed for branch, one in tuning.items() if one.seed in seeds}
    if not chosen:
        return ""
    shown = ", ".join(f"{branch} with seed {seed}" for branch, seed in chosen.items())
    return (
        f"Settings were chosen with a seed that is compared here ({shown}): that seed's luck is "
        "part of why they were chosen, so it overstates them; compare without it."
    )


def inequality_sentence(clauses: Sequence[str]) -> str:
    """All of it as one sentence."""
    return f"{UNEQUAL}: {'; '.join(clauses)}."
